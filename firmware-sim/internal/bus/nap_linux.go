package bus

import (
	"time"

	"golang.org/x/sys/unix"
)

// nap sleeps for less than a runtime timer can: the runtime waits in whole
// milliseconds, and a byte at 38400 baud takes a quarter of one.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // cut short by a signal, the caller looks again
}
