package wiegand

import (
	"fmt"
	"slices"
)

// judge says what a finished frame is, or which count its rejection goes to.
func (d *Decoder) judge() (Frame, *uint64) {
	n := len(d.bits)
	switch {
	case d.fault != nil:
		return Frame{}, d.fault
	case d.rules.Keypad && (n == 4 || n == 8):
		key, ok := keyOf(d.bits)
		if !ok {
			return Frame{}, &d.counts.Parities
		}
		return Frame{Key: key, At: d.last}, nil
	}
	for _, e := range d.rules.Entries {
		if !e.is(d.bits) {
			continue
		}
		keys, ok := e.read(d.bits)
		if !ok {
			return Frame{}, &d.counts.Parities
		}
		return Frame{Keys: keys, At: d.last}, nil
	}
	return d.judgeCard()
}

func (d *Decoder) judgeCard() (Frame, *uint64) {
	n := len(d.bits)
	i := slices.IndexFunc(d.rules.Formats, func(f Format) bool { return f.Bits == n })
	switch {
	case i >= 0 && !d.rules.Formats[i].holds(d.bits):
		return Frame{}, &d.counts.Parities
	case i >= 0, d.rules.Raw > 0 && n >= d.rules.Raw:
		c, err := pack(d.bits)
		if err != nil {
			return Frame{}, &d.counts.Short
		}
		return Frame{Card: c, At: d.last}, nil
	case n < slices.Min(d.lengths):
		return Frame{}, &d.counts.Short
	case n > slices.Max(d.lengths):
		return Frame{}, &d.counts.Excess
	}
	return Frame{}, &d.counts.Lengths
}

// explain is a rejection in words. It says how many bits, never which.
func (d *Decoder) explain(fault *uint64, bits int) string {
	switch fault {
	case &d.counts.Long:
		return "a pulse too long for a bit, or a line stuck low"
	case &d.counts.Overlaps:
		return "both data lines low at once: crosstalk or swapped ground"
	case &d.counts.Parities:
		return fmt.Sprintf("a frame of %d bits with wrong parity, or a key that is none", bits)
	case &d.counts.Gaps:
		return "edges were lost"
	case &d.counts.Short:
		return fmt.Sprintf("a frame of %d bits, shorter than any", bits)
	case &d.counts.Excess:
		return fmt.Sprintf("a frame of %d bits or more, longer than any", bits)
	}
	return fmt.Sprintf("a frame of %d bits, which no format has", bits)
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
