package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// EventVersion is the version of the event's shape this package writes.
const EventVersion = 1

// MaxEvent bounds one event's bytes; a larger one is refused at both ends.
const MaxEvent = 16 << 10

// Event is one fact at a device.
//
// Prev is the commitment of the event before it, not a bare hash of its bytes:
// person IDs are guessable, and an unsalted hash would let an erased event be
// found again by trying [T-28].
type Event struct {
	V       int             `json:"v"`
	Device  DeviceID        `json:"device"`
	Epoch   Epoch           `json:"epoch"`
	Seq     uint64          `json:"seq"`    // from 1, gapless in the epoch
	Prev    Hash            `json:"prev"`   // zero for the first of an epoch
	Boot    BootID          `json:"boot"`   //
	Mono    time.Duration   `json:"mono"`   // ns since boot
	Wall    time.Time       `json:"wall"`   // the device's best knowledge, UTC
	Quality TimeQuality     `json:"tq"`     //
	Policy  uint64          `json:"policy"` // version in force
	Pack    string          `json:"pack"`   // 規程パック and version in force
	Kind    Kind            `json:"kind"`   //
	Body    json.RawMessage `json:"body,omitempty"`
}

// TimeQuality is 時刻品質: how far Event.Wall can be trusted [T-38].
type TimeQuality string

const (
	TimeSynced    TimeQuality = "synced"    // 同期: disciplined by the hub in this boot
	TimeEstimated TimeQuality = "estimated" // 推定: a plausible clock not yet confirmed, or dated afterwards
	TimeUnsynced  TimeQuality = "unsynced"  // 未同期: only order and elapsed time are known
)

// Encode is the event's one byte form; it is made once, committed to, and
// carried unchanged from then on.
func (e Event) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.Kind, err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
	if len(out) > MaxEvent {
		return nil, fmt.Errorf("event %s of %d bytes: the limit is %d", e.Kind, len(out), MaxEvent)
	}
	return out, nil
}

// DecodeEvent reads event bytes. It checks shape, not meaning: an unknown kind
// is no error, so that an older hub can keep what a newer agent says.
func DecodeEvent(b []byte) (Event, error) {
	var e Event
	if len(b) > MaxEvent {
		return e, fmt.Errorf("event of %d bytes: the limit is %d", len(b), MaxEvent)
	}
	if err := decodeStrict(b, &e); err != nil {
		return e, fmt.Errorf("decode event: %w", err)
	}
	if e.V != EventVersion {
		return e, fmt.Errorf("event version %d, this build reads %d", e.V, EventVersion)
	}
	if e.Device == "" || e.Seq == 0 || e.Kind == "" || e.Epoch.IsZero() {
		return e, errors.New("event without device, epoch, seq or kind")
	}
	return e, nil
}

// Commitment hides event bytes behind a salt: SHA-256 over a domain tag, the
// salt and the bytes. Without the salt it says nothing about the event.
func Commitment(s Salt, event []byte) Hash {
	h := sha256.New()
	h.Write([]byte(commitmentTag))
	h.Write(s[:])
	h.Write(event)
	var out Hash
	h.Sum(out[:0])
	return out
}

const commitmentTag = "sekimori/event/v1"

// decodeStrict refuses unknown fields and trailing bytes.
func decodeStrict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes after the end")
	}
	return nil
}

// DecodeBody reads the body of an event, an order or an ask into its type.
func DecodeBody(body json.RawMessage, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	return nil
}
