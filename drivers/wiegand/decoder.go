package wiegand

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"sekimori/drivers"
)

// Rules are the timing and the formats a Decoder goes by. Zero fields take the
// defaults.
type Rules struct {
	// MinPulse is the shortest low level that is a bit; default 10 µs. The
	// standard says 20 to 100 µs; half of its minimum leaves room for a slow
	// optocoupler and still rejects spikes. Negative: pulses are not measured,
	// for banks that stamp edges on receipt, where a late reader finds both
	// edges of a pulse waiting and stamps them a microsecond apart.
	MinPulse time.Duration
	// MaxPulse is the longest; default 2 ms. Cheap readers stretch pulses to
	// 1 ms (a bit must be shorter than its interval, and 2 ms intervals are the
	// common slow ones), a longer low is a fault of the cable.
	MaxPulse time.Duration
	// Silence ends a frame; default 25 ms, the standard's longest interval of
	// 20 ms and some more.
	Silence time.Duration
	Formats []Format // card frames that are taken; default StandardFormats
	Keypad  bool     // 4-bit and 8-bit frames are keys, otherwise noise
}

// The defaults of Rules.
const (
	DefaultMinPulse = 10 * time.Microsecond
	DefaultMaxPulse = 2 * time.Millisecond
	DefaultSilence  = 25 * time.Millisecond
)

func (r Rules) withDefaults() Rules {
	if r.MinPulse == 0 {
		r.MinPulse = DefaultMinPulse
	}
	if r.MaxPulse == 0 {
		r.MaxPulse = DefaultMaxPulse
	}
	if r.Silence == 0 {
		r.Silence = DefaultSilence
	}
	if len(r.Formats) == 0 {
		r.Formats = StandardFormats()
	}
	return r
}

func (r Rules) check() error {
	faults := []error{}
	if r.MaxPulse <= r.MinPulse {
		faults = append(faults, fmt.Errorf("max pulse %v is not above min pulse %v", r.MaxPulse, r.MinPulse))
	}
	if r.Silence <= r.MaxPulse {
		faults = append(faults, fmt.Errorf("silence %v is not above max pulse %v", r.Silence, r.MaxPulse))
	}
	seen := map[int]bool{}
	for _, f := range r.Formats {
		faults = append(faults, f.check())
		if seen[f.Bits] {
			faults = append(faults, fmt.Errorf("two formats of %d bits: the length alone tells them apart", f.Bits))
		}
		seen[f.Bits] = true
	}
	return errors.Join(faults...)
}

// Counts is what a Decoder has rejected and taken. All but Frames are noise.
type Counts struct {
	Frames   uint64 // cards and keys
	Glitches uint64 // pulses too short to be a bit; they do not end a frame
	Long     uint64 // frames with a pulse too long to be a bit
	Overlaps uint64 // frames with both lines low at once
	Lengths  uint64 // frames of a length no format has
	Parities uint64 // frames with wrong parity, or a key that is none
	Gaps     uint64 // frames in which edges were lost
}

// Noise is the sum of all that was rejected.
func (c Counts) Noise() uint64 {
	return c.Glitches + c.Long + c.Overlaps + c.Lengths + c.Parities + c.Gaps
}

// Frame is one well-formed frame: a card or a key.
type Frame struct {
	Card drivers.Card  // zero for a key
	Key  byte          // '0'-'9', '*', '#'; 0 for a card
	At   time.Duration // of the last edge
}

// Format keeps the key out of logs; it may be part of a PIN.
func (f Frame) Format(s fmt.State, _ rune) {
	if f.Key != 0 {
		fmt.Fprint(s, "key [redacted]")
		return
	}
	fmt.Fprint(s, f.Card)
}

// MarshalText keeps the key out of encoded logs as well.
func (f Frame) MarshalText() ([]byte, error) { return fmt.Append(nil, f), nil }

// Decoder turns edges of two data lines into frames. It is pure: time is what
// its caller says it is.
//
//	      ┌── pulse ──┐
//	D0 ───┘           └──────────────────────────  a pulse on D0 is a 0
//	D1 ────────────────────────┘▔▔└──────────────  a pulse on D1 is a 1
//	      │◀────── interval ──▶│   │◀─ silence ─▶│ end of the frame
//
// A frame with any fault is rejected as a whole when it ends: half a number is
// not a number.
type Decoder struct {
	rules  Rules
	counts Counts
	low    [2]bool          // the line's present level, true while low
	fell   [2]time.Duration // when it went low
	rose   [2]time.Duration // when its last good pulse ended
	bits   []byte
	fault  *uint64       // the count this frame's rejection goes to
	open   bool          // a frame is being received
	last   time.Duration // the last good pulse of the frame
	reason string        // the last rejection in words
}

// NewDecoder makes a decoder; it refuses rules that contradict themselves.
func NewDecoder(r Rules) (*Decoder, error) {
	r = r.withDefaults()
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("wiegand: %w", err)
	}
	return &Decoder{rules: r, bits: make([]byte, 0, maxBits)}, nil
}

// Counts so far.
func (d *Decoder) Counts() Counts { return d.counts }

