//go:build !linux

package bus

import "time"

func nap(d time.Duration) { time.Sleep(d) }
