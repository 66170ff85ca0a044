package world

import (
	"context"
	"time"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/nfc"
	"sekimori/firmware-sim/internal/problem"
)

// State is everything a person walking through the city would see.
type State struct {
	Clock       ClockView                 `json:"clock"`
	LastEvent   uint64                    `json:"last_event"`
	Controllers map[string]ControllerView `json:"controllers"`
	Doors       map[string]DoorView       `json:"doors"`
	Readers     map[string]ReaderView     `json:"readers"`
}

// ClockView is the simulated time and the machine's own.
type ClockView struct {
	Simulated time.Time         `json:"simulated"`
	Real      time.Time         `json:"real"`
	MonoNS    int64             `json:"mono_ns"`
	File      string            `json:"file"` // for programs that follow it
	Skew      map[string]string `json:"skew"` // per controller
}

// ControllerView is one board's wires.
type ControllerView struct {
	Lines   string         `json:"lines"`   // path of the lines' socket
	Client  string         `json:"client"`  // the program connected to it, "" for none
	Outputs map[string]int `json:"outputs"` // level of each output line
	Buses   []string       `json:"buses"`   // paths of the OSDP lines
	Modules []string       `json:"modules"` // paths of the fingerprint and PN532 modules' lines
}

// DoorView is one door.
type DoorView struct {
	Controller string       `json:"controller"`
	Lock       string       `json:"lock"` // "locked" or "released"
	ReleasedBy []door.Cause `json:"released_by"`
	Leaf       string       `json:"leaf"` // "closed" or "open"
	Forced     bool         `json:"forced"`
	OpenMS     int64        `json:"open_ms"` // since the leaf opened, 0 if closed
	Relay      bool         `json:"relay"`
	Rex        bool         `json:"rex"`
	Fire       bool         `json:"fire"`
	Tamper     bool         `json:"tamper"`
	Power      bool         `json:"power"`
	Pulses     int          `json:"pulses"`   // times the relay was energised since the start
	Releases   int          `json:"releases"` // times the lock was released since the start
}

// ReaderView is one reader.
type ReaderView struct {
	Kind       string      `json:"kind"`
	Door       string      `json:"door"`
	Controller string      `json:"controller"`
	Cable      bool        `json:"cable"`
	LED        string      `json:"led"` // the colour shown now
	Buzzes     int         `json:"buzzes"`
	Sent       int         `json:"sent,omitempty"` // Wiegand: frames
	OSDP       *bus.Status `json:"osdp,omitempty"`

	Fingerprint *FingerprintView `json:"fingerprint,omitempty"`
	PN532       *nfc.Status      `json:"pn532,omitempty"`
}

// Timeline is the story of one door.
type Timeline struct {
	Door       string   `json:"door"`
	Pulses     int      `json:"pulses"`
	PulseTimes []Moment `json:"pulse_times"`
	Releases   int      `json:"releases"`
	Entries    []Event  `json:"entries"`
}

// State looks at everything now.
func (w *World) State() State {
	_, last, _ := w.story.after(0, 0)
	s := State{
		Clock: ClockView{Simulated: w.Wall(), Real: time.Now().Round(0), MonoNS: mono.Now(),
			File: w.dir.File("clock"), Skew: map[string]string{}},
		LastEvent:   last,
		Controllers: map[string]ControllerView{}, Doors: map[string]DoorView{}, Readers: map[string]ReaderView{},
	}
	for _, c := range w.controllers {
		s.Clock.Skew[c.id] = w.skew(c.id).String()
		v := ControllerView{Lines: w.dir.File(c.id + ".lines"), Client: c.bank.Client(), Outputs: map[string]int{}, Buses: []string{}, Modules: []string{}}
		for line, level := range c.bank.Outputs() {
			if v.Outputs[line] = 0; level {
				v.Outputs[line] = 1
			}
		}
		for _, b := range c.buses {
			v.Buses = append(v.Buses, w.dir.File(c.id+"."+b.name))
		}
		for _, m := range c.modules {
			v.Modules = append(v.Modules, w.dir.File(c.id+"."+m.name))
		}
		s.Controllers[c.id] = v
	}
	w.mu.Lock()
	for id, d := range w.doors {
		s.Doors[id] = d.viewLocked()
	}
	w.mu.Unlock()
	for id, r := range w.readers {
		s.Readers[id] = r.view()
	}
	return s
}

