// Package sqlite is the hub's store on one SQLite file: pure Go, nothing to
// install, one municipality per file.
//
//	Update ─┐                     ┌─ savepoint: f(tx) ─┐
//	Update ─┼─ queue ─▶ writer ──▶├─ savepoint: f(tx) ─┼─ COMMIT: one fsync ─▶ all told
//	Update ─┘   (one connection)  └─ savepoint: f(tx) ─┘
//
//	View ───── pool of read connections, one snapshot each
//
// Group commit: Updates that wait while a commit syncs become one transaction.
// Each is a savepoint of it, so one that fails undoes itself and nobody else.
// Nobody is told "done" before the sync of the whole group is [T-52].
//
// The ledger's tables refuse UPDATE and DELETE by triggers. That stops
// mistakes, not an administrator with the file in hand: against that stand the
// hashes, the signed checkpoint and the witnesses (package ledger).
package sqlite
