package fingerprint

import (
	"fmt"
	"time"

	"sekimori/drivers"
)

const (
	maxTries   = 3                      // of one command
	absentWait = 500 * time.Millisecond // between looks for an absent module
	refuseWait = 5 * time.Second        // before the same password is offered again
	againWait  = 100 * time.Millisecond // after silence: a module that starts up needs 200 ms
	proveEvery = 30 * time.Second       // the password is verified again, for modules that forget it silently
	strayEvery = time.Second            // the same after noise: a noisy wire must not keep the module from looking for fingers
)

// phase is how far the link has come.
//
//	verifying ── VfyPwd ok ──▶ reading ── parameters ──▶ talking ◀── next.then ──┐
//	 ▲  │ wrong password        ▲   │ other level         │ │ └──── next.ask ─────┘
//	 │  └─ Refused, 5 s         └ levelling               │ │ silence: in doubt,
//	 └──────────── NeedPassword · the port ◀──────────────┘ ▼ next is kept
//	                               talking ◀── VfyPwd ok ── verifying ◀── parameters ── reading
//
// ReadSysPara is in the way on purpose. Its answer is longer than any other and a
// module answers in order, so once it is heard no late answer of before can be
// taken for a timely one: that of a forgotten search for that of a deletion. In
// doubt it comes first, because a module that was reset then says that it wants
// its password, where VfyPwd would hide that its buffers are empty.
type phase uint8

const (
	verifying phase = iota
	reading
	levelling
	talking
)

// link is the conversation with one module as a pure state machine: step takes
// what happened and returns what to do.
type link struct {
	cfg    Config
	health drivers.Health
	about  Parameters

	phase   phase
	tries   int  // of this phase's command
	doubt   bool // the module was silent to next.ask and is being proven
	sick    bool // it answers, but not to what it is for: offline until it does
	settled bool // an attempt to open has ended, so acts know where they stand
	level   bool // the security level was set since the module came back

	next   move
	asked  int   // how often next.ask was sent
	acting *task // next belongs to it
	kept   move  // what the act came between
	posed  bool  // the act has asked for a finger, and whether that was lifted is not known

	due    time.Duration   // ask no sooner
	proven time.Duration   // when the password was verified last
	stray  bool            // something came unasked: a module that starts up says so, an exchanged one too
	signal *drivers.Signal // to be shown
	shown  *drivers.Signal // the last one asked for
	dark   bool            // the module has no ring
}

// The inputs of step.
type (
	input any
	turn  struct{}                // it is due: ask
	heard struct{ packet Packet } // something came
	quiet struct{}                // the window has passed without the answer
	noisy struct{ runs uint64 }   // bytes that were no packet
	gone  struct{ err error }     // the port failed
	show  struct{ signal drivers.Signal }
	begin struct{ task task } // canBegin said yes
	leave struct{ err error } // the act's caller has gone away
)

// effects are what step wants done.
type effects struct {
	send   []byte
	window time.Duration
	listen bool // that was not the answer: go on listening
	finger drivers.Finger
	step   Step
	ended  *outcome // of the act
}

func newLink(cfg Config) link {
	return link{cfg: cfg, health: drivers.Health{Reader: cfg.Reader}, next: watch(facts{})}
}

func (l link) step(in input, now time.Duration) (link, effects) {
	switch in := in.(type) {
	case turn:
		return l.turn(now)
	case heard:
		return l.heard(in.packet, now)
	case quiet:
		return l.quiet(now)
	case noisy:
		l.health.Noise += in.runs
		l.stray = true
	case gone:
		return l.offline(in.err.Error(), now, 0)
	case show:
		l.signal, l.shown = &in.signal, &in.signal
	case begin:
		return l.begin(in.task, now)
	case leave:
		if l.acting != nil && l.phase == talking && l.next.waits {
			return l.finish(outcome{err: in.err}, effects{}, now)
		}
	}
	return l, effects{}
}

// command is what is asked in this phase.
func (l link) command() Command {
	switch l.phase {
	case verifying:
		if l.cfg.Password == nil {
			return VerifyPassword(factory)
		}
		return VerifyPassword(*l.cfg.Password)
	case reading:
		return ReadParameters()
	case levelling:
		return SetSecurityLevel(l.cfg.SecurityLevel)
	}
	return l.next.ask
}

