package osdp

import (
	"fmt"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/osdp/channel"
)

// Times of a link. Sources: the specification's clause 5.7 (200 ms to answer;
// both sides forget the conversation after 8 s); the others are ours.
const (
	replyDelay  = 200 * time.Millisecond
	forgetAfter = 8 * time.Second
	goneAfter   = 1400 * time.Millisecond // unanswered: told as offline, though not yet forgotten
	quickTries  = 2                       // sent so often at once, then after each retryPause
	retryPause  = 300 * time.Millisecond
	slowRetry   = time.Second           // between probes of an absent reader
	probeWindow = 40 * time.Millisecond // for most probes on a bus with others on it
	fullProbe   = 8                     // every so many probes gets the full replyDelay
	busyWait    = 50 * time.Millisecond // before a busy reader is asked again
	hotFor      = 30 * time.Second      // people come in groups
	maxBackoff  = 8 * time.Second       // between handshakes that fail
)

// phase is how far the conversation has come.
type phase uint8

const (
	identify     phase = iota // ID with sequence 0, which is also the probe
	challenge                 // CHLNG
	prove                     // SCRYPT
	install                   // KEYSET, only while commissioning
	capabilities              // CAP
	status                    // LSTAT
	polling                   // POLL, and what is asked for
)

// Link is the controller's side of the conversation with one address, as a
// value: Step takes an input and returns the next Link and what to do. It
// touches no clock, port, random source or goroutine, and never changes a slice
// it holds, so an older value stays good.
//
//	           PDID          CCRYPT       RMAC_I              PDCAP        LSTATR
//	identify ───────▶ challenge ───▶ prove ───▶ capabilities ───▶ status ───▶ polling ─┐
//	   │  ▲  └──────────── no key ────────────▶      ▲  secured from here on    ▲  └───┘ ACK, RAW,
//	   │  │                              └▶ install ─┘ (commissioning)          │        KEYPAD…
//	   │  ├── NAK 4, a clear NAK in a session: restart, still online ──────────┤
//	   │  ├── wrong MAC, clear text in a session, no proof: Refused, back-off ──┤
//	   └──┴── 8 s without a valid answer, port lost ────────────────────────────┘
//
// Sequence numbers: 0 for the first command, then 1, 2, 3, 1… A command that
// was not answered is sent again with the same bytes; an answer with another
// number is a late duplicate and skipped. After goneAfter the reader counts as
// offline, yet the same bytes are sent as the probe, so that one that was only
// away for a moment goes on where it was.
//
// A link with a key never polls in clear text: the only clear commands are ID
// and the handshake itself, and what is learnt before the handshake decides
// nothing.
type Link struct {
	cfg        ReaderConfig
	poll, rest time.Duration

	phase    phase
	alive    bool // answered since it was last given up
	seq      byte
	pending  []byte  // the command not yet answered
	command  Command // the same
	tries    int     // how often it was sent
	probes   int
	failures int // handshakes refused in a row

	due       time.Duration // next wants the bus
	sent      time.Duration // the last command began
	since     time.Duration // the pending command was sent first, or the reader last said BUSY
	busy      time.Duration // the reader began to say BUSY; 0 when it does not
	valid     time.Duration // the last valid answer
	hot       time.Duration // poll every poll until then, every rest later
	restarted time.Duration

	session   channel.Session
	secured   bool          // session is in use
	installed *installation // commissioning is under way
	candidate int           // which key of it is being tried
	written   bool          // KEYSET was accepted

	signal    drivers.Signal
	wantLED   bool
	wantBuz   bool
	lacking   uint32 // functions that PDCAP says are absent, by bit
	refused   refused
	longest   int // command the reader takes, 0 unknown
	ask       *Ask
	asking    bool // the pending command is ask's
	match     match
	typing    drivers.Typing
	caseOpen  bool // LSTATR
	headsOpen bool // RSTATR
	about     About
	health    drivers.Health
	answers   []Answer
}

// refused is which commands the reader does not know.
type refused struct{ led, buz, abort bool }

// About is what a reader says of itself.
type About struct {
	Identity     PDID
	Capabilities []Capability // with a key: said under the secure channel
}

// Input is what can happen to a Link.
type Input interface{ input() }

