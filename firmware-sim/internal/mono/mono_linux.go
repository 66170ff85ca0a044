package mono

import (
	"time"

	"golang.org/x/sys/unix"
)

var start = time.Now()

func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return int64(time.Since(start))
	}
	return ts.Nano()
}
