package drivers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Form is how the number of a card's chip becomes the bits by which the card is
// known here, so that readers of different makes give one 資格番号 for one card
// [T-22]. A chip says its number as bytes; a door reader sends a part of them,
// in an order of its own, and puts parity around them:
//
//	chip        04 A1 B2 C3                 UID, first byte first
//	reversed    C3 B2 A1 04                 Reversed
//	kept           B2 A1 04                 Keep 24: the last bits, High: the first
//	sent      P 101100101010000100000100 P  Parity: even over the first half, odd over the last
//
// The zero Form is the whole number as the chip says it, which is what readers
// that send "raw UID" give. Leading zeros are kept, and a number shorter than
// Keep gets more of them. Sources: HID's H10301, H10302, H10304 and the 34, 58
// and 66 bit layouts of readers that send a UID between two parity bits.
//
// A truncated number (w26 of 7 bytes keeps 24 bits of 56) can belong to several
// cards: choose the longest form that every reader of the site can send.
type Form struct {
	Reversed bool // the chip's last byte first
	High     bool // of a number that is too long keep the first bits, not the last
	Parity   bool // a parity bit before and one behind
	Keep     int  // bits kept of the number, 0 for all
}

// The longest number that is formed has 80 bits: a UID of 10 bytes.
const (
	maxNumber = 10
	minKeep   = 8
)

var errForm = errors.New(`want "uid", "wN" (N bits with parity: w26, w34, w37, w58, w66) or "rawN" (N bits without), and after it "-high" or "-reversed"`)

// ParseForm reads a form as settings write it: "uid", "w26", "w34-reversed",
// "raw32-high-reversed".
func ParseForm(text string) (Form, error) {
	words := strings.Split(text, "-")
	f, err := parseBase(words[0])
	for _, w := range words[1:] {
		switch {
		case w == "high" && f.Keep > 0 && !f.High && !f.Reversed:
			f.High = true
		case w == "reversed" && !f.Reversed:
			f.Reversed = true
		default:
			err = errForm
		}
	}
	if err != nil {
		return Form{}, fmt.Errorf("card form %q: %w", text, err)
	}
	return f, nil
}

func parseBase(base string) (Form, error) {
	if base == "uid" {
		return Form{}, nil
	}
	digits, raw := strings.CutPrefix(base, "raw")
	if !raw {
		var wired bool
		if digits, wired = strings.CutPrefix(base, "w"); !wired {
			return Form{}, errForm
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || strconv.Itoa(n) != digits {
		return Form{}, errForm
	}
	f := Form{Keep: n, Parity: !raw}
	if f.Parity {
		f.Keep -= 2
	}
	return f, f.check()
}

func (f Form) check() error {
	switch {
	case f.Keep == 0 && (f.Parity || f.High):
		return errors.New("parity and the first bits need a number of bits to keep")
	case f.Keep != 0 && (f.Keep < minKeep || f.Keep > 8*maxNumber):
		return fmt.Errorf("%d bits to keep, want %d to %d", f.Keep, minKeep, 8*maxNumber)
	}
	return nil
}

// String is the form as ParseForm reads it.
func (f Form) String() string {
	text := "uid"
	switch {
	case f.Parity:
		text = "w" + strconv.Itoa(f.Keep+2)
	case f.Keep > 0:
		text = "raw" + strconv.Itoa(f.Keep)
	}
	if f.High {
		text += "-high"
	}
	if f.Reversed {
		text += "-reversed"
	}
	return text
}

// Of is the card of a chip's number, which is 1 to 10 bytes, first byte first.
func (f Form) Of(number []byte) (Card, error) {
	if err := f.check(); err != nil {
		return Card{}, err
	}
	if len(number) == 0 || len(number) > maxNumber {
		return Card{}, fmt.Errorf("a chip's number of %d bytes, want 1 to %d", len(number), maxNumber)
	}
	number = slices.Clone(number)
	if f.Reversed {
		slices.Reverse(number)
	}
	data := f.keep(number)
	if f.Parity {
		data = withParity(data)
	}
	packed := make([]byte, (len(data)+7)/8)
	for i, b := range data {
		packed[i/8] |= b << (7 - i%8)
	}
	return NewCard(packed, len(data))
}

// keep is the bits kept of the number, one a byte.
func (f Form) keep(number []byte) []byte {
	bits := make([]byte, 8*len(number))
	for i := range bits {
		bits[i] = number[i/8] >> (7 - i%8) & 1
	}
	switch short := f.Keep - len(bits); {
	case f.Keep == 0:
		return bits
	case short >= 0:
		return append(make([]byte, short), bits...)
	case f.High:
		return bits[:f.Keep]
	default:
		return bits[-short:]
	}
}

// withParity puts even parity over the first half before the data and odd
// parity over the last half behind it. With an odd number of bits both halves
// hold the one in the middle, as in H10304.
func withParity(data []byte) []byte {
	half := (len(data) + 1) / 2
	even, odd := byte(0), byte(1)
	for i := range half {
		even ^= data[i]
		odd ^= data[len(data)-1-i]
	}
	return append(append([]byte{even}, data...), odd)
}

// Recast is the card as this form has it, where c came from a reader that sends
// a chip's whole number without parity (an OSDP reader set to raw UID). A card
// that already has the form's length and parity stays as it is; one that is
// neither is an error: its number cannot be known.
func (f Form) Recast(c Card) (Card, error) {
	switch {
	case f.Parity && c.Len() == f.Keep+2:
		return c, nil
	case c.Len()%8 == 0:
		return f.Of(c.Bits())
	}
	return Card{}, fmt.Errorf("a card of %d bits is no whole number of a chip and not %s", c.Len(), f)
}
