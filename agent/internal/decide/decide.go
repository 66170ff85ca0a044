// Package decide is the door's judgement as a pure function: from a state, one
// input and now to the next state and a list of effects, in order. It touches
// no clock, disk or network, starts no goroutine, and never waits.
//
//	           card (+PIN or finger)  door opens
//	┌──────┐ ──── grant ───▶ ┌──────────┐ ───▶ ┌──────┐ ─ held too long ─▶ ┌─────────┐
//	│locked│ ◀── time out ── │ unlocked │      │ open │                    │held open│
//	└──────┘ ◀─────────────── door closes ──── └──────┘ ◀── door closes ── └─────────┘
//	  │   └─── opens with no grant, exit button, fire or key ──▶ forced ─── closes ──▶ locked
//	  └─ fire (any state) ──▶ released ─── re-armed by a named person ──▶ locked
//
// A Record effect stands before the effects it explains: the caller makes it
// durable first, and does not do them when it cannot, unless the fact is Safety
// [T-40]. A Lock is always done. Nothing in this package can refuse an exit: the
// exit button, the inside handle and the fire contact are wired past the program
// [T-15], and a card at an exit reader is always let out, with a note where
// something was wrong; the fact of it is Safety.
//
// A door has two sides, and each of them may have several readers, as a card
// reader with a fingerprint module beside it. What is presented at any reader of
// a side is presented at that side.
//
// Who presents what [000-7.2]. Card first: where a door wants two factors, the
// card says who it is, and the PIN or the finger then shows it. A finger with no
// card before it is one factor: enough where the door wants one, refused as
// 第二要素なし where it wants two. A finger is a place in a module's list, and
// what is asked of it is whose that place is: nothing here compares fingers.
package decide

import (
	"time"

	"sekimori/internal/record"
)

// Now is the time a decision is made at.
type Now struct {
	Wall    time.Time          // guarded: never before the last-known time [T-39]
	Mono    time.Duration      // for windows and delays
	Quality record.TimeQuality //
}

// Input is one thing that happened.
type Input interface{ isInput() }

// CardRead is a card at a reader. ID is fresh and joins the facts of one attempt.
type CardRead struct {
	Door      record.DoorCode
	Reader    record.ReaderID
	Direction record.Direction
	Tag       record.CredentialTag
	UIDOnly   bool
	Unproven  bool // the reader demands proof and the card gave none: Tag is only what it claims to be [T-22]
	ID        string
}

// FingerRead is a finger at a fingerprint reader. ID is as of CardRead.
type FingerRead struct {
	Door      record.DoorCode
	Reader    record.ReaderID
	Direction record.Direction
	Slot      uint16 // of the template that matched; 0 where none did
	ID        string
}

// PINChecked is the verdict on digits typed while Pending asked for them.
type PINChecked struct {
	Door record.DoorCode
	ID   string // of the attempt it belongs to
	OK   bool
}

// LineChanged is a door line's level; First marks the level found at start,
// which is a state and not a happening.
type LineChanged struct {
	Door   record.DoorCode
	Line   Line
	Active bool
	First  bool
}

// Line names what a door line is for.
type Line uint8

const (
	LineContact Line = iota + 1 // active: the leaf is open
	LineREX                     // active: the exit button or inside handle is used
	LineFire                    // active: the fire panel releases the door
	LineTamper                  // active: the case is open
)

// ReaderHealth is a reader that went silent or came back, or whose link failed
// to prove its key.
type ReaderHealth struct {
	Door    record.DoorCode
	Reader  record.ReaderID
	Online  bool
	Refused bool
	Tamper  bool
	Detail  string
}

// Ordered is an order that was verified and is new.
type Ordered struct {
	Door  record.DoorCode
	Order record.Order
}

// PolicyIn is a policy that was verified and is newer.
type PolicyIn struct{ Policy *record.Policy }

// HubHeard says the hub answered just now: the cached policy is as fresh as now.
type HubHeard struct{}

// Tick lets time-outs run.
type Tick struct{}

func (CardRead) isInput()     {}
func (FingerRead) isInput()   {}
func (PINChecked) isInput()   {}
func (LineChanged) isInput()  {}
func (ReaderHealth) isInput() {}
func (Ordered) isInput()      {}
func (PolicyIn) isInput()     {}
func (HubHeard) isInput()     {}
func (Tick) isInput()         {}

// Effect is one thing to do. Effects are done in order.
type Effect interface{ isEffect() }

// Record is a fact to make durable. When that fails, the Unlock and Show that
// follow for the same door and side, up to the next Record, are not done,
// unless the fact is Safety.
type Record struct {
	Kind   record.Kind
	Body   any
	Safety bool // may use the journal's reserve
}

// Unlock releases the lock until Lock.
type Unlock struct{ Door record.DoorCode }

// Lock ends the release.
type Lock struct{ Door record.DoorCode }

// Refuse tells that an order was not obeyed, and why.
type Refuse struct{ Why error }

// Show is feedback at every reader of one side of a door.
type Show struct {
	Door   record.DoorCode
	Side   record.Direction
	Signal Signal
}

// Compare asks the readers of one side that compare one to one whether the
// finger that comes is the one at Slot.
type Compare struct {
	Door record.DoorCode
	Side record.Direction
	Slot uint16
}