type (
	// Turn: the bus is free for one command. Shared tells that others wait
	// meanwhile. Nonce is fresh and random
	// whenever NeedsNonce says so.
	Turn struct {
		Shared bool
		Nonce  [8]byte
	}
	// Heard: a frame came after a Send.
	Heard struct{ Frame Frame }
	// Silent: the window passed without the awaited answer; Noise is how many
	// runs of damaged bytes came instead.
	Silent struct{ Noise uint64 }
	// Lost: the port is gone.
	Lost struct{ Err error }
	// Show: the person at the reader is to be told something.
	Show struct{ Signal drivers.Signal }
	// Match: compare the next finger with the template at Slot.
	Match struct{ Slot uint16 }
	// Ask: send this command once and tell the answer. One at a time.
	Ask struct {
		ID      uint64
		Command Command
	}
	// Forget: nobody waits for the answer to this Ask, or for the end of
	// commissioning, any more.
	Forget struct{ ID uint64 }
	// Install: begin commissioning.
	Install struct {
		ID    uint64
		Key   Key
		Until time.Duration
	}
)

func (Turn) input()    {}
func (Heard) input()   {}
func (Silent) input()  {}
func (Lost) input()    {}
func (Show) input()    {}
func (Match) input()   {}
func (Ask) input()     {}
func (Forget) input()  {}
func (Install) input() {}

// Effects is what a step asks of the bus.
type Effects struct {
	Send     []byte            // transmit this, then listen
	Sent     Command           // the same, to be told in words
	Window   time.Duration     // for so long after its last bit, for the first byte
	Listen   bool              // the frame was not the answer: go on listening
	Reply    Reply             // what the frame said, when it was the answer
	Note     string            // why a frame was not taken
	Readings []drivers.Reading // for the sink, without At
	Answers  []Answer          // for those who asked
	Changed  bool              // Health has changed
}

// Answer is the end of an Ask or an Install.
type Answer struct {
	ID    uint64
	Reply Reply
	Err   error
}

// NewLink makes the link to one reader; poll and rest are the times between two
// polls while people are about and when nobody is.
func NewLink(r ReaderConfig, poll, rest time.Duration) Link {
	return Link{cfg: r, poll: poll, rest: rest, health: drivers.Health{Reader: r.Reader}}
}

// Due is when the link next wants the bus.
func (l Link) Due() time.Duration { return l.due }

// Alive tells that the reader answers; a link that is not alive only probes.
func (l Link) Alive() bool { return l.alive }

// NeedsNonce tells that the next Turn begins a handshake.
func (l Link) NeedsNonce() bool { return l.phase == challenge && l.pending == nil }

// Health is the reader's state.
func (l Link) Health() drivers.Health { return l.health }

// Step lets one input happen at the time now.
func (l Link) Step(in Input, now time.Duration) (Link, Effects) {
	var e Effects
	before := l.health
	l.expire(now)
	switch in := in.(type) {
	case Turn:
		l.turn(in, now, &e)
	case Heard:
		l.heard(in.Frame, now, &e)
	case Silent:
		l.silent(in, now)
	case Lost:
		l.giveUp(fmt.Sprintf("port lost: %v", in.Err), now)
		l.due = now
	case Show:
		l.show(in.Signal, now)
	case Match:
		l.matchWith(in.Slot, now)
	case Ask:
		l.askFor(in, now)
	case Forget:
		l.forget(in.ID, now)
	case Install:
		l.beginInstall(in, now)
	}
	if keys := l.typing.Expire(now); !keys.IsZero() {
		e.Readings = append(e.Readings, l.typed(keys))
	}
	l.health.Tamper = l.caseOpen || l.headsOpen
	e.Answers, l.answers = l.answers, nil
	before.Frames = l.health.Frames // rises with every poll and is no change
	e.Changed = l.health != before
	return l, e
}

func (l *Link) turn(in Turn, now time.Duration, e *Effects) {
	if now-l.valid >= forgetAfter && !l.alive && l.phase != identify {
		l.restart(now) // by now the reader has forgotten us too
	}
	for l.pending == nil {
		l.begin(l.next(in.Nonce), now)
	}
	if l.tries > 0 && l.alive {
		l.health.Retries++
	}
	l.tries++
	l.sent = now
	e.Send, e.Sent, e.Window = l.pending, l.command, replyDelay
	if !l.alive {
		if in.Shared && l.probes%fullProbe != 1 {
			e.Window = probeWindow
		}
		l.probes++
	}
}

