// Package play is people: a timed list of acts against a running simulator,
// and the one act that takes several steps, a person's passage.
//
//	version: 1
//	name: 朝の関森市
//	loop: true          begin again after `pause`
//	acts:
//	  - {at: 5s, who: 﨑山さん, pass: {reader: D31-in, card: "0000010005", pin: "5005#"}, expect: refused}
//	  - {at: 20s, exit: {door: D21}}
//	  - {at: 30s, open: {door: D21}}
//
// Each act has one verb. Acts are done in order; one that takes long makes the
// next one late, never early.
package play

import (
	"context"
	"fmt"
	"time"

	"sekimori/internal/settings"
)

// Scenario is a file of acts.
type Scenario struct {
	Name  string            `yaml:"name" settings:"required,max=80"`
	Loop  bool              `yaml:"loop"`
	Pause settings.Duration `yaml:"pause"`
	Acts  []Act             `yaml:"acts" settings:"required,max=10000"`
}

// Act is one thing somebody does.
type Act struct {
	At     settings.Duration `yaml:"at" settings:"required"`
	Who    string            `yaml:"who"` // told to the audience
	Expect string            `yaml:"expect" settings:"enum=released|refused"`

	Pass   *Passage  `yaml:"pass"`
	Exit   *DoorStep `yaml:"exit"` // press REX, open, walk, close
	Card   *CardStep `yaml:"card"`
	Keys   *KeysStep `yaml:"keys"`
	Open   *DoorStep `yaml:"open"`
	Close  *DoorStep `yaml:"close"`
	Force  *DoorStep `yaml:"force"`
	Rex    *DoorStep `yaml:"rex"`
	Tamper *Switch   `yaml:"tamper"`
	Power  *Switch   `yaml:"power"`
	Fire   *FireStep `yaml:"fire"`
	Cable  *Cable    `yaml:"cable"`
}

// DoorStep names a door.
type DoorStep struct {
	Door string `yaml:"door" settings:"required"`
}

// CardStep presents a card and does nothing more.
type CardStep struct {
	Reader string `yaml:"reader" settings:"required"`
	Card   string `yaml:"card" settings:"required"`
}

// KeysStep types.
type KeysStep struct {
	Reader string `yaml:"reader" settings:"required"`
	Keys   string `yaml:"keys" settings:"required"`
}

// Switch is something on a door that is on or off.
type Switch struct {
	Door string `yaml:"door" settings:"required"`
	On   bool   `yaml:"on" settings:"required"`
}

// FireStep is the fire panel; no doors means all.
type FireStep struct {
	On    bool     `yaml:"on" settings:"required"`
	Doors []string `yaml:"doors"`
}

// Cable is a reader's cable.
type Cable struct {
	Reader    string `yaml:"reader" settings:"required"`
	Connected bool   `yaml:"connected" settings:"required"`
}

// Passage is one person's way through a door.
type Passage struct {
	Reader string            `yaml:"reader" settings:"required"`
	Card   string            `yaml:"card"`
	PIN    string            `yaml:"pin"`    // with its closing '#', if the reader wants one
	Sensor string            `yaml:"sensor"` // fingerprint module for the finger
	Finger string            `yaml:"finger"` // by name; with sensor
	Think  settings.Duration `yaml:"think"`  // from the card to the first key or the finger
	Wait   settings.Duration `yaml:"wait"`   // for the release
	Walk   settings.Duration `yaml:"walk"`   // from opening to closing
}

// SetDefaults is a person in no hurry.
func (p *Passage) SetDefaults() {
	p.Think, p.Wait, p.Walk = settings.Every(500*time.Millisecond), settings.Every(3*time.Second), settings.Every(1500*time.Millisecond)
}

// verbs lists which verbs an act has.
func (a *Act) verbs() []string {
	var out []string
	for _, v := range []struct {
		name string
		set  bool
	}{
		{"pass", a.Pass != nil}, {"exit", a.Exit != nil}, {"card", a.Card != nil}, {"keys", a.Keys != nil},
		{"open", a.Open != nil}, {"close", a.Close != nil}, {"force", a.Force != nil}, {"rex", a.Rex != nil},
		{"tamper", a.Tamper != nil}, {"power", a.Power != nil}, {"fire", a.Fire != nil}, {"cable", a.Cable != nil},
	} {
		if v.set {
			out = append(out, v.name)
		}
	}
	return out
}

// Validate wants exactly one verb, and `expect` only where somebody waits.
func (a *Act) Validate(v *settings.Validator) {
	if n := len(a.verbs()); n != 1 {
		v.Fault("", settings.Message{Code: "one-verb", JA: fmt.Sprintf("動作が %d 個あります。", n), EN: fmt.Sprintf("%d verbs in one act.", n),
			FixJA: "一つの行に動作(pass、exit、card など)を一つだけ書いてください。", FixEN: "Write one verb (pass, exit, card, …) in each act."})
	}
	if a.Expect != "" && a.Pass == nil && a.Exit == nil {
		v.Fault("expect", settings.Message{Code: "expect-without-pass", JA: "expect は pass と exit でだけ使えます。", EN: "expect goes with pass and exit only.",
			FixJA: "expect を消してください。", FixEN: "Remove expect."})
	}
}

// Validate keeps acts in the order of time.
func (s *Scenario) Validate(v *settings.Validator) {
	for i := 1; i < len(s.Acts); i++ {
		if s.Acts[i].At < s.Acts[i-1].At {
			v.Fault(fmt.Sprintf("acts[%d].at", i), settings.Message{Code: "not-in-order", JA: "前の動作より早い時刻です。", EN: "earlier than the act before.",
				FixJA: "at の順に並べてください。", FixEN: "Sort the acts by at."})
		}
	}
}

// Load reads a scenario.
func Load(path string) (Scenario, error) { return settings.Load[Scenario](path) }

// Told is what happened in one act.
type Told struct {
	Act     Act
	Verb    string
	Took    time.Duration
	Outcome Outcome
	Err     error // the simulator refused, or could not be reached
}

// AsExpected tells whether the act ended as its scenario says.
func (t Told) AsExpected() bool {
	if t.Err != nil {
		return false
	}
	return t.Act.Expect == "" || (t.Act.Expect == "released") == t.Outcome.Released
}

// Run plays the scenario, telling each act when it is over, until its end or,
// in a loop, until ctx ends. It returns how many acts went otherwise than
// expected.
func Run(ctx context.Context, c Control, s Scenario, tell func(Told)) (wrong int, err error) {
	for {
		start := time.Now()
		for _, a := range s.Acts {
			if !sleep(ctx, a.At.D()-time.Since(start)) {
				return wrong, nil
			}
			t := do(ctx, c, a)
			if ctx.Err() != nil {
				return wrong, nil
			}
			tell(t)
			if !t.AsExpected() {
				wrong++
			}
		}
		if !s.Loop || !sleep(ctx, s.Pause.D()) {
			return wrong, nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
