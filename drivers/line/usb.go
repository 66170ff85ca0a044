package line

import (
	"errors"
	"fmt"
	"strings"
)

// A port's name in settings, and what becomes of it when an adapter is pulled
// and plugged in again, perhaps after another one:
//
//	/dev/ttyUSB0, COM3                 the system's: may be another adapter's then
//	/dev/serial/by-path/pci-…-port0    Linux: the socket it is plugged into
//	usb:A10X2BQ4                       the adapter with this serial number, in any socket
//	usb:0403:6001:A10X2BQ4             the same, of this vendor and product
//
// A usb: name is looked up anew each time the port is opened.
const usbPrefix = "usb:"

var (
	// ErrMissing comes from opening a usb: name that no adapter has now.
	ErrMissing = errors.New("no such adapter is plugged in")
	// ErrAmbiguous comes from a usb: name that several ports have: cheap
	// adapters share one serial number, and some have several ports.
	ErrAmbiguous = errors.New("several ports have this name")
)

// PortInfo is one serial port of this computer.
type PortInfo struct {
	Path        string // the system's name: "/dev/ttyUSB0", "COM3"
	Pin         string // the name for settings that survives the most
	ByPath      string // Linux: its link below /dev/serial/by-path; else empty
	Vendor      string // of a USB adapter: four hexadecimal digits in lower case
	Product     string // the same
	Serial      string // of a USB adapter that has one
	Description string // maker and product in the adapter's own words
}

// List is the serial ports there are now, by path, for the person who installs.
// It opens none of them.
func List() ([]PortInfo, error) {
	ports, err := listOS()
	if err != nil {
		return nil, fmt.Errorf("list serial ports: %w", err)
	}
	pin(ports)
	return ports, nil
}

// CheckName tells what is wrong with a port's name in settings; whether there
// is such a port only opening tells.
func CheckName(name string) error {
	_, err := parseUSB(name)
	return err
}

// usbName is a usb: name taken apart; the zero value is a plain path.
type usbName struct{ vendor, product, serial string }

func parseUSB(name string) (usbName, error) {
	if name == "" {
		return usbName{}, errors.New("a serial port needs a name")
	}
	rest, ok := strings.CutPrefix(name, usbPrefix)
	if !ok {
		return usbName{}, nil
	}
	// Serial numbers may hold colons ("7C:DF:A1:00:00:01"), so that only two
	// leading groups of four hexadecimal digits are vendor and product.
	u := usbName{serial: rest}
	if p := strings.SplitN(rest, ":", 3); len(p) == 3 && isID(p[0]) && isID(p[1]) {
		u = usbName{p[0], p[1], p[2]}
	}
	if u.serial == "" || strings.TrimSpace(u.serial) != u.serial {
		return usbName{}, fmt.Errorf("port %q: want usb:<serial> or usb:<vendor>:<product>:<serial>", name)
	}
	return u, nil
}

func isID(s string) bool {
	return len(s) == 4 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// has compares without case: Windows writes serial numbers in capitals.
func (u usbName) has(p PortInfo) bool {
	return strings.EqualFold(u.serial, p.Serial) &&
		(u.vendor == "" || strings.EqualFold(u.vendor, p.Vendor) && strings.EqualFold(u.product, p.Product))
}

// resolve is the system's path of a port's name.
func resolve(name string, list func() ([]PortInfo, error)) (string, error) {
	u, err := parseUSB(name)
	if err != nil {
		return "", err
	}
	if u == (usbName{}) {
		return name, nil
	}
	ports, err := list()
	if err != nil {
		return "", fmt.Errorf("list serial ports: %w", err)
	}
	var paths []string
	for _, p := range ports {
		if u.has(p) {
			paths = append(paths, p.Path)
		}
	}
	switch len(paths) {
	case 0:
		return "", ErrMissing
	case 1:
		return paths[0], nil
	}
	return "", fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(paths, ", "))
}

// pin finds each port's best name: the shortest usb: name no other port has,
// then the socket, then the path.
func pin(ports []PortInfo) {
	only := func(name string) bool {
		_, err := resolve(name, func() ([]PortInfo, error) { return ports, nil })
		return err == nil
	}
	for i := range ports {
		p := &ports[i]
		p.Pin = p.Path
		if p.ByPath != "" {
			p.Pin = p.ByPath
		}
		if p.Serial == "" {
			continue
		}
		if long := usbPrefix + p.Vendor + ":" + p.Product + ":" + p.Serial; only(long) {
			p.Pin = long
		}
		if short := usbPrefix + p.Serial; only(short) {
			p.Pin = short
		}
	}
}

// ftdi is the vendor whose Windows driver writes the port's letter behind the
// serial number: "A10X2BQ4A", and "A10X2BQ4B" for an adapter's second port.
const ftdi = "0403"

// unletter takes the letter away where an adapter has one port only, so that
// the label on it, and settings made on Linux, say the same on Windows.
func unletter(ports []PortInfo) {
	base := func(p PortInfo) string {
		n := len(p.Serial) - 1
		if p.Vendor != ftdi || n < 1 || p.Serial[n] < 'A' || p.Serial[n] > 'H' {
			return ""
		}
		return p.Serial[:n]
	}
	count := map[string]int{}
	for _, p := range ports {
		count[base(p)]++
	}
	for i, p := range ports {
		if b := base(p); b != "" && count[b] == 1 {
			ports[i].Serial = b
		}
	}
}
