package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// Pty is a line whose far end any serial program can open by path.
//
// The slave stays open here too, so that the line and its raw mode outlive the
// controller's program, however it ends.
type Pty struct {
	master, slave *os.File
	link          string
}

// OpenPty makes a line and points the symbolic link at its far end. A link left
// by an earlier run is replaced; anything else at that path is an error.
func OpenPty(link string) (*Pty, error) {
	m, s, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a pty: %w", err)
	}
	p := &Pty{slave: s, link: link}
	if p.master, err = pollable(m); err == nil {
		err = raw(s)
	}
	if err == nil {
		err = relink(s.Name(), link)
	}
	if err != nil {
		m.Close()
		s.Close()
		return nil, err
	}
	return p, nil
}

// pollable gives a file with deadlines: the one pty.Open made is in blocking
// mode.
func pollable(m *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the pty: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the pty non-blocking: %w", err)
	}
	if err := m.Close(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("close the blocking pty: %w", err)
	}
	return os.NewFile(uintptr(fd), "ptmx"), nil
}

// raw turns off echo, line editing and every translation of bytes, and leaves
// the speed open: B0.
func raw(s *os.File) error {
	t, err := unix.IoctlGetTermios(int(s.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read the pty's mode: %w", err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB|unix.CBAUD) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(s.Fd()), unix.TCSETS, t); err != nil {
		return fmt.Errorf("set the pty's mode: %w", err)
	}
	return nil
}

func relink(target, link string) error {
	old, err := os.Lstat(link)
	switch {
	case err == nil && old.Mode()&fs.ModeSymlink == 0:
		return fmt.Errorf("%s is in the way: it is not a link of an earlier run", link)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at the pty's link: %w", err)
	}
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the unfinished link of an earlier run: %w", err)
	}
	if err := os.Symlink(target, tmp); err != nil {
		return fmt.Errorf("link to the pty: %w", err)
	}
	if err := os.Rename(tmp, link); err != nil {
		return fmt.Errorf("link to the pty: %w", err)
	}
	return nil
}

func (p *Pty) Read(b []byte) (int, error)         { return p.master.Read(b) }
func (p *Pty) Write(b []byte) (int, error)        { return p.master.Write(b) }
func (p *Pty) SetReadDeadline(t time.Time) error  { return p.master.SetReadDeadline(t) }
func (p *Pty) SetWriteDeadline(t time.Time) error { return p.master.SetWriteDeadline(t) }

// Speed is the baud rate that a program has set at the far end, 0 if none has. A
// pty carries bytes at any speed, but it remembers what it was told.
func (p *Pty) Speed() int {
	t, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS2)
	if err != nil {
		return 0
	}
	return int(t.Ospeed)
}

// Idle takes back the exclusive mark (TIOCEXCL) that serial libraries set: the
// far end stays open here, so the mark of a killed program would otherwise keep
// its successor out for ever.
func (p *Pty) Idle() { _ = unix.IoctlSetInt(int(p.slave.Fd()), unix.TIOCNXCL, 0) }

// Close removes the link, if it still points here, and hangs the line up.
func (p *Pty) Close() error {
	var err error
	if target, e := os.Readlink(p.link); e == nil && target == p.slave.Name() {
		err = os.Remove(p.link)
	}
	return errors.Join(err, p.master.Close(), p.slave.Close())
}
