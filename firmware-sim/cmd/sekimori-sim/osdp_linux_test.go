package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/pd"
)

// mustOSDP runs a city with one biometric OSDP reader, R.
func mustOSDP(t *testing.T) *sim {
	t.Helper()
	dir := t.TempDir()
	site := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(site, []byte(`version: 1
controllers:
  - id: C
    buses: [{name: b, baud: 115200}]
    doors: [{id: D, lock: fail-secure}]
    readers: [{id: R, door: D, kind: osdp, bus: b, address: 0, biometric: true}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	return mustRunWith(t, site, filepath.Join(dir, "s"))
}

// ask sends a command to R and gives its answer, the empty frame for silence.
func ask(t *testing.T, s *sim, seq, code byte, data ...byte) pd.Frame {
	t.Helper()
	fd, err := unix.Open(filepath.Join(s.dir, "C.b"), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	port := os.NewFile(uintptr(fd), "bus")
	defer port.Close()
	if _, err := port.Write(pd.Frame{Seq: seq, CRC: true, Code: code, Data: data}.Encode()); err != nil {
		t.Fatal(err)
	}
	var scan pd.Scanner
	buf := make([]byte, 256)
	for {
		if err := port.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := port.Read(buf)
		if err != nil {
			return pd.Frame{}
		}
		if f := scan.Feed(buf[:n]...); len(f) > 0 {
			return f[0]
		}
	}
}

// TestReaderFaultVerbs drives every fault, and what a hand can do inside a
// reader, from the command line.
func TestReaderFaultVerbs(t *testing.T) {
	s := mustOSDP(t)
	help := s.must("fault", "--help")
	for _, f := range bus.Faults {
		if !strings.Contains(help, "\n  "+string(f)+" ") {
			t.Errorf("fault --help does not tell of %s", f)
		}
	}
	for _, f := range []bus.Fault{bus.BadCRC, bus.BadMAC, bus.Truncate, bus.Duplicate, bus.Silent} {
		s.must("fault", "R", string(f), "--count", "2")
	}
	s.must("stall", "R", "--ms", "50", "--count", "3")
	want := []bus.Fault{bus.BadCRC, bus.BadMAC, bus.Truncate, bus.Duplicate, bus.Silent, "stall"}
	if got := s.state().Readers["R"].OSDP.Faults; !slices.Equal(got, want) {
		t.Errorf("to come: %v", got)
	}
	s.must("fault", "R", string(bus.Power)) // ends the others
	if got := s.state().Readers["R"].OSDP.Faults; len(got) > 0 {
		t.Errorf("after a power cut: %v", got)
	}
	s.must("fault", "R", string(bus.BusyWord))
	s.must("fault", "R", string(bus.WrongKey))
	if got := s.state().Readers["R"].OSDP.Faults; !slices.Equal(got, []bus.Fault{bus.BusyWord, bus.WrongKey}) {
		t.Errorf("to come: %v", got)
	}
	if code, out := s.do("fault", "R", "glitch"); code != 1 || !strings.Contains(out, "not_supported") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if f := ask(t, s, 0, pd.CmdPoll); f.Code != pd.ReplyBusy {
		t.Fatalf("%+v", f)
	}
	ask(t, s, 0, pd.CmdPoll)
	ask(t, s, 1, pd.CmdPoll) // both tell of power
	s.must("input", "R", "on")
	if f := ask(t, s, 2, pd.CmdPoll); f.Code != pd.ReplyIStatR || f.Data[0] != 1 {
		t.Errorf("%+v", f)
	}
	ask(t, s, 3, pd.CmdComSet, 5, 0x00, 0xC2, 0x01, 0) // address 5
	if o := s.state().Readers["R"].OSDP; o.Address != 5 || o.Baud != 115200 {
		t.Errorf("%+v", o)
	}
	s.must("wipe", "R")
	if o := s.state().Readers["R"].OSDP; o.Address != 0 {
		t.Errorf("%+v", o)
	}
}

func TestFingerVerb(t *testing.T) {
	s := mustOSDP(t)
	if code, out := s.do("finger", "R", "7"); code != 1 || !strings.Contains(out, "not_asked") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	for _, wrong := range []string{"-1", "65536", "thumb"} {
		if code, _ := s.do("finger", "R", "--", wrong); code == 0 {
			t.Errorf("finger %s was taken", wrong)
		}
	}
	ask(t, s, 0, pd.CmdPoll)
	ask(t, s, 1, pd.CmdPoll)
	ask(t, s, 2, pd.CmdBioMatch, 0, 0, 2, 0x80, 2, 0, 0, 7)
	if !s.state().Readers["R"].OSDP.Finger {
		t.Error("the state does not tell that a finger is wanted")
	}
	s.must("finger", "R", "7")
	if f := ask(t, s, 3, pd.CmdPoll); f.Code != pd.ReplyBioMatch || f.Data[2] != 0xFF {
		t.Errorf("%+v", f)
	}
}
