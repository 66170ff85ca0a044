package cards

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// layout is a format with an even parity bit before the data and an odd one
// after it; the even bit covers the first half, the odd one the last half, and
// where the data has an odd length both cover the bit in the middle.
type layout struct{ facility, id int }

var layouts = map[string]layout{
	"h10301": {8, 16},  // 26 bits
	"h10306": {16, 16}, // 34 bits
	"h10304": {16, 19}, // 37 bits
	"h10302": {0, 35},  // 37 bits without facility
}

// Formats names the formats Encode knows.
func Formats() []string { return slices.Sorted(maps.Keys(layouts)) }

// Encode gives the bits of a card of the format: the hub's import uses the same
// mapping to enrol it [T-22]. For h10301 that is
//
//	P  ffffffff iiiiiiiiiiiiiiii  p
//	│  └ facility (8) └ id (16)   └ odd parity over the last 12 data bits
//	└ even parity over the first 12 data bits
func Encode(format string, facility, id uint64) (Bits, error) {
	l, ok := layouts[format]
	if !ok {
		return Bits{}, fmt.Errorf("unknown card format %q: one of %s", format, strings.Join(Formats(), ", "))
	}
	if facility >= 1<<l.facility || id >= 1<<l.id {
		return Bits{}, fmt.Errorf("format %s holds a facility of %d bits and an id of %d bits", format, l.facility, l.id)
	}
	data := facility<<l.id | id
	n := l.facility + l.id
	half := (n + 1) / 2
	even, odd := false, true
	out := make([]byte, (n+2+7)/8)
	set := func(i int) { out[i/8] |= 0x80 >> (i % 8) }
	for i := range n {
		if data>>(n-1-i)&1 == 0 {
			continue
		}
		set(i + 1)
		if i < half {
			even = !even
		}
		if i >= n-half {
			odd = !odd
		}
	}
	if even {
		set(0)
	}
	if odd {
		set(n + 1)
	}
	return NewBits(out, n+2)
}
