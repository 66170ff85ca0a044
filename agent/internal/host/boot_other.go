//go:build !linux

// Package host is what only the operating system can tell or do.
package host

import "sekimori/internal/record"

// BootID names this start of the program: the system offers no name for a boot,
// and a fresh one only costs that events of an earlier start in the same boot
// cannot be dated afterwards.
func BootID() record.BootID { return record.NewBootID() }
