// Package layers holds the import policy of sekimori, and a few habits no
// compiler checks, as tests. There is nothing in it to import.
//
//	cmd ──► agent ──► agent/internal ──► drivers ─┐
//	                          │                   ├──► internal/clock
//	                          ├──► internal/record│
//	cmd ──► hub ────► hub/internal ──┘            │
//	cmd ──► firmware-sim  (no drivers, no agent, no hub) ─► internal/clock
//
// The tests parse the files rather than ask `go list`, whose answer `go test`
// would serve from its cache past a violation; and so they see the files of
// every operating system and build tag at once.
//
// policy_test.go is the policy, each line with its reason. A line that forbids
// something nobody could do any more is dead, so each must match something.
package layers
