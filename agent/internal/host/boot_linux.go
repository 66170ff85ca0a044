// Package host is what only the operating system can tell or do.
package host

import (
	"encoding/hex"
	"os"
	"strings"

	"sekimori/internal/record"
)

// BootID names this boot, as the kernel does.
func BootID() record.BootID {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return record.NewBootID()
	}
	var id record.BootID
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(b)), "-", ""))
	if err != nil || len(raw) != len(id) {
		return record.NewBootID()
	}
	copy(id[:], raw)
	return id
}
