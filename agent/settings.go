package agent

import (
	"fmt"
	"time"

	"sekimori/internal/settings"
)

// Settings is agent.yaml. configs/agent-*.yaml are examples.
type Settings struct {
	Device  string          `yaml:"device" settings:"required,id"`
	Role    string          `yaml:"role" settings:"required,enum=door"`
	State   string          `yaml:"state" settings:"required"`
	Hub     HubSettings     `yaml:"hub" settings:"required"`
	Journal JournalSettings `yaml:"journal"`
	Lines   LineSettings    `yaml:"lines" settings:"required"`
	Buses   []BusSettings   `yaml:"buses"`
	Doors   []DoorSettings  `yaml:"doors" settings:"required,min=1"`

	Inputs  []InputSettings  `yaml:"inputs"`
	Outputs []OutputSettings `yaml:"outputs"`
}

// HubSettings says where the hub is.
type HubSettings struct {
	MQTT      string            `yaml:"mqtt" settings:"required"`
	HTTPS     string            `yaml:"https" settings:"required"`
	Heartbeat settings.Duration `yaml:"heartbeat" settings:"min=1s,max=60s"`
}

// SetDefaults keeps three heartbeats within the 90 s a device counts as fresh.
func (h *HubSettings) SetDefaults() { h.Heartbeat = settings.Every(defaultHeartbeat) }

// JournalSettings bounds the journal.
type JournalSettings struct {
	MaxMiB int               `yaml:"max_mib" settings:"min=16,max=65536"`
	Keep   settings.Duration `yaml:"keep" settings:"min=1d,max=400d"`
}

// SetDefaults holds a busy door's half year.
func (j *JournalSettings) SetDefaults() {
	j.MaxMiB, j.Keep = 256, settings.Every(90*24*time.Hour)
}

// LineSettings is the bank of lines.
type LineSettings struct {
	Backend string            `yaml:"backend" settings:"required,enum=kernel|sim"`
	Chip    string            `yaml:"chip"`
	Socket  string            `yaml:"socket"`
	Names   map[string]string `yaml:"names"` // ours → the chip's line name or offset
}

// Validate wants the one of chip and socket that the backend uses.
func (l *LineSettings) Validate(v *settings.Validator) {
	if l.Backend == "kernel" && l.Chip == "" {
		v.Fault("chip", settings.Message{Code: "required",
			JA: "backend が kernel のときは chip が必要です", EN: "backend kernel needs a chip",
			FixJA: "例: chip: gpiochip0(gpiodetect で確かめられます)", FixEN: "For example chip: gpiochip0 (gpiodetect lists them)."})
	}
	if l.Backend == "sim" && l.Socket == "" {
		v.Fault("socket", settings.Message{Code: "required",
			JA: "backend が sim のときは socket が必要です", EN: "backend sim needs a socket",
			FixJA: "模擬装置のフォルダの <機器>.lines を書いてください", FixEN: "Name the simulator's <device>.lines socket."})
	}
}

// BusSettings is one RS-485 line of OSDP readers.
type BusSettings struct {
	ID   string `yaml:"id" settings:"required,id"`
	Port string `yaml:"port" settings:"required"`
	Baud int    `yaml:"baud" settings:"required,enum=9600|19200|38400|57600|115200|230400"`
}

// DoorSettings is one door.
type DoorSettings struct {
	ID      string           `yaml:"id" settings:"required,id"`
	Relay   WireSettings     `yaml:"relay" settings:"required"`
	Contact WireSettings     `yaml:"contact" settings:"required"`
	REX     WireSettings     `yaml:"rex" settings:"required"`
	Fire    WireSettings     `yaml:"fire" settings:"required"`
	Tamper  *WireSettings    `yaml:"tamper"`
	Readers []ReaderSettings `yaml:"readers" settings:"required,min=1"`
}

// WireSettings is a line and its polarity.
type WireSettings struct {
	Line      string `yaml:"line" settings:"required"`
	ActiveLow bool   `yaml:"active_low"`
}

// Validate checks what spans several parts: buses that exist, addresses and
// lines used once.
func (s *Settings) Validate(v *settings.Validator) {
	buses := make([]string, len(s.Buses))
	for i, b := range s.Buses {
		buses[i] = b.ID
	}
	used := map[string]string{}
	for i, b := range s.Buses {
		used[b.Port] = fmt.Sprintf("buses[%d].port", i)
	}
	once := func(path, what string) {
		if what == "" {
			return
		}
		if first, taken := used[what]; taken {
			v.Fault(path, settings.Message{Code: "used-twice",
				JA: fmt.Sprintf("%s は %s でも使われています", what, first), EN: fmt.Sprintf("%s is also used by %s", what, first),
				FixJA: "どちらか一方を直してください", FixEN: "Change one of the two."})
			return
		}
		used[what] = path
	}
	for i, d := range s.Doors {
		at := fmt.Sprintf("doors[%d].", i)
		once(at+"relay.line", d.Relay.Line)
		once(at+"contact.line", d.Contact.Line)
		once(at+"rex.line", d.REX.Line)
		once(at+"fire.line", d.Fire.Line)
		if d.Tamper != nil {
			once(at+"tamper.line", d.Tamper.Line)
		}
		for k, r := range d.Readers {
			at := fmt.Sprintf("%sreaders[%d].", at, k)
			once(at+"id", "reader "+r.ID)
			once(at+"d0", r.D0)
			once(at+"d1", r.D1)
			once(at+"led", r.LED)
			once(at+"buzzer", r.Buzzer)
			once(at+"tamper", r.Tamper)
			once(at+"hold", r.Hold)
			if r.Driver == "osdp" {
				v.Ref(at+"bus", r.Bus, buses)
				once(at+"address", fmt.Sprintf("%s/%d", r.Bus, r.Address))
			}
			once(at+"port", r.Port)
		}
	}
	for i, in := range s.Inputs {
		at := fmt.Sprintf("inputs[%d].", i)
		once(at+"id", "contact "+in.ID)
		once(at+"line", in.Line)
		once(at+"second", in.Second)
	}
	for i, out := range s.Outputs {
		at := fmt.Sprintf("outputs[%d].", i)
		once(at+"id", "contact "+out.ID)
		once(at+"line", out.Line)
	}
}

// LoadSettings reads agent.yaml; the error tells every fault with its place.
func LoadSettings(path string) (Settings, error) { return settings.Load[Settings](path) }
