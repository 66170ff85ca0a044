// Package cards turns a printed card number into the bits a reader sends.
//
//	資格番号 (printed, 10 digits) ── table ──▶ format, facility, id ── Encode ──▶ bits
//
// The bits are most significant first, left-aligned in their bytes, leading
// zeros kept, written "26:0018303980": the same text on every side of the wire.
package cards

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// MaxBits bounds a card; longer ones do not fit the readers modelled here.
const MaxBits = 256

// Bits is what a card says to a reader. It is comparable, and redacts itself
// in logs: real cards are presented to simulators too.
type Bits struct {
	n   int
	raw string
}

// NewBits copies the first n bits of b; bits beyond n are cleared.
func NewBits(b []byte, n int) (Bits, error) {
	if n < 1 || n > MaxBits || len(b) != (n+7)/8 {
		return Bits{}, fmt.Errorf("a card of %d bits in %d bytes: want 1 to %d bits in just enough bytes", n, len(b), MaxBits)
	}
	raw := append([]byte(nil), b...)
	if rest := n % 8; rest != 0 {
		raw[len(raw)-1] &= byte(0xFF << (8 - rest))
	}
	return Bits{n: n, raw: string(raw)}, nil
}

// ParseBits reads the text form "26:a1b2c300".
func ParseBits(s string) (Bits, error) {
	count, digits, ok := strings.Cut(s, ":")
	if !ok {
		return Bits{}, fmt.Errorf("card bits want the form COUNT:HEX")
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return Bits{}, fmt.Errorf("card bits: the count is not a number")
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return Bits{}, fmt.Errorf("card bits: the part after the colon is not hexadecimal")
	}
	return NewBits(b, n)
}

// Len is the number of bits.
func (b Bits) Len() int { return b.n }

// Bytes is a copy of the bits, left-aligned.
func (b Bits) Bytes() []byte { return []byte(b.raw) }

// At is bit i, counted from the first one sent.
func (b Bits) At(i int) bool { return b.raw[i/8]&(0x80>>(i%8)) != 0 }

// Text is the number itself, "26:a1b2c300"; everything else redacts it.
func (b Bits) Text() string { return fmt.Sprintf("%d:%s", b.n, hex.EncodeToString([]byte(b.raw))) }

// String, GoString, Format and LogValue keep the number out of logs.
func (b Bits) String() string             { return fmt.Sprintf("%d bits [redacted]", b.n) }
func (b Bits) GoString() string           { return b.String() }
func (b Bits) Format(f fmt.State, _ rune) { fmt.Fprint(f, b.String()) }
func (b Bits) LogValue() slog.Value       { return slog.StringValue(b.String()) }
