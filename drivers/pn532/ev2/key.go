// Package ev2 is how a card proves that it holds a key of the municipality, and
// says its true number, without anybody being able to repeat the talk later. It
// computes; it sends nothing.
//
//	site key ── Diversify(UID) ──▶ card key
//	                                  │
//	reader                            ▼                            card
//	   90 71  key number ────────────────────────────────────────▶
//	   ◀───────────────────────────────── E(K, RndB)                91 AF
//	   90 AF  E(K, RndA ‖ RndB') ────────────────────────────────▶
//	   ◀────────────── E(K, TI ‖ RndA' ‖ capabilities)              91 00
//	   90 51  MAC ───────────────────────────────────────────────▶  GetCardUID
//	   ◀──────────── E(session, UID) ‖ MAC                          91 00
//
// E is AES-128 in CBC mode; X' is X turned left by one byte. Sources: NXP
// AN12196 (NTAG 424 DNA), AN12343 (DESFire EV2, the same secure messaging) and
// AN10922 (key diversification), NIST SP 800-38B (CMAC).
package ev2

import (
	"crypto/aes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// KeySize is the size of every key here, in bytes.
const KeySize = 16

// Key is an AES-128 key. It redacts itself wherever it is printed, logged or
// marshalled, and has no way to give the bytes away outside this package. They
// are inside a function because fmt, given a struct that holds a Key in an
// unexported field, cannot call its methods and prints what it finds; of a
// function that is an address.
type Key struct{ secret func() [KeySize]byte }

// NewKey copies 16 bytes.
func NewKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("an AES key of %d bytes, want %d", len(b), KeySize)
	}
	return keyOf([KeySize]byte(b)), nil
}

func keyOf(b [KeySize]byte) Key { return Key{secret: func() [KeySize]byte { return b }} }

// ParseKey reads 32 hexadecimal digits. Its error quotes none of them.
func ParseKey(text string) (Key, error) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return Key{}, errors.New("an AES key is 32 hexadecimal digits")
	}
	return NewKey(b)
}

// IsZero tells that no key is set. A key of sixteen zero bytes, which cards have
// when they come from the factory, is a key.
func (k Key) IsZero() bool { return k.secret == nil }

func (k Key) redact() string {
	if k.IsZero() {
		return "none"
	}
	return "[redacted]"
}

// String, GoString, Format, LogValue and MarshalText keep the key out of every
// log and message.
func (k Key) String() string               { return k.redact() }
func (k Key) GoString() string             { return k.redact() }
func (k Key) Format(f fmt.State, _ rune)   { fmt.Fprint(f, k.redact()) }
func (k Key) LogValue() slog.Value         { return slog.StringValue(k.redact()) }
func (k Key) MarshalText() ([]byte, error) { return []byte(k.redact()), nil }

const block = aes.BlockSize

// divAES128 begins the diversification input of an AES-128 key (AN10922 §2.2).
const divAES128 = 0x01

// MaxInput is the longest diversification input, in bytes (AN10922 §2.2).
const MaxInput = 31

// Diversify is the key of one card: the site key's CMAC over what tells the card
// apart. One card taken apart then gives away no other card's key. The input is
// the UID, followed by whatever the issuer chose: an application ID, a name.
func Diversify(site Key, input []byte) (Key, error) {
	if site.IsZero() {
		return Key{}, errors.New("no site key")
	}
	if len(input) == 0 || len(input) > MaxInput {
		return Key{}, fmt.Errorf("a diversification input of %d bytes, want 1 to %d", len(input), MaxInput)
	}
	// AN10922 fills up to two whole blocks even where CMAC alone would take
	// one, so short inputs differ from a plain CMAC.
	m := append([]byte{divAES128}, input...)
	whole := len(m) == 2*block
	if !whole {
		m = append(m, 0x80)
		m = append(m, make([]byte, 2*block-len(m))...)
	}
	return keyOf(finish(site, m, whole)), nil
}
