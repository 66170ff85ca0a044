package channel

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Key is a reader's own key (SCBK, AES-128). It redacts itself wherever it is
// printed, logged or marshalled; nothing but the slice of its bytes gives it
// away.
type Key [16]byte

// Default is SCBK-D, the key every new reader has. The standard publishes it,
// so a channel made with it keeps nothing secret and proves nothing.
var Default = Key{0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F}

// Why sixteen bytes are no key for a reader.
var (
	ErrKeyText   = errors.New("鍵は 16 進 32 桁 · a key is 32 hexadecimal digits")
	ErrKeyPublic = errors.New("工場出荷時の公開鍵は使えない · the public default key cannot be a reader's own")
	ErrKeyWeak   = errors.New("同じ値の繰り返しは鍵にならない · one repeated byte is no key")
)

// NewKey makes a key from the system's random source.
func NewKey() Key {
	var k Key
	rand.Read(k[:]) // never fails since Go 1.24
	return k
}

// ParseKey reads 32 hexadecimal digits; spaces and colons between them are
// ignored. Its errors never repeat the text, which may be nearly a key.
func ParseKey(s string) (Key, error) {
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", ":", "").Replace(s))
	if err != nil || len(b) != len(Key{}) {
		return Key{}, ErrKeyText
	}
	k := Key(b)
	return k, k.Check()
}

// Check refuses keys that are none: SCBK-D and sixteen equal bytes.
func (k Key) Check() error {
	if k.Equal(Default) {
		return ErrKeyPublic
	}
	var same Key
	for i := range same {
		same[i] = k[0]
	}
	if k.Equal(same) {
		return ErrKeyWeak
	}
	return nil
}

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k[:], o[:]) == 1 }

const redacted = "key [redacted]"

// String, GoString, Format, LogValue and MarshalText keep the key out of every
// log and message.
func (Key) String() string               { return redacted }
func (Key) GoString() string             { return redacted }
func (Key) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (Key) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
