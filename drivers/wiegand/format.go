package wiegand

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sekimori/drivers"
)

// Format says what a well-formed card frame of one length looks like. Formats
// are data, so a municipality's odd cards need settings and no program.
type Format struct {
	Name   string   // for operators: "H10301"
	Parity []Parity // checks; none means that only the length is checked
	Bits   int      // length including parity bits
	Fields []Field  // the numbers in it, for people; the card is all its bits
}

// Parity is one parity bit as a picture of the frame, one character a bit, the
// first received first: 'P' the parity bit, 'X' a bit it covers, '.' another.
// It may cover the parity bits of parities that stand before it in the format.
type Parity struct {
	Odd bool
	Map string
}

// Field is a binary number in a frame, most significant bit first.
type Field struct {
	Name  string // "facility", "card"
	First int    // its first bit, counted from 0
	Len   int    // 1 to 64 bits
}

// Number is a field of one card. It gives the card away: it is for the person
// at the counter who holds the card in one hand, and never for a log.
type Number struct {
	Name  string
	Value uint64
}

// The common formats. Sources: HID's published layouts of H10301, H10302,
// H10304 and Corporate 1000; 34 bits as most 34-bit readers send it (H10306).
var (
	H10301 = Format{Name: "H10301", Bits: 26, Parity: []Parity{
		{Odd: false, Map: "PXXXXXXXXXXXX............."},
		{Odd: true, Map: ".............XXXXXXXXXXXXP"},
	}, Fields: []Field{{facility, 1, 8}, {card, 9, 16}}}
	H10306 = Format{Name: "H10306", Bits: 34, Parity: []Parity{
		{Odd: false, Map: "PXXXXXXXXXXXXXXXX................."},
		{Odd: true, Map: ".................XXXXXXXXXXXXXXXXP"},
	}, Fields: []Field{{facility, 1, 16}, {card, 17, 16}}}
	// C1000 covers two bits of three with its inner parities and all with the
	// first bit, which is reckoned last.
	C1000 = Format{Name: "C1000", Bits: 35, Parity: []Parity{
		{Odd: false, Map: ".PXX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX."},
		{Odd: true, Map: ".XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.P"},
		{Odd: true, Map: "PXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"},
	}, Fields: []Field{{facility, 2, 12}, {card, 14, 20}}}
	// H10304 has 35 data bits; both parities cover the one in the middle.
	// H10302 is the same without a facility code. Only one of the two can be
	// in force; which one changes no card, only the numbers told of it.
	H10304 = Format{Name: "H10304", Bits: 37, Parity: []Parity{
		{Odd: false, Map: "PXXXXXXXXXXXXXXXXXX.................."},
		{Odd: true, Map: "..................XXXXXXXXXXXXXXXXXXP"},
	}, Fields: []Field{{facility, 1, 16}, {card, 17, 19}}}
	H10302 = Format{Name: "H10302", Bits: 37, Parity: H10304.Parity, Fields: []Field{{card, 1, 35}}}
	// C1000x48 is Corporate 1000 with 48 bits.
	C1000x48 = Format{Name: "C1000-48", Bits: 48, Parity: []Parity{
		{Odd: false, Map: ".P.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX."},
		{Odd: true, Map: "..XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.XX.P"},
		{Odd: true, Map: "PXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"},
	}, Fields: []Field{{facility, 2, 22}, {card, 24, 23}}}
)

const (
	facility = "facility"
	card     = "card"
)

// StandardFormats are taken when a configuration names none.
func StandardFormats() []Format { return []Format{H10301, H10306, H10304} }

// KnownFormats are those that FormatNamed knows by a name of their own.
func KnownFormats() []Format { return []Format{H10301, H10306, C1000, H10304, H10302, C1000x48} }

// FormatNamed is the format that settings call so: one of KnownFormats in any
// case; "wN" for N bits of which the first is even parity over the first half
// and the last odd parity over the last, as readers send a chip's number (w34,
// w58, w66); "rawN" for N bits without parity (raw32, raw40, raw56, raw64). The
// last two are drivers.Form's words for the same cards.
func FormatNamed(name string) (Format, error) {
	for _, f := range KnownFormats() {
		if strings.EqualFold(f.Name, name) {
			return f, nil
		}
	}
	f := Format{Name: name}
	for prefix, parity := range map[string]bool{"w": true, "raw": false} {
		digits, ok := strings.CutPrefix(name, prefix)
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || strconv.Itoa(n) != digits {
			continue
		}
		if f.Bits = n; parity && n >= minBits && n <= maxBits {
			f.Parity = halves(n)
		}
		return f, f.check()
	}
	return Format{}, fmt.Errorf("wiegand: no format %q: a name of %s, wN or rawN", name, names())
}

func names() string {
	var out []string
	for _, f := range KnownFormats() {
		out = append(out, f.Name)
	}
	return strings.Join(out, ", ")
}

