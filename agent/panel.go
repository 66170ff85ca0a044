package agent

import (
	"context"
	"fmt"
	"time"

	"sekimori/agent/internal/facts"
	"sekimori/agent/internal/panel"
	"sekimori/drivers/contact"
	"sekimori/internal/record"
)

// Input is one auxiliary contact of the device.
type Input struct {
	ID             string              // in facts
	Purpose        record.InputPurpose //
	Room           string              // empty: of the whole device
	Line           Line                // ActiveLow: reads 0 while the contact is closed
	Second         Line                // of a supervised loop; zero for a plain contact
	NormallyClosed bool
	Debounce       time.Duration // 0: 50 ms
}

// Output is a lamp, a buzzer or a contact for others, on while one of its events
// is in force: forced_open, held_open, fire_release, tamper, reader_offline,
// reader_untrusted, input_fault, or a contact's purpose; or, with a time of its
// own, since one of them or access_denied or attempts_exceeded happened.
type Output struct {
	ID      string
	Line    Line
	When    []string
	On, Off time.Duration // pulsed; both 0: steady
	For     time.Duration // 0: as long as an event lasts
}

const (
	defaultDebounce = contact.DefaultDebounce
	minPulse        = 50 * time.Millisecond
)

// alarms is the panel of one Run.
type alarms struct {
	inputs  []panel.Input
	outputs []*contact.Output
	lamps   *panel.Lamps
}

// fitPanel makes the contacts and lamps that facts drive.
func (a *agent) fitPanel() error {
	for _, in := range a.Inputs {
		c, err := contact.New(contact.Config{
			ID: in.ID, Line: in.Line.Name, ActiveLow: in.Line.ActiveLow, Second: in.Second.Name, SecondActiveLow: in.Second.ActiveLow,
			NormallyClosed: in.NormallyClosed, Debounce: in.Debounce,
		}, a.Lines)
		if err != nil {
			return fmt.Errorf("input %s: %w", in.ID, err)
		}
		a.panel.inputs = append(a.panel.inputs, panel.Input{Contact: c, Purpose: in.Purpose, Room: record.RoomCode(in.Room)})
	}
	var lamps []panel.Lamp
	for _, out := range a.Outputs {
		o, err := contact.NewOutput(contact.OutputConfig{
			ID: out.ID, Line: out.Line.Name, ActiveLow: out.Line.ActiveLow, On: out.On, Off: out.Off, For: out.For,
		}, a.Lines)
		if err != nil {
			return fmt.Errorf("output %s: %w", out.ID, err)
		}
		a.panel.outputs = append(a.panel.outputs, o)
		lamps = append(lamps, panel.Lamp{Output: o, When: out.When, Timed: out.For > 0})
	}
	a.panel.lamps = panel.NewLamps(a.facts, lamps)
	return nil
}

// watched are facts that lamps see.
type watched struct {
	*facts.Writer
	lamps *panel.Lamps
}

// Write implements door.Facts.
func (w watched) Write(ctx context.Context, kind record.Kind, body any, safety bool) error {
	return w.lamps.Write(ctx, kind, body, safety)
}

// runPanel watches contacts and drives lamps. A door that fire released before
// a restart is still released: its lamp is too.
func (a *agent) runPanel(ctx context.Context) error {
	_, doors := a.doors.Status()
	for _, d := range doors {
		if d.State == "released" {
			a.panel.lamps.Tell(record.KindFireRelease, record.DoorState{Door: d.Door})
		}
	}
	return panel.Run(ctx, a.panel.inputs, a.panel.outputs, a.panel.lamps, a.Log)
}
