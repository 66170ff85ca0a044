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
	Entries []Entry  // frames that are whole keypad entries
	// Raw takes frames of at least so many bits whose length nothing above has
	// as they are; 0 rejects them. Nothing then tells a number from one that
	// lost bits on its way, so it is for finding out what a reader sends and for
	// cards nobody has a layout of; name "rawN" among the formats once N is
	// known. Such frames are given a quarter second later than others.
	Raw int
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
	if r.Raw != 0 && (r.Raw < minBits || r.Raw > maxBits) {
		faults = append(faults, fmt.Errorf("raw frames from %d bits, want 0 or %d to %d", r.Raw, minBits, maxBits))
	}
	seen := map[int]bool{}
	for _, f := range r.Formats {
		faults = append(faults, f.check())
		if seen[f.Bits] {
			faults = append(faults, fmt.Errorf("two formats of %d bits: the length alone tells them apart", f.Bits))
		}
		seen[f.Bits] = true
	}
	for _, e := range r.Entries {
		faults = append(faults, e.check())
		if e.Only.Name != "" {
			continue
		}
		if seen[e.Format.Bits] {
			faults = append(faults, fmt.Errorf("an entry and another frame of %d bits: nothing tells them apart", e.Format.Bits))
		}
		seen[e.Format.Bits] = true
	}
	return errors.Join(faults...)
}

// lengths are those of all frames that are taken, but raw ones.
func (r Rules) lengths() (out []int) {
	if r.Keypad {
		out = []int{4, 8}
	}
	for _, f := range r.Formats {
		out = append(out, f.Bits)
	}
	for _, e := range r.Entries {
		out = append(out, e.Format.Bits)
	}
	return out
}

// Counts is what a Decoder has rejected and taken. All but Frames are noise.
type Counts struct {
	Frames   uint64 // cards and keys
	Glitches uint64 // pulses too short to be a bit; they do not end a frame
	Long     uint64 // frames with a pulse too long to be a bit
	Overlaps uint64 // frames with both lines low at once
	Short    uint64 // frames shorter than any
	Excess   uint64 // frames longer than any: a line that oscillates
	Lengths  uint64 // frames of another length no format has: bits were lost, or a strange card
	Parities uint64 // frames with wrong parity, or a key that is none
	Gaps     uint64 // frames in which edges were lost
}

// Noise is the sum of all that was rejected.
func (c Counts) Noise() uint64 {
	return c.Glitches + c.Long + c.Overlaps + c.Short + c.Excess + c.Lengths + c.Parities + c.Gaps
}

// Frame is one well-formed frame: a card, a key or a whole entry of keys.
type Frame struct {
	Card drivers.Card  // zero for keys
	Key  byte          // '0'-'9', '*', '#'; otherwise 0
	Keys drivers.Keys  // a whole entry; otherwise zero
	At   time.Duration // of the last edge
}

// Format keeps the key out of logs; it may be part of a PIN.
func (f Frame) Format(s fmt.State, _ rune) {
	if f.Key != 0 || !f.Keys.IsZero() {
		fmt.Fprint(s, "keys [redacted]")
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
	edges  uint64           // edges so far: their order, which stamps may not tell
	began  [2]uint64        // number of the edge by which it went low
	ended  [2]uint64        // number of the edge by which its last good pulse ended
	bits   []byte
	fault  *uint64       // the count this frame's rejection goes to
	open   bool          // a frame is being received
	last   time.Duration // the last good pulse of the frame
	reason string        // the last rejection in words

	lengths []int // of all frames that are taken, but raw ones
}

// NewDecoder makes a decoder; it refuses rules that contradict themselves.
func NewDecoder(r Rules) (*Decoder, error) {
	r = r.withDefaults()
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("wiegand: %w", err)
	}
	return &Decoder{rules: r, bits: make([]byte, 0, maxBits), lengths: r.lengths()}, nil
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
	d.edges++
	if !high {
		d.fell[line], d.began[line] = at, d.edges
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
	if len(d.bits) > 0 && d.ended[1-line] > d.began[line] {
		d.spoil(&d.counts.Overlaps)
	}
	d.open, d.last, d.ended[line] = true, at, d.edges
	if len(d.bits) == maxBits {
		d.spoil(&d.counts.Excess)
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
	d.edges++
	d.low[line&1], d.fell[line&1], d.began[line&1] = !high, at, d.edges
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
	return d.open && (d.fault != nil || !slices.Contains(d.lengths, len(d.bits)))
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
