package fingerprint

import (
	"time"

	"sekimori/drivers"
)

// move is one turn of a conversation with the module: a question, and what to
// make of the reply. A conversation is a chain of moves; each is a value, and
// then a function of its arguments alone, so conversations are tested and
// repeated without a port.
//
//	move{ask: A, then: f} ── reply to A ──▶ f ──▶ move{ask: B, then: g} ── … ──▶ move{end}
type move struct {
	news // what the reply before this move came to

	ask   Command
	mode  mode
	after time.Duration // ask no sooner than this
	rest  bool          // nobody is being served: acts and lights may come first
	waits bool          // an act may be given up here
	pose  bool          // an act waits for a finger, or for its absence
	lift  bool          // the finger of the last touch may still be there
	then  func(reply, time.Duration) move

	end  *outcome // set: the act is over
	lost string   // set: the module is out of order, in words
}

// mode is what silence means.
type mode uint8

const (
	steady mode = iota // prove the link again and repeat; after three times tell then
	once               // prove the link again and tell then: for what cannot be repeated, or may be unknown
	bare               // repeat at once; after three times tell then. Password answers are told too: commissioning
)

// reply is an answer, or that none came.
type reply struct {
	Answer
	silent bool
}

// is tells whether the module said c.
func (r reply) is(codes ...Confirmation) bool {
	for _, c := range codes {
		if !r.silent && r.Code == c {
			return true
		}
	}
	return false
}

// news is what a conversation tells as it goes on.
type news struct {
	finger drivers.Finger // a touch was read
	retry  bool           // a picture is taken again
	noise  string         // a fault of the sensor, in words
	step   Step           // for the person at the sensor
	dark   bool           // the module has no ring
}

// facts are what conversations need to know of the module.
type facts struct{ capacity uint16 }

// lastSlot is the highest slot.
func (f facts) lastSlot() uint16 { return f.capacity - 1 }

func (f facts) has(slot uint16) bool { return slot >= 1 && slot < f.capacity }

// over ends an act.
func over(o outcome) move { return move{end: &o} }

func failed(err error) move { return over(outcome{err: err}) }

// unexpected ends an act at an answer nobody foresaw, or at silence to a command
// that the module, proven alive, does not answer.
func unexpected(c Command, r reply) move {
	if r.silent {
		return failed(ErrInterrupted)
	}
	return failed(&ModuleError{c.String(), r.Code})
}
