//go:build !linux

package disk

import "os"

// syncData is FlushFileBuffers on Windows and fsync elsewhere.
func syncData(f *os.File) error { return f.Sync() }
