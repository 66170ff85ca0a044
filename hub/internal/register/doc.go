// Package register reads the ledger as registers: who was in which room, and
// what went wrong at which door.
//
//	ledger rows, in order ─▶ rules ─▶ REG-01 入退室管理簿: one row per stay
//	                             └──▶ DENIALS 不許可・異常一覧: a series of its own
//
// Rows are projections: only ledger rows, in their order, decide, so that a
// rebuild gives the same rows, numbers and bytes. What was projected is never
// taken back; later facts add to a row, and both stay visible.
//
// Vocabulary (domain.md §3): a stay (在室) begins with an entry and ends with an
// exit; it is unconfirmed (退室未確認) when the exit should have been seen and
// was not; superseded when the same person came in again. Numbers (通番) run per
// room and 年度 of the event, so a day that arrives late takes the next number
// of its own year [T-41].
package register
