package decide

import (
	"slices"
	"time"

	"sekimori/internal/record"
)

// card judges a card at a reader.
func (w *work) card(d *Door, in CardRead) {
	w.spoil(d)
	cred := w.credential(in.Tag)
	p := w.attempt(d, in.Direction, in.Reader, in.ID, cred)
	p.Method, p.UIDOnly = record.MethodCard, in.UIDOnly
	if cred == nil {
		p.Tag = in.Tag
	}
	if in.Direction == record.DirectionOut {
		w.exitCard(d, p, cred, in.Unproven)
		return
	}
	if in.Unproven {
		w.deny(d, p, record.ReasonUnproven)
		return
	}
	if why := w.refuseEntry(d, p, cred); why != "" {
		w.deny(d, p, why)
		return
	}
	if second := w.door(d.Code).Second; second != record.SecondNone {
		w.ask(d, p, second, cred)
		return
	}
	w.grant(d, p)
}

// spoil ends a wait for a second factor because something else is presented.
func (w *work) spoil(d *Door) {
	if d.Pending != nil {
		w.secondFactorMissing(d)
	}
}

// attempt begins the facts of one attempt; cred is nil for one nobody knows.
func (w *work) attempt(d *Door, dir record.Direction, reader record.ReaderID, id string, cred *record.Credential) record.Passage {
	policy := w.door(d.Code)
	p := record.Passage{Door: d.Code, Room: policy.Room, Level: policy.Level, Direction: dir, Reader: reader, Grant: id}
	if cred != nil {
		p.Person, p.Credential = cred.Person, cred.ID
	}
	return p
}

// ask waits for the second factor [000-7.2-L3].
func (w *work) ask(d *Door, p record.Passage, second record.SecondFactor, cred *record.Credential) {
	d.Pending = &Pending{Passage: p, Second: second, PIN: cred.PIN, Deadline: w.now.Mono + w.door(d.Code).SecondWindow}
	w.do(Show{d.Code, p.Direction, SignalAskMore})
	if slot := w.slotOf(p.Person); slot != 0 && second.Biometric() {
		w.do(Compare{d.Code, p.Direction, slot})
	}
}

// exitCard lets out. A second factor is asked for where the door has one and the
// person can give it, for the record's sake; whatever comes of it, the door
// opens [T-15].
func (w *work) exitCard(d *Door, p record.Passage, cred *record.Credential, unproven bool) {
	if unproven {
		p.Notes = append(p.Notes, record.ReasonUnproven)
	}
	if cred == nil {
		p.Notes = append(p.Notes, record.ReasonUnknownCredential)
		w.grant(d, p)
		return
	}
	p.Notes = append(p.Notes, w.exitNotes(p)...)
	second := w.door(d.Code).Second
	able := second.PIN() && cred.PIN != nil || second.Biometric() && w.slotOf(p.Person) != 0
	if able && !unproven && !d.Released {
		w.ask(d, p, second, cred)
		return
	}
	w.grant(d, p)
}

// exitNotes is what is noted about somebody who leaves.
func (w *work) exitNotes(p record.Passage) []record.Reason {
	if why := w.permitFault(p.Person, p.Room); why == record.ReasonPermitExpired || why == record.ReasonNoPermit {
		return []record.Reason{record.ReasonExitAfterExpiry}
	}
	return nil
}

// pin ends a wait for a second factor.
func (w *work) pin(d *Door, in PINChecked) {
	if d.Pending == nil || d.Pending.Passage.Grant != in.ID || !d.Pending.Second.PIN() {
		return // too late, or typed for an attempt that is over
	}
	w.second(d, in.OK, record.MethodCardPIN, record.ReasonPINMismatch)
}

// second takes the second factor that was waited for, right or wrong.
func (w *work) second(d *Door, right bool, method record.Method, wrong record.Reason) {
	p := d.Pending.Passage
	switch {
	case right:
		delete(w.Failures, p.Person)
		p.Method = method
		w.grant(d, p)
	case p.Direction == record.DirectionOut:
		p.Notes = append(p.Notes, wrong)
		w.grant(d, p)
	default:
		w.failed(d, p, wrong)
	}
}

