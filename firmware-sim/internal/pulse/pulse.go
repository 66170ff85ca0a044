// Package pulse makes the pulse trains of a Wiegand reader.
//
//	D0 ──┐┌──────────┐┌───   a 0 is a pulse to low on D0
//	     └┘          └┘
//	D1 ────────┐┌─────────   a 1 is a pulse to low on D1
//	           └┘
//	     │◀ I ▶│   I: interval, 200 µs to 20 ms; pulse width 20 to 100 µs
//
// A card is one train. A key is a short train of its own: four bits, or eight
// with the complement first.
package pulse

import (
	"fmt"
	"time"

	"sekimori/firmware-sim/internal/cards"
)

// Timing is how the reader paces its pulses.
type Timing struct {
	Width    time.Duration // a pulse
	Interval time.Duration // from one pulse to the next
	KeyGap   time.Duration // silence from one key to the next
}

// Default is what most readers do.
var Default = Timing{Width: 50 * time.Microsecond, Interval: 2 * time.Millisecond, KeyGap: 120 * time.Millisecond}

// Check refuses what no Wiegand reader does.
func (t Timing) Check() error {
	switch {
	case t.Width < 20*time.Microsecond || t.Width > 100*time.Microsecond:
		return fmt.Errorf("width %v: Wiegand pulses are 20 µs to 100 µs wide", t.Width)
	case t.Interval < 200*time.Microsecond || t.Interval > 20*time.Millisecond:
		return fmt.Errorf("interval %v: Wiegand pulses come 200 µs to 20 ms apart", t.Interval)
	case t.KeyGap <= t.Interval:
		return fmt.Errorf("key_gap %v: it must be longer than the interval, or two keys become one frame", t.KeyGap)
	}
	return nil
}

// Edge is one change of one of the two lines.
type Edge struct {
	One   bool // D1; otherwise D0
	Level bool
	After time.Duration // from the start of the train
}

// Fault is something wrong with a train.
type Fault string

const (
	None    Fault = ""
	Glitch  Fault = "glitch"  // a stray pulse of 1 µs between two bits
	Overlap Fault = "overlap" // both lines low at once in the middle
	Short   Fault = "short"   // the last three bits are missing
	Parity  Fault = "parity"  // the last bit is flipped
)

// Card is the train of a card.
func Card(b cards.Bits, t Timing, f Fault) []Edge {
	bits := make([]bool, b.Len())
	for i := range bits {
		bits[i] = b.At(i)
	}
	return train(bits, t, f)
}

// Burst is how a keypad sends one key.
type Burst string

const (
	NoKeypad Burst = ""
	Burst4   Burst = "burst4" // four bits: 0–9, * = A, # = B
	Burst8   Burst = "burst8" // the complement of those four, then the four
)

// Key is the train of one key, one of '0'-'9', '*', '#'.
func Key(k byte, b Burst, t Timing) []Edge {
	v := k - '0'
	switch k {
	case '*':
		v = 0xA
	case '#':
		v = 0xB
	}
	n := 4
	if b == Burst8 {
		v, n = ^v<<4|v, 8
	}
	bits := make([]bool, n)
	for i := range bits {
		bits[i] = v>>(n-1-i)&1 == 1
	}
	return train(bits, t, None)
}

func train(bits []bool, t Timing, f Fault) []Edge {
	bits = append([]bool(nil), bits...)
	switch f {
	case Short:
		bits = bits[:max(1, len(bits)-3)]
	case Parity:
		bits[len(bits)-1] = !bits[len(bits)-1]
	}
	var out []Edge
	for i, one := range bits {
		at := time.Duration(i) * t.Interval
		middle := i == len(bits)/2
		out = append(out, Edge{one, false, at})
		if f == Overlap && middle {
			out = append(out, Edge{!one, false, at + t.Width/4}, Edge{!one, true, at + t.Width/2})
		}
		out = append(out, Edge{one, true, at + t.Width})
		if f == Glitch && middle {
			stray := at + t.Width + (t.Interval-t.Width)/2
			out = append(out, Edge{one, false, stray}, Edge{one, true, stray + time.Microsecond})
		}
	}
	return out
}
