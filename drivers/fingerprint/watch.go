package fingerprint

import (
	"time"

	"sekimori/drivers"
)

const (
	// lookEvery is the time between two looks for a finger. Half of it, on
	// average, is what it adds to the module's own half second.
	lookEvery = 80 * time.Millisecond
	// liftLooks is how many looks in a row must find no finger before it counts
	// as lifted: a rolling finger is gone for a moment.
	liftLooks = 2
	// maxImages is how many bad pictures are taken of one touch.
	maxImages = 3
	// maxLost is how many answers about one touch may be lost on the wire.
	maxLost = 5
)

// lights are the signals in the colours that every R503 has.
var lights = map[drivers.Signal]Light{
	drivers.SignalIdle:    {Mode: 3, Color: 1},              // steady red
	drivers.SignalGranted: {Mode: 3, Color: 2},              // steady blue
	drivers.SignalDenied:  {Mode: 2, Speed: 0x20, Color: 1}, // flashing red
	drivers.SignalAskMore: {Mode: 1, Speed: 0x60, Color: 3}, // breathing purple
}

// touch is one finger on its way from the sensor to a reading.
//
//	look ─ finger ─▶ extract ─▶ search ─▶ reading ─▶ lift ─ gone ─▶ look
//	         ▲          │ bad picture, up to three
//	         └──────────┘            ─▶ noise ─▶ lift
type touch struct {
	facts
	images int // bad ones of this touch
	lost   int // searches without an answer
}

// watch waits for a finger, tells whose it is, waits until it is lifted, and so
// on for ever.
func watch(f facts) move { return touch{facts: f}.look() }

func (t touch) look() move {
	return move{ask: CaptureImage(), after: lookEvery, rest: !t.begun(), then: t.looked}
}

// begun tells that a finger was seen and is not read yet.
func (t touch) begun() bool { return t.images+t.lost > 0 }

func (t touch) looked(r reply, _ time.Duration) move {
	switch {
	case r.silent:
		return move{lost: "the module does not answer GetImage"}
	case r.is(OK):
		return move{ask: Extract(Buffer1), then: t.extracted}
	case r.is(NoFinger) && t.begun():
		return t.spoilt("the finger was lifted before it could be read")
	case r.is(NoFinger):
		return t.look()
	}
	return t.again("GetImage", r)
}

func (t touch) extracted(r reply, _ time.Duration) move {
	if r.is(OK) {
		// Not repeated: a module that was reset would search for an empty buffer.
		return move{ask: SearchTemplates(Buffer1, 1, t.lastSlot()), mode: once, then: t.searched}
	}
	return t.again("Img2Tz", r)
}

// again takes another picture of the same touch.
func (t touch) again(doing string, r reply) move {
	if r.silent {
		t.lost++
	} else {
		t.images++
	}
	if t.images >= maxImages || t.lost >= maxLost {
		return t.spoilt("the finger could not be read: " + doing + ": " + r.words())
	}
	m := t.look()
	m.retry = true
	return m
}

// spoilt is a touch that ends without a reading: noise, and nobody's failed
// attempt [001-4.4(4)].
func (t touch) spoilt(why string) move {
	m := awaitLift(t.facts)
	m.noise = why
	return m
}

func (t touch) searched(r reply, _ time.Duration) move {
	switch {
	case r.silent:
		return t.again("Search", r)
	case r.is(OK):
		slot, score := r.Found()
		f, err := drivers.NewFinger(slot, score)
		if err != nil || !t.has(slot) {
			return t.spoilt("the module found a slot that it was not asked for")
		}
		return t.told(f)
	case r.is(NotFound, NoMatch, LibraryEmpty):
		return t.told(drivers.UnknownFinger())
	}
	return t.spoilt("the finger could not be searched for: " + r.words())
}

func (t touch) told(f drivers.Finger) move {
	m := awaitLift(t.facts)
	m.finger = f
	return m
}

func (r reply) words() string {
	if r.silent {
		return "no answer"
	}
	return r.Code.String()
}

// awaitLift waits until the finger has gone, then watches.
func awaitLift(f facts) move { return lifting{f, 0}.look() }

type lifting struct {
	facts
	clear int // looks in a row that found no finger
}

func (l lifting) look() move {
	return move{ask: CaptureImage(), after: lookEvery, rest: true, lift: true, then: l.looked}
}

func (l lifting) looked(r reply, _ time.Duration) move {
	switch {
	case r.silent:
		return move{lost: "the module does not answer GetImage"}
	case !r.is(NoFinger):
		l.clear = 0
	case l.clear+1 >= liftLooks:
		return watch(l.facts)
	default:
		l.clear++
	}
	return l.look()
}
