package osdp

import (
	"fmt"
	"time"

	"sekimori/drivers"
)

// heard judges one frame that came while an answer was awaited.
func (l *Link) heard(f Frame, now time.Duration, e *Effects) {
	if !f.Reply || f.Addr != l.addr || l.pending == nil {
		e.Listen = true // our own echo, or a late answer of another reader
		return
	}
	if f.Secure() {
		// Without a secure channel nobody may answer in one.
		l.reject("answer with a security block, but there is no secure channel")
		e.Listen = true
		return
	}
	r, err := ParseReply(f.Code, f.Data)
	if err != nil {
		l.reject(err.Error())
		e.Listen = true
		return
	}
	nak, isNak := r.(Nak)
	if isNak && nak.Reason == NakSequence {
		l.lostStep(now)
		return
	}
	if _, busy := r.(Busy); busy && f.Seq() == 0 {
		l.valid, l.due, l.tries = now, now+busyWait, 0
		l.health.Frames++
		return
	}
	if f.Seq() != l.seq {
		e.Listen = true // a late duplicate
		return
	}
	l.valid = now
	l.health.Frames++
	if isNak {
		l.refusal(nak, now)
		return
	}
	l.answered(r, now, e)
}

func (l *Link) reject(why string) {
	l.health.Noise++
	l.health.Detail = why
}

// lostStep: the reader expects another number. It is there and well, so it
// stays online over the restart; one that complains again at once must wait.
func (l *Link) lostStep(now time.Duration) {
	l.health.Frames++
	l.health.Detail = "the reader lost the sequence"
	again := l.restarted != 0 && now-l.restarted < slowRetry
	l.restart(now)
	if again {
		l.due = now + slowRetry
	}
	l.restarted = now
}

// refusal handles every other NAK.
func (l *Link) refusal(n Nak, now time.Duration) {
	switch n.Reason {
	case NakNoSecure, NakSecure:
		l.giveUp("the reader demands a secure channel", now)
		l.due = now + slowRetry
	case NakCheck:
		l.reject("the reader heard a damaged command")
		l.due = now
		if l.tries >= quickTries {
			l.lostStep(now)
		}
	default:
		l.health.Detail = fmt.Sprintf("the reader refused command %02X (reason %d)", l.code, n.Reason)
		switch l.code {
		case codeLED:
			l.refused.led, l.wantLED = true, false
		case codeBuz:
			l.refused.buz, l.wantBuz = true, false
		case codePoll, codeID:
			l.lostStep(now)
			l.due = now + slowRetry
			return
		}
		l.done(now)
	}
}

// done ends the exchange and makes the next step of the conversation.
func (l *Link) done(now time.Duration) {
	l.pending, l.tries, l.alive = nil, 0, true
	l.seq++
	if l.seq > 3 {
		l.seq = 1
	}
	switch l.phase {
	case identify, capabilities:
		l.phase++
		l.due = now
	case status:
		l.phase = polling
		l.health.Online = true
		l.due = now
		l.wantLED = !l.refused.led // its lamp may show anything
	case polling:
		l.due = now
		if now >= l.fast && !l.wantLED && !l.wantBuz {
			l.due = l.sent + l.rest(now)
		}
	}
}

// rest is the time between two polls that nothing hurries.
func (l *Link) rest(now time.Duration) time.Duration {
	if now < l.warm {
		return l.pace
	}
	return restFactor * l.pace / 2
}

// answered takes the answer to the pending command.
func (l *Link) answered(r Reply, now time.Duration, e *Effects) {
	switch r := r.(type) {
	case PDID:
		l.about.Identity = r
	case PDCap:
		l.about.Capabilities = r.Functions
	case LStatR:
		l.health.Tamper, l.health.PowerFail = r.Tamper, r.PowerFail
	case Raw:
		e.Readings = append(e.Readings, drivers.Reading{Reader: l.health.Reader, Proof: drivers.ProofUIDOnly, Card: r.Card})
	case Keypad:
		l.press(r.Keys.Typed(), now, e)
	}
	if _, ack := r.(Ack); !ack && l.phase == polling {
		l.fast, l.warm = now+fastFor, now+warmFor // a queue behind an event empties at full speed
	}
	l.done(now)
}

func (l *Link) press(keys string, now time.Duration, e *Effects) {
	for i := range len(keys) {
		entry, err := l.typing.Press(keys[i], now)
		if err != nil {
			l.reject(err.Error())
		}
		if !entry.IsZero() {
			e.Readings = append(e.Readings, l.typed(entry))
		}
	}
}

func (l *Link) typed(keys drivers.Keys) drivers.Reading {
	return drivers.Reading{Reader: l.health.Reader, Proof: drivers.ProofPIN, Keys: keys}
}

// shown is how long a lamp may show a signal without a new one, ×100 ms: the
// reader itself goes back to red when the controller has died.
const shown = 300

var steadyRed = Blink{On: 1, OnColor: Red, OffColor: Red}

func lampOf(s drivers.Signal) LED {
	switch s {
	case drivers.SignalGranted:
		return LED{Permanent: steadyRed, Temporary: &Blink{On: 1, OnColor: Green, OffColor: Green}, For: shown}
	case drivers.SignalDenied:
		return LED{Permanent: steadyRed, Temporary: &Blink{On: 2, Off: 2, OnColor: Red, OffColor: Black}, For: 15}
	case drivers.SignalAskMore:
		return LED{Permanent: steadyRed, Temporary: &Blink{On: 1, OnColor: Amber, OffColor: Amber}, For: shown}
	}
	return LED{Permanent: steadyRed}
}

func soundOf(s drivers.Signal) Buz {
	if s == drivers.SignalGranted {
		return Buz{On: 1, Off: 1, Count: 1}
	}
	return Buz{On: 10, Off: 1, Count: 1}
}
