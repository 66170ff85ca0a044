package measure

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// syncData is the sync that the journal uses.
func syncData(f *os.File) error { return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd()))) }

// Mono is CLOCK_MONOTONIC, which the simulator stamps with.
func Mono() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // there is no Linux without it
	}
	return time.Duration(ts.Nano())
}

// magics are file systems by their number in statfs(2).
var magics = map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs (a sync costs nothing)", 0x794c7630: "overlay", 0x2fc12fc1: "zfs"}

// FileSystem names the file system of a folder.
func FileSystem(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return "unknown"
	}
	if name, ok := magics[int64(st.Type)]; ok {
		return name
	}
	return "another"
}

// CPU is the processor time this process has used.
func CPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // there is no Linux without it
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
