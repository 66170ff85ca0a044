package world

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/lines"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/pulse"
	"sekimori/firmware-sim/internal/site"
)

// reader is one reader: station is its OSDP side, module its fingerprint module,
// contact its PN532 module; all are nil for Wiegand.
type reader struct {
	id, door string
	ctl      *controller
	station  *bus.Station
	module   *module
	contact  *contactless
	line     *wired // of module or contact

	prefix string
	timing pulse.Timing
	keypad pulse.Burst

	mu       sync.Mutex
	cableOut bool        // guarded by mu; Wiegand
	fault    pulse.Fault // guarded by mu; Wiegand
	faults   int         // guarded by mu; Wiegand: frames still to be spoilt
	sent     int         // guarded by mu; Wiegand: frames
	led      bool        // guarded by mu; Wiegand
	buzzes   int         // guarded by mu; Wiegand
}

// frameGap is the silence a Wiegand reader keeps between two frames.
const frameGap = 100 * time.Millisecond

// maxPulses is how many edges may wait on one controller's lines: a person who
// types far ahead of the wire.
const maxPulses = 20000

func (w *World) addReader(ctl *controller, r site.Reader, serial uint32, baud int, saved savedState) (_ *reader, err error) {
	unit := &reader{id: r.ID, door: r.Door, ctl: ctl, prefix: r.Prefix(), timing: r.Timing(), keypad: pulse.Burst(r.Keypad)}
	switch r.Kind {
	case site.OSDP:
		unit.prefix = ""
		unit.station = w.station(unit, r.Device(serial, baud))
	case site.Fingerprint:
		unit.prefix = ""
		if unit.module, err = w.addModule(ctl, r, saved); err != nil {
			return nil, err
		}
		unit.line = &unit.module.wired
	case site.PN532:
		unit.prefix = ""
		if unit.contact, err = w.addContactless(ctl, r); err != nil {
			return nil, err
		}
		unit.line = &unit.contact.wired
	}
	if unit.line != nil {
		ctl.modules = append(ctl.modules, unit.line)
	}
	w.readers[r.ID] = unit
	return unit, nil
}

func (w *World) tellReader(r *reader, kind, detail string) {
	w.story.add(Event{Controller: r.ctl.id, Door: r.door, Reader: r.id, Kind: kind, Detail: detail})
}

func (w *World) reader(id string) (*reader, error) {
	if r := w.readers[id]; r != nil {
		return r, nil
	}
	return nil, problem.Unknown(problem.UnknownReader, id)
}

// Card presents a card. It tells when the reader has it: for OSDP now, for
// Wiegand when the last pulse is over (CLOCK_MONOTONIC ns).
func (w *World) Card(id string, b cards.Bits) (int64, error) {
	r, err := w.reader(id)
	if err == nil && r.line != nil {
		err = notFor(id, "card")
	}
	if err != nil {
		return 0, err
	}
	w.tellReader(r, "card", b.String())
	if r.station != nil {
		if !r.station.Card(b) {
			return 0, full()
		}
		return mono.Now(), nil
	}
	return r.play(pulse.Card(b, r.timing, r.spoil()), frameGap)
}

// Keys types on the keypad, and tells when the last key is over.
func (w *World) Keys(id, keys string) (int64, error) {
	r, err := w.reader(id)
	if err != nil {
		return 0, err
	}
	if r.station == nil && r.keypad == pulse.NoKeypad {
		return 0, problem.New(problem.NotSupported, id+" にはテンキーがありません。設定の keypad を確かめてください。", id+" has no keypad; see keypad in the settings")
	}
	w.tellReader(r, "keys", "")
	if r.station != nil {
		if !r.station.Keys(keys) {
			return 0, full()
		}
		return mono.Now(), nil
	}
	end := mono.Now()
	for _, k := range []byte(keys) {
		if end, err = r.play(pulse.Key(k, r.keypad, r.timing), r.timing.KeyGap); err != nil {
			return 0, err
		}
	}
	return end, nil
}

func full() error {
	return problem.New(problem.Full, "読取装置に溜められる件数を超えました。制御盤が読むのを待ってください。", "the reader holds no more; wait for its controller to poll")
}

// spoil is the fault of the next frame.
func (r *reader) spoil() pulse.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults == 0 {
		return pulse.None
	}
	r.faults--
	return r.fault
}

