package agent

import (
	"fmt"

	"sekimori/agent/internal/panel"
	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// InputSettings is one auxiliary contact: 停電, 漏水, 非常呼出 …
type InputSettings struct {
	ID        string `yaml:"id" settings:"required,id"`
	Purpose   string `yaml:"purpose" settings:"required,enum=mains_failure|ups_low|temperature|water_leak|intrusion|emergency_call|emergency_exit|cabinet_tamper"`
	Room      string `yaml:"room"`
	Line      string `yaml:"line" settings:"required"`
	ActiveLow bool   `yaml:"active_low"` // the line reads 0 while the contact is closed
	// Second is the window comparator of a supervised loop of two resistors, which
	// tells a cut or shorted wire from a contact.
	Second          string            `yaml:"second"`
	SecondActiveLow bool              `yaml:"second_active_low"`
	Normally        string            `yaml:"normally" settings:"required,enum=open|closed"`
	Debounce        settings.Duration `yaml:"debounce" settings:"min=1ms,max=1m"`
}

// SetDefaults suits relay contacts.
func (i *InputSettings) SetDefaults() { i.Debounce = settings.Every(defaultDebounce) }

// Validate wants no polarity of a line that is not there.
func (i *InputSettings) Validate(v *settings.Validator) {
	if i.SecondActiveLow && i.Second == "" {
		v.Fault("second_active_low", settings.Message{Code: "unused",
			JA: "second がないときは second_active_low は使いません", EN: "second_active_low needs second",
			FixJA: "second に監視用の線を書くか、second_active_low を消してください", FixEN: "Name the second line, or remove second_active_low."})
	}
}

// OutputSettings is one lamp, buzzer, or contact for a security company.
type OutputSettings struct {
	ID        string            `yaml:"id" settings:"required,id"`
	Line      string            `yaml:"line" settings:"required"`
	ActiveLow bool              `yaml:"active_low"`
	When      []string          `yaml:"when" settings:"required,min=1"` // events of panel.Events
	On        settings.Duration `yaml:"pulse_on" settings:"max=1h"`     // pulsed, with Off
	Off       settings.Duration `yaml:"pulse_off" settings:"max=1h"`
	For       settings.Duration `yaml:"for" settings:"max=1d"` // 0: as long as the event lasts
}

// Validate knows the events.
func (o *OutputSettings) Validate(v *settings.Validator) {
	known := panel.Events()
	for i, event := range o.When {
		at := fmt.Sprintf("when[%d]", i)
		v.Ref(at, event, known)
		if panel.Moment(event) && o.For.D() == 0 {
			v.Fault("for", settings.Message{Code: "required",
				JA: event + " は一瞬の出来事なので、鳴らす長さ for が必要です", EN: event + " has no end, so the output needs a time",
				FixJA: "例: for: 10s", FixEN: "For example for: 10s."})
		}
	}
	if (o.On.D() == 0) != (o.Off.D() == 0) {
		v.Fault("pulse_on", settings.Message{Code: "required",
			JA: "pulse_on と pulse_off は両方書くか、両方書かないでください", EN: "pulse_on and pulse_off go together",
			FixJA: "点滅なら両方(例: pulse_on: 500ms、pulse_off: 500ms)、点灯なら両方消す", FixEN: "Write both for a flashing lamp, neither for a steady one."})
	}
	for path, d := range map[string]settings.Duration{"pulse_on": o.On, "pulse_off": o.Off} {
		if d.D() != 0 && d.D() < minPulse {
			v.Fault(path, settings.Message{Code: "out-of-range",
				JA: path + " は 50ms 以上にしてください。短すぎると継電器が傷みます", EN: path + " is at least 50ms: shorter pulses wear relays out",
				FixJA: "例: " + path + ": 500ms", FixEN: "For example " + path + ": 500ms."})
		}
	}
}

func (i InputSettings) input() Input {
	return Input{
		ID: i.ID, Purpose: record.InputPurpose(i.Purpose), Room: i.Room, Line: Line{i.Line, i.ActiveLow}, Second: Line{i.Second, i.SecondActiveLow},
		NormallyClosed: i.Normally == "closed", Debounce: i.Debounce.D(),
	}
}

func (o OutputSettings) output() Output {
	return Output{ID: o.ID, Line: Line{o.Line, o.ActiveLow}, When: o.When, On: o.On.D(), Off: o.Off.D(), For: o.For.D()}
}
