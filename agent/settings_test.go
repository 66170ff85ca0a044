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
