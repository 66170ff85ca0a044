package record

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// PolicyChunkSize bounds one chunk; MaxPolicy bounds the unpacked policy.
const (
	PolicyChunkSize = 64 << 10
	MaxPolicy       = 32 << 20
)

// PolicyHead is signed by the policy key. The policy is its chunks in order,
// deflated JSON; it is activated whole or not at all.
type PolicyHead struct {
	Device  DeviceID  `json:"device"`
	Version uint64    `json:"version"` // only rises [T-53]
	Issued  time.Time `json:"issued"`
	Pack    string    `json:"pack"`
	Chunks  []Hash    `json:"chunks"` // SHA-256 of each chunk
}

// Policy is everything one device needs to decide alone.
type Policy struct {
	Device      DeviceID     `json:"device"`
	Version     uint64       `json:"version"`
	Pack        string       `json:"pack"`
	Doors       []DoorPolicy `json:"doors,omitempty"`
	Permits     []Permit     `json:"permits,omitempty"`
	Credentials []Credential `json:"credentials,omitempty"`
	Schedules   []Schedule   `json:"schedules,omitempty"`
	ClosedDays  []Date       `json:"closed_days,omitempty"` // 閉庁日
	KeysOnLoan  []KeyLoan    `json:"keys_on_loan,omitempty"`
	Attempts    Attempts     `json:"attempts"`
}

// DoorPolicy is how one door behaves.
type DoorPolicy struct {
	Door            DoorCode      `json:"door"`
	Room            RoomCode      `json:"room"`
	Level           SecurityLevel `json:"level"`
	Second          SecondFactor  `json:"second,omitempty"`         // what is wanted besides the card
	SecondWindow    time.Duration `json:"second_window,omitempty"`  // ns to give the second factor in
	Release         time.Duration `json:"release"`                  // ns the lock stays released for one grant
	HeldOpen        time.Duration `json:"held_open"`                // ns until 開放放置
	OfflineMaxAge   time.Duration `json:"offline_max_age"`          // ns without the hub until entry fails closed [T-21]
	UnsyncedEntry   bool          `json:"unsynced_entry,omitempty"` // entry with a clock that is only order [T-39]
	AntiPassback    bool          `json:"antipassback,omitempty"`
	OperatingClosed bool          `json:"closed,omitempty"` // 閉室 by its manager: refuses entry, never exit
}

// Permit is 事前許可 of one person for rooms.
type Permit struct {
	Person   PersonID   `json:"person"`
	Rooms    []RoomCode `json:"rooms"`
	From     time.Time  `json:"from"`
	Until    time.Time  `json:"until"`              // exclusive
	Schedule ScheduleID `json:"schedule,omitempty"` // empty: at all hours
}

// CredentialTag recognises a card without holding its number: HMAC-SHA256 under
// the device's credential key, first 16 bytes, hex.
type CredentialTag string

// CredentialState says whether a credential is good.
type CredentialState string

const (
	CredentialActive  CredentialState = "active"
	CredentialLost    CredentialState = "lost"    // 紛失届済
	CredentialRevoked CredentialState = "revoked" // 失効
)

// SecondFactor is what a door wants besides a card [000-7.2].
type SecondFactor string

const (
	SecondNone      SecondFactor = ""          // one factor is enough: a card or a finger
	SecondPIN       SecondFactor = "pin"       // 暗証番号
	SecondBiometric SecondFactor = "biometric" // 照合情報
	SecondAny       SecondFactor = "any"       // either of them
)

// SecondFactors lists the valid values, SecondNone first.
func SecondFactors() []SecondFactor {
	return []SecondFactor{SecondNone, SecondPIN, SecondBiometric, SecondAny}
}

// PIN tells whether a PIN is accepted as the second factor.
func (f SecondFactor) PIN() bool { return f == SecondPIN || f == SecondAny }

// Biometric tells whether a finger is accepted as the second factor.
func (f SecondFactor) Biometric() bool { return f == SecondBiometric || f == SecondAny }

// Credential is one card of one person, or one enrolled finger, as this device
// may know it: a card has a Tag, a finger has a Slot, never both.
type Credential struct {
	ID     CredentialID    `json:"id"`
	Person PersonID        `json:"person"`
	Tag    CredentialTag   `json:"tag,omitempty"`
	Slot   uint16          `json:"slot,omitempty"` // place of the template in every module of the city, from 1
	State  CredentialState `json:"state"`
	PIN    *PINVerifier    `json:"pin,omitempty"`
}

