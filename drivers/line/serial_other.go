//go:build !linux

package line

import (
	"time"

	"go.bug.st/serial"
)

// osPort is the library's port. Windows opens serial ports exclusively by
// itself; elsewhere the library's TIOCEXCL is all there is.
type osPort struct{ serial.Port }

func openOS(path string, baud int) (Port, error) {
	p, err := openLibrary(path, baud)
	if err != nil {
		return nil, err
	}
	return osPort{p}, nil
}

func (p osPort) Read(b []byte) (int, error) {
	n, err := p.Port.Read(b)
	if err != nil {
		return n, meaning(err)
	}
	return n, nil
}

func (p osPort) Write(b []byte) (int, error) {
	n, err := p.Port.Write(b)
	if err != nil {
		return n, meaning(err)
	}
	return n, nil
}

func (p osPort) SetReadTimeout(d time.Duration) error {
	if d < 0 {
		d = serial.NoTimeout
	}
	return p.Port.SetReadTimeout(d)
}
