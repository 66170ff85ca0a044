package pn532

import (
	"errors"
	"fmt"
	"time"

	"sekimori/drivers"
)

// errAnswer is an answer that is well framed and makes no sense.
var errAnswer = errors.New("an answer that makes no sense")

// Times of the talk. The chip acknowledges within 15 ms (UM0701-02 §6.2.2); USB
// adapters add 16 ms to each direction.
const (
	ackWindow      = 100 * time.Millisecond
	answerWindow   = 300 * time.Millisecond
	exchangeWindow = time.Second            // a card may ask for more time to compute
	wakeEvery      = 300 * time.Millisecond // while the module is silent
	wrongChipLook  = time.Second            // while something else answers
	settle         = 30 * time.Millisecond  // after a repetition: what comes twice comes now
	fieldRest      = 10 * time.Millisecond  // without field, after which each card starts anew; at least 5 ms (ISO 14443-3 §5.2)

	maxTries = 3 // of one command
	// stumblesAllowed is how often the chip may be woken and set up again
	// without one successful look for cards before it counts as offline.
	stumblesAllowed = 1
)

// act is a command by its place in the conversation.
type act uint8

const (
	actWake act = iota // and SAMConfiguration
	actFirmware
	actRetries
	actList
	actRelease
	actFieldOff
	actSelect
	actFirst
	actSecond
	actUID
)

func (a act) String() string {
	return [...]string{"wake-up", "GetFirmwareVersion", "RFConfiguration", "InListPassiveTarget", "InRelease",
		"field off", "application selection", "authentication", "challenge", "GetCardUID"}[a]
}

// once tells whether the card would act twice on a command sent again.
func (a act) once() bool { return a >= actSelect }

// exchange is one command under way: sent, acknowledged, answered.
//
//	idle ── Send ─▶ sent ── ACK ─▶ acknowledged ── answer ─▶ idle
//	                 │ ▲                │ ▲
//	          late ──┴─┘ again          │ └── damaged: NACK
//	                                    └── late: ACK (stop), and again
type exchange struct {
	open    bool
	command []byte // code and parameters
	act     act
	acked   bool
	tries   int
	due     time.Duration
}

// Link is the conversation with one module. It is a value: Step returns the next
// one and touches no port, clock or random source.
type Link struct {
	cfg      Config
	next     act // what to send when due
	due      time.Duration
	ex       exchange
	listen   int  // index of the technology to look for next
	stale    bool // a card may be active that nobody has heard of
	stumbles int
	card     held
	about    Firmware
	health   drivers.Health
}

// NewLink is a conversation that has not begun.
func NewLink(cfg Config) Link {
	return Link{cfg: cfg.withDefaults(), health: drivers.Health{Reader: cfg.Reader, Detail: "not yet opened"}}
}

// Input is what happens to a link.
type Input interface{ input() }

// Opened is a port that has just been opened.
type Opened struct{}

// Lost is a port that failed or could not be opened.
type Lost struct{ Err error }

// Heard is a frame from the line.
type Heard struct{ Frame Frame }

// Garbled is bytes from the line that are no frame, counted as occasions.
type Garbled struct{ Noise uint64 }

// Tick is the time Due having come. Random is fresh: with it a card is challenged.
type Tick struct{ Random [16]byte }

func (Opened) input()  {}
func (Lost) input()    {}
func (Heard) input()   {}
func (Garbled) input() {}
func (Tick) input()    {}

// Effects is what Step wants done, in this order.
type Effects struct {
	Readings []drivers.Reading // At is the caller's to fill in
	Send     []byte
	Changed  bool // Health or About is new
}

// Due is when the link needs a Tick.
func (l Link) Due() time.Duration {
	if l.ex.open {
		return l.ex.due
	}
	return l.due
}

// Health is the state of the module now.
func (l Link) Health() drivers.Health { return l.health }

// About is what the chip said of itself; zero until it has.
func (l Link) About() Firmware { return l.about }

// Step lets one input happen at time now, which never goes back.
func (l Link) Step(in Input, now time.Duration) (Link, Effects) {
	before, about := l.health, l.about
	var e Effects
	switch in := in.(type) {
	case Opened:
		l.ex, l.next, l.due = exchange{}, actWake, now
	case Lost:
		l.ex, l.next, l.due = exchange{}, actWake, now+wakeEvery
		l.offline(fmt.Sprintf("port lost: %v", in.Err))
	case Garbled:
		l.health.Noise += in.Noise
		l.health.Detail = "damaged bytes from the module"
		l.askAgain(&e)
	case Heard:
		l.hear(&e, in.Frame, now)
	case Tick:
		switch {
		case now < l.Due():
		case l.ex.open:
			l.late(&e, now)
		default:
			l.begin(&e, in.Random, now)
		}
	}
	e.Changed = l.health != before || l.about != about
	return l, e
}

// offline loses the module. A presentation that has not been told ends with it:
// told when the module is back, it would open a door for nobody. A card that was
// told stays known, so that one left lying there is not read again.
func (l *Link) offline(why string) {
	l.health.Online, l.health.Detail = false, why
	if !l.card.told {
		l.card = held{}
	}
}

