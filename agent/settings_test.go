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

// Each driver takes the keys it needs and no others; what is wrong with a
// contact or a lamp is told as everything else is.
func TestReaderAndPanelFaults(t *testing.T) {
	board, err := os.ReadFile("../configs/agent-board.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, path string }{
		"no port":                      {`port: "usb:A50285BI", `, "", "doors[0].readers[1].port"},
		"a port used twice":            {`usb:A50285BJ`, "usb:A50285BI", "doors[0].readers[3].port"},
		"the port of a bus":            {`usb:A50285BI`, "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0", "doors[0].readers[1].port"},
		"a bus for a module":           {"driver: fingerprint, link: secure, port: \"usb:A50285BI\"", "driver: fingerprint, bus: bus0, port: x", "doors[0].readers[1].bus"},
		"an address off the bus":       {"address: 1", "address: 127", "doors[0].readers[2].address"},
		"a card key nobody asks for":   {"driver: fingerprint, link: secure, port: \"usb:A50285BI\", security_level: 3", "driver: pn532, port: x, card_key: {number: 1}", "doors[0].readers[1].card_key"},
		"an application of 4 bytes":    {"driver: fingerprint, link: secure, port: \"usb:A50285BI\", security_level: 3", "driver: pn532, port: x, proof: cryptographic, card_key: {application: 'f5000001'}", "doors[0].readers[1].card_key.application"},
		"a system of no digits":        {"driver: fingerprint, link: secure, port: \"usb:A50285BI\", security_level: 3", "driver: pn532, port: x, proof: cryptographic, card_key: {system: 'kanmori'}", "doors[0].readers[1].card_key.system"},
		"a link that cannot be secure": {"driver: fingerprint, link: secure, port: \"usb:A50285BI\", security_level: 3", "driver: pn532, link: secure, port: x", "doors[0].readers[1].link"},
		"a word that is no link":       {"link: secure, bus: bus0, address: 0", "link: yes, bus: bus0, address: 0", "doors[0].readers[0].link"},
		"a form that is none":          {"bus: bus0, address: 0", "bus: bus0, address: 0, form: w1", "doors[0].readers[0].form"},
		"proof of a finger":            {"security_level: 3}\n      - {id: D31-out,", "security_level: 3, proof: cryptographic}\n      - {id: D31-out,", "doors[0].readers[1].proof"},
		"a level too high":             {"usb:A50285BI\", security_level: 3", "usb:A50285BI\", security_level: 6", "doors[0].readers[1].security_level"},
		"a purpose that is none":       {"purpose: mains_failure", "purpose: mains", "inputs[0].purpose"},
		"an event that is none":        {"when: [forced_open, held_open", "when: [forced, held_open", "outputs[0].when[0]"},
		"a moment without an end":      {", for: 30s", "", "outputs[1].for"},
		"half a pulse":                 {", pulse_off: 500ms", "", "outputs[0].pulse_on"},
		"a pulse too short":            {"pulse_off: 500ms", "pulse_off: 5ms", "outputs[0].pulse_off"},
		"a line used twice":            {"line: buzzer", "line: relay", "outputs[1].line"},
		"a loop that is its own":       {"second: leak-loop", "second: leak", "inputs[1].second"},
		"polarity of no line":          {"line: call, ", "line: call, second_active_low: true, ", "inputs[2].second_active_low"},
		"no word on rest":              {"line: call, normally: open", "line: call", "inputs[2].normally"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(board), c.old) {
				t.Fatalf("the example has no %q", c.old)
			}
			var s agent.Settings
			var faults *settings.Faults
			if err := settings.Parse("agent.yaml", []byte(strings.Replace(string(board), c.old, c.new, 1)), &s); !errors.As(err, &faults) {
				t.Fatalf("no faults: %v", err)
			}
			if len(faults.List) != 1 || faults.List[0].Path != c.path {
				t.Fatalf("faults: %v", faults)
			}
			for _, f := range faults.List {
				if f.Line == 0 || f.JA == "" || f.EN == "" || f.FixJA == "" || f.FixEN == "" {
					t.Errorf("fault without place, words or way out: %+v", f)
				}
			}
		})
	}
}

// What a Wiegand reader sends is settings, and what cannot be told apart is
// refused with its place.
func TestWiegandSettings(t *testing.T) {
	text, err := os.ReadFile("../configs/agent-dc21.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for more, path := range map[string]string{
		"formats: [H10301, w34, c1000, raw56]":   "",
		"entries: [bcd26], formats: [w34]":       "",
		"entries: [keys4, keys6, code200-4]":     "",
		"active_low: [led, buzzer], key_gap: 5s": "",
		"hold: D21.hold, active_low: [hold]":     "",
		"formats: [H10301, w27x]":                "formats[1]",
		"formats: [H10304, H10302]":              "formats",
		"entries: [code256-4]":                   "entries[0]",
		"entries: [keys4, keys99]":               "entries[1]",
		"entries: [\" keys4\"]":                  "entries[0]",
		"active_low: [lamp]":                     "active_low[0]",
		"active_low: [hold]":                     "active_low[0]",
		"hold: D21.relay":                        "hold",
		"key_gap: 2m":                            "key_gap",
	} {
		var s agent.Settings
		var faults *settings.Faults
		err := settings.Parse("agent.yaml", []byte(strings.Replace(string(text), "keypad: true", "keypad: true, "+more, 1)), &s)
		switch errors.As(err, &faults); {
		case path == "" && err != nil:
			t.Errorf("%s: %v", more, err)
		case path != "" && (faults == nil || len(faults.List) != 1 || faults.List[0].Path != "doors[0].readers[0]."+path):
			t.Errorf("%s: %v", more, err)
		}
	}
}