// Schedule is a weekly pattern. Hours are minutes of the day in JST; a span may
// not cross midnight.
type Schedule struct {
	ID         ScheduleID `json:"id"`
	Weekly     [7][]Span  `json:"weekly"`                   // from Sunday, as time.Weekday counts
	OpenClosed bool       `json:"on_closed_days,omitempty"` // holds on closed days too
}

// Span is [From, To) in minutes since midnight JST.
type Span struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Date is a day in JST, "2026-06-15".
type Date string

// KeyLoan is a metal key that is out of its cabinet: a door opened without a
// reader event was opened with it, not forced [T-19].
type KeyLoan struct {
	Key    CredentialID `json:"key"`
	Door   DoorCode     `json:"door"`
	Person PersonID     `json:"person"`
}

// Attempts is when failures become 試行超過.
type Attempts struct {
	Limit  int           `json:"limit"`
	Within time.Duration `json:"within"` // ns
	Lock   time.Duration `json:"lock"`   // ns entry stays refused
}

// PackPolicy splits and signs a policy. The chunks are sent in order after the
// head; each fits one packet.
func PackPolicy(s *Signer, p Policy, issued time.Time) (head []byte, chunks [][]byte, err error) {
	packed, err := deflate(p)
	if err != nil {
		return nil, nil, fmt.Errorf("pack policy: %w", err)
	}
	h := PolicyHead{Device: p.Device, Version: p.Version, Issued: issued, Pack: p.Pack}
	for len(packed) > 0 {
		n := min(PolicyChunkSize, len(packed))
		chunks = append(chunks, packed[:n:n])
		h.Chunks = append(h.Chunks, sha256.Sum256(packed[:n]))
		packed = packed[n:]
	}
	head, err = Seal(s, TypePolicy, h)
	return head, chunks, err
}

// UnpackPolicy checks a head and all of its chunks and returns the policy.
func UnpackPolicy(keys []PublicKey, device DeviceID, head []byte, chunks [][]byte) (Policy, error) {
	var h PolicyHead
	var p Policy
	if _, err := Unseal(keys, TypePolicy, head, &h); err != nil {
		return p, err
	}
	if h.Device != device {
		return p, Fail(CodeWrongDevice, fmt.Errorf("policy is for %s", h.Device))
	}
	if len(chunks) != len(h.Chunks) {
		return p, Fail(CodeMalformed, fmt.Errorf("policy has %d chunks, got %d", len(h.Chunks), len(chunks)))
	}
	for i, c := range chunks {
		if sha256.Sum256(c) != h.Chunks[i] {
			return p, Fail(CodeBadSignature, fmt.Errorf("policy chunk %d is not the one signed", i))
		}
	}
	if err := inflate(bytes.Join(chunks, nil), &p); err != nil {
		return p, Fail(CodeMalformed, fmt.Errorf("policy: %w", err))
	}
	if p.Device != h.Device || p.Version != h.Version {
		return p, Fail(CodeMalformed, errors.New("policy and head disagree"))
	}
	return p, nil
}

func deflate(v any) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func inflate(b []byte, into any) error {
	r := flate.NewReader(bytes.NewReader(b))
	plain, err := io.ReadAll(io.LimitReader(r, MaxPolicy+1))
	if err != nil {
		return err
	}
	if len(plain) > MaxPolicy {
		return fmt.Errorf("larger than %d bytes", MaxPolicy)
	}
	return decodeStrict(bytes.TrimSpace(plain), into)
}

// PolicyMessage is what travels on the policy topic: the head first, then each
// chunk with its place.
type PolicyMessage struct {
	Version uint64 `json:"version"`
	Head    []byte `json:"head,omitempty"`
	Index   int    `json:"index"`
	Chunk   []byte `json:"chunk,omitempty"`
}

// PeekChunks reads the number of chunks from a head without checking its
// signature, so that a receiver knows when it has all of them.
func PeekChunks(head []byte) (int, error) {
	var h PolicyHead
	err := peek(head, &h)
	return len(h.Chunks), err
}
