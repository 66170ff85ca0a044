//go:build !linux && !windows

package clock

import "time"

func bootTime() time.Duration { return time.Since(processStart) }
