//go:build !simtime

package clock

import "time"

func mono() time.Duration { return bootTime() }
