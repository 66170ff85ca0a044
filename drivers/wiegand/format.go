package wiegand

import (
	"errors"
	"fmt"
	"strings"

	"sekimori/drivers"
)

// Format says what a well-formed card frame of one length looks like. Formats
// are data, so a municipality's odd cards need settings and no program.
type Format struct {
	Name   string   // for operators: "H10301"
	Parity []Parity // checks; none means that only the length is checked
	Bits   int      // length including parity bits
}

// Parity is one parity bit as a picture of the frame, one character a bit, the
// first received first: 'P' the parity bit, 'X' a bit it covers, '.' another.
type Parity struct {
	Odd bool
	Map string
}

// The common formats. Sources: HID's published H10301 and H10304 layouts; 34
// bits as most 34-bit readers send it (H10306).
var (
	H10301 = Format{Name: "H10301", Bits: 26, Parity: []Parity{
		{Odd: false, Map: "PXXXXXXXXXXXX............."},
		{Odd: true, Map: ".............XXXXXXXXXXXXP"},
	}}
	H10306 = Format{Name: "H10306", Bits: 34, Parity: []Parity{
		{Odd: false, Map: "PXXXXXXXXXXXXXXXX................."},
		{Odd: true, Map: ".................XXXXXXXXXXXXXXXXP"},
	}}
	// H10304 has 35 data bits; both parities cover the one in the middle.
	// H10302, the same without a facility code, has the same parity.
	H10304 = Format{Name: "H10304", Bits: 37, Parity: []Parity{
		{Odd: false, Map: "PXXXXXXXXXXXXXXXXXX.................."},
		{Odd: true, Map: "..................XXXXXXXXXXXXXXXXXXP"},
	}}
)

// StandardFormats are taken when a configuration names none.
func StandardFormats() []Format { return []Format{H10301, H10306, H10304} }

// maxBits bounds a frame: longer ones are a line that oscillates. Cards of 200
// bits (FASC-N) exist.
const maxBits = 256

func (f Format) check() error {
	var faults []error
	if f.Bits <= 8 || f.Bits > maxBits {
		// 8 bits and fewer are keypad bursts.
		faults = append(faults, fmt.Errorf("format %s: %d bits, want 9 to %d", f.Name, f.Bits, maxBits))
	}
	for i, p := range f.Parity {
		if len(p.Map) != f.Bits || strings.Count(p.Map, "P") != 1 || strings.Trim(p.Map, "PX.") != "" {
			faults = append(faults, fmt.Errorf("format %s: parity map %d %q: want %d of P, X and '.', with one P", f.Name, i, p.Map, f.Bits))
		}
	}
	return errors.Join(faults...)
}

// holds tells whether all parities of the frame are right.
func (f Format) holds(bits []byte) bool {
	for _, p := range f.Parity {
		ones := byte(0)
		for i := range p.Map {
			if p.Map[i] != '.' {
				ones ^= bits[i]
			}
		}
		if (ones == 1) != p.Odd {
			return false
		}
	}
	return true
}

// pack turns a slice of 0 and 1 into a card.
func pack(bits []byte) (drivers.Card, error) {
	out := make([]byte, (len(bits)+7)/8)
	for i, b := range bits {
		out[i/8] |= b << (7 - i%8)
	}
	return drivers.NewCard(out, len(bits))
}
