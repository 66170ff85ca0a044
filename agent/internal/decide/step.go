package decide

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sekimori/internal/record"
)

// Step judges one input.
func Step(s State, in Input, now Now) (State, []Effect) {
	w := &work{State: s.clone(), now: now}
	w.timeouts()
	switch in := in.(type) {
	case CardRead:
		w.on(in.Door, func(d *Door) { w.card(d, in) })
	case FingerRead:
		w.on(in.Door, func(d *Door) { w.finger(d, in) })
	case PINChecked:
		w.on(in.Door, func(d *Door) { w.pin(d, in) })
	case LineChanged:
		w.on(in.Door, func(d *Door) { w.line(d, in) })
	case ReaderHealth:
		w.on(in.Door, func(d *Door) { w.health(d, in) })
	case Ordered:
		if !w.on(in.Door, func(d *Door) { w.order(d, in.Order) }) {
			w.do(Refuse{fmt.Errorf("this device has no door %s", in.Door)})
		}
	case PolicyIn:
		w.Policy = in.Policy
		w.LastHub = now.Wall
	case HubHeard:
		w.LastHub = now.Wall
	case Tick:
	}
	return w.State, w.effects
}

// work is one Step in progress.
type work struct {
	State
	now     Now
	effects []Effect
}

func (w *work) do(e ...Effect) { w.effects = append(w.effects, e...) }

// on runs f on a copy of a door and puts it back; known is false for a door
// that is not in the settings.
func (w *work) on(code record.DoorCode, f func(*Door)) (known bool) {
	d, known := w.Doors[code]
	if known {
		f(&d)
		w.Doors[code] = d
	}
	return known
}

func (s State) clone() State {
	s.Doors = maps.Clone(s.Doors)
	for code, d := range s.Doors {
		d.Inside = maps.Clone(d.Inside)
		d.Readers = maps.Clone(d.Readers)
		s.Doors[code] = d
	}
	s.Failures = maps.Clone(s.Failures)
	return s
}

// timeouts ends what has run out before the input is looked at, so that a late
// call judges as a punctual one would have.
func (w *work) timeouts() {
	for _, code := range slices.Sorted(maps.Keys(w.Doors)) {
		w.on(code, func(d *Door) {
			p := w.door(code)
			if d.Grant != nil && w.now.Mono >= d.Grant.Until {
				w.endGrant(d)
			}
			if d.Pending != nil && w.now.Mono >= d.Pending.Deadline {
				w.secondFactorMissing(d)
			}
			w.missing(d)
			if d.Leaf && !d.Held && !d.Released && w.now.Mono >= d.OpenedAt+p.HeldOpen {
				d.Held = true
				w.do(Record{Kind: record.KindHeldOpen, Body: w.doorState(d, p.HeldOpen), Safety: true})
			}
		})
	}
}

func (w *work) doorState(d *Door, lasted time.Duration) record.DoorState {
	p := w.door(d.Code)
	return record.DoorState{Door: d.Code, Room: p.Room, Level: p.Level, For: lasted}
}

// endGrant closes a grant that nobody used: the lock goes back, and since no
// door opened, nobody entered.
func (w *work) endGrant(d *Door) {
	side := d.Grant.Passage.Direction
	d.Grant = nil
	if !d.Released {
		w.do(Lock{d.Code})
	}
	w.do(Show{d.Code, side, SignalIdle})
}

// grant releases the lock for one passage, after the fact is durable. An exit
// does not wait for a journal that is full or broken [T-15].
func (w *work) grant(d *Door, p record.Passage) {
	policy := w.door(d.Code)
	release := policy.Release
	if release <= 0 {
		release = defaultRelease
	}
	d.Pending = nil
	d.Grant = &Grant{Passage: p, Until: w.now.Mono + release}
	w.do(Record{Kind: record.KindGranted, Body: p, Safety: p.Direction == record.DirectionOut}, Unlock{d.Code}, Show{d.Code, p.Direction, SignalGranted})
}

// deny refuses an entry. It never stands on the way of an exit.
func (w *work) deny(d *Door, p record.Passage, why record.Reason) {
	d.Pending = nil
	p.Reason = why
	w.do(Record{Kind: record.KindDenied, Body: p}, Show{d.Code, p.Direction, SignalDenied})
}

