package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData spares the inode's times: in a preallocated file they are all that
// fsync would write beyond the data, and they cost a commit of the file
// system's own journal.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) {
		for {
			failed = unix.Fdatasync(int(fd))
			if failed != unix.EINTR {
				return
			}
		}
	}); err != nil {
		return err
	}
	return os.NewSyscallError("fdatasync", failed)
}
