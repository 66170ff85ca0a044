//go:build !linux

package measure

import (
	"os"
	"time"
)

func syncData(f *os.File) error { return f.Sync() }

var start = time.Now()

// Mono rises from the start of the process.
func Mono() time.Duration { return time.Since(start) }

// FileSystem is known on Linux only.
func FileSystem(string) string { return "unknown" }

// CPU is known on Linux only.
func CPU() time.Duration { return 0 }
