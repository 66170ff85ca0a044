package sim_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/problem"
)

// module is the far end of a module's line, spoken byte by byte.
type module struct {
	t *testing.T
	f *os.File
}

func (c *city) module(name string) module {
	c.t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { f.Close() })
	return module{c.t, f}
}

// say sends a command and gives the answer, "" for silence of 300 ms.
func (m module) say(command string) string {
	m.t.Helper()
	b, err := hex.DecodeString(command)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.f.Write(b); err != nil {
		m.t.Fatal(err)
	}
	var got bytes.Buffer
	buf := make([]byte, 64)
	for {
		if err := m.f.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			m.t.Fatal(err)
		}
		n, err := m.f.Read(buf)
		got.Write(buf[:n])
		if a := got.Bytes(); err != nil || len(a) > 8 && len(a) == 9+int(a[8]) {
			return hex.EncodeToString(a)
		}
	}
}

// [T-23] A fingerprint module of the city over its own serial line: a touch is
// found, a pulled cable silences it, and what it was told outlives the city.
func TestFingerprintModule(t *testing.T) {
	dir := t.TempDir()
	c := mustCity(t, dir)
	const (
		ok     = "ef01ffffffff07000300000a"
		getImg = "ef01ffffffff010003010005"
		img2tz = "ef01ffffffff01000402010008"
		search = "ef01ffffffff01000804010001" + "00c700d6"
		setPwd = "ef01ffffffff010007120badcafe029a"
		count  = "ef01ffffffff0100031d0021"
	)
	m := c.module("DC-31.fp0")
	if got := m.say(getImg); got != "ef01ffffffff07000302000c" {
		t.Errorf("nobody there: %s", got)
	}
	c.post(api.Reader("D31-fp", "finger"), api.FingerBody{Finger: "P07", MS: 5000})
	for _, l := range [][2]string{{getImg, ok}, {img2tz, ok}, {search, "ef01ffffffff070007000007" + "0078008d"}, {setPwd, ok}} {
		if got := m.say(l[0]); got != l[1] {
			t.Errorf("%s: %s, want %s", l[0], got, l[1])
		}
	}
	off, on := false, true
	c.post(api.Reader("D31-fp", "cable"), api.CableBody{Connected: &off})
	if got := m.say(count); got != "" {
		t.Errorf("answered without a cable: %s", got)
	}
	if r := c.state().Readers["D31-fp"]; r.Cable || r.Fingerprint == nil || r.Fingerprint.Bound || r.Kind != "fingerprint" {
		t.Errorf("state %+v", r)
	}
	c.post(api.Reader("D31-fp", "cable"), api.CableBody{Connected: &on})
	if got := m.say(count); got != "ef01ffffffff07000321002b" {
		t.Errorf("power came back, and the password is not asked for: %s", got)
	}
	c.stop()

	c = mustCity(t, dir)
	if got := c.module("DC-31.fp0").say(count); got != "ef01ffffffff07000321002b" {
		t.Errorf("the password did not outlive the city: %s", got)
	}
	if r := c.state().Readers["D31-fp"].Fingerprint; r.Templates[7] != "P07" || len(r.Templates) != 4 {
		t.Errorf("templates %v", r.Templates)
	}
	for path, body := range map[string]any{
		api.Reader("D31-fp", "card"): api.CardBody{Number: "P07"}, api.Reader("D31-in", "finger"): api.FingerBody{Finger: "P07"},
		api.Reader("D31-fp", "tamper"): map[string]bool{"open": true},
	} {
		if _, err := c.ctl.Post(t.Context(), path, body); !api.Refused(err, problem.NotSupported) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
