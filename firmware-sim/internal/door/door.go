// Package door is the physics of one door: a lock, a leaf, and the wires that
// release the lock without asking any program.
//
//	              fire panel contact          REX / inside handle
//	                     │ (opens in a fire)        │ (mechanical)
//	lock supply ──[power]┴──[relay contact]── lock ─┴─ released?
//
// The lock is released when one of these holds [T-15]:
//
//	fire    the panel's contact opened: it cuts the supply of a fail-safe lock,
//	        and changes a fail-secure one over to the panel's own battery
//	rex     the exit button or the inside handle is held: wired or linked to the lock
//	relay   the controller's relay is energised (and, fail-secure, the supply is there)
//	power   the supply is gone and the lock is fail-safe
//
// None but `relay` passes through a program, so exit works with the controller
// stopped, killed, or never started. The leaf opens only from a released lock
// or by force, and the door contact follows the leaf.
//
// Step is a function of (state, input, now): it reads no clock and touches
// nothing outside.
package door

import (
	"slices"
	"time"
)

// Spec is how one door is built.
type Spec struct {
	FailSafe  bool // without supply the lock releases; otherwise it stays locked
	ActiveLow bool // the relay is energised by level 0 of its line
}

// Relay tells whether a level of the relay's line energises the relay.
func (s Spec) Relay(level bool) bool { return level != s.ActiveLow }

// Cause is why the lock is released.
type Cause string

const (
	Fire  Cause = "fire"
	Rex   Cause = "rex"
	Relay Cause = "relay"
	Power Cause = "power"
)

// State is one door at one moment. The zero State is a closed, locked door
// without supply; use New.
type State struct {
	Open    bool // the leaf
	Forced  bool // the leaf was opened against a locked lock, until it closes
	Relay   bool // energised
	Fire    bool // the panel's contact is open
	Rex     bool // button or handle held
	Tamper  bool // the case is open
	Supply  bool // lock power is there
	RexEnds time.Duration
	// RexEnds and LeafEnds are when a timed press or opening ends by itself;
	// zero means it lasts until told otherwise.
	LeafEnds time.Duration
}

// New is a closed, locked door with its supply.
func New() State { return State{Supply: true} }

// Causes lists what releases the lock; a locked door has none.
func (s State) Causes(spec Spec) []Cause {
	var c []Cause
	if s.Fire {
		c = append(c, Fire)
	}
	if s.Rex {
		c = append(c, Rex)
	}
	if s.Relay && (s.Supply || spec.FailSafe) {
		c = append(c, Relay)
	}
	if !s.Supply && spec.FailSafe {
		c = append(c, Power)
	}
	return c
}

// Released tells whether the leaf can be opened without force.
func (s State) Released(spec Spec) bool { return len(s.Causes(spec)) > 0 }

// Kind names an Input or an Effect.
type Kind string

// Inputs.
const (
	SetRelay  Kind = "relay" // On
	SetFire   Kind = "fire"
	SetRex    Kind = "rex" // On; For: let go by itself after
	SetTamper Kind = "tamper"
	SetSupply Kind = "power"
	Pull      Kind = "pull"  // somebody opens the leaf; For: it closes by itself after
	Push      Kind = "push"  // somebody closes the leaf
	Force     Kind = "force" // somebody breaks the leaf open
	Tick      Kind = "tick"  // time passed
)

// Input is one thing that happens to the door.
type Input struct {
	Kind Kind
	On   bool
	For  time.Duration
}

// Effects.
const (
	Released  Kind = "released"
	Relocked  Kind = "locked"
	Recaused  Kind = "causes" // still released, for other causes than before
	Opened    Kind = "opened"
	BrokeOpen Kind = "forced"
	Closed    Kind = "closed"
	RelayOn   Kind = "relay_on"
	RelayOff  Kind = "relay_off"
	FireOn    Kind = "fire_on"
	FireOff   Kind = "fire_off"
	RexOn     Kind = "rex_on"
	RexOff    Kind = "rex_off"
	TamperOn  Kind = "tamper_on"
	TamperOff Kind = "tamper_off"
	PowerOn   Kind = "power_on"
	PowerOff  Kind = "power_off"
)