// begin sends the next command.
func (l *Link) begin(e *Effects, random [16]byte, now time.Duration) {
	command, err := l.command(random)
	if err != nil {
		l.unproven(e, now) // the card's answer was no challenge
		return
	}
	l.ex = exchange{open: true, command: command, act: l.next}
	l.send(e, now)
}

func (l *Link) command(random [16]byte) ([]byte, error) {
	switch l.next {
	case actWake:
		return samNormal, nil
	case actFirmware:
		return firmware, nil
	case actRetries:
		return askOnce, nil
	case actList:
		return l.cfg.Listen[l.listen].list(), nil
	case actRelease:
		return release, nil
	case actFieldOff:
		return rfOff, nil
	}
	b, err := l.card.command(l.cfg.Proof, l.next, random)
	return apdu(b), err
}

// send puts the command under way on the line, for the first time or again.
func (l *Link) send(e *Effects, now time.Duration) {
	l.ex.acked, l.ex.due = false, now+ackWindow
	if l.ex.act == actWake {
		e.Send = append(e.Send, wake...)
	}
	e.Send = Append(e.Send, Frame{TFI: tfiToChip, Data: l.ex.command})
}

// hear takes a frame. Only an answer behind its own ACK is believed: one that
// comes before it belongs to an earlier command.
func (l *Link) hear(e *Effects, f Frame, now time.Duration) {
	l.health.Frames++
	switch {
	case !l.ex.open:
		l.health.Noise++
	case f.Kind == KindACK && !l.ex.acked:
		l.ex.acked, l.ex.due = true, now+l.window()
	case f.Kind == KindNACK && !l.ex.acked, f.IsError():
		l.late(e, now)
	case l.ex.acked && f.Kind == KindInfo && f.TFI == tfiFromChip && len(f.Data) > 0 && f.Data[0] == l.ex.command[0]+1:
		done, repeated := l.ex, l.ex.tries > 0
		l.ex = exchange{}
		l.answered(e, done.act, f.Data[1:], now)
		if repeated {
			l.due = max(l.due, now+settle)
		}
	default:
		l.health.Noise++
	}
}

// askAgain has the chip repeat an answer that came damaged. Whoever babbles is
// asked a few times only; then the time runs out.
func (l *Link) askAgain(e *Effects) {
	if l.ex.open && l.ex.acked && l.ex.tries < maxTries-1 {
		l.ex.tries++
		l.health.Retries++
		e.Send = Append(e.Send, Frame{Kind: KindNACK})
	}
}

func (l *Link) window() time.Duration {
	if l.ex.act.once() {
		return exchangeWindow
	}
	return answerWindow
}

// late is a command that was not acknowledged, answered or understood.
func (l *Link) late(e *Effects, now time.Duration) {
	l.ex.tries++
	l.health.Retries++
	l.stale = l.stale || l.ex.act == actList
	if l.ex.act.once() || l.ex.tries >= maxTries {
		failed := l.ex
		l.ex = exchange{}
		l.failed(e, failed, now)
		return
	}
	// An ACK from the host stops whatever the chip is still doing.
	e.Send = Append(e.Send, Frame{Kind: KindACK})
	l.send(e, now)
}

// failed is a command that no repetition helped.
func (l *Link) failed(e *Effects, x exchange, now time.Duration) {
	why := fmt.Sprintf("no answer to %s", x.act)
	switch {
	case x.act.once():
		e.Send = Append(e.Send, Frame{Kind: KindACK})
		l.health.Detail = why
		l.torn(e, now)
	case x.act == actWake:
		l.offline(why)
		l.next, l.due = actWake, now+wakeEvery
	default:
		l.stumbles++
		l.health.Detail = why
		if l.stumbles > stumblesAllowed {
			l.offline(why)
		}
		l.next, l.due = actWake, now+settle
	}
}

// answered takes the answer to a command, behind its code.
func (l *Link) answered(e *Effects, a act, data []byte, now time.Duration) {
	switch a {
	case actWake:
		l.then(actFirmware, now)
	case actFirmware:
		l.identify(data, now)
	case actRetries:
		l.then(actFieldOff, now)
	case actList:
		l.listed(e, data, now)
	case actRelease:
		l.then(actFieldOff, now)
	case actFieldOff:
		l.listen, l.stale = 0, false
		l.then(actList, now+fieldRest)
	default:
		l.cardSaid(e, a, data, now)
	}
}

func (l *Link) then(a act, due time.Duration) { l.next, l.due = a, due }

func (l *Link) identify(data []byte, now time.Duration) {
	about, err := parseFirmware(data)
	if err == nil && !about.IsPN532() {
		err = fmt.Errorf("the chip is not a PN532: %s", about)
	}
	if err != nil {
		l.offline(err.Error())
		l.then(actWake, now+wrongChipLook)
		return
	}
	l.about = about
	l.then(actRetries, now)
}
