package fingerprint

// The way of a link from verifying to talking, and back.

import (
	"fmt"
	"time"
)

func (l link) verified(a Answer, now time.Duration) (link, effects) {
	switch {
	case a.Code == OK && l.doubt:
		return l.opened(now)
	case a.Code == OK:
		l.phase = reading
		return l, effects{}
	case a.Code == WrongPassword:
		return l.refused(now)
	}
	return l.fault(fmt.Sprintf("the module answered VfyPwd with %q", a.Code), now)
}

func (l link) read(a Answer, now time.Duration) (link, effects) {
	switch {
	case l.doubt && (a.Code == WrongPassword || a.Code == NeedPassword):
		return l.interrupted(now)
	case a.Code == WrongPassword:
		return l.refused(now) // to VfyPwd: what was taken for its answer was an older one
	case a.Code != OK:
		return l.fault(fmt.Sprintf("the module answered ReadSysPara with %q", a.Code), now)
	}
	about, err := a.Parameters()
	if err != nil {
		return l.fault(err.Error(), now)
	}
	l.about = about
	if l.doubt {
		l.phase = verifying
		return l, effects{}
	}
	if want := uint16(l.cfg.SecurityLevel); want != 0 && want != about.SecurityLevel && !l.level {
		l.phase, l.tries = levelling, 0
		return l, effects{}
	}
	return l.opened(now)
}

// opened goes on with what was asked before a silence, or begins to watch.
func (l link) opened(now time.Duration) (link, effects) {
	l.health.Refused, l.health.Secure = false, l.cfg.Password != nil
	if !l.sick {
		l.health.Online, l.health.Detail = true, ""
	}
	if want := uint16(l.cfg.SecurityLevel); want != 0 && want != l.about.SecurityLevel {
		l.health.Detail = fmt.Sprintf("the module stays at security level %d, %d is wanted", l.about.SecurityLevel, want)
	}
	l.phase, l.tries, l.settled, l.proven, l.stray = talking, 0, true, now, false
	if !l.doubt {
		l.next, l.posed = l.afresh(), false
		l.signal = l.shown // a module that was without power shows its own colours
		return l, effects{}
	}
	l.doubt = false
	if l.next.mode == once || l.asked >= maxTries {
		return l.enter(l.next.then(reply{silent: true}, now), now)
	}
	l.health.Retries++
	return l, effects{}
}

// afresh is the watch from its beginning; a touch that was already told is
// waited out.
func (l link) afresh() move {
	m := watch(facts{capacity: l.about.Capacity})
	if l.next.lift || l.posed {
		m = awaitLift(facts{capacity: l.about.Capacity})
	}
	m.after = 0
	return m
}

func (l link) quiet(now time.Duration) (link, effects) {
	switch {
	case l.phase != talking:
		return l.fault("the module does not answer", now)
	case l.next.mode != bare:
		l.doubt, l.phase, l.tries, l.due = true, reading, 0, now
	case l.asked >= maxTries:
		return l.enter(l.next.then(reply{silent: true}, now), now)
	default:
		l.health.Retries++
		l.due = now + againWait
	}
	return l, effects{}
}

// fault is a failure on the way to talking: a module that was online is tried
// again at once, an absent one now and then.
func (l link) fault(detail string, now time.Duration) (link, effects) {
	l.tries++
	if l.health.Online && l.tries < maxTries {
		l.phase, l.due = verifying, now+againWait
		if l.doubt {
			l.phase = reading
		}
		l.health.Retries++
		return l, effects{}
	}
	return l.offline(detail, now, absentWait)
}

func (l link) offline(detail string, now, wait time.Duration) (link, effects) {
	l.health.Online, l.health.Detail = false, detail
	l.dark = false // another module may come back
	l, e := l.abandon(ErrOffline, now+wait)
	l.settled = true
	return l, e
}

// refused is an alarm. The same password is offered again later, in case the
// right module is put back; no other one is [T-23].
func (l link) refused(now time.Duration) (link, effects) {
	l.health.Online, l.health.Refused = true, true
	l.health.Detail = "the module refuses this host's password: it was exchanged, or belongs to another host"
	if l.cfg.Password == nil {
		l.health.Detail = "the module is bound to another host, or its password is not in the settings"
	}
	l, e := l.abandon(ErrRefused, now+refuseWait)
	l.settled = true
	return l, e
}

// interrupted is a module that wants its password in the middle of a
// conversation: it was reset, and its buffers are empty.
func (l link) interrupted(now time.Duration) (link, effects) {
	l.health.Detail = "the module was reset"
	l, e := l.abandon(ErrInterrupted, now)
	l.settled = false
	return l, e
}

// abandon goes back to verifying at due and ends the act with err.
func (l link) abandon(err error, due time.Duration) (link, effects) {
	var e effects
	if l.acting != nil {
		e.ended = &outcome{err: err}
		l.acting, l.next = nil, l.kept
	}
	l.health.Secure = false
	l.phase, l.tries, l.doubt, l.level, l.due = verifying, 0, false, false, due
	return l, e
}