// health records a reader's silence, its return and its tamper switch once per
// change [001-3.1(1)ウエ].
func (w *work) health(d *Door, in ReaderHealth) {
	r, known := d.Readers[in.Reader]
	switch {
	case !known && !in.Online:
		r.Since, r.Detail = w.now.Mono, in.Detail // not found yet; missing gives up on it
	case !r.Heard && !in.Online:
		r.Detail = in.Detail
	case !r.Heard && in.Online:
		r.Heard, r.Detail = true, ""
	case r.Heard && r.Offline == in.Online:
		w.readerTurned(d, in.Reader, r, in.Online, in.Detail)
		r.Offline, r.Since = !in.Online, w.now.Mono
	}
	if in.Refused && !r.Untrusted || r.Untrusted && in.Online && !in.Refused {
		w.trust(d, in, &r)
	}
	if r.Tamper != in.Tamper {
		r.Tamper = in.Tamper
		w.tamper(d, in.Reader, in.Tamper)
	}
	d.Readers[in.Reader] = r
}

// trust records that a reader could not prove its key, and that it can again. A
// reader that is away proves nothing, so silence ends no doubt [T-22].
func (w *work) trust(d *Door, in ReaderHealth, r *ReaderHealthState) {
	state := record.ReaderState{Reader: in.Reader, Door: d.Code, Room: w.door(d.Code).Room, Detail: in.Detail}
	kind := record.KindReaderUntrusted
	if r.Untrusted {
		kind, state.For = record.KindReaderTrusted, w.now.Mono-r.Doubted
	}
	r.Untrusted, r.Doubted = in.Refused, w.now.Mono
	w.do(Record{Kind: kind, Body: state, Safety: true})
}

// missing gives up on readers that were never heard since the start.
func (w *work) missing(d *Door) {
	for _, id := range slices.Sorted(maps.Keys(d.Readers)) {
		r := d.Readers[id]
		if r.Heard || w.now.Mono < r.Since+readerPatience {
			continue
		}
		detail := "not heard since the start"
		if r.Detail != "" {
			detail += ": " + r.Detail
		}
		w.readerTurned(d, id, r, false, detail)
		r.Heard, r.Offline, r.Detail = true, true, ""
		d.Readers[id] = r
	}
}

func (w *work) readerTurned(d *Door, id record.ReaderID, r ReaderHealthState, online bool, detail string) {
	state := record.ReaderState{Reader: id, Door: d.Code, Room: w.door(d.Code).Room, Detail: detail}
	kind := record.KindReaderOffline
	if online {
		kind, state.For = record.KindReaderOnline, w.now.Mono-r.Since
	}
	w.do(Record{Kind: kind, Body: state, Safety: true})
}

func (w *work) tamper(d *Door, reader record.ReaderID, open bool) {
	kind := record.KindTamperEnded
	if open {
		kind = record.KindTamper
	}
	w.do(Record{Kind: kind, Body: record.TamperState{Reader: reader, Door: d.Code, Room: w.door(d.Code).Room}, Safety: true})
}

// order obeys a verified order of the room's 入退室管理者 [000-8.2].
func (w *work) order(d *Door, o record.Order) {
	if o.Seq <= d.LastSeq {
		return
	}
	d.LastSeq = o.Seq
	state := w.doorState(d, 0)
	state.Order, state.By = o.Seq, o.Issuer
	switch o.Purpose {
	case record.PurposeRearm:
		if d.Fire || !d.Released {
			w.do(Refuse{errors.New("the door is not waiting to be re-armed, or the fire contact is still on")})
			return
		}
		d.Released, d.Grant, d.Pending = false, nil, nil
		w.do(Record{Kind: record.KindRearmed, Body: state, Safety: true}, Lock{d.Code})
	case record.PurposeCloseRoom:
		d.Closed = true
		w.do(Record{Kind: record.KindRoomClosed, Body: state, Safety: true})
	case record.PurposeReopenRoom:
		d.Closed = false
		w.do(Record{Kind: record.KindRoomReopened, Body: state, Safety: true})
	}
}