// halves are the two parities around a number. With an odd number of bits both
// cover the one in the middle.
func halves(bits int) []Parity {
	half := (bits - 1) / 2
	rest := strings.Repeat(".", bits-1-half)
	covered := strings.Repeat("X", half)
	return []Parity{{Odd: false, Map: "P" + covered + rest}, {Odd: true, Map: rest + covered + "P"}}
}

// minBits and maxBits bound a card frame: shorter ones are keypad bursts, longer
// ones are a line that oscillates. Cards of 200 bits (FASC-N) exist.
const (
	minBits = 9
	maxBits = 256
)

func (f Format) check() error {
	if f.Bits < minBits || f.Bits > maxBits {
		return fmt.Errorf("format %s: %d bits, want %d to %d", f.Name, f.Bits, minBits, maxBits)
	}
	var faults []error
	parities := map[int]bool{} // where parity bits are so far
	for i, p := range f.Parity {
		if len(p.Map) != f.Bits || strings.Count(p.Map, "P") != 1 || strings.Trim(p.Map, "PX.") != "" {
			faults = append(faults, fmt.Errorf("format %s: parity map %d %q: want %d of P, X and '.', with one P", f.Name, i, p.Map, f.Bits))
			continue
		}
		at := strings.IndexByte(p.Map, 'P')
		for _, before := range f.Parity[:i] {
			if at < len(before.Map) && before.Map[at] != '.' {
				faults = append(faults, fmt.Errorf("format %s: parity bit %d is covered by a parity before it", f.Name, at))
			}
		}
		parities[at] = true
	}
	for _, x := range f.Fields {
		if x.First < 0 || x.Len < 1 || x.Len > 64 || x.First+x.Len > f.Bits {
			faults = append(faults, fmt.Errorf("format %s: field %s of %d bits from %d, of %d", f.Name, x.Name, x.Len, x.First, f.Bits))
			continue
		}
		for i := range x.Len {
			if parities[x.First+i] {
				faults = append(faults, fmt.Errorf("format %s: field %s holds the parity bit %d", f.Name, x.Name, x.First+i))
			}
		}
	}
	return errors.Join(faults...)
}

// holds tells whether all parities of the frame are right.
func (f Format) holds(bits []byte) bool {
	for _, p := range f.Parity {
		if !p.holds(bits) {
			return false
		}
	}
	return true
}

func (p Parity) holds(bits []byte) bool {
	ones := byte(0)
	for i := range p.Map {
		if p.Map[i] != '.' {
			ones ^= bits[i]
		}
	}
	return (ones == 1) == p.Odd
}

// pack turns a slice of 0 and 1 into a card.
func pack(bits []byte) (drivers.Card, error) {
	out := make([]byte, (len(bits)+7)/8)
	for i, b := range bits {
		out[i/8] |= b << (7 - i%8)
	}
	return drivers.NewCard(out, len(bits))
}

// Numbers takes a card of this format apart. It is an error if the card has
// another length or a wrong parity.
func (f Format) Numbers(c drivers.Card) ([]Number, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if c.Len() != f.Bits {
		return nil, fmt.Errorf("a card of %d bits is not of format %s", c.Len(), f.Name)
	}
	bits := unpack(c)
	if !f.holds(bits) {
		return nil, fmt.Errorf("a card of %d bits has not the parity of format %s", c.Len(), f.Name)
	}
	var out []Number
	for _, x := range f.Fields {
		out = append(out, Number{x.Name, x.value(bits)})
	}
	return out, nil
}

// Card is the card with these numbers, one for each of the format's fields in
// order: what a reader will send for the number printed on a card. Bits of no
// field are 0.
func (f Format) Card(numbers ...uint64) (drivers.Card, error) {
	if err := f.check(); err != nil {
		return drivers.Card{}, err
	}
	if len(numbers) != len(f.Fields) {
		return drivers.Card{}, fmt.Errorf("format %s has %d numbers, not %d", f.Name, len(f.Fields), len(numbers))
	}
	bits := make([]byte, f.Bits)
	for i, x := range f.Fields {
		if x.Len < 64 && numbers[i]>>x.Len != 0 {
			return drivers.Card{}, fmt.Errorf("format %s: %s does not fit %d bits", f.Name, x.Name, x.Len)
		}
		for j := range x.Len {
			bits[x.First+j] = byte(numbers[i] >> (x.Len - 1 - j) & 1)
		}
	}
	for _, p := range f.Parity {
		if !p.holds(bits) {
			bits[strings.IndexByte(p.Map, 'P')] ^= 1
		}
	}
	return pack(bits)
}

func (x Field) value(bits []byte) (v uint64) {
	for _, b := range bits[x.First : x.First+x.Len] {
		v = v<<1 | uint64(b)
	}
	return v
}

func unpack(c drivers.Card) []byte {
	raw, out := c.Bits(), make([]byte, c.Len())
	for i := range out {
		out[i] = raw[i/8] >> (7 - i%8) & 1
	}
	return out
}