func (r *reader) play(train []pulse.Edge, gap time.Duration) (int64, error) {
	r.mu.Lock()
	out := r.cableOut
	r.sent++
	r.mu.Unlock()
	if out {
		return mono.Now(), nil // the person presented it; nothing came through
	}
	if r.ctl.bank.Pulses() > maxPulses {
		return 0, full()
	}
	pulses := make([]lines.Pulse, len(train))
	for i, e := range train {
		line := r.prefix + ".d0"
		if e.One {
			line = r.prefix + ".d1"
		}
		pulses[i] = lines.Pulse{Line: line, Level: e.Level, After: e.After}
	}
	return r.ctl.bank.Play(pulses, gap), nil
}

// Cable pulls a reader's cable or plugs it in.
func (w *World) Cable(id string, in bool) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	switch {
	case r.station != nil:
		r.station.Connect(in)
	case r.line != nil:
		r.line.line.Connect(in)
		if !in {
			r.fail(string(bus.Power), 1) // its power comes by the same cable
		}
	default:
		r.mu.Lock()
		r.cableOut = !in
		r.mu.Unlock()
	}
	w.tellReader(r, pick(in, "cable_in", "cable_out"), "")
	return nil
}

func pick(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func notFor(id, what string) error {
	return problem.New(problem.NotSupported, id+" では "+what+" を起こせません。README の表で読取装置の種類を確かめてください。",
		what+" cannot happen at "+id+"; README lists what each kind of reader can do")
}

// Stall makes the next count replies of an OSDP reader late.
func (w *World) Stall(id string, d time.Duration, count int) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	switch {
	case r.station != nil:
		r.station.Stall(d, count)
	case r.line != nil:
		r.line.line.Stall(d, count)
	default:
		return notFor(id, "stall")
	}
	w.tellReader(r, "stall", d.String())
	return nil
}

// Noise puts n random bytes, or n stray pulses, on the reader's line.
func (w *World) Noise(ctx context.Context, id string, n int) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	w.tellReader(r, "noise", "")
	if r.station != nil {
		r.station.Noise(ctx, n)
		return nil
	}
	if r.line != nil {
		r.line.noise(ctx, n)
		return nil
	}
	var train []pulse.Edge
	at := time.Duration(0)
	for range n {
		one := rand.IntN(2) == 0
		train = append(train, pulse.Edge{One: one, Level: false, After: at}, pulse.Edge{One: one, Level: true, After: at + 2*time.Microsecond})
		at += time.Duration(100+rand.IntN(3000)) * time.Microsecond
	}
	_, err = r.play(train, 0)
	return err
}

// Fault spoils the next count frames of a reader.
func (w *World) Fault(id, kind string, count int) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	switch {
	case r.station != nil && r.station.Fail(bus.Fault(kind), count):
	case r.line != nil && r.fail(kind, count):
	case r.station == nil && r.line == nil && (kind == string(pulse.Glitch) || kind == string(pulse.Overlap) || kind == string(pulse.Short) || kind == string(pulse.Parity)):
		r.mu.Lock()
		r.fault, r.faults = pulse.Fault(kind), count
		r.mu.Unlock()
	default:
		return notFor(id, kind)
	}
	w.tellReader(r, "fault", kind)
	return nil
}

// fail spoils what a module does next; false for a fault it has not.
func (r *reader) fail(kind string, count int) bool {
	if r.contact != nil {
		return r.contact.fail(kind, count)
	}
	return r.module.fail(kind, count)
}

// ReaderTamper opens or closes a reader's case: an OSDP reader tells it by
// itself, a Wiegand one is wired to its door's tamper line.
func (w *World) ReaderTamper(id string, open bool) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	if r.line != nil {
		return notFor(id, "tamper")
	}
	if r.station == nil {
		return w.Act(r.door, door.Input{Kind: door.SetTamper, On: open})
	}
	r.station.Tamper(open)
	w.tellReader(r, pick(open, "tamper_on", "tamper_off"), "")
	return nil
}

// feedback is what a controller drives on a Wiegand reader's LED and buzzer.
func (w *World) feedback(r *reader, what string, level bool) {
	r.mu.Lock()
	switch {
	case what == "led":
		r.led = level
	case what == "buz" && level:
		r.buzzes++
	}
	r.mu.Unlock()
	w.tellReader(r, "feedback", what+pick(level, " on", " off"))
}
