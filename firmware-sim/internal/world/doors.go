package world

import (
	"strings"
	"time"

	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/problem"
)

// Act lets something happen to a door: a hand on the leaf, a press, the fire
// panel. The error is a *problem.Error.
func (w *World) Act(id string, in door.Input) error {
	d := w.doors[id]
	if d == nil {
		return problem.Unknown(problem.UnknownDoor, id)
	}
	w.mu.Lock()
	refusal := w.stepLocked(d, in)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	switch refusal {
	case door.StaysLocked:
		return problem.New(problem.Locked, id+" は施錠されています。解錠を待つか、force でこじ開けてください。",
			id+" is locked; wait for its release, or force it")
	case door.AlreadyOpen:
		return problem.New(problem.AlreadyOpen, id+" はすでに開いています。close で閉めてください。", id+" is open already; close it first")
	case door.AlreadyClosed:
		return problem.New(problem.AlreadyClosed, id+" はすでに閉まっています。", id+" is closed already")
	}
	return nil
}

// Fire moves the fire panel's contact of some doors, of all if none is named.
func (w *World) Fire(on bool, ids []string) error {
	if len(ids) == 0 {
		ids = names(w.doors)
	}
	for _, id := range ids {
		if w.doors[id] == nil {
			return problem.Unknown(problem.UnknownDoor, id)
		}
	}
	for _, id := range ids {
		if err := w.Act(id, door.Input{Kind: door.SetFire, On: on}); err != nil {
			return err
		}
	}
	return nil
}

// output is what a controller's program does to an output line.
func (w *World) output(line string, level bool) {
	dot := strings.LastIndexByte(line, '.')
	prefix, what := line[:dot], line[dot+1:] // linesOf names no line without a dot
	if d := w.doors[prefix]; d != nil && what == "relay" {
		w.mu.Lock()
		w.stepLocked(d, door.Input{Kind: door.SetRelay, On: d.spec.Relay(level)})
		w.mu.Unlock()
		return
	}
	for _, id := range names(w.readers) {
		if r := w.readers[id]; r.prefix == prefix && r.station == nil {
			w.feedback(r, what, level)
		}
	}
}

// stepLocked moves a door, keeps what must outlive the simulator, and only then
// tells lines and listeners.
func (w *World) stepLocked(d *doorUnit, in door.Input) door.Refusal {
	was := d.state
	next, effects, refusal := door.Step(d.spec, was, in, time.Duration(mono.Now()))
	d.state = next
	if durable(was) != durable(next) {
		w.saveLocked()
	}
	for _, e := range effects {
		w.tellLocked(d, e)
	}
	w.wires(d)
	return refusal
}

func (w *World) tellLocked(d *doorUnit, e door.Effect) {
	told := w.story.add(Event{Controller: d.ctl.id, Door: d.id, Kind: string(e.Kind), Causes: e.Causes})
	d.timeline = appendBounded(d.timeline, told)
	switch e.Kind {
	case door.RelayOn:
		d.pulsed++
		d.pulses = append(d.pulses, Moment{told.MonoNS, told.Wall})
		if len(d.pulses) > 2*keep {
			d.pulses = append([]Moment(nil), d.pulses[keep:]...)
		}
	case door.Released:
		d.releases++
	case door.Opened, door.BrokeOpen:
		d.opened = told.MonoNS
	}
}

// wires puts the door's contacts on its input lines.
func (w *World) wires(d *doorUnit) {
	d.ctl.bank.Set(d.id+".fire", d.state.Fire)
	d.ctl.bank.Set(d.id+".rex", d.state.Rex)
	d.ctl.bank.Set(d.id+".contact", d.state.Open)
	d.ctl.bank.Set(d.id+".tamper", d.state.Tamper)
}

// greet tells what a restored door is like: a fire alarm that outlived the
// simulator releases it from the first moment.
func (w *World) greet() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range names(w.doors) {
		d := w.doors[id]
		if causes := d.state.Causes(d.spec); len(causes) > 0 {
			w.tellLocked(d, door.Effect{Kind: door.Released, Causes: causes})
		}
	}
}