// next chooses the command for a free turn. In the phase prove there is none:
// SCRYPT is pending from its beginning.
func (l *Link) next(nonce [8]byte) Command {
	switch l.phase {
	case identify:
		return ID{}
	case challenge:
		key, _ := l.trial()
		l.session = channel.Begin(*key, nonce)
		return Chlng{nonce}
	case install:
		return KeySet{l.installed.Key}
	case capabilities:
		return Cap{}
	case status:
		return LStat{}
	}
	switch {
	case l.wantLED:
		l.wantLED = false
		return lampOf(l.signal)
	case l.wantBuz:
		l.wantBuz = false
		return soundOf(l.signal)
	case l.ask != nil:
		l.asking = true
		return l.ask.Command
	}
	if c := l.nextMatch(); c != nil {
		return c
	}
	return Poll{}
}

// begin makes c the pending command. One that fits no frame, or not into the
// reader, is answered at once and nothing is pending.
func (l *Link) begin(c Command, now time.Duration) {
	b, err := l.frame(c)
	if err == nil && l.longest > 0 && len(b) > l.longest && l.asking {
		err = fmt.Errorf("%w: %d > %d", ErrTooLong, len(b), l.longest)
	}
	if err != nil && l.asking {
		l.answer(nil, err)
		return
	}
	// Commands of our own are short and their flags agree, so frame cannot fail.
	l.pending, l.command = b, c
	l.tries, l.since, l.busy = 0, now, 0
}

// silent: tried again at once, then with pauses until the reader counts as gone.
func (l *Link) silent(in Silent, now time.Duration) {
	l.health.Noise += in.Noise
	why := "no answer"
	if in.Noise > 0 {
		why = "damaged answer"
	}
	if l.alive {
		l.health.Detail = why
	}
	if l.alive && now-l.since >= goneAfter {
		l.gone(fmt.Sprintf("%s for %v", why, goneAfter))
	}
	if !l.alive {
		if l.phase == identify {
			l.pending = nil
		}
		l.due = max(l.sent+slowRetry, l.due)
		return
	}
	l.due = now
	if l.tries >= quickTries {
		l.due = now + retryPause
	}
}

// gone tells that the reader is offline; the conversation is kept for a reader
// that was away for a moment only.
func (l *Link) gone(why string) {
	l.alive, l.probes = false, 0
	l.health.Online, l.health.Secure, l.health.Detail = false, false, why
	if l.ask != nil {
		l.answer(nil, ErrOffline)
	}
}

// giveUp takes the reader for absent; the next turn probes it anew.
func (l *Link) giveUp(why string, now time.Duration) {
	l.restart(now)
	l.gone(why)
}

// restart begins the conversation again with sequence 0. A session ends with it.
func (l *Link) restart(now time.Duration) {
	if l.asking {
		l.answer(nil, ErrUnsure)
	}
	l.phase, l.seq, l.pending, l.tries, l.due = identify, 0, nil, 0, now
	l.secured, l.session, l.health.Secure = false, channel.Session{}, false
	l.match.interrupt()
}

func (l *Link) show(s drivers.Signal, now time.Duration) {
	l.signal = s
	l.wantLED = l.can(codeLED)
	l.wantBuz = l.can(codeBuz) && (s == drivers.SignalGranted || s == drivers.SignalDenied)
	if s != drivers.SignalAskMore {
		l.match.end()
	}
	l.hasten(now)
}

// hasten asks for a turn now, if the conversation is in a state to use it.
func (l *Link) hasten(now time.Duration) {
	if l.phase == polling {
		l.hot = now + hotFor
		if l.pending == nil {
			l.due = min(l.due, now)
		}
	}
}

// can tells that the reader takes the command: PDCAP does not say that it lacks
// the function, and it has not refused the command before.
func (l *Link) can(code byte) bool {
	if l.lacking&(1<<needs[code]) != 0 {
		return false
	}
	return !(code == codeLED && l.refused.led || code == codeBuz && l.refused.buz)
}
