//go:build !unix

package main

import "time"

// cpuTime is measured on Unix only.
func cpuTime() time.Duration { return 0 }
