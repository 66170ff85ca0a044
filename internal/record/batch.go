package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limits of one batch. A batch fits one small MQTT packet.
const (
	MaxBatchEvents = 256
	MaxBatchBytes  = 192 << 10
)

// BatchHead is what the device signs: commitments, not events, so that an event
// can be erased after its term and the signature still verifies.
type BatchHead struct {
	V           int         `json:"v"`
	Device      DeviceID    `json:"device"`
	Epoch       Epoch       `json:"epoch"`
	First       uint64      `json:"first"`            // seq of the first commitment
	Commitments []Hash      `json:"commitments"`      // of First, First+1, …
	Boot        BootID      `json:"boot"`             // the boot that sends
	Sent        uint64      `json:"sent"`             // rises with every batch of that boot; a repeat is a replay [T-50]
	Dating      []BootClock `json:"dating,omitempty"` // for events written before the clock was known
}

// BootClock dates a boot afterwards: an event of Boot happened at Zero+Mono.
type BootClock struct {
	Boot BootID    `json:"boot"`
	Zero time.Time `json:"zero"`
}

// Batch is the signed head with the event bytes and salts that travel beside it.
type Batch struct {
	Envelope []byte // DSSE over BatchHead
	Events   [][]byte
	Salts    []Salt
}

// SealBatch signs the commitments of events. Events and salts are in sequence
// order from head.First.
func SealBatch(s *Signer, head BatchHead, events [][]byte, salts []Salt) (Batch, error) {
	if len(events) == 0 || len(events) > MaxBatchEvents || len(events) != len(salts) {
		return Batch{}, fmt.Errorf("a batch of %d events and %d salts", len(events), len(salts))
	}
	head.V = EventVersion
	head.Commitments = make([]Hash, len(events))
	for i := range events {
		head.Commitments[i] = Commitment(salts[i], events[i])
	}
	env, err := Seal(s, TypeBatch, head)
	if err != nil {
		return Batch{}, err
	}
	return Batch{Envelope: env, Events: events, Salts: salts}, nil
}

// Verify checks the device's signature and that every event beside it is the
// one committed to.
func (b Batch) Verify(key PublicKey) (BatchHead, error) {
	var head BatchHead
	if _, err := Unseal([]PublicKey{key}, TypeBatch, b.Envelope, &head); err != nil {
		return head, err
	}
	switch {
	case head.V != EventVersion:
		return head, Fail(CodeMalformed, fmt.Errorf("batch version %d", head.V))
	case head.First == 0 || head.Epoch.IsZero() || len(head.Commitments) == 0:
		return head, Fail(CodeMalformed, errors.New("batch without epoch, first seq or events"))
	case len(head.Commitments) != len(b.Events) || len(b.Events) != len(b.Salts):
		return head, Fail(CodeMalformed, fmt.Errorf("%d commitments, %d events, %d salts", len(head.Commitments), len(b.Events), len(b.Salts)))
	}
	for i, c := range head.Commitments {
		if Commitment(b.Salts[i], b.Events[i]) != c {
			return head, Fail(CodeBadSignature, fmt.Errorf("event %d is not the one committed to", head.First+uint64(i)))
		}
	}
	return head, nil
}

// batchMagic starts a batch on the wire: envelope and events stay byte for byte
// what was signed, which a JSON wrapper would not promise.
const batchMagic = "SKB1"

// Encode is the wire form: magic, then length-prefixed envelope, then per event
// a length-prefixed event and its salt (lengths are unsigned varints).
func (b Batch) Encode() []byte {
	out := append([]byte(batchMagic), binary.AppendUvarint(nil, uint64(len(b.Envelope)))...)
	out = append(out, b.Envelope...)
	out = binary.AppendUvarint(out, uint64(len(b.Events)))
	for i, e := range b.Events {
		out = binary.AppendUvarint(out, uint64(len(e)))
		out = append(out, e...)
		out = append(out, b.Salts[i][:]...)
	}
	return out
}

// DecodeBatch reads the wire form. The result shares no memory with p.
func DecodeBatch(p []byte) (Batch, error) {
	var b Batch
	if len(p) > 2*MaxBatchBytes {
		return b, Fail(CodeMalformed, fmt.Errorf("batch of %d bytes", len(p)))
	}
	r := &cursor{rest: slices.Clone(p)}
	if string(r.take(uint64(len(batchMagic)))) != batchMagic {
		return b, Fail(CodeMalformed, errors.New("not a batch"))
	}
	b.Envelope = r.take(r.uvarint())
	n := r.uvarint()
	if n > MaxBatchEvents {
		return Batch{}, Fail(CodeMalformed, fmt.Errorf("a batch of %d events", n))
	}
	for range n {
		event := r.take(r.uvarint())
		var s Salt
		copy(s[:], r.take(uint64(len(s))))
		b.Events, b.Salts = append(b.Events, event), append(b.Salts, s)
	}
	if r.bad || len(r.rest) != 0 {
		return Batch{}, Fail(CodeMalformed, errors.New("batch is cut short or too long"))
	}
	return b, nil
}

// cursor reads a byte slice; after the first short read it yields nothing and
// stays bad.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.rest)) {
		c.bad = true
		return nil
	}
	out := c.rest[:n:n]
	c.rest = c.rest[n:]
	return out
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.rest)
	if c.bad || n <= 0 {
		c.bad = true
		return 0
	}
	c.rest = c.rest[n:]
	return v
}
