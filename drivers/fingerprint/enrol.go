package fingerprint

import (
	"time"

	"sekimori/drivers"
)

const (
	// placeLimit is how long a person may take to lay a finger on the sensor, or
	// to lift it.
	placeLimit = 30 * time.Second
	// maxBad is how many touches of one enrolment may be unreadable.
	maxBad = 5
)

// pose asks a person for one readable touch: part of enrolments and checks.
//
//	look ─ finger ─▶ Img2Tz ─ ok ─▶ next
//	  ▲                │ bad, up to five: lift, and again
//	  └────────────────┘
type pose struct {
	buffer Buffer
	bad    int
	since  time.Duration // 0: the person has not been asked yet
	clear  int           // looks in a row without a finger, while it is to be lifted
	asked  bool          // to lift it
	next   func(reply, time.Duration) move
}

// place asks for the touch with step as the words.
func (p pose) place(step Step) move {
	m := p.look(p.looked)
	m.step = step
	return m
}

func (p pose) look(then func(reply, time.Duration) move) move {
	return move{ask: CaptureImage(), after: lookEvery, waits: true, pose: true, then: then}
}

// late starts the person's time at the first look and tells when it is over.
func (p *pose) late(now time.Duration) bool {
	if p.since == 0 {
		p.since = now
	}
	return now-p.since > placeLimit
}

func (p pose) looked(r reply, now time.Duration) move {
	late := p.late(now)
	switch {
	case r.silent:
		return unexpected(CaptureImage(), r)
	case r.is(OK):
		return move{ask: Extract(p.buffer), then: p.extracted}
	case r.is(NoFinger) && late:
		return failed(ErrNobody)
	case r.is(NoFinger):
		return p.look(p.looked)
	}
	return p.again()
}

func (p pose) extracted(r reply, now time.Duration) move {
	switch {
	case r.silent:
		return unexpected(Extract(p.buffer), r)
	case r.is(OK):
		return p.next(r, now)
	}
	return p.again()
}

func (p pose) again() move {
	if p.bad++; p.bad >= maxBad {
		return failed(ErrUnreadable)
	}
	p.since, p.clear = 0, 0
	p.asked = true
	m := p.lift(func() move { return pose{buffer: p.buffer, bad: p.bad, next: p.next}.place(0) })
	m.step, m.retry = StepAgain, true
	return m
}

// lift waits until the finger has gone, then goes on.
func (p pose) lift(next func() move) move {
	return p.look(func(r reply, now time.Duration) move {
		late := p.late(now)
		p := p // a move may be answered more than once: it must not share what it counts
		switch {
		case r.silent:
			return unexpected(CaptureImage(), r)
		case r.is(NoFinger) && p.clear+1 >= liftLooks:
			return next()
		case r.is(NoFinger):
			p.clear++
		default:
			p.clear = 0
		}
		if late {
			return failed(ErrNobody)
		}
		var step Step
		if !r.is(NoFinger) && !p.asked {
			p.asked, step = true, StepLift
		}
		m := p.lift(next)
		m.step = step
		return m
	})
}

// fresh begins with an empty sensor: a finger that lies there already may be the
// last person's.
func (p pose) fresh() move {
	return pose{}.lift(func() move { return p.place(StepPlace) })
}

// enrol is one enrolment.
//
//	TemplateNum ▶ is the slot free? ▶ touch 1 ▶ Search: known? ▶ lift ▶ touch 2 ▶ RegModel ▶ Store ▶ TemplateNum, LoadChar
type enrol struct {
	facts
	slot   uint16
	before uint16 // templates in the module
}

func enrolAct(slot uint16) func(facts) move {
	return func(f facts) move {
		if !f.has(slot) {
			return failed(ErrNoSuchSlot)
		}
		return move{ask: CountTemplates(), then: enrol{facts: f, slot: slot}.counted}
	}
}

func (e enrol) counted(r reply, _ time.Duration) move {
	if !r.is(OK) {
		return unexpected(CountTemplates(), r)
	}
	if e.before = r.Number(); e.before >= e.capacity {
		return failed(ErrFull)
	}
	return lookup(e.slot, func(s sighting) move {
		if s.taken() {
			return failed(ErrSlotTaken)
		}
		return pose{buffer: Buffer1, next: e.first}.fresh()
	})
}

func (e enrol) first(reply, time.Duration) move {
	return move{ask: SearchTemplates(Buffer1, 1, e.lastSlot()), then: e.known}
}

func (e enrol) known(r reply, _ time.Duration) move {
	if r.is(OK) {
		slot, _ := r.Found()
		return failed(&AlreadyEnrolledError{slot})
	}
	if !r.is(NotFound, NoMatch, LibraryEmpty) {
		return unexpected(SearchTemplates(Buffer1, 1, e.lastSlot()), r)
	}
	m := pose{asked: true}.lift(func() move { return pose{buffer: Buffer2, next: e.second}.place(StepPlaceAgain) })
	m.step = StepLift
	return m
}

func (e enrol) second(reply, time.Duration) move {
	return move{ask: Combine(), mode: once, then: e.combined}
}

func (e enrol) combined(r reply, _ time.Duration) move {
	switch {
	case r.is(OK):
		return move{ask: StoreTemplate(Buffer1, e.slot), then: e.stored}
	case r.is(CannotCombine):
		return failed(ErrTouchesDiffer)
	}
	return unexpected(Combine(), r)
}

func (e enrol) stored(r reply, _ time.Duration) move {
	switch {
	case r.is(OK):
		return move{ask: CountTemplates(), then: e.recounted}
	case r.is(BadSlot):
		return failed(ErrNoSuchSlot)
	case r.is(FlashFailed):
		return failed(ErrStorage)
	case r.is(LibraryFull):
		return failed(ErrFull)
	}
	return unexpected(StoreTemplate(Buffer1, e.slot), r)
}

func (e enrol) recounted(r reply, _ time.Duration) move {
	switch {
	case !r.is(OK):
		return unexpected(CountTemplates(), r)
	case r.Number() != e.before+1:
		return failed(ErrStorage)
	}
	return move{ask: LoadTemplate(Buffer2, e.slot), then: e.loaded}
}

func (e enrol) loaded(r reply, _ time.Duration) move {
	switch {
	case r.silent:
		return unexpected(LoadTemplate(Buffer2, e.slot), r)
	case !r.is(OK):
		return failed(ErrStorage)
	}
	m := over(outcome{})
	m.step = StepDone
	return m
}

// check is one comparison of a live finger with one template.
type check struct{ slot uint16 }

func verifyAct(slot uint16) func(facts) move {
	return func(f facts) move {
		if !f.has(slot) {
			return failed(ErrNoSuchSlot)
		}
		return pose{buffer: Buffer1, next: check{slot}.touched}.fresh()
	}
}

func (c check) touched(reply, time.Duration) move {
	return move{ask: LoadTemplate(Buffer2, c.slot), then: c.loaded}
}

func (c check) loaded(r reply, _ time.Duration) move {
	switch {
	case r.is(OK):
		return move{ask: CompareBuffers(), then: c.compared}
	case r.is(BadTemplate, TemplateIsEmpty):
		return failed(ErrSlotEmpty)
	}
	return unexpected(LoadTemplate(Buffer2, c.slot), r)
}

func (c check) compared(r reply, _ time.Duration) move {
	switch {
	case r.is(OK):
		f, err := drivers.NewFinger(c.slot, r.Number())
		return over(outcome{finger: f, err: err})
	case r.is(NoMatch, NotFound):
		return failed(ErrDifferentFinger)
	}
	return unexpected(CompareBuffers(), r)
}
