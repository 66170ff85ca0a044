package record

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"

	"golang.org/x/crypto/argon2"
)

// CredentialKey is a device's own key for recognising credentials. Tags and PIN
// verifiers are made under it, so what one board holds is worthless at another.
// It redacts itself.
type CredentialKey [32]byte

func (CredentialKey) redact() string               { return "[credential key]" }
func (k CredentialKey) String() string             { return k.redact() }
func (k CredentialKey) GoString() string           { return k.redact() }
func (k CredentialKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.redact()) }
func (k CredentialKey) LogValue() slog.Value       { return slog.StringValue(k.redact()) }

// MarshalText keeps the key out of JSON, logged or otherwise: it is stored and
// sent as bytes on purpose, never by the way.
func (k CredentialKey) MarshalText() ([]byte, error) { return []byte(k.redact()), nil }

// Tag recognises a card by its key text (drivers.Card.Key).
func (k CredentialKey) Tag(card string) CredentialTag {
	return CredentialTag(hex.EncodeToString(k.mac("card", []byte(card))[:16]))
}

func (k CredentialKey) mac(use string, data []byte) []byte {
	m := hmac.New(sha256.New, k[:])
	m.Write([]byte("sekimori/" + use + "/v1\x00"))
	m.Write(data)
	return m.Sum(nil)
}

// argon2id at OWASP's low-memory setting (7 MiB, 5 passes, 1 lane), because a
// door controller has little memory.
const (
	pinTime   = 5
	pinMemory = 7 << 10 // KiB
	pinLanes  = 1
)

// PINVerifier checks a PIN at one device: argon2id(PIN, Salt), then bound to
// the device by its credential key. The PIN itself is nowhere.
type PINVerifier struct {
	Salt []byte `json:"salt"`
	MAC  []byte `json:"mac"`
}

// PINRoot is what the hub keeps to bind a PIN to devices: argon2id(PIN, Salt).
type PINRoot struct {
	Salt []byte
	Hash []byte
}

// NewPINRoot derives a root from a PIN and a random salt of at least 16 bytes.
func NewPINRoot(pin string, salt []byte) PINRoot {
	return PINRoot{Salt: salt, Hash: stretch(pin, salt)}
}

func stretch(pin string, salt []byte) []byte {
	return argon2.IDKey([]byte(pin), salt, pinTime, pinMemory, pinLanes, 32)
}

// Bind makes the verifier for the device that holds k.
func (r PINRoot) Bind(k CredentialKey) *PINVerifier {
	return &PINVerifier{Salt: r.Salt, MAC: k.mac("pin", r.Hash)}
}

// Check tells whether pin is right. It takes tens of milliseconds on purpose.
func (v *PINVerifier) Check(k CredentialKey, pin string) bool {
	return subtle.ConstantTimeCompare(k.mac("pin", stretch(pin, v.Salt)), v.MAC) == 1
}