// Edge takes one edge: line is 0 or 1 for D0 and D1, high the level after it.
// It returns the previous frame when this edge comes after silence.
func (d *Decoder) Edge(line int, high bool, at time.Duration) (Frame, bool) {
	f, ok := d.Silence(at)
	if line&1 != line || d.low[line] != high {
		return f, ok // a repeated level is no edge
	}
	d.low[line] = !high
	if !high {
		d.fell[line] = at
		if !d.open {
			d.open, d.last = true, at
		}
		return f, ok
	}
	d.pulse(line, at)
	return f, ok
}

// pulse takes the pulse that ends on line at the time at.
func (d *Decoder) pulse(line int, at time.Duration) {
	if at-d.fell[line] < d.rules.MinPulse {
		d.counts.Glitches++
		d.reason = "a pulse too short for a bit"
		d.open = len(d.bits) > 0 || d.fault != nil // a lone spike begins no frame
		return
	}
	if at-d.fell[line] > d.rules.MaxPulse {
		d.spoil(&d.counts.Long)
	}
	if len(d.bits) > 0 && d.rose[1-line] > d.fell[line] {
		d.spoil(&d.counts.Overlaps)
	}
	d.open, d.last, d.rose[line] = true, at, at
	if len(d.bits) == maxBits {
		d.spoil(&d.counts.Lengths)
		return
	}
	d.bits = append(d.bits, byte(line))
}

// Gap says that edges were lost before the time at: everything up to the next
// silence is rejected, because a number with lost bits may look like a shorter
// one that is well-formed.
func (d *Decoder) Gap(at time.Duration) {
	d.low = [2]bool{}
	d.spoil(&d.counts.Gaps)
	d.open, d.last = true, at
}

// Present tells a line's level without calling it an edge: at the start of a
// stream and after a gap.
func (d *Decoder) Present(line int, high bool, at time.Duration) {
	d.low[line&1], d.fell[line&1] = !high, at
}

// Silence returns the frame that is complete at the time at, if there is one.
func (d *Decoder) Silence(at time.Duration) (Frame, bool) {
	if !d.open || at-d.last < d.rules.Silence {
		return Frame{}, false
	}
	return d.finish()
}

// Busy tells whether a frame is being received, so that Silence must be called.
func (d *Decoder) Busy() bool { return d.open }

// Partial tells whether a frame is being received that no format takes as it is:
// of no format's length, or spoilt already.
func (d *Decoder) Partial() bool {
	n := len(d.bits)
	whole := d.fault == nil && slices.ContainsFunc(d.rules.Formats, func(f Format) bool { return f.Bits == n })
	return d.open && !whole && !(d.rules.Keypad && (n == 4 || n == 8))
}

// Low tells for how long a line has been low at the time at: the longer of the
// two. A line low for seconds is a cut cable or a reader without power.
func (d *Decoder) Low(at time.Duration) time.Duration {
	var most time.Duration
	for i := range d.low {
		if d.low[i] {
			most = max(most, at-d.fell[i])
		}
	}
	return most
}

// Reason is the last rejection in words, for operators.
func (d *Decoder) Reason() string { return d.reason }

// spoil marks the frame as rejected; the first fault names it.
func (d *Decoder) spoil(count *uint64) {
	if d.fault == nil {
		d.fault = count
	}
}

func (d *Decoder) finish() (Frame, bool) {
	if d.low[0] || d.low[1] {
		d.spoil(&d.counts.Long) // silent, but not idle
	}
	f, fault := d.judge()
	n := len(d.bits)
	d.bits, d.fault, d.open = d.bits[:0], nil, false
	if fault != nil {
		*fault++
		d.reason = d.explain(fault, n)
		return Frame{}, false
	}
	d.counts.Frames++
	return f, true
}

func (d *Decoder) explain(fault *uint64, bits int) string {
	switch fault {
	case &d.counts.Long:
		return "a pulse too long for a bit, or a line stuck low"
	case &d.counts.Overlaps:
		return "both data lines low at once: crosstalk or swapped ground"
	case &d.counts.Parities:
		return fmt.Sprintf("a frame of %d bits with wrong parity", bits)
	case &d.counts.Gaps:
		return "edges were lost"
	}
	return fmt.Sprintf("a frame of %d bits, which no format has", bits)
}

func (d *Decoder) judge() (Frame, *uint64) {
	if d.fault != nil {
		return Frame{}, d.fault
	}
	n := len(d.bits)
	if d.rules.Keypad && (n == 4 || n == 8) {
		key, ok := keyOf(d.bits)
		if !ok {
			return Frame{}, &d.counts.Parities
		}
		return Frame{Key: key, At: d.last}, nil
	}
	for _, f := range d.rules.Formats {
		if f.Bits != n {
			continue
		}
		card, err := pack(d.bits)
		if err != nil || !f.holds(d.bits) {
			return Frame{}, &d.counts.Parities
		}
		return Frame{Card: card, At: d.last}, nil
	}
	return Frame{}, &d.counts.Lengths
}

// keyOf reads a burst of 4 bits, or of 8 whose first 4 are the complement of
// the last 4: 0 to 9, 10 for '*' and 11 for '#'.
func keyOf(bits []byte) (byte, bool) {
	n := len(bits)
	v := bits[n-4]<<3 | bits[n-3]<<2 | bits[n-2]<<1 | bits[n-1]
	if n == 8 {
		for i := range 4 {
			if bits[i] == bits[4+i] {
				return 0, false
			}
		}
	}
	if v > 11 {
		return 0, false
	}
	return "0123456789*#"[v], true
}
