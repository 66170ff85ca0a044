package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime counts sleep, unlike CLOCK_MONOTONIC: a permit that expires while a
// terminal sleeps must be expired when it wakes [T-03].
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Since(processStart)
	}
	return time.Duration(ts.Nano())
}