// Signal is what the person at the reader is shown.
type Signal uint8

const (
	SignalIdle Signal = iota
	SignalGranted
	SignalDenied
	SignalAskMore
)

func (Record) isEffect() {}
func (Unlock) isEffect() {}
func (Lock) isEffect()   {}
func (Refuse) isEffect() {}
func (Show) isEffect()   {}

func (Compare) isEffect() {}

// State is everything a controller knows about its doors. It is a value: Step
// returns a new one and leaves the old one as it was.
type State struct {
	Policy   *record.Policy // nil until the first one is activated; never changed in place
	LastHub  time.Time      // guarded wall time at which the hub last answered
	Doors    map[record.DoorCode]Door
	Failures map[record.PersonID]Failures
}

// Failures counts wrong PINs and fingers of one person, in wall time so that a restart does
// not forgive them.
type Failures struct {
	At     []time.Time `json:"at,omitempty"`
	Locked time.Time   `json:"locked,omitzero"` // entry refused until then
}

// Door is one door.
type Door struct {
	Code     record.DoorCode
	Leaf     bool          // open
	OpenedAt time.Duration //
	Why      opening       // what explained the last opening
	Held     bool          // held-open was reported for this opening
	Fire     bool          // the input is on
	Released bool          // by fire, until re-armed
	Closed   bool          // 閉室 by order
	REXAt    time.Duration // last press; valid when REXSeen
	REXSeen  bool
	REXDown  bool
	Grant    *Grant
	Pending  *Pending
	Inside   map[record.PersonID]bool // for anti-passback; cleared when it can no longer be known
	Tamper   bool
	Readers  map[record.ReaderID]ReaderHealthState
	LastSeq  uint64 // of orders
}

// ReaderHealthState is what was last recorded of a reader. A reader that has not
// been heard since the start is neither silent nor back until readerPatience is
// over: finding it takes a moment.
type ReaderHealthState struct {
	Heard     bool // once since the start, or given up on
	Offline   bool
	Since     time.Duration
	Untrusted bool          // its link failed to prove its key
	Doubted   time.Duration // since when
	Tamper    bool
	Detail    string // what its driver said last, until it is heard
}

// Grant is a running release for one passage.
type Grant struct {
	Passage record.Passage
	Until   time.Duration
}

// Pending waits for a second factor.
type Pending struct {
	Passage  record.Passage
	Second   record.SecondFactor
	PIN      *record.PINVerifier
	Deadline time.Duration
}

type opening uint8

const (
	openingNone opening = iota
	openingGranted
	openingREX
	openingFire
	openingKey
	openingForced
)

// StateName is the door's state in one word, for status and logs.
func (d Door) StateName() string {
	switch {
	case d.Released:
		return "released"
	case d.Leaf && d.Why == openingForced:
		return "forced"
	case d.Leaf && d.Held:
		return "held_open"
	case d.Leaf:
		return "open"
	case d.Grant != nil:
		return "unlocked"
	case d.Closed:
		return "closed_by_manager"
	}
	return "locked"
}

// New is the state of a controller with these doors and nothing known yet.
func New(doors []record.DoorCode) State {
	s := State{Doors: map[record.DoorCode]Door{}, Failures: map[record.PersonID]Failures{}}
	for _, d := range doors {
		s.Doors[d] = Door{Code: d, Inside: map[record.PersonID]bool{}, Readers: map[record.ReaderID]ReaderHealthState{}}
	}
	return s
}

// PendingPIN is the verifier that a PIN typed on one side of this door must
// pass, the attempt it belongs to, and whether one is asked for there at all:
// who stands inside must not be able to spoil the attempt of who stands outside.
func (s State) PendingPIN(door record.DoorCode, side record.Direction) (v *record.PINVerifier, id string, asked bool) {
	p := s.Doors[door].Pending
	if p == nil || p.Passage.Direction != side || !p.Second.PIN() {
		return nil, "", false
	}
	return p.PIN, p.Passage.Grant, true
}

// Next is when Step must be called with a Tick at the latest; ok is false when
// nothing is waited for.
func (s State) Next() (at time.Duration, ok bool) {
	take := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	for code, d := range s.Doors {
		if d.Grant != nil {
			take(d.Grant.Until)
		}
		if d.Pending != nil {
			take(d.Pending.Deadline)
		}
		if d.Leaf && !d.Held && !d.Released {
			take(d.OpenedAt + s.door(code).HeldOpen)
		}
		for _, r := range d.Readers {
			if !r.Heard {
				take(r.Since + readerPatience)
			}
		}
	}
	return at, ok
}

// door finds a door's policy; without one the defaults keep lines recorded and
// every entry refused.
func (s State) door(code record.DoorCode) record.DoorPolicy {
	if s.Policy != nil {
		for _, d := range s.Policy.Doors {
			if d.Door == code {
				return d
			}
		}
	}
	return record.DoorPolicy{Door: code, HeldOpen: defaultHeldOpen, Release: defaultRelease}
}

const (
	defaultHeldOpen = 30 * time.Second
	defaultRelease  = 5 * time.Second
	rexMemory       = 10 * time.Second // an opening this soon after the exit button is an exit
	readerPatience  = 10 * time.Second // to find a reader after the start; longer than the bus takes
)
