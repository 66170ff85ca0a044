package line

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// roots are where the kernel shows its devices; tests have their own.
type roots struct{ sys, dev string }

func listOS() ([]PortInfo, error) { return roots{"/sys", "/dev"}.list() }

// list reads the ports from sysfs. The serial library lists them too, but opens
// each on-board port to see whether it is there, which takes one away from a
// program that uses it, and fails as a whole when an adapter is pulled halfway.
func (r roots) list() ([]PortInfo, error) {
	class := filepath.Join(r.sys, "class", "tty")
	entries, err := os.ReadDir(class)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a container without devices
	}
	if err != nil {
		return nil, err
	}
	sockets := r.byPath()
	var ports []PortInfo
	for _, e := range entries {
		device, err := filepath.EvalSymlinks(filepath.Join(class, e.Name(), "device"))
		if err != nil || attribute(filepath.Join(class, e.Name()), "type") == "0" {
			continue // a console or pty, or an on-board port that is not fitted
		}
		p := PortInfo{Path: filepath.Join(r.dev, e.Name())}
		p.ByPath = sockets[p.Path]
		r.adapter(device, &p)
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b PortInfo) int { return strings.Compare(a.Path, b.Path) })
	return ports, nil
}

// adapter fills in what the USB device says that a port belongs to. It is some
// folders above the port:
//
//	…/usb1/1-1            idVendor, idProduct, serial, manufacturer, product
//	…/usb1/1-1/1-1:1.0    the interface
//	…/1-1:1.0/ttyUSB0     device of class/tty/ttyUSB0 (ttyACM0: the interface)
func (r roots) adapter(device string, p *PortInfo) {
	for dir := device; len(dir) > len(r.sys); dir = filepath.Dir(dir) {
		vendor := attribute(dir, "idVendor")
		if vendor == "" {
			continue
		}
		p.Vendor, p.Product, p.Serial = strings.ToLower(vendor), strings.ToLower(attribute(dir, "idProduct")), attribute(dir, "serial")
		p.Description = strings.TrimSpace(attribute(dir, "manufacturer") + " " + attribute(dir, "product"))
		return
	}
}

// byPath maps ports to their links. udev may give one port several; the first
// by name is taken so that List says the same every time.
func (r roots) byPath() map[string]string {
	links, err := filepath.Glob(filepath.Join(r.dev, "serial", "by-path", "*"))
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, l := range links {
		to, err := os.Readlink(l)
		if err != nil {
			continue
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(l), to)
		}
		if _, ok := out[to]; !ok {
			out[to] = l
		}
	}
	return out
}

// attribute is one file of sysfs, "" if it is not there (any more).
func attribute(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
