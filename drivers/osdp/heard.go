package osdp

import (
	"fmt"
	"time"

	"sekimori/drivers"
)

// heard judges one frame that came while an answer was awaited.
func (l *Link) heard(f Frame, now time.Duration, e *Effects) {
	if !f.Reply || f.Addr != l.cfg.Address || l.pending == nil {
		e.Listen = true // our own echo, or a late answer of another reader
		return
	}
	if !f.Secure() && f.Code == codeBusy && f.Seq() == 0 {
		e.Reply = Busy{}
		l.saidBusy(now)
		return
	}
	if !f.Secure() && f.Code == codeNAK && len(f.Data) > 0 && f.Data[0] == NakSequence {
		e.Reply = Nak{NakSequence}
		l.lostStep("the reader lost the sequence", now)
		return
	}
	if f.Seq() != l.seq {
		e.Listen, e.Note = true, "遅れて届いた応答 · late duplicate"
		return
	}
	f, verdict := l.judge(f)
	switch verdict {
	case skip:
		l.reject("an answer that does not fit the state of the secure channel")
		e.Listen, e.Note = true, l.health.Detail
		return
	case forged:
		l.forgery(f, now)
		e.Note = l.health.Detail
		return
	}
	r, err := ParseReply(f.Code, f.Data)
	if err != nil {
		l.reject(err.Error())
		e.Note = err.Error()
		if f.Secure() && l.secured {
			l.advance(now) // authentic nonsense is an answer; asking again brings the same
			return
		}
		e.Listen = true
		return
	}
	e.Reply = r
	l.valid = now
	l.health.Frames++
	l.take(r, f.Secure(), now, e)
}

func (l *Link) reject(why string) {
	l.health.Noise++
	l.health.Detail = why
}

// saidBusy: the reader is well and wants to be asked again. One that says
// nothing else for 8 s is begun anew.
func (l *Link) saidBusy(now time.Duration) {
	l.health.Frames++
	if l.busy == 0 {
		l.busy = now
	}
	if now-l.busy >= forgetAfter {
		l.lostStep("the reader says BUSY and nothing else", now)
		return
	}
	l.alive, l.valid, l.since, l.due, l.tries = true, now, now, now+busyWait, 0
}

// lostStep: the reader is there, but the conversation is broken. It stays
// online over the restart; one that breaks it again at once must wait.
func (l *Link) lostStep(why string, now time.Duration) {
	l.health.Frames++
	l.health.Detail = why
	again := l.restarted != 0 && now-l.restarted < slowRetry
	l.restart(now)
	l.alive, l.valid = true, now
	if again {
		l.due = now + slowRetry
		l.health.Online = false
	}
	l.restarted = now
}

// take acts on the answer to the pending command.
func (l *Link) take(r Reply, secure bool, now time.Duration, e *Effects) {
	switch r := r.(type) {
	case Nak:
		l.refusal(r, secure, now)
		return
	case CCrypt:
		if l.phase == challenge {
			l.challenged(r, now)
			return
		}
	case RMacI:
		if l.phase == prove {
			l.proven(r, now)
			return
		}
	case PDID:
		l.about.Identity = r
	case PDCap:
		l.about.Capabilities = r.Functions
		l.learn(r)
	case LStatR:
		l.caseOpen, l.health.PowerFail = r.Tamper, r.PowerFail
	case RStatR:
		l.headsOpen = false
		for _, head := range r.Heads {
			l.headsOpen = l.headsOpen || head == 2
		}
	case Raw:
		if l.phase == polling {
			e.Readings = append(e.Readings, l.reading(drivers.Reading{Proof: drivers.ProofUIDOnly, Card: r.Card}))
		}
	case Keypad:
		if l.phase == polling {
			l.press(r.Keys.Typed(), now, e)
		}
	case BioMatchR:
		l.matched(r, e)
	}
	l.settleAct(r)
	if _, ack := r.(Ack); !ack && l.phase == polling {
		l.hot = now + hotFor
	}
	l.advance(now)
}

// settleAct ends what the pending command was for, when r is its answer.
func (l *Link) settleAct(r Reply) {
	if l.asking {
		l.answer(r, nil)
	}
	if _, abort := l.command.(Abort); abort {
		l.match.aborted()
	}
}

