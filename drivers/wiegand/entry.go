package wiegand

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sekimori/drivers"
)

// Entry is a frame by which a keypad sends a whole entry at once, after its own
// '#' or its last digit. It looks like a card, so settings must say what it is:
//
//	4 bits a digit    0000 0000 0100 0010           "0042": leading zeros are kept
//	binary            P ffffffff 0000000000101010 P "42", or with Digits 4 "0042"
//
// Sources: HID's PINpad sheets (8-bit keys; 26 bits with the PIN as the card
// number, 65535 for an entry that was none) and Rosslare's AY-G manuals (26
// bits of six BCD keys; 26 bits with a facility code).
type Entry struct {
	Format Format // length, parity and fields
	Keys   string // the field that holds the keys
	Binary bool   // the keys are one binary number, otherwise 4 bits each
	Digits int    // Binary: leading zeros the number has lost are put back up to so many digits
	Only   Number // the field by which the entry is told from a card; without a name every frame of this length is an entry
}

// Buffered26 is a PIN sent as the card number of a 26-bit frame with this
// facility code, which no card of the site may have. The keypad loses leading
// zeros; digits is how long PINs are here.
func Buffered26(code uint8, digits int) Entry {
	return Entry{Format: H10301, Keys: card, Binary: true, Digits: digits, Only: Number{facility, uint64(code)}}
}

// Buffered26BCD is six keys of 4 bits in a frame of 26 bits.
func Buffered26BCD() Entry {
	f := Format{Name: "26 bits BCD", Bits: 26, Parity: H10301.Parity, Fields: []Field{{pin, 1, 24}}}
	return Entry{Format: f, Keys: pin}
}

// BufferedKeys is 3 to 16 keys of 4 bits without parity. Keypads that send as
// many keys as were typed need one of these for each length.
func BufferedKeys(keys int) Entry {
	f := Format{Name: fmt.Sprintf("%d keys", keys), Bits: 4 * keys, Fields: []Field{{pin, 0, 4 * keys}}}
	return Entry{Format: f, Keys: pin}
}

const (
	pin       = "keys"
	maxDigits = 20 // of a number of 64 bits
)

func (e Entry) field(name string) (Field, bool) {
	i := slices.IndexFunc(e.Format.Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		return Field{}, false
	}
	return e.Format.Fields[i], true
}

func (e Entry) check() error {
	if err := e.Format.check(); err != nil {
		return err
	}
	keys, ok := e.field(e.Keys)
	if !ok {
		return fmt.Errorf("entry %s: no field %q for its keys", e.Format.Name, e.Keys)
	}
	if _, ok := e.field(e.Only.Name); !ok && e.Only.Name != "" {
		return fmt.Errorf("entry %s: no field %q to tell it by", e.Format.Name, e.Only.Name)
	}
	if !e.Binary && (keys.Len%4 != 0 || e.Digits != 0) {
		return fmt.Errorf("entry %s: keys of 4 bits in %d bits, with %d digits set", e.Format.Name, keys.Len, e.Digits)
	}
	if e.Digits < 0 || e.Digits > maxDigits {
		return fmt.Errorf("entry %s: %d digits, want up to %d", e.Format.Name, e.Digits, maxDigits)
	}
	return nil
}

// is tells whether a frame is such an entry rather than a card.
func (e Entry) is(bits []byte) bool {
	if len(bits) != e.Format.Bits {
		return false
	}
	only, ok := e.field(e.Only.Name)
	return !ok || only.value(bits) == e.Only.Value
}

// read is what was typed; false for a wrong parity or keys that are none.
func (e Entry) read(bits []byte) (drivers.Keys, bool) {
	field, ok := e.field(e.Keys)
	if !ok || !e.Format.holds(bits) {
		return drivers.Keys{}, false
	}
	typed, ok := binaryKeys(field.value(bits), field.Len, e.Digits)
	if !e.Binary {
		typed, ok = nibbleKeys(bits[field.First : field.First+field.Len])
	}
	keys, err := drivers.NewKeys(typed)
	return keys, ok && err == nil && typed != ""
}

// binaryKeys: all ones is the keypad's word for an entry that was none.
func binaryKeys(v uint64, bits, digits int) (string, bool) {
	typed := strconv.FormatUint(v, 10)
	if short := digits - len(typed); short > 0 {
		typed = strings.Repeat("0", short) + typed
	}
	return typed, v != 1<<bits-1
}

// nibbleKeys: 15 fills up what was not typed, on either side, and a '#' may end
// the entry. Any other key inside it is none.
func nibbleKeys(bits []byte) (string, bool) {
	var b strings.Builder
	for ; len(bits) > 0; bits = bits[4:] {
		b.WriteByte("0123456789*#???F"[bits[0]<<3|bits[1]<<2|bits[2]<<1|bits[3]])
	}
	typed := strings.TrimSuffix(strings.Trim(b.String(), "F"), "#")
	return typed, strings.Trim(typed, "0123456789") == ""
}