func (d *doorUnit) viewLocked() DoorView {
	v := DoorView{Controller: d.ctl.id, Lock: "locked", ReleasedBy: d.state.Causes(d.spec), Leaf: "closed", Forced: d.state.Forced,
		Relay: d.state.Relay, Rex: d.state.Rex, Fire: d.state.Fire, Tamper: d.state.Tamper, Power: d.state.Supply,
		Pulses: d.pulsed, Releases: d.releases}
	if len(v.ReleasedBy) > 0 {
		v.Lock = "released"
	} else {
		v.ReleasedBy = []door.Cause{}
	}
	if d.state.Open {
		v.Leaf = "open"
		if d.opened > 0 {
			v.OpenMS = mono.Since(d.opened).Milliseconds()
		}
	}
	return v
}

func (r *reader) view() ReaderView {
	v := ReaderView{Kind: "wiegand", Door: r.door, Controller: r.ctl.id}
	if r.station != nil {
		s := r.station.Status()
		v.Kind, v.Cable, v.LED, v.Buzzes, v.OSDP = "osdp", s.Cable, s.LED, s.Buzzes, &s
		return v
	}
	if r.module != nil {
		f := r.module.view()
		v.Kind, v.Cable, v.LED, v.Fingerprint = "fingerprint", r.module.line.Connected(), f.colour(), &f
		return v
	}
	if r.contact != nil {
		s := r.contact.view()
		v.Kind, v.Cable, v.LED, v.PN532 = "pn532", r.contact.line.Connected(), "off", &s
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v.Cable, v.LED, v.Buzzes, v.Sent = !r.cableOut, pick(r.led, "green", "red"), r.buzzes, r.sent
	return v
}

// Timeline tells one door's story from the entry after seq on.
func (w *World) Timeline(id string, after uint64) (Timeline, error) {
	d := w.doors[id]
	if d == nil {
		return Timeline{}, problem.Unknown(problem.UnknownDoor, id)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	t := Timeline{Door: id, Pulses: d.pulsed, PulseTimes: append([]Moment{}, d.pulses...), Releases: d.releases, Entries: []Event{}}
	for _, e := range d.timeline {
		if e.Seq > after {
			t.Entries = append(t.Entries, e)
		}
	}
	return t, nil
}

// Events gives the events after seq, waiting for the first one until ctx ends.
func (w *World) Events(ctx context.Context, seq uint64, limit int) ([]Event, uint64) {
	for {
		list, last, bell := w.story.after(seq, limit)
		if len(list) > 0 {
			return list, last
		}
		select {
		case <-ctx.Done():
			return list, last
		case <-bell:
		}
	}
}

// Wanted is what Wait waits for; empty fields are not looked at.
type Wanted struct {
	Door, Lock, Leaf string
	Reader, LED      string
	Since            uint64 // a release or opening after this event counts too, though it be over
}

// Wait returns as soon as everything wanted is so; false if ctx ended first.
func (w *World) Wait(ctx context.Context, want Wanted) (bool, error) {
	if want.Door != "" && w.doors[want.Door] == nil {
		return false, problem.Unknown(problem.UnknownDoor, want.Door)
	}
	if want.Reader != "" && w.readers[want.Reader] == nil {
		return false, problem.Unknown(problem.UnknownReader, want.Reader)
	}
	// A blinking or timed LED changes without an event.
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		_, _, bell := w.story.after(0, 0)
		if w.holds(want) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-bell:
		case <-look.C:
		}
	}
}

func (w *World) holds(want Wanted) bool {
	if want.LED != "" && w.readers[want.Reader].view().LED != want.LED {
		return false
	}
	if want.Door == "" {
		return true
	}
	d := w.doors[want.Door]
	w.mu.Lock()
	defer w.mu.Unlock()
	v := d.viewLocked()
	return (want.Lock == "" || v.Lock == want.Lock || d.sinceLocked(want.Since, want.Lock)) &&
		(want.Leaf == "" || v.Leaf == want.Leaf || d.sinceLocked(want.Since, want.Leaf))
}

// sinceLocked tells whether the door was in a state at some time after seq.
func (d *doorUnit) sinceLocked(seq uint64, state string) bool {
	if seq == 0 {
		return false
	}
	if state == "open" {
		state = string(door.Opened)
	}
	for i := len(d.timeline) - 1; i >= 0 && d.timeline[i].Seq > seq; i-- {
		if string(d.timeline[i].Kind) == state {
			return true
		}
	}
	return false
}
