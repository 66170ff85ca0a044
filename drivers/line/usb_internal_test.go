package line

import (
	"strings"
	"testing"
)

// Reached from inside because only Windows calls it, and its rule is a driver's.
func TestLettersOfPorts(t *testing.T) {
	ports := []PortInfo{
		{Vendor: "0403", Serial: "A6004CCFA"}, // one port
		{Vendor: "0403", Serial: "FT4XYZA"},   // two ports
		{Vendor: "0403", Serial: "FT4XYZB"},   //
		{Vendor: "0403", Serial: "12345678"},  // no letter
		{Vendor: "0403", Serial: ""},          //
		{Vendor: "0403", Serial: "A"},         //
		{Vendor: "10c4", Serial: "0001A"},     // another maker
	}
	unletter(ports)
	var got []string
	for _, p := range ports {
		got = append(got, p.Serial)
	}
	if want := "A6004CCF FT4XYZA FT4XYZB 12345678  A 0001A"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever settings call a port: it is refused, it is a path, or it is the port
// whose description it was made from.
func FuzzName(f *testing.F) {
	for _, s := range []string{"COM3", "usb:A10X2BQ4", "usb:0403:6001:X", "usb:7C:DF:A1:00:00:01", "usb:", "usb:::", "usb:0403:6001:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		u, err := parseUSB(name)
		if err != nil {
			return
		}
		ports := []PortInfo{{Path: "p", Vendor: strings.ToLower(u.vendor), Product: strings.ToLower(u.product), Serial: u.serial}}
		path, err := resolve(name, func() ([]PortInfo, error) { return ports, nil })
		want := name
		if strings.HasPrefix(name, usbPrefix) {
			want = "p"
		}
		if err != nil || path != want {
			t.Fatalf("%q is %q, %v", name, path, err)
		}
		if pin(ports); want == "p" {
			if again, err := resolve(ports[0].Pin, func() ([]PortInfo, error) { return ports, nil }); err != nil || again != "p" {
				t.Errorf("%q was pinned as %q, which is %q, %v", name, ports[0].Pin, again, err)
			}
		}
	})
}
