package osdp

import (
	"fmt"
	"time"

	"sekimori/drivers"
)

// Times of a link. Sources: the specification's clause 5.7 (200 ms to answer,
// offline after 8 s); the others are ours.
const (
	replyDelay   = 200 * time.Millisecond
	offlineAfter = 8 * time.Second
	quickTries   = 3                      // sent so often at once, then once per slowRetry
	slowRetry    = time.Second            // also between probes of an absent reader
	probeWindow  = 40 * time.Millisecond  // for most probes on a bus with others on it
	fullProbe    = 8                      // every so many probes gets the full replyDelay
	busyWait     = 50 * time.Millisecond  // before a busy reader is asked again
	fastFor      = 250 * time.Millisecond // polls follow at once after an event
	warmFor      = time.Minute            // people come in groups
	restFactor   = 5                      // at rest, half-paces between polls
)

// phase is how far the conversation has come.
type phase uint8

const (
	identify     phase = iota // ID with sequence 0, which is also the probe
	capabilities              // CAP
	status                    // LSTAT
	polling                   // POLL, and LED and BUZ when asked for
)

// Link is the controller's side of the conversation with one address, as a
// value: Step takes an input and returns the next Link and what to do. It
// touches no clock, port or goroutine, and never changes a slice it holds, so
// an older value stays good.
//
//	            PDID               PDCAP            LSTATR
//	identify ────────▶ capabilities ─────▶ status ────────▶ polling ─┐
//	   ▲  ▲                                                  ▲  └──────┘ ACK, RAW,
//	   │  └── NAK 4: restart, still online ──────────────────┤           KEYPAD…
//	   └───── 8 s without a valid answer, port lost ─────────┘
//
// Sequence numbers: 0 for the first command, then 1, 2, 3, 1… A command that
// was not answered is sent again with the same bytes; an answer with another
// number is a late duplicate and skipped.
type Link struct {
	addr byte
	ctrl byte // flags of commands, without the sequence
	mark bool
	pace time.Duration

	phase     phase
	alive     bool // answered since it was last given up
	seq       byte
	pending   []byte // the command not yet answered
	code      byte   // its code
	tries     int    // how often it was sent
	probes    int
	due       time.Duration // next wants the bus
	sent      time.Duration // the last command began
	valid     time.Duration // the last valid answer
	fast      time.Duration // poll without pause until then
	warm      time.Duration // poll every pace until then, half as often later
	restarted time.Duration

	signal  drivers.Signal
	wantLED bool
	wantBuz bool
	refused refused
	typing  drivers.Typing
	about   About
	health  drivers.Health
}

// refused is which commands the reader does not know.
type refused struct{ led, buz bool }

// About is what a reader says of itself.
type About struct {
	Identity     PDID
	Capabilities []Capability
}

// Input is what can happen to a Link.
type Input interface{ input() }

type (
	// Turn: the bus is free for one command. Shared tells that other readers
	// of the bus are online and wait meanwhile.
	Turn struct{ Shared bool }
	// Heard: a frame came after a Send.
	Heard struct{ Frame Frame }
	// Silent: the window passed without the awaited answer; Noise is how many
	// runs of damaged bytes came instead.
	Silent struct{ Noise uint64 }
	// Lost: the port is gone.
	Lost struct{ Err error }
	// Show: the person at the reader is to be told something.
	Show struct{ Signal drivers.Signal }
)

func (Turn) input()   {}
func (Heard) input()  {}
func (Silent) input() {}
func (Lost) input()   {}
func (Show) input()   {}

// Effects is what a step asks of the bus.
type Effects struct {
	Send     []byte            // transmit this, then listen
	Window   time.Duration     // for so long after its last bit, for the first byte
	Listen   bool              // the frame was not the answer: go on listening
	Readings []drivers.Reading // for the sink, without At
	Changed  bool              // Health has changed
}

// NewLink makes the link to one reader; pace is the time between two polls of
// an idle reader.
func NewLink(r ReaderConfig, pace time.Duration) Link {
	l := Link{addr: r.Address, mark: !r.NoMark, pace: pace, health: drivers.Health{Reader: r.Reader}}
	if !r.Checksum {
		l.ctrl = ctrlCRC
	}
	return l
}

// Due is when the link next wants the bus.
func (l Link) Due() time.Duration { return l.due }

// Alive tells that the reader answers; a link that is not alive only probes.
func (l Link) Alive() bool { return l.alive }

// Health is the reader's state.
func (l Link) Health() drivers.Health { return l.health }

// Step lets one input happen at the time now.
func (l Link) Step(in Input, now time.Duration) (Link, Effects) {
	var e Effects
	before := l.health
	switch in := in.(type) {
	case Turn:
		l.turn(in, now, &e)
	case Heard:
		l.heard(in.Frame, now, &e)
	case Silent:
		l.silent(in, now)
	case Lost:
		l.giveUp(fmt.Sprintf("port lost: %v", in.Err), now)
	case Show:
		l.show(in.Signal, now)
	}
	if keys := l.typing.Expire(now); !keys.IsZero() {
		e.Readings = append(e.Readings, l.typed(keys))
	}
	before.Frames = l.health.Frames // rises with every poll and is no change
	e.Changed = l.health != before
	return l, e
}

func (l *Link) turn(in Turn, now time.Duration, e *Effects) {
	if l.alive && now-l.valid >= offlineAfter {
		l.giveUp("no valid answer for 8 s", now)
	}
	if l.pending == nil {
		l.begin(l.next())
	} else {
		l.health.Retries++
	}
	l.tries++
	l.sent = now
	e.Send, e.Window = l.pending, replyDelay
	if !l.alive {
		if in.Shared && l.probes%fullProbe != 0 {
			e.Window = probeWindow
		}
		l.probes++
	}
}

// next chooses the command for a free turn.
func (l *Link) next() Command {
	switch l.phase {
	case identify:
		return ID{}
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
	}
	return Poll{}
}

func (l *Link) begin(c Command) {
	f := Frame{Mark: l.mark, Addr: l.addr, Ctrl: l.ctrl | l.seq, Code: c.Code(), Data: c.appendData(nil)}
	// Our commands are short and their flags agree, so Append cannot fail.
	l.pending, _ = f.Append(make([]byte, 0, 32))
	l.code, l.tries = c.Code(), 0
}

// silent: three tries at once, then one a second until the reader is given up.
func (l *Link) silent(in Silent, now time.Duration) {
	l.health.Noise += in.Noise
	if in.Noise > 0 {
		l.health.Detail = "damaged answer"
	}
	if !l.alive {
		l.pending, l.due = nil, l.sent+slowRetry
		return
	}
	if in.Noise == 0 {
		l.health.Detail = "no answer"
	}
	l.due = now
	if l.tries >= quickTries {
		l.due = min(now+slowRetry, l.valid+offlineAfter)
	}
}

// giveUp takes the reader for absent; the next turn probes it.
func (l *Link) giveUp(why string, now time.Duration) {
	l.restart(now)
	l.alive, l.probes = false, 0
	l.health.Online, l.health.Detail = false, why
}

// restart begins the conversation again with sequence 0.
func (l *Link) restart(now time.Duration) {
	l.phase, l.seq, l.pending, l.tries, l.due = identify, 0, nil, 0, now
}

func (l *Link) show(s drivers.Signal, now time.Duration) {
	l.signal = s
	l.wantLED = !l.refused.led
	l.wantBuz = !l.refused.buz && (s == drivers.SignalGranted || s == drivers.SignalDenied)
	if l.phase == polling && l.pending == nil {
		l.due = min(l.due, now)
	}
}