// Effect is one change that followed from an input, in order of cause.
type Effect struct {
	Kind   Kind
	Causes []Cause // with Released, Recaused and Relocked: what holds now
}

// Refusal is why an input changed nothing.
type Refusal string

const (
	Done          Refusal = ""
	StaysLocked   Refusal = "locked"
	AlreadyOpen   Refusal = "already_open"
	AlreadyClosed Refusal = "already_closed"
)

// Step applies one input. A refused input leaves the state as it was, except
// that time may still end a timed press or opening.
func Step(spec Spec, s State, in Input, now time.Duration) (State, []Effect, Refusal) {
	next := expire(s, now)
	refusal := apply(spec, &next, in, now)
	return next, effects(spec, s, next, in.Kind == Force && refusal == Done), refusal
}

func expire(s State, now time.Duration) State {
	if s.RexEnds != 0 && now >= s.RexEnds {
		s.Rex, s.RexEnds = false, 0
	}
	if s.LeafEnds != 0 && now >= s.LeafEnds {
		s.Open, s.Forced, s.LeafEnds = false, false, 0
	}
	return s
}

func apply(spec Spec, s *State, in Input, now time.Duration) Refusal {
	switch in.Kind {
	case SetRelay:
		s.Relay = in.On
	case SetFire:
		s.Fire = in.On
	case SetTamper:
		s.Tamper = in.On
	case SetSupply:
		s.Supply = in.On
	case SetRex:
		s.Rex, s.RexEnds = in.On, ends(in, now)
	case Pull, Force:
		if s.Open {
			return AlreadyOpen
		}
		if in.Kind == Pull && !s.Released(spec) {
			return StaysLocked
		}
		s.Open, s.Forced, s.LeafEnds = true, !s.Released(spec), ends(in, now)
	case Push:
		if !s.Open {
			return AlreadyClosed
		}
		s.Open, s.Forced, s.LeafEnds = false, false, 0
	}
	return Done
}

func ends(in Input, now time.Duration) time.Duration {
	if in.For <= 0 || (in.Kind == SetRex && !in.On) {
		return 0
	}
	return now + in.For
}

// effects compares two states: the wires first, then the lock they release,
// then the leaf that the lock lets go.
func effects(spec Spec, was, is State, byForce bool) []Effect {
	var out []Effect
	change := func(a, b bool, on, off Kind) {
		if a != b {
			out = append(out, Effect{Kind: pick(b, on, off)})
		}
	}
	change(was.Supply, is.Supply, PowerOn, PowerOff)
	change(was.Fire, is.Fire, FireOn, FireOff)
	change(was.Rex, is.Rex, RexOn, RexOff)
	change(was.Relay, is.Relay, RelayOn, RelayOff)
	change(was.Tamper, is.Tamper, TamperOn, TamperOff)
	before, after := was.Causes(spec), is.Causes(spec)
	switch {
	case len(before) == 0 && len(after) > 0:
		out = append(out, Effect{Released, after})
	case len(before) > 0 && len(after) == 0:
		out = append(out, Effect{Relocked, nil})
	case !slices.Equal(before, after):
		out = append(out, Effect{Recaused, after})
	}
	change(was.Open, is.Open, pick(byForce && is.Forced, BrokeOpen, Opened), Closed)
	return out
}

func pick(b bool, yes, no Kind) Kind {
	if b {
		return yes
	}
	return no
}

// Due is when Tick must come next; false if nothing is timed.
func (s State) Due() (time.Duration, bool) {
	switch {
	case s.RexEnds == 0:
		return s.LeafEnds, s.LeafEnds != 0
	case s.LeafEnds == 0:
		return s.RexEnds, true
	}
	return min(s.RexEnds, s.LeafEnds), true
}
