package osdp

import (
	"encoding/binary"
	"time"

	"sekimori/drivers"
)

// Our profile of BIOMATCH, where the standard leaves the template open: reader
// 0, any type of body, format "template", and as the template the 2 bytes of
// its slot in the reader, big-endian. Templates are enrolled at the reader and
// never travel [T-23]. A score from matchThreshold on, with status 0, is a
// match; less is a finger of somebody else.
const (
	matchFormat    = 2
	matchThreshold = 0x80
	matchLimit     = 30 * time.Second // a comparison that cannot be aborted is waited for so long
)

// match is a comparison asked for (want), under way (sent), or no longer wanted
// while the reader is still at it (stale). BIOMATCHR does not say which slot it
// is about, so two must never be under way.
type match struct {
	want, sent uint16
	stale      bool
	until      time.Duration
}

func (m *match) end() {
	m.want, m.stale = 0, m.sent != 0
}

// interrupt: the conversation was begun anew; what the reader still compares is
// not wanted any more.
func (m *match) interrupt() { m.end() }

func (m *match) aborted() {
	if m.stale {
		m.sent, m.stale = 0, false
	}
}

// wants tells that there is something to send.
func (m *match) wants(noAbort bool) bool { return m.stale && !noAbort || m.want != 0 && m.sent == 0 }

func (l *Link) matchWith(slot uint16, now time.Duration) {
	if !l.can(codeBioMatch) {
		l.health.Detail = "the reader has no biometrics"
		return
	}
	if slot == 0 || !l.alive {
		return
	}
	l.match.end()
	l.match.want = slot
	l.match.until = now + matchLimit
	l.hasten(now)
}

// nextMatch is the command the comparison wants next, or nil.
func (l *Link) nextMatch() Command {
	m := &l.match
	switch {
	case m.stale && !l.refused.abort:
		return Abort{}
	case m.want != 0 && m.sent == 0 && l.can(codeBioMatch):
		m.sent, m.want = m.want, 0
		return BioMatch{Format: matchFormat, Threshold: matchThreshold, Template: binary.BigEndian.AppendUint16(nil, m.sent)}
	}
	return nil
}

// expire ends what has taken too long.
func (l *Link) expire(now time.Duration) {
	if l.match.sent != 0 && now >= l.match.until {
		l.match = match{want: l.match.want, until: now + matchLimit}
	}
	if l.installed != nil && now >= l.installed.Until {
		l.endInstall(l.lateReason(), now)
	}
}

// matched takes the result of a comparison; one that nobody waits for is
// dropped, because it may be about another slot.
func (l *Link) matched(r BioMatchR, e *Effects) {
	slot, stale := l.match.sent, l.match.stale
	l.match.sent, l.match.stale = 0, false
	if slot == 0 || stale || l.phase != polling {
		return
	}
	finger := drivers.UnknownFinger()
	switch {
	case r.Status != 0:
		l.health.Detail = "the reader could not read a finger"
		return
	case r.Score >= matchThreshold:
		finger, _ = drivers.NewFinger(slot, uint16(r.Score)) // slot is not 0
	}
	e.Readings = append(e.Readings, l.reading(drivers.Reading{Proof: drivers.ProofBiometric, Finger: finger}))
}
