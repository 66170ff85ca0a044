package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/agent"
	"sekimori/internal/settings"
)

func TestExampleSettingsAreRead(t *testing.T) {
	paths, err := filepath.Glob("../configs/agent-*.yaml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("examples: %v %v", paths, err)
	}
	for _, p := range paths {
		s, err := agent.LoadSettings(p)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if len(s.Doors) != 1 || len(s.Doors[0].Readers) == 0 {
			t.Errorf("%s: %+v", p, s)
		}
	}
}

// Every fault of a file is told at once, with its line, in Japanese and English.
func TestSettingsTellEveryFault(t *testing.T) {
	text, err := os.ReadFile("../configs/agent-dc31.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.NewReplacer(
		"role: door", "role: gate",
		"socket: scratch/sim/DC-31.lines", "soket: x",
		"address: 1", "address: 0",
		"contact: {line: D31.contact}", "contact: {line: D31.relay}",
		"bus: bus0, address: 0}\n      - {id: D31-out", "bus: bus9, address: 0}\n      - {id: D31-out",
	).Replace(string(text))
	var s agent.Settings
	var faults *settings.Faults
	if err := settings.Parse("agent.yaml", []byte(bad), &s); !errors.As(err, &faults) {
		t.Fatalf("no faults: %v", err)
	}
	want := map[string]bool{"role": false, "lines.soket": false, "doors[0].contact.line": false, "doors[0].readers[0].bus": false}
	for _, f := range faults.List {
		if _, ok := want[f.Path]; ok {
			want[f.Path] = true
		}
		if f.Line == 0 || f.JA == "" || f.EN == "" || f.FixJA == "" || f.FixEN == "" {
			t.Errorf("fault without place, words or way out: %+v", f)
		}
	}
	for path, seen := range want {
		if !seen {
			t.Errorf("%s: not told; got %v", path, faults)
		}
	}
}

// Whether a Wiegand reader has keys cannot be guessed, so it must be said; an
// OSDP reader says it itself.
func TestKeypadIsSaidForWiegandOnly(t *testing.T) {
	text, err := os.ReadFile("../configs/agent-dc21.yaml")
	if err != nil {
		t.Fatal(err)
	}
	osdp, err := os.ReadFile("../configs/agent-dc31.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, path string }{
		"said":             {string(text), ""},
		"not said":         {strings.ReplaceAll(string(text), ", keypad: true", ""), "doors[0].readers[0].keypad"},
		"for OSDP":         {strings.Replace(string(osdp), "address: 0", "address: 0, keypad: true", 1), "doors[0].readers[0].keypad"},
		"a lamp at a lock": {strings.ReplaceAll(string(text), "led: D21.led", "led: D21.relay"), "doors[0].readers[0].led"},
	} {
		var s agent.Settings
		var faults *settings.Faults
		err := settings.Parse("agent.yaml", []byte(c.text), &s)
		if !errors.As(err, &faults) {
			if c.path != "" || err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if len(faults.List) != 1 || faults.List[0].Path != c.path {
			t.Errorf("%s: %v", name, faults)
		}
	}
}
