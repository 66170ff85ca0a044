//go:build !windows

package clock

import "time"

// processStart stands in for boot where the OS offers no boot clock.
var processStart = time.Now()
