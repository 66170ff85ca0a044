//go:build !simtime

package clock

import "time"

func now() time.Time { return time.Now() }

// Simulated tells whether this build follows the simulator's clock.
const Simulated = false

// Env names the variables by which a program is shown its clock: a program that
// starts another passes them on. A release build has none.
func Env() []string { return nil }

// Timer is a time.Timer; see time.NewTimer.
type Timer struct {
	C <-chan time.Time
	t *time.Timer
}

// NewTimer fires once after d.
func NewTimer(d time.Duration) *Timer {
	t := time.NewTimer(d)
	return &Timer{C: t.C, t: t}
}

// Stop prevents the timer from firing; it may be called more than once.
func (t *Timer) Stop() { t.t.Stop() }

// Reset arms the timer again for d from now; a value not yet received is dropped.
func (t *Timer) Reset(d time.Duration) { t.t.Reset(d) }
