//go:build interop && linux

package interop

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"
)

// card is 26:06181cc0, 資格番号 0000012345 of the settings' example.
var card = map[string]any{"bits": "26:06181cc0"}

// TestPanel lets libosdp's control panel use our simulated reader.
func TestPanel(t *testing.T) {
	cases := []struct {
		name   string
		baud   int
		reader string   // of the simulator's settings
		panel  []string // of peer.py
		secure bool
	}{
		{"clear 9600", 9600, "", nil, false},
		{"clear 115200", 115200, "", nil, false},
		{"own key 9600", 9600, ", secure: key, key: " + key, []string{"--key", key, "--enforce"}, true},
		{"own key 115200", 115200, ", secure: key, key: " + key, []string{"--key", key, "--enforce"}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := mustSim(t, c.baud, c.reader)
			began := time.Now()
			p := startPeer(t, "cp", s.port(), c.baud, address, c.panel...)
			p.state(true, c.secure)
			t.Logf("online %v after the control panel's start", time.Since(began).Round(time.Millisecond))
			use(t, s, p)
			if c.baud == 115200 {
				sendFile(t, s, p)
			}
			v := s.until("a quiet link", func(v status) bool { return v.Online && v.Secure == c.secure })
			if v.BadMACs != 0 || v.BadProofs != 0 || v.DefaultKey || c.secure && v.Refusals != 0 {
				t.Errorf("the reader complains: %+v", v)
			}
		})
	}
}

// use tries everything libosdp's control panel can do with a reader.
func use(t *testing.T, s *simulator, p *peer) {
	t.Helper()
	began := time.Now()
	s.act("card", card)
	if m := p.event("card"); m.Length != 26 || m.Data != "06181cc0" {
		t.Errorf("card: %+v", m)
	}
	t.Logf("card to control panel: %v", time.Since(began).Round(time.Millisecond))
	s.act("keys", map[string]any{"keys": "7007#"})
	if m := p.event("keys"); m.Data != "373030370d" {
		t.Errorf("keys: %+v", m)
	}
	report := func(kind, want string) {
		t.Helper()
		p.wait(kind+" "+want, func(m message) bool {
			return m.Kind == "event" && m.Event == "status" && m.Type == kind && m.Report == want
		})
	}
	s.act("tamper", map[string]any{"open": true})
	report("Local", "0100")
	s.act("input", map[string]any{"on": true})
	report("Input", "01")
	p.do("output", map[string]any{"control": 2})
	s.until("the output", func(v status) bool { return v.Output })
	for kind, want := range map[string]string{"Local": "0100", "Input": "01", "Output": "01", "Remote": "02"} {
		p.do("status", map[string]any{"of": kind})
		report(kind, want)
	}
	p.do("led", map[string]any{"color": 2})
	s.until("the lamp", func(v status) bool { return v.LED == "green" })
	p.do("buzzer", map[string]any{"count": 3})
	s.until("the buzzer", func(v status) bool { return v.Buzzes == 3 })
	p.do("text", map[string]any{"text": "AKEMASHITA"})
	s.until("the text", func(v status) bool { return v.Text == "AKEMASHITA" })
	p.do("mfg", map[string]any{"vendor": 0x4B5302, "data": "c0ffee"})
	if m := p.event("mfg"); m.Data != "c0ffee" {
		t.Errorf("mfg: %+v", m)
	}
}

// sendFile sends one of several pieces. At 9600 baud a piece takes longer than
// libosdp's control panel waits, as its binding cannot be told the speed.
func sendFile(t *testing.T, s *simulator, p *peer) {
	t.Helper()
	file := make([]byte, 3000)
	for i := range file {
		file[i] = byte(i * 7)
	}
	p.do("file", map[string]any{"data": hex.EncodeToString(file)})
	sum := sha256.Sum256(file)
	s.until("the file", func(v status) bool { return v.File != nil && v.File.SHA256 == hex.EncodeToString(sum[:]) })
}

// TestPanelCommissions: a reader from the factory gets its own key from
// libosdp's control panel, keeps it over a restart, and refuses another one.
func TestPanelCommissions(t *testing.T) {
	s := mustSim(t, 115200, ", secure: install")
	t.Run("by SCBK-D", func(t *testing.T) {
		p := startPeer(t, "cp", s.port(), 115200, address, "--key", key)
		p.state(true, true)
		use(t, s, p)
		if v := s.until("its own key", func(v status) bool { return v.Security == "key" && v.Secure }); v.KeysSet != 1 || v.DefaultKey {
			t.Errorf("%+v", v)
		}
	})
	s.stop()
	s.start()
	t.Run("own key after a restart", func(t *testing.T) {
		p := startPeer(t, "cp", s.port(), 115200, address, "--key", key, "--enforce")
		p.state(true, true)
		s.act("card", card)
		p.event("card")
		if v := s.until("a session", func(v status) bool { return v.Secure }); v.KeysSet != 0 || v.Refusals != 0 {
			t.Errorf("%+v", v)
		}
	})
	t.Run("another key", func(t *testing.T) {
		before := s.until("the reader", func(status) bool { return true })
		p := startPeer(t, "cp", s.port(), 115200, address, "--key", other, "--enforce")
		v := s.until("a controller that began anew", func(v status) bool { return v.Restarts > before.Restarts && !v.Secure })
		p.state(false, false)
		if v.KeysSet != 0 || v.Handshakes != before.Handshakes {
			t.Errorf("%+v", v)
		}
	})
	s.act("wipe", map[string]any{})
	t.Run("wiped", func(t *testing.T) {
		p := startPeer(t, "cp", s.port(), 115200, address, "--key", other)
		p.state(true, true)
		s.until("its new key", func(v status) bool { return v.KeysSet == 1 && v.Secure && !v.DefaultKey })
	})
}

// TestPanelHearsForgery: libosdp notices a wrong MAC of ours, so ours are what
// it checks.
func TestPanelHearsForgery(t *testing.T) {
	s := mustSim(t, 115200, ", secure: key, key: "+key)
	p := startPeer(t, "cp", s.port(), 115200, address, "--key", key, "--enforce")
	p.state(true, true)
	s.act("fault", map[string]any{"kind": "bad_mac"})
	p.wait("the end of the channel", func(m message) bool { return m.Kind == "state" && !m.Secure })
}
