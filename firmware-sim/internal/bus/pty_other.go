//go:build !linux

package bus

import (
	"errors"
	"time"
)

// Pty is a line whose far end any serial program can open by path; only Linux
// offers one here.
type Pty struct{}

var errNoPty = errors.New("OSDP lines need ptys, which only the Linux build has; use Wiegand readers, or run the simulator on Linux")

// OpenPty fails: this system has no ptys.
func OpenPty(string) (*Pty, error) { return nil, errNoPty }

func (*Pty) Read([]byte) (int, error)         { return 0, errNoPty }
func (*Pty) Write([]byte) (int, error)        { return 0, errNoPty }
func (*Pty) SetReadDeadline(time.Time) error  { return errNoPty }
func (*Pty) SetWriteDeadline(time.Time) error { return errNoPty }

// Speed is not known.
func (*Pty) Speed() int { return 0 }

// Idle does nothing.
func (*Pty) Idle() {}

// Close does nothing.
func (*Pty) Close() error { return nil }
