package line

import (
	"errors"
	"fmt"

	"go.bug.st/serial"
)

// Serial returns an opener of the port at path ("/dev/ttyUSB0", "COM3", a pty)
// with baud bits a second, 8N1, no flow control. The port is held exclusively:
// two programs on one RS-485 bus answer each other's readers.
func Serial(path string, baud int) Opener {
	return func() (Port, error) {
		p, err := openOS(path, baud)
		if err != nil {
			return nil, fmt.Errorf("open %s at %d baud: %w", path, baud, err)
		}
		return p, nil
	}
}

func openLibrary(path string, baud int) (serial.Port, error) {
	p, err := serial.Open(path, &serial.Mode{BaudRate: baud, DataBits: 8, Parity: serial.NoParity, StopBits: serial.OneStopBit})
	if err != nil {
		return nil, meaning(err)
	}
	return p, nil
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
