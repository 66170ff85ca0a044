package osdp

import (
	"time"

	"sekimori/drivers/osdp/channel"
)

// installation is commissioning as the link sees it. The keys are tried in turn
// until the reader proves that it has one of them:
//
//	the new key ── proven ──▶ done (the reader has it, now or since before)
//	     │ no
//	the key it has had, then SCBK-D ── proven ──▶ KEYSET ──▶ the new key again
//	     │ no
//	    ErrOtherKey
//
// Nothing else ever uses SCBK-D or sends KEYSET.
type installation struct {
	Install
	keys []trialKey
}

type trialKey struct {
	key  Key
	kind byte // 1 a reader's own, 0 SCBK-D
}

func (i *installation) trial(n int) (*Key, byte) {
	t := &i.keys[n]
	return &t.key, t.kind
}

func (l *Link) beginInstall(in Install, now time.Duration) {
	if l.installed != nil || l.ask != nil {
		l.answers = append(l.answers, Answer{ID: in.ID, Err: ErrBusyAct})
		return
	}
	i := &installation{Install: in, keys: []trialKey{{in.Key, 1}}}
	if own := l.cfg.Key; own != nil && !own.Equal(in.Key) {
		i.keys = append(i.keys, trialKey{*own, 1})
	}
	i.keys = append(i.keys, trialKey{channel.Default, 0})
	l.installed, l.candidate, l.written = i, 0, false
	l.restart(now)
}

// established: the session stands with the key that was tried.
func (l *Link) established() {
	if l.candidate > 0 {
		l.phase = install
		return
	}
	l.cfg.Key = &l.installed.keys[0].key
	l.answers = append(l.answers, Answer{ID: l.installed.ID})
	l.installed = nil
}

// keyTaken: the reader acknowledged KEYSET; whether it keeps the key is shown by
// a handshake with it.
func (l *Link) keyTaken(now time.Duration) {
	l.written, l.candidate = true, 0
	l.restart(now)
}

func (l *Link) keyRefused(n Nak, now time.Duration) {
	l.endInstall(&RefusedError{Command: nameOf(codeKeySet, false), Reason: n.Reason}, now)
}

// nextCandidate: the reader does not have the key that was tried.
func (l *Link) nextCandidate(why string, now time.Duration) {
	l.health.Detail = why
	switch {
	case l.written:
		l.endInstall(ErrNotKept, now)
	case l.candidate+1 == len(l.installed.keys):
		err := ErrOtherKey
		if f, ok := l.about.function(FuncSecurity); ok && f.Compliance&1 == 0 {
			err = ErrNoSecure
		}
		l.endInstall(err, now)
	default:
		l.candidate++
		l.restart(now)
	}
}

// lateReason is why commissioning did not end in time.
func (l *Link) lateReason() error {
	switch {
	case !l.alive:
		return ErrOffline
	case l.written:
		return ErrNotKept
	}
	return ErrDeadline
}

// endInstall ends commissioning with an error; the link goes on as its settings
// say.
func (l *Link) endInstall(err error, now time.Duration) {
	l.answers = append(l.answers, Answer{ID: l.installed.ID, Err: err})
	l.installed = nil
	l.restart(now)
}

// function is what the reader said of one function.
func (a About) function(code byte) (Capability, bool) {
	for _, f := range a.Capabilities {
		if f.Function == code {
			return f, true
		}
	}
	return Capability{}, false
}

func (l *Link) askFor(a Ask, now time.Duration) {
	switch {
	case l.ask != nil || l.installed != nil:
		l.answers = append(l.answers, Answer{ID: a.ID, Err: ErrBusyAct})
		return
	case !l.alive && l.probes > 1:
		l.answers = append(l.answers, Answer{ID: a.ID, Err: ErrOffline})
		return
	case !l.can(a.Command.Code()):
		l.answers = append(l.answers, Answer{ID: a.ID, Err: ErrAbsent})
		return
	}
	l.ask = &a
	l.hasten(now)
}

// answer ends the Ask.
func (l *Link) answer(r Reply, err error) {
	l.answers = append(l.answers, Answer{ID: l.ask.ID, Reply: r, Err: err})
	l.ask, l.asking = nil, false
}

func (l *Link) forget(id uint64, now time.Duration) {
	switch {
	case l.installed != nil && l.installed.ID == id:
		l.endInstall(ErrDeadline, now)
		l.answers = nil
	case l.ask != nil && l.ask.ID == id:
		l.ask, l.asking = nil, false // its answer, if one comes, is nobody's
	}
}
