package line

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// portLock holds a port against other programs. The serial library sets
// TIOCEXCL, which does not keep a privileged program out, so an advisory lock
// on the device is held too; lock-keeping serial tools use the same one.
type portLock struct {
	once sync.Once
	f    *os.File
}

func acquire(path string) (*portLock, error) {
	// O_NONBLOCK: opening must not wait for a modem's carrier.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %w", ErrBusy, err)
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return &portLock{f: f}, nil
}

func (l *portLock) release() { l.once.Do(func() { l.f.Close() }) }