func (l link) turn(now time.Duration) (link, effects) {
	if l.phase == talking {
		if l.next.rest && l.acting == nil {
			l = l.between(now)
		}
		l.asked++
	}
	c := l.command()
	return l, effects{send: c.Packet(l.cfg.Address).Append(nil), window: c.Window()}
}

// between puts what is due between two touches before the next look.
func (l link) between(now time.Duration) link {
	kept := l.next
	switch {
	case now-l.proven >= proveEvery, l.stray && now-l.proven >= strayEvery:
		l.proven, l.stray = now, false
		l.next = move{ask: l.verify(), lift: kept.lift, then: func(r reply, _ time.Duration) move {
			if !r.is(OK) {
				return move{lost: "the module does not verify its password"}
			}
			return kept
		}}
	case l.signal != nil && !l.dark:
		light := AuraLED(lights[*l.signal])
		l.next = move{ask: light, mode: once, lift: kept.lift, then: func(r reply, _ time.Duration) move {
			kept.dark = !r.is(OK)
			return kept
		}}
		l.signal = nil
	default:
		return l
	}
	l.asked = 0
	return l
}

func (l link) verify() Command {
	l.phase = verifying
	return l.command()
}

func (l link) heard(p Packet, now time.Duration) (link, effects) {
	a, err := ParseAnswer(l.command(), p)
	if err == nil && p.Address != l.cfg.Address {
		err = fmt.Errorf("an answer of address %08x", p.Address)
	}
	if err != nil {
		l.health.Noise++
		l.health.Detail = err.Error()
		return l, effects{listen: true}
	}
	l.health.Frames++
	switch {
	case l.phase == verifying:
		return l.verified(a, now)
	case l.phase == reading:
		return l.read(a, now)
	case l.phase == levelling:
		l.phase, l.tries, l.level = reading, 0, true
		return l, effects{}
	case l.next.mode == bare:
	case a.Code == WrongPassword, a.Code == NeedPassword:
		return l.interrupted(now)
	case a.Code == BadPacket && l.next.mode == steady && l.asked < maxTries:
		l.health.Retries++
		return l, effects{}
	}
	if l.sick {
		l.sick, l.health.Online, l.health.Detail = false, true, ""
	}
	return l.enter(l.next.then(reply{Answer: a}, now), now)
}

// enter makes m the next move and tells its news.
func (l link) enter(m move, now time.Duration) (link, effects) {
	e := effects{finger: m.finger, step: m.step}
	if m.retry {
		l.health.Retries++
	}
	if m.noise != "" {
		l.health.Noise++
		l.health.Detail = m.noise
	}
	l.dark = l.dark || m.dark
	switch {
	case m.lost != "":
		l.sick = true
		return l.offline(m.lost, now, absentWait)
	case m.end != nil:
		return l.finish(*m.end, e, now)
	}
	m.news = news{}
	l.posed = l.posed || m.pose
	l.next, l.asked, l.due = m, 0, now+m.after
	return l, e
}

// finish ends the act. A finger that was enrolled is still there: it must not
// open the door.
func (l link) finish(o outcome, e effects, now time.Duration) (link, effects) {
	e.ended = &o
	bind := l.acting.bind
	l.acting = nil
	l.next = l.kept
	if l.posed {
		l.next = awaitLift(facts{capacity: l.about.Capacity})
	}
	l.posed, l.asked, l.due = false, 0, now
	if bind != nil {
		if o.err == nil {
			l.cfg.Password = bind
		}
		l.phase, l.tries, l.settled, l.level = verifying, 0, false, false
	}
	return l, e
}

// canBegin tells whether t's turn has come, or why it never will.
func (l link) canBegin(t task) (now bool, never error) {
	switch {
	case l.acting != nil || !l.settled || l.doubt:
		return false, nil
	case !l.health.Online:
		return false, ErrOffline
	case l.phase == talking:
		return l.next.rest, nil
	case t.bind == nil && l.health.Refused:
		return false, ErrRefused
	}
	return l.health.Refused, nil
}

func (l link) begin(t task, now time.Duration) (link, effects) {
	l.acting, l.phase, l.tries = &t, talking, 0
	l.kept, l.posed = l.next, false
	return l.enter(t.begin(facts{capacity: l.about.Capacity}), now)
}
