package line

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/creack/pty"
)

// machine is a computer's /sys and /dev in a folder, and ptys for its ports.
// roots are reached from inside because the real ones belong to this computer.
type machine struct {
	t *testing.T
	roots
}

func newMachine(t *testing.T) *machine {
	dir := t.TempDir()
	m := &machine{t, roots{filepath.Join(dir, "sys"), filepath.Join(dir, "dev")}}
	m.dir(m.sys, "class", "tty")
	m.dir(m.dev, "serial", "by-path")
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) dir(path ...string) string {
	p := filepath.Join(path...)
	m.must(os.MkdirAll(p, 0o755))
	return p
}

func (m *machine) file(dir, name, text string) {
	m.must(os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644))
}

// link makes the links class/tty/<name> and by-path as kernel and udev do.
func (m *machine) link(name, device, socket string) {
	node := m.dir(device, "tty", name)
	m.must(os.Symlink(device, filepath.Join(node, "device")))
	m.must(os.Symlink(node, filepath.Join(m.sys, "class", "tty", name)))
	if socket != "" {
		m.must(os.Symlink("../../"+name, filepath.Join(m.dev, "serial", "by-path", socket)))
	}
}

// plug plugs an FTDI adapter into the socket; says holds its sysfs attributes.
func (m *machine) plug(name, socket string, says map[string]string) {
	usb := m.dir(m.sys, "devices", "usb1", socket)
	for k, v := range says {
		m.file(usb, k, v)
	}
	m.link(name, m.dir(usb, socket+":1.0", name), "pci-usb-"+socket+"-port0")
}

func (m *machine) pull(name, socket string) {
	m.must(os.Remove(filepath.Join(m.sys, "class", "tty", name)))
	m.must(os.RemoveAll(filepath.Join(m.sys, "devices", "usb1", socket)))
	m.must(os.Remove(filepath.Join(m.dev, "serial", "by-path", "pci-usb-"+socket+"-port0")))
}

// wire lets /dev/<name> be a new pty and returns the other end.
func (m *machine) wire(name string) (far *os.File, unwire func()) {
	far, tty, err := pty.Open()
	m.must(err)
	at := filepath.Join(m.dev, name)
	m.must(os.Symlink(tty.Name(), at))
	return far, func() {
		m.must(os.Remove(at))
		tty.Close()
		far.Close()
	}
}

func ft232(serial string) map[string]string {
	return map[string]string{"idVendor": "0403", "idProduct": "6001", "serial": serial, "manufacturer": "FTDI", "product": "FT232R USB UART"}
}

