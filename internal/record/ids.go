package record

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
)

// DeviceID names an agent, as in its certificate and its topics: "DC-31". It is
// a code, never a place name [T-26].
type DeviceID string

// Codes of the hub's master data. They are IDs: meaning is looked up at the hub.
type (
	DoorCode     string // "D31"
	RoomCode     string // "R31"
	ReaderID     string // "D31-in"
	PersonID     string // "P07"
	CredentialID string // 資格番号 as the register shows it, masked on print
	ScheduleID   string // a weekly pattern of hours
	PostID       string // "entry_manager_R31"
)

var devicePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$`)

// ParseDeviceID accepts 1 to 32 letters, digits, '-' and '_'.
func ParseDeviceID(s string) (DeviceID, error) {
	if !devicePattern.MatchString(s) {
		return "", fmt.Errorf("device ID %q: want 1 to 32 letters, digits, '-' or '_'", s)
	}
	return DeviceID(s), nil
}

// Epoch names one journal from its creation to its loss. Sequence numbers are
// gapless within an epoch; a new epoch names the one before it.
type Epoch [16]byte

// BootID names one boot of a device: Event.Mono counts from it.
type BootID [16]byte

// Hash is a SHA-256 value: a commitment, a chunk's hash.
type Hash [32]byte

// Salt hides an event behind its commitment until the event is shown.
type Salt [32]byte

// NewEpoch and NewSalt are random. crypto/rand.Read does not fail (Go 1.24).
func NewEpoch() (e Epoch)   { rand.Read(e[:]); return e }
func NewBootID() (b BootID) { rand.Read(b[:]); return b }
func NewSalt() (s Salt)     { rand.Read(s[:]); return s }

func (e Epoch) String() string  { return hex.EncodeToString(e[:]) }
func (b BootID) String() string { return hex.EncodeToString(b[:]) }
func (h Hash) String() string   { return hex.EncodeToString(h[:]) }

// IsZero tells that no epoch is named.
func (e Epoch) IsZero() bool { return e == Epoch{} }

func (e Epoch) MarshalText() ([]byte, error)   { return hexText(e[:]), nil }
func (e *Epoch) UnmarshalText(b []byte) error  { return unhex(e[:], b) }
func (b BootID) MarshalText() ([]byte, error)  { return hexText(b[:]), nil }
func (b *BootID) UnmarshalText(t []byte) error { return unhex(b[:], t) }
func (h Hash) MarshalText() ([]byte, error)    { return hexText(h[:]), nil }
func (h *Hash) UnmarshalText(b []byte) error   { return unhex(h[:], b) }

func hexText(b []byte) []byte { return hex.AppendEncode(nil, b) }

func unhex(dst, src []byte) error {
	if len(src) != 2*len(dst) {
		return fmt.Errorf("want %d hex digits, got %d", 2*len(dst), len(src))
	}
	if _, err := hex.Decode(dst, src); err != nil {
		return fmt.Errorf("hex: %w", err)
	}
	return nil
}
