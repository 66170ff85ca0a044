package drivers

import (
	"encoding/hex"
	"fmt"
	"log/slog"
)

// Card is what a reader said of a card: its bits exactly as received, most
// significant bit first, left-aligned in the bytes, leading zeros kept. It
// redacts itself wherever it is printed, logged or marshalled; only Bits and
// Key give the number away, and only the matcher calls them.
type Card struct {
	bits int
	raw  string // bytes; a string so that Card is comparable
}

// NewCard copies the first n bits of b. Bits of b beyond n are cleared, so that
// two readings of one card are equal.
func NewCard(b []byte, n int) (Card, error) {
	if n <= 0 || n > 8*len(b) {
		return Card{}, fmt.Errorf("a card of %d bits in %d bytes", n, len(b))
	}
	raw := append([]byte(nil), b[:(n+7)/8]...)
	if rest := n % 8; rest != 0 {
		raw[len(raw)-1] &= byte(0xFF << (8 - rest))
	}
	return Card{bits: n, raw: string(raw)}, nil
}

// IsZero tells that no card was read.
func (c Card) IsZero() bool { return c.bits == 0 }

// Len is the number of bits.
func (c Card) Len() int { return c.bits }

// Bits is a copy of the bits, left-aligned.
func (c Card) Bits() []byte { return []byte(c.raw) }

// Key is one text per distinct card, "26:a1b2c3d4": the length keeps cards
// apart that differ only in leading zeros.
func (c Card) Key() string { return fmt.Sprintf("%d:%s", c.bits, hex.EncodeToString([]byte(c.raw))) }

const redacted = "[redacted]"

func (c Card) redact() string {
	if c.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%d bits %s", c.bits, redacted)
}

// String, GoString, Format, LogValue and MarshalText keep the number out of
// every log and message.
func (c Card) String() string               { return c.redact() }
func (c Card) GoString() string             { return c.redact() }
func (c Card) Format(f fmt.State, _ rune)   { fmt.Fprint(f, c.redact()) }
func (c Card) LogValue() slog.Value         { return slog.StringValue(c.redact()) }
func (c Card) MarshalText() ([]byte, error) { return []byte(c.redact()), nil }

// Keys is what was typed on a keypad, '0'-'9', '*' and '#'. It redacts itself
// because it may be a PIN.
type Keys struct{ typed string }

// NewKeys takes typed keys; anything but digits, '*' and '#' is an error.
func NewKeys(s string) (Keys, error) {
	for _, r := range s {
		if (r < '0' || r > '9') && r != '*' && r != '#' {
			return Keys{}, fmt.Errorf("a keypad has no key %q", r)
		}
	}
	return Keys{typed: s}, nil
}

// IsZero tells that nothing was typed.
func (k Keys) IsZero() bool { return k.typed == "" }

// Typed gives the keys away; only the PIN check calls it.
func (k Keys) Typed() string { return k.typed }

func (k Keys) redact() string {
	if k.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%d keys %s", len(k.typed), redacted)
}

// String, GoString, Format, LogValue and MarshalText keep a PIN out of every
// log and message [001-4.4(4)].
func (k Keys) String() string               { return k.redact() }
func (k Keys) GoString() string             { return k.redact() }
func (k Keys) Format(f fmt.State, _ rune)   { fmt.Fprint(f, k.redact()) }
func (k Keys) LogValue() slog.Value         { return slog.StringValue(k.redact()) }
func (k Keys) MarshalText() ([]byte, error) { return []byte(k.redact()), nil }
