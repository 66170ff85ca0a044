// Package contact reads dry contacts and drives lamps, buzzers and contacts for
// others: 停電, 漏水, 非常呼出 come in, 警報灯, ブザー and the security company's
// line go out. It knows states of wires; what a wire means is the agent's.
//
//	lines ── Edges ──▶ Machine ──▶ Input.Run ──▶ Change (normal, active, cut, short, unknown)
//	lines ◀── Pin ◀── Output.Run ◀── Set
//
// # Plain input: one line
//
// A contact between a line and ground with a pull-up reads 0 while it is
// closed, which is ActiveLow. A cut wire looks like an open contact, so an
// alarm contact that matters is NormallyClosed: then a cut wire alarms. Still a
// short looks like a closed one; only supervision tells.
//
// # Supervised input: two lines
//
// Two resistors at the contact (the end of the line, not the cabinet) give the
// loop four resistances, and two comparator outputs tell them apart: a level
// comparator whether the contact is closed (Line), and a window comparator
// whether the loop is whole (Second). Two plain comparators would make three
// states only, so the window is two of the four of an LM339 with their open
// collectors tied together.
//
//	+V ─[Rp]─┬───────── loop ────────[Rs]──┬──┐
//	         │                           [Re] ╱ contact
//	  to the comparators                   │  │
//	GND ─────────────── loop ──────────────┴──┘
//
//	loop       resistance  voltage    Line  Second  contact NO  contact NC
//	cut        endless     V           0      0     Cut         Cut
//	open       Rs+Re       high        0      1     Normal      Active
//	closed     Rs          low         1      1     Active      Normal
//	short      0           0           1      0     Short       Short
//
// The columns Line and Second are as this package has them, after ActiveLow and
// SecondActiveLow: Line 1 is "closed", Second 1 is "whole". Wire Second so that
// a comparator board without supply reads 0 there: a dead board is then a fault
// and not a quiet contact. With Rp = Rs = Re = 4.7 kΩ at 5 V the loop stands at
// 5, 3.3, 2.5 and 0 V; the level comparator switches at 2.9 V and the window is
// 1.2 to 4.2 V.
package contact

import (
	"errors"
	"fmt"
	"time"
)

// State is what an input's wires say.
type State uint8

const (
	Unknown State = iota // nothing is known: not read yet, or the bank of lines is lost
	Normal               // at rest
	Active               // the contact is in its other position
	Cut                  // supervised: the loop is open
	Short                // supervised: the loop is shorted
)

var stateNames = [...]string{"unknown", "normal", "active", "cut", "short"}

// String is the state in one word, for logs.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Fault tells whether the wires are at fault, so that the contact is not known.
func (s State) Fault() bool { return s == Cut || s == Short }

// Change is an input's new state. The first one an input reports is from
// Unknown to what the wires say at the start.
type Change struct {
	ID    string        // of the input's Config
	State State         //
	Was   State         // before
	At    time.Duration // when the wires took this state, before the debounce; of Input.Run in clock.Mono()
	Why   string        // of Unknown: the cause in words, for operators
}

// Config is one input.
type Config struct {
	ID              string        // in changes, for example "leak1"
	Line            string        // the contact's line; supervised: of the level comparator
	Second          string        // the window comparator's line; empty for a plain input
	ActiveLow       bool          // Line reads 0 while the contact is closed
	SecondActiveLow bool          // Second reads 0 while the loop is whole
	NormallyClosed  bool          // the contact is closed at rest and opens to alarm
	Debounce        time.Duration // a state counts when it has lasted so long; default DefaultDebounce
}

// DefaultDebounce is longer than relay contacts bounce (some ms) and than the
// two comparators of a loop may disagree while a contact moves, and shorter
// than any press of an emergency button.
const DefaultDebounce = 50 * time.Millisecond

// maxDebounce bounds a slip of the pen: "5m" for "5ms" would hide an alarm.
const maxDebounce = time.Minute

func (c Config) check() error {
	switch {
	case c.ID == "" || c.Line == "":
		return errors.New("contact: an input needs an ID and a line")
	case c.Line == c.Second:
		return fmt.Errorf("contact %s: both lines are %s", c.ID, c.Line)
	case c.Second == "" && c.SecondActiveLow:
		return fmt.Errorf("contact %s: the polarity of a second line, and no second line", c.ID)
	case c.Debounce < 0 || c.Debounce > maxDebounce:
		return fmt.Errorf("contact %s: debounce %v, want up to %v", c.ID, c.Debounce, maxDebounce)
	}
	return nil
}

// state is the truth table: the levels as read on the pins.
func (c Config) state(line, second bool) State {
	closed := line != c.ActiveLow
	switch whole := c.Second == "" || second != c.SecondActiveLow; {
	case !whole && closed:
		return Short
	case !whole:
		return Cut
	case closed == c.NormallyClosed:
		return Normal
	}
	return Active
}
