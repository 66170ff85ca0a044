package panel

import (
	"maps"
	"slices"

	"sekimori/internal/record"
)

// A cause is a state of the device or its doors that an output may be for. It
// begins with one fact and ends with another of the same place; a moment has no
// end.
type cause struct {
	begins record.Kind
	ends   []record.Kind
}

// causes are the events a settings file can name, besides the purposes of
// contacts.
var causes = map[string]cause{
	"forced_open":       {record.KindForcedOpen, []record.Kind{record.KindDoorClosed}},
	"held_open":         {record.KindHeldOpen, []record.Kind{record.KindDoorClosed}},
	"fire_release":      {record.KindFireRelease, []record.Kind{record.KindRearmed}},
	"tamper":            {record.KindTamper, []record.Kind{record.KindTamperEnded}},
	"reader_offline":    {record.KindReaderOffline, []record.Kind{record.KindReaderOnline}},
	"reader_untrusted":  {record.KindReaderUntrusted, []record.Kind{record.KindReaderTrusted}},
	"input_fault":       {record.KindInputFault, []record.Kind{record.KindInputCleared, record.KindInputActive}},
	"access_denied":     {record.KindDenied, nil},
	"attempts_exceeded": {record.KindAttemptsSpent, nil},
}

// purposeEnds are the facts after which a contact is not active any more.
var purposeEnds = []record.Kind{record.KindInputCleared, record.KindInputFault}

// Events lists what an output can be for, in the order of the alphabet.
func Events() []string {
	names := slices.Collect(maps.Keys(causes))
	for _, p := range record.InputPurposes() {
		names = append(names, string(p))
	}
	slices.Sort(names)
	return names
}

// Moment tells whether an event has no end, so that an output for it needs a
// time of its own.
func Moment(event string) bool {
	c, known := causes[event]
	return known && c.ends == nil
}

// Board knows which events are in force, and where. It is a value: Step returns
// a new one and leaves the old one as it was.
type Board struct{ holds map[held]bool }

type held struct {
	event string
	place string
}

// Step takes one fact. began are the events that begin with it.
func (b Board) Step(kind record.Kind, body any) (after Board, began []string) {
	place, purpose := placeOf(body)
	after = Board{maps.Clone(b.holds)}
	if after.holds == nil {
		after.holds = map[held]bool{}
	}
	for name, c := range causes {
		after.ends(held{name, place}, kind, c.ends)
		if kind == c.begins {
			began = append(began, name)
			if c.ends != nil {
				after.holds[held{name, place}] = true
			}
		}
	}
	if purpose != "" {
		at := held{string(purpose), place}
		after.ends(at, kind, purposeEnds)
		if kind == record.KindInputActive {
			began = append(began, string(purpose))
			after.holds[at] = true
		}
	}
	slices.Sort(began)
	return after, began
}

func (b Board) ends(at held, kind record.Kind, by []record.Kind) {
	if slices.Contains(by, kind) {
		delete(b.holds, at)
	}
}

// Holds tells whether any of events is in force anywhere.
func (b Board) Holds(events []string) bool {
	for at := range b.holds {
		if slices.Contains(events, at.event) {
			return true
		}
	}
	return false
}

// placeOf is where a fact is about: the same for what begins and what ends.
func placeOf(body any) (place string, purpose record.InputPurpose) {
	switch b := body.(type) {
	case record.DoorState:
		return string(b.Door), ""
	case record.TamperState:
		return string(b.Door) + "/" + string(b.Reader), ""
	case record.ReaderState:
		return string(b.Door) + "/" + string(b.Reader), ""
	case record.InputState:
		return b.Input, b.Purpose
	}
	return "", ""
}
