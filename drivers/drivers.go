// Package drivers is what every reader driver has in common: bytes and edges
// go in, readings come out. It knows no person, room, permit or network.
//
//	serial bytes ─┐                        ┌─ Reading (card, keys)
//	              ├─ codec ─ talker ─ Run ─┤
//	line edges  ──┘                        └─ Health (online, tamper, noise)
//
// A driver is a pure codec (bytes to values and back, no I/O) and a thin talker
// that adds timing and retries. Drivers never import each other; what they
// share is here.
package drivers

import (
	"context"
	"time"
)

// Reader is one reader at a door or a counter.
//
// Run talks to the hardware until ctx ends and returns nil then; it reports
// what it hears to sink, in order, and never drops a reading: a slow sink makes
// it wait. Cable faults are health, not errors: Run returns an error only when
// its settings can never work.
//
// Show asks for feedback to the person at the reader. It never blocks on the
// hardware: a newer request replaces one not yet sent.
type Reader interface {
	Run(ctx context.Context, sink Sink) error
	Show(Signal)
}

// Sink takes what one reader hears. Its methods may block.
type Sink interface {
	Reading(Reading)
	Health(Health)
}

// Signal is feedback to the person in front of the reader.
type Signal uint8

const (
	SignalIdle    Signal = iota // steady red: locked
	SignalGranted               // green while the grant runs
	SignalDenied                // red flashes and a long buzz
	SignalAskMore               // amber: a second factor is wanted
)

// Proof is how a reading shows that the right thing was presented [T-22].
type Proof string

const (
	ProofUIDOnly       Proof = "uid_only"      // a number anyone could copy
	ProofCryptographic Proof = "cryptographic" // the card answered a fresh challenge with its own key
	ProofBiometric     Proof = "biometric"     // a finger was compared with the templates of a module
	ProofPIN           Proof = "pin"           // typed digits
)

// Reading is one presentation: a card, typed keys or a finger. Exactly one of
// Card, Keys, Finger and Claim is set.
//
// Claim is the number of a card that did not prove itself at a reader whose
// settings demand it: cloned, of another issuer, or taken away too soon. It is
// kept apart from Card so that whoever does not look at it cannot let it in. It
// is never matched for an entry, only named in the refusal; Proof is what it
// did show, ProofUIDOnly [T-22].
type Reading struct {
	Reader        string        // the reader's ID in the settings, for example "D31-in"
	Proof         Proof         //
	Authenticated bool          // the link to the reader was authenticated
	Card          Card          //
	Keys          Keys          //
	Finger        Finger        //
	Claim         Card          // refused: demanded proof was not given
	At            time.Duration // clock.Mono() of the last bit or byte
}

// Matcher is a reader that compares a finger with one template when asked (1:1),
// as OSDP's BIOMATCH does; other fingerprint readers search all they hold on
// every touch (1:N) and need no asking. The result is a Reading with
// ProofBiometric. Match never blocks on the hardware; a newer request, or a
// Show of anything but SignalAskMore, ends one that still waits.
type Matcher interface {
	Reader
	Match(slot uint16)
}

// Health is the state of one reader and its line. Counters rise from the start
// of the driver.
type Health struct {
	Reader    string
	Online    bool   // answers polls; a Wiegand line cannot tell and says true while its lines are quiet or well-formed
	Secure    bool   // the link is authenticated now: secure channel, or a module bound to this host
	Refused   bool   // the other end failed to prove its key, or forged a message: an alarm, and never a reason to ask for less
	Tamper    bool   // the reader's case or the line's tamper input is open
	PowerFail bool   // the reader reports low power
	Frames    uint64 // well-formed frames
	Noise     uint64 // glitches, bad parity, bad checks, impossible lengths
	Retries   uint64 // commands sent again
	Detail    string // the last fault in words, for operators
}
