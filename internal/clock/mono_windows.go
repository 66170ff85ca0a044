package clock

import (
	"time"

	"golang.org/x/sys/windows"
)

// bootTime is QueryInterruptTime's coarse twin: milliseconds since boot,
// including sleep, which is what permits and grants are measured in.
func bootTime() time.Duration { return windows.DurationSinceBoot() }
