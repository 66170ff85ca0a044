// Package mono is the clock of pins and pulses: nanoseconds of CLOCK_MONOTONIC,
// the clock a Linux kernel stamps GPIO edges with. It always runs in real time;
// the simulated wall clock that other programs follow is another matter.
package mono

import "time"

// Now is the reading in nanoseconds since an arbitrary start.
func Now() int64 { return now() }

// Since is the time that passed after an earlier reading.
func Since(t int64) time.Duration { return time.Duration(now() - t) }
