package line

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
	"unsafe"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// writeLimit is how long bytes may wait for a device that takes none.
const writeLimit = time.Second

// osPort is a port that the library has set up and whose bytes go through a
// second descriptor of ours. The library waits in select(2), which holds a
// thread and wakes the scheduler's monitor for every wait; a descriptor in the
// runtime's poller does neither, and an RS-485 bus waits a hundred times a
// second. Settings belong to the device, so both descriptors see them.
type osPort struct {
	file    *os.File
	raw     syscall.RawConn // of file
	library serial.Port
	timeout time.Duration // owned by the reading goroutine
	quiet   bool          // the last Read timed out; owned by the same
}

func openOS(path string, baud int) (Port, error) {
	// O_NONBLOCK: opening must not wait for a modem's carrier.
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	raw, err := lock(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	p, err := openLibrary(path, baud)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &osPort{file: f, raw: raw, library: p, timeout: NoTimeout}, nil
}

// lock holds the device against other programs. The library sets TIOCEXCL,
// which does not keep a privileged program out; the advisory lock, which
// lock-keeping serial tools use too, does.
func lock(f *os.File) (syscall.RawConn, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var locked error
	if err := raw.Control(func(fd uintptr) { locked = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return nil, err
	}
	if errors.Is(locked, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %w", ErrBusy, locked)
	}
	return raw, locked
}

func (p *osPort) SetReadTimeout(d time.Duration) error {
	p.timeout = d
	return nil
}

func (p *osPort) Read(b []byte) (int, error) {
	var deadline time.Time
	if p.timeout >= 0 {
		deadline = time.Now().Add(p.timeout)
	}
	if err := p.file.SetReadDeadline(deadline); err != nil {
		return 0, trouble(err)
	}
	n, err := p.transfer(unix.SYS_READ, p.raw.Read, b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// On a busy machine this program may wake long after its deadline,
		// with the answer waiting: the deadline is the device's, not ours.
		n, err = p.transfer(unix.SYS_READ, p.once, b)
	}
	p.quiet = errors.Is(err, unix.EAGAIN)
	if p.quiet {
		return 0, nil
	}
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, trouble(err)
}

// once is a transfer that does not wait.
func (p *osPort) once(try func(uintptr) bool) error {
	return p.raw.Control(func(fd uintptr) { try(fd) })
}

// Write sends b. After silence it first throws away what nobody took: a dead
// adapter or an unread pty would otherwise gather old commands and deliver them
// all when it comes back.
func (p *osPort) Write(b []byte) (int, error) {
	if p.quiet {
		p.quiet = false
		if err := p.library.ResetOutputBuffer(); err != nil {
			return 0, trouble(err)
		}
	}
	if err := p.file.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return 0, trouble(err)
	}
	n, err := p.transfer(unix.SYS_WRITE, p.raw.Write, b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	return n, trouble(err)
}

// transfer is one read or write as soon as ready lets it. The descriptor never
// blocks, so the call is made without telling the scheduler, which would wake
// its monitor thread out of its sleep for each of a hundred calls a second.
func (p *osPort) transfer(call uintptr, ready func(func(uintptr) bool) error, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var n uintptr
	var errno syscall.Errno
	err := ready(func(fd uintptr) bool {
		for {
			n, _, errno = syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
			if errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return 0, err
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (p *osPort) Close() error {
	return errors.Join(p.file.Close(), p.library.Close())
}

// trouble maps the system's errors to ours and keeps the cause.
func trouble(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}
