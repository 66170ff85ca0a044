// Package clock is the one clock every sekimori program reads.
//
// Two readings are kept apart because they fail differently:
//
//	Now   the wall clock of this computer; it may be wrong, reset, or set back [T-39]
//	Mono  time since boot; it never goes back and goes on while the machine sleeps
//
// A release build asks the operating system. A build tagged `simtime` follows
// the simulator instead, so that days of office hours pass in seconds and a
// board can be booted in 1970 while its neighbour is not. Timers made here
// follow Mono, so they come due when simulated time jumps over them.
//
// Decisions never read a clock: they are handed `now`.
package clock

import (
	"context"
	"time"
)

// JST is the zone of every screen, print and register. Japan has no daylight
// saving, and a controller's own zone is often UTC, so the OS zone is never
// used [T-37].
var JST = time.FixedZone("JST", 9*60*60)

// Now is the wall clock, without a monotonic part (which would make
// comparisons ignore a clock that was set back).
func Now() time.Time { return now().Round(0) }

// Mono is the time since boot, including time asleep.
func Mono() time.Duration { return mono() }

// Sleep waits for d or until ctx ends, and returns ctx's error in that case.
func Sleep(ctx context.Context, d time.Duration) error {
	t := NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