// secondFactorMissing ends a wait that nobody answered.
func (w *work) secondFactorMissing(d *Door) {
	p := d.Pending.Passage
	if p.Direction == record.DirectionOut {
		p.Notes = append(p.Notes, record.ReasonSecondFactorMissing)
		w.grant(d, p)
		return
	}
	w.deny(d, p, record.ReasonSecondFactorMissing)
}

// failed counts a wrong PIN or finger against the person of the card and locks
// that person's entry out at the limit [001-4.4(8)].
func (w *work) failed(d *Door, p record.Passage, wrong record.Reason) {
	w.deny(d, p, wrong)
	a := w.Policy.Attempts
	f := w.Failures[p.Person]
	f.At = append(slices.DeleteFunc(slices.Clone(f.At), func(t time.Time) bool {
		return w.now.Wall.Sub(t) >= a.Within
	}), w.now.Wall)
	if a.Limit > 0 && len(f.At) >= a.Limit {
		f = Failures{Locked: w.now.Wall.Add(a.Lock)}
		p.Reason = record.ReasonAttemptsExceeded
		w.do(Record{Kind: record.KindAttemptsSpent, Body: p})
	}
	w.Failures[p.Person] = f
}

func (w *work) credential(tag record.CredentialTag) *record.Credential {
	if w.Policy == nil || tag == "" { // a finger's credential has no tag
		return nil
	}
	for i := range w.Policy.Credentials {
		if w.Policy.Credentials[i].Tag == tag {
			return &w.Policy.Credentials[i]
		}
	}
	return nil
}

// refuseEntry gives the reason an entry is refused, or "". What the credential
// is comes before where and when it may be used, so that a lost card is named
// as lost at every door.
func (w *work) refuseEntry(d *Door, p record.Passage, cred *record.Credential) record.Reason {
	policy := w.door(d.Code)
	switch {
	case w.Policy == nil:
		return record.ReasonNoPolicy
	case cred == nil:
		return record.ReasonUnknownCredential
	case cred.State == record.CredentialLost:
		return record.ReasonCredentialLost
	case cred.State != record.CredentialActive:
		return record.ReasonCredentialRevoked
	case w.now.Wall.Before(w.Failures[p.Person].Locked):
		return record.ReasonAttemptsExceeded
	case w.now.Quality == record.TimeUnsynced && !policy.UnsyncedEntry:
		return record.ReasonClockAnomaly // a clock that is only order opens no time window [T-39]
	case w.now.Wall.Sub(w.LastHub) > policy.OfflineMaxAge:
		return record.ReasonPolicyStale // [T-21]
	}
	if why := w.permitFault(p.Person, p.Room); why != "" {
		return why
	}
	if d.Closed || policy.OperatingClosed {
		return record.ReasonRoomClosed
	}
	if policy.AntiPassback && d.Inside[p.Person] {
		return record.ReasonAntiPassback
	}
	return ""
}

// permitFault tells why a person may not be in a room now, or "" when a permit
// is in force [000-9.2]. The nearest miss is named: hours before expiry before
// no permit at all.
func (w *work) permitFault(person record.PersonID, room record.RoomCode) record.Reason {
	if w.Policy == nil {
		return record.ReasonNoPolicy
	}
	fault := record.ReasonNoPermit
	for _, permit := range w.Policy.Permits {
		if permit.Person != person || !slices.Contains(permit.Rooms, room) || w.now.Wall.Before(permit.From) {
			continue
		}
		if !w.now.Wall.Before(permit.Until) {
			if fault == record.ReasonNoPermit {
				fault = record.ReasonPermitExpired
			}
			continue
		}
		if w.withinHours(permit.Schedule) {
			return ""
		}
		fault = record.ReasonOutsideSchedule
	}
	return fault
}

// withinHours tells whether a schedule holds now. Hours are those of Japan,
// whatever the controller's zone is [T-37].
func (w *work) withinHours(id record.ScheduleID) bool {
	if id == "" {
		return true
	}
	local := w.now.Wall.In(jst)
	minute := local.Hour()*60 + local.Minute()
	closed := slices.Contains(w.Policy.ClosedDays, record.Date(local.Format(time.DateOnly)))
	for _, s := range w.Policy.Schedules {
		if s.ID != id || closed && !s.OpenClosed {
			continue
		}
		for _, span := range s.Weekly[local.Weekday()] {
			if span.From <= minute && minute < span.To {
				return true
			}
		}
	}
	return false
}

var jst = time.FixedZone("JST", 9*60*60)
