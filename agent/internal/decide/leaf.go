package decide

import (
	"sekimori/internal/record"
)

// line takes a door line's level. A level found at start sets the state without
// a fact, except where the state itself is one that people must know of.
func (w *work) line(d *Door, in LineChanged) {
	switch in.Line {
	case LineContact:
		w.contact(d, in)
	case LineREX:
		w.rex(d, in)
	case LineFire:
		w.fire(d, in)
	case LineTamper:
		if d.Tamper != in.Active {
			d.Tamper = in.Active
			w.tamper(d, "", in.Active)
		}
	}
}

// rex remembers the exit button; the lock has already been released by its own
// contact [T-15].
func (w *work) rex(d *Door, in LineChanged) {
	if in.Active == d.REXDown {
		return
	}
	d.REXDown = in.Active
	d.REXSeen, d.REXAt = true, w.now.Mono // pressed or let go: the leaf may open until shortly after
	if in.Active && !in.First {
		w.do(Record{Kind: record.KindREX, Body: w.doorState(d, 0), Safety: true})
	}
}

// fire records the release and keeps the door released after the input has
// ended, until a named person re-arms it [001-3.2(3)].
func (w *work) fire(d *Door, in LineChanged) {
	if in.Active == d.Fire {
		return
	}
	d.Fire = in.Active
	if !in.Active {
		w.do(Record{Kind: record.KindFireEnded, Body: w.doorState(d, 0), Safety: true})
		return
	}
	already := d.Released
	d.Released, d.Grant, d.Pending = true, nil, nil
	clear(d.Inside) // who is inside can no longer be known: nobody is kept out for it [T-16]
	w.do(Unlock{d.Code})
	if !already {
		w.do(Record{Kind: record.KindFireRelease, Body: w.doorState(d, 0), Safety: true})
	}
}

// contact judges the leaf. An opening is explained by, in this order: a fire
// release, a running grant, the exit button, a metal key on loan; otherwise it
// was forced [T-19].
func (w *work) contact(d *Door, in LineChanged) {
	if in.Active == d.Leaf {
		return
	}
	d.Leaf = in.Active
	if !in.Active {
		w.closed(d)
		return
	}
	d.OpenedAt, d.Held = w.now.Mono, false
	switch {
	case in.First:
		d.Why = openingNone
	case d.Released:
		d.Why = openingFire
	case d.Grant != nil:
		w.passed(d)
	case d.REXDown || d.REXSeen && w.now.Mono-d.REXAt <= rexMemory:
		w.exitFree(d)
	default:
		w.unexplained(d)
	}
}

// passed turns a grant into an entry or an exit: the door opened [000-10.1].
func (w *work) passed(d *Door) {
	p := d.Grant.Passage
	d.Grant, d.Why = nil, openingGranted
	kind := record.KindEntered
	if p.Direction == record.DirectionOut {
		kind = record.KindExited
	}
	if p.Person != "" {
		d.Inside[p.Person] = p.Direction == record.DirectionIn
	}
	w.do(Record{Kind: kind, Body: p, Safety: true}, Lock{d.Code}, Show{d.Code, p.Direction, SignalIdle})
}

// exitFree is 記録なし退室. When one person is known to be inside, the note of
// their permit goes with it; when several are, nobody can say who left.
func (w *work) exitFree(d *Door) {
	d.Why, d.REXSeen = openingREX, d.REXDown
	state := w.doorState(d, 0)
	if who, sole := soleInside(d.Inside); sole && w.permitFault(who, state.Room) == record.ReasonPermitExpired {
		state.Notes = append(state.Notes, record.ReasonExitAfterExpiry)
	}
	clear(d.Inside)
	w.do(Record{Kind: record.KindExitFree, Body: state, Safety: true})
}

func soleInside(inside map[record.PersonID]bool) (who record.PersonID, sole bool) {
	n := 0
	for p, in := range inside {
		if in {
			who = p
			n++
		}
	}
	return who, n == 1
}

func (w *work) unexplained(d *Door) {
	if key, ok := w.keyOnLoan(d.Code); ok {
		d.Why = openingKey
		policy := w.door(d.Code)
		w.do(Record{Kind: record.KindKeyEntry, Safety: true, Body: record.Passage{
			Door: d.Code, Room: policy.Room, Level: policy.Level, Direction: record.DirectionIn,
			Person: key.Person, Credential: key.Key, Method: record.MethodKey,
		}})
		return
	}
	d.Why = openingForced
	w.do(Record{Kind: record.KindForcedOpen, Body: w.doorState(d, 0), Safety: true})
}

func (w *work) keyOnLoan(door record.DoorCode) (record.KeyLoan, bool) {
	if w.Policy != nil {
		for _, k := range w.Policy.KeysOnLoan {
			if k.Door == door {
				return k, true
			}
		}
	}
	return record.KeyLoan{}, false
}

// closed ends what an opening began.
func (w *work) closed(d *Door) {
	if d.Why == openingForced || d.Held {
		w.do(Record{Kind: record.KindDoorClosed, Body: w.doorState(d, w.now.Mono-d.OpenedAt), Safety: true})
	}
	d.Held, d.Why = false, openingNone
}