// refusal handles every NAK but that of the sequence. A clear NAK within a
// session is believed only so far as to begin anew.
func (l *Link) refusal(n Nak, secure bool, now time.Duration) {
	switch {
	case n.Reason == NakCheck:
		l.reject("the reader heard a damaged command")
		l.due = now
		if l.tries > quickTries {
			l.lostStep("the reader hears only damaged commands", now)
		}
		return
	case l.phase == challenge || l.phase == prove:
		l.noProof(fmt.Sprintf("the reader refuses the secure channel (%s)", nakWords[n.Reason]), now)
		return
	case l.phase == install:
		l.keyRefused(n, now)
		return
	case l.secured && !secure:
		l.markRefused(n)
		l.lostStep("the reader left the secure channel", now)
		return
	case n.Reason == NakNoSecure || n.Reason == NakSecure:
		if key, _ := l.trial(); key != nil && l.phase == identify {
			l.advance(now) // it will not even say who it is before the handshake
			return
		}
		l.giveUp("the reader demands a secure channel", now)
		l.due = now + slowRetry
		return
	}
	l.markRefused(n)
	switch l.command.(type) {
	case Poll, ID:
		l.lostStep(l.health.Detail, now)
		l.due = now + slowRetry
		return
	}
	l.advance(now)
}

// markRefused keeps in mind what the reader will not do.
func (l *Link) markRefused(n Nak) {
	code := l.command.Code()
	l.health.Detail = fmt.Sprintf("the reader refused command %02X (reason %d)", code, n.Reason)
	switch {
	case l.asking:
		l.answer(n, &RefusedError{Command: nameOf(code, false), Reason: n.Reason})
	case code == codeLED:
		l.refused.led, l.wantLED = true, false
	case code == codeBuz:
		l.refused.buz, l.wantBuz = true, false
	case code == codeBioMatch:
		l.match = match{}
	case code == codeAbort:
		l.refused.abort = true
	}
}

// learn keeps in mind what PDCAP says is absent: what it does not name, or names
// with compliance 0.
func (l *Link) learn(c PDCap) {
	l.lacking, l.longest = 0, 0
	for _, f := range needs {
		l.lacking |= 1 << f
	}
	for _, f := range c.Functions {
		if f.Compliance > 0 && f.Function < 32 {
			l.lacking &^= 1 << f.Function
		}
		if f.Function == FuncReceive {
			l.longest = int(f.Compliance) | int(f.Count)<<8
		}
	}
	l.wantLED = l.wantLED && l.can(codeLED)
	l.wantBuz = l.wantBuz && l.can(codeBuz)
}

// answered ends the exchange: the reader is there, and the next command has the
// next number.
func (l *Link) answered(now time.Duration) {
	l.pending, l.tries, l.busy, l.alive = nil, 0, 0, true
	l.valid, l.due = now, now
	l.seq++
	if l.seq > 3 {
		l.seq = 1
	}
}

// advance ends the exchange and makes the next step of the conversation.
func (l *Link) advance(now time.Duration) {
	if l.pending == nil {
		return // begun anew meanwhile
	}
	l.answered(now)
	switch l.phase {
	case identify:
		l.phase = capabilities
		if key, _ := l.trial(); key != nil {
			l.phase = challenge
		}
	case install:
		l.keyTaken(now)
	case capabilities:
		l.phase = status
	case status:
		l.phase = polling
		l.wantLED = l.can(codeLED) // its lamp may show anything
		l.hot = now + hotFor
	case polling:
		if !l.wantLED && !l.wantBuz && l.ask == nil && !l.match.wants(l.refused.abort) {
			l.due = max(now, l.sent+l.pace(now))
		}
	}
	if l.phase == polling {
		l.health.Online, l.health.Secure = true, l.secured
	}
}

// pace is the time between two polls.
func (l *Link) pace(now time.Duration) time.Duration {
	if now < l.hot {
		return l.poll
	}
	return l.rest
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
	return l.reading(drivers.Reading{Proof: drivers.ProofPIN, Keys: keys})
}

// reading fills in what every reading has.
func (l *Link) reading(r drivers.Reading) drivers.Reading {
	r.Reader, r.Authenticated = l.health.Reader, l.secured
	return r
}
