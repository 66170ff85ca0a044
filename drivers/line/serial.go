package line

import (
	"errors"
	"fmt"
	"time"

	"go.bug.st/serial"
)

// Serial returns an opener of the port at path ("/dev/ttyUSB0", "COM3", a pty)
// with baud bits a second, 8N1, no flow control. The port is held exclusively:
// two programs on one RS-485 bus answer each other's readers.
func Serial(path string, baud int) Opener {
	return func() (Port, error) {
		lock, err := acquire(path)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		p, err := serial.Open(path, &serial.Mode{BaudRate: baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
		if err != nil {
			lock.release()
			return nil, fmt.Errorf("open %s at %d baud: %w", path, baud, meaning(err))
		}
		return &osPort{Port: p, lock: lock}, nil
	}
}

// meaning maps the library's errors to ours and keeps the cause.
func meaning(err error) error {
	var pe *serial.PortError
	if !errors.As(err, &pe) {
		return err
	}
	switch pe.Code() {
	case serial.PortBusy:
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case serial.PortClosed:
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

type osPort struct {
	serial.Port
	lock  *portLock
	quiet bool // the last Read timed out; owned by the reading goroutine
}

func (p *osPort) Read(b []byte) (int, error) {
	n, err := p.Port.Read(b)
	p.quiet = n == 0 && err == nil
	if err != nil {
		return n, meaning(err)
	}
	return n, nil
}

// Write sends b. After silence it first throws away what nobody took: a dead
// adapter or an unread pty would otherwise fill its buffer with old commands
// until Write blocks for ever.
func (p *osPort) Write(b []byte) (int, error) {
	if p.quiet {
		p.quiet = false
		if err := p.Port.ResetOutputBuffer(); err != nil {
			return 0, meaning(err)
		}
	}
	n, err := p.Port.Write(b)
	if err != nil {
		return n, meaning(err)
	}
	return n, nil
}

func (p *osPort) SetReadTimeout(d time.Duration) error {
	if d < 0 {
		d = serial.NoTimeout
	}
	return p.Port.SetReadTimeout(d)
}

func (p *osPort) Close() error {
	defer p.lock.release()
	return p.Port.Close()
}
