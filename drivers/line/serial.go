package line

import (
	"errors"
	"fmt"

	"go.bug.st/serial"
)

// Serial returns an opener of the port called name ("/dev/ttyUSB0", "COM3", a
// pty, "usb:A10X2BQ4": see PortInfo.Pin) with baud bits a second, 8N1, no flow
// control. The port is held exclusively: two programs on one RS-485 bus answer
// each other's readers.
func Serial(name string, baud int) Opener { return serialOf(name, baud, listOS) }

func serialOf(name string, baud int, list func() ([]PortInfo, error)) Opener {
	return func() (Port, error) {
		p, err := openNamed(name, baud, list)
		if err != nil {
			return nil, fmt.Errorf("open %s at %d baud: %w", name, baud, err)
		}
		return p, nil
	}
}

// openNamed looks the name up a second time when the port is open: between the
// first look and the opening the path may have become another adapter's. While
// the port is open it cannot.
func openNamed(name string, baud int, list func() ([]PortInfo, error)) (Port, error) {
	path, err := resolve(name, list)
	if err != nil {
		return nil, err
	}
	p, err := openOS(path, baud)
	if err != nil {
		return nil, err
	}
	if now, err := resolve(name, list); err != nil || now != path {
		return nil, errors.Join(fmt.Errorf("%w while it was opened", ErrGone), err, p.Close())
	}
	return p, nil
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