func TestListReadsSysfs(t *testing.T) {
	m := newMachine(t)
	m.plug("ttyUSB0", "1-1", ft232("A10X2BQ4"))
	m.plug("ttyUSB1", "1-2", map[string]string{"idVendor": "1A86", "idProduct": "7523", "product": "USB Serial"}) // no serial number
	m.plug("ttyUSB2", "1-3", map[string]string{"idVendor": "10c4", "idProduct": "ea60", "serial": "0001"})
	m.plug("ttyUSB3", "1-4", map[string]string{"idVendor": "067b", "idProduct": "2303", "serial": "0001"})
	m.plug("ttyUSB4", "1-5", ft232("SAME"))
	m.plug("ttyUSB5", "1-6", ft232("SAME"))
	fitted, absent := m.dir(m.sys, "devices", "platform", "uart0"), m.dir(m.sys, "devices", "platform", "uart1")
	m.link("ttyS0", fitted, "")
	m.link("ttyS1", absent, "")
	m.file(filepath.Join(m.sys, "class", "tty", "ttyS0"), "type", "4") // 16550A
	m.file(filepath.Join(m.sys, "class", "tty", "ttyS1"), "type", "0") // not fitted
	m.dir(m.sys, "class", "tty", "tty0")                               // a console
	got, err := m.list()
	m.must(err)
	pin(got)
	at := func(name string) string { return filepath.Join(m.dev, name) }
	by := func(socket string) string {
		return filepath.Join(m.dev, "serial", "by-path", "pci-usb-"+socket+"-port0")
	}
	want := []PortInfo{
		{Path: at("ttyS0"), Pin: at("ttyS0")},
		{at("ttyUSB0"), "usb:A10X2BQ4", by("1-1"), "0403", "6001", "A10X2BQ4", "FTDI FT232R USB UART"},
		{at("ttyUSB1"), by("1-2"), by("1-2"), "1a86", "7523", "", "USB Serial"},
		{at("ttyUSB2"), "usb:10c4:ea60:0001", by("1-3"), "10c4", "ea60", "0001", ""},
		{at("ttyUSB3"), "usb:067b:2303:0001", by("1-4"), "067b", "2303", "0001", ""},
		{at("ttyUSB4"), by("1-5"), by("1-5"), "0403", "6001", "SAME", "FTDI FT232R USB UART"},
		{at("ttyUSB5"), by("1-6"), by("1-6"), "0403", "6001", "SAME", "FTDI FT232R USB UART"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	for _, p := range got {
		if path, err := resolve(p.Pin, m.list); err != nil || path != p.Path && path != p.ByPath {
			t.Errorf("%s does not lead back to %s but to %s, %v", p.Pin, p.Path, path, err)
		}
	}
}

func TestNames(t *testing.T) {
	ports := []PortInfo{
		{Path: "u0", Vendor: "0403", Product: "6001", Serial: "A10X2BQ4"},
		{Path: "u1", Vendor: "303a", Product: "1001", Serial: "7C:DF:A1:00:00:01"},
		{Path: "u2", Vendor: "10c4", Product: "ea60", Serial: "0001"},
		{Path: "u3", Vendor: "067b", Product: "2303", Serial: "0001"},
		{Path: "u4"},
	}
	for _, c := range []struct {
		name, path string
		err        error
	}{
		{"/dev/ttyUSB7", "/dev/ttyUSB7", nil},
		{"COM3", "COM3", nil},
		{"usb:A10X2BQ4", "u0", nil},
		{"usb:a10x2bq4", "u0", nil},
		{"usb:0403:6001:A10X2BQ4", "u0", nil},
		{"usb:7C:DF:A1:00:00:01", "u1", nil},
		{"usb:303A:1001:7C:DF:A1:00:00:01", "u1", nil},
		{"usb:067b:2303:0001", "u3", nil},
		{"usb:0001", "", ErrAmbiguous},
		{"usb:0403:6001:0001", "", ErrMissing},
		{"usb:0403:9999:A10X2BQ4", "", ErrMissing},
		{"usb:9999:6001:A10X2BQ4", "", ErrMissing},
		{"usb:X", "", ErrMissing},
	} {
		if err := CheckName(c.name); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		path, err := resolve(c.name, func() ([]PortInfo, error) { return ports, nil })
		if path != c.path || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v, want %q, %v", c.name, path, err, c.path, c.err)
		}
	}
	for _, bad := range []string{"", "usb:", "usb:0403:6001:", "usb: A"} {
		if err := CheckName(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

// An adapter is pulled, comes back in another socket under another path, while
// a stranger takes its old one. Keep talks to the adapter again.
func TestAdapterIsFoundWhereverItComesBack(t *testing.T) {
	m := newMachine(t)
	m.plug("ttyUSB0", "1-1", ft232("A10X2BQ4"))
	far, unwire := m.wire("ttyUSB0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, down := make(chan byte, 16), make(chan error, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Keep(ctx, serialOf("usb:A10X2BQ4", 9600, m.list), func(_ context.Context, p Port) error {
			for {
				var b [1]byte
				n, err := p.Read(b[:])
				if err != nil {
					return err
				}
				if n == 1 {
					got <- b[0]
				}
			}
		}, func(err error) { down <- err })
	}()
	await := func(far *os.File, b byte) {
		t.Helper()
		_, err := far.Write([]byte{b})
		m.must(err)
		select {
		case x := <-got:
			if x != b {
				t.Errorf("%q came, want %q", x, b)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody read %q", b)
		}
	}
	await(far, '1')
	m.pull("ttyUSB0", "1-1")
	unwire()
	if err := <-down; !errors.Is(err, ErrGone) {
		t.Errorf("pulled: %v", err)
	}
	if err := <-down; !errors.Is(err, ErrMissing) {
		t.Errorf("not there: %v", err)
	}
	m.plug("ttyUSB0", "1-3", ft232("STRANGER"))
	stranger, unwireStranger := m.wire("ttyUSB0")
	defer unwireStranger()
	_, err := stranger.Write([]byte{'x'})
	m.must(err)
	m.plug("ttyUSB1", "1-2", ft232("A10X2BQ4"))
	again, unwireAgain := m.wire("ttyUSB1")
	defer unwireAgain()
	await(again, '2')
	cancel()
	<-done
}

// A socket pinned by path is whatever is plugged in there.
func TestSocketIsFollowed(t *testing.T) {
	m := newMachine(t)
	socket := filepath.Join(m.dev, "serial", "by-path", "pci-usb-1-1-port0")
	for _, name := range []string{"ttyUSB0", "ttyUSB5"} {
		m.plug(name, "1-1", ft232(name))
		far, unwire := m.wire(name)
		p, err := Serial(socket, 9600)()
		m.must(err)
		_, err = far.Write([]byte{'!'})
		m.must(err)
		var b [4]byte
		if n, err := p.Read(b[:]); n != 1 || err != nil || b[0] != '!' {
			t.Errorf("%s: read % X, %v", name, b[:n], err)
		}
		m.must(p.Close())
		unwire()
		m.pull(name, "1-1")
		if _, err := Serial(socket, 9600)(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("opening an empty socket: %v", err)
		}
	}
}

// The path changes hands between the look and the opening: the adapter is
// pulled, or is somewhere else.
func TestSwappedAdapterIsNotOpened(t *testing.T) {
	m := newMachine(t)
	_, unwire := m.wire("ttyUSB0")
	defer unwire()
	here := filepath.Join(m.dev, "ttyUSB0")
	for _, after := range [][]PortInfo{{{Path: here, Serial: "OTHER"}}, {{Path: "/dev/ttyUSB9", Serial: "MINE"}}} {
		looks := [][]PortInfo{{{Path: here, Serial: "MINE"}}, after}
		_, err := serialOf("usb:MINE", 9600, func() ([]PortInfo, error) {
			now := looks[0]
			looks = looks[1:]
			return now, nil
		})()
		if !errors.Is(err, ErrGone) || len(looks) != 0 {
			t.Errorf("%v before %d more looks", err, len(looks))
		}
	}
}
