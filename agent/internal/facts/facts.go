// Package facts turns what happened into events in the journal: it adds who,
// when and under which policy, and returns when the event is durable.
package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/timekeeper"
	"sekimori/internal/record"
)

// Clock reads the guarded clock.
type Clock interface{ Now() timekeeper.Reading }

// Journal makes bytes durable in sequence.
type Journal interface {
	Append(ctx context.Context, class journal.Class, build func(journal.Position) ([]byte, error)) (journal.Position, error)
}

// Writer writes facts of one device.
type Writer struct {
	device  record.DeviceID
	boot    record.BootID
	clock   Clock
	journal Journal
	policy  atomic.Pointer[inForce]
}

type inForce struct {
	version uint64
	pack    string
}

// New writes for device into j.
func New(device record.DeviceID, boot record.BootID, c Clock, j Journal) *Writer {
	w := &Writer{device: device, boot: boot, clock: c, journal: j}
	w.policy.Store(&inForce{})
	return w
}

// UnderPolicy says which policy facts are made under from now on.
func (w *Writer) UnderPolicy(version uint64, pack string) {
	w.policy.Store(&inForce{version, pack})
}

// Write makes one fact durable. The time of the fact is that of the call, not
// of the write, which may wait for others. Safety facts may use the journal's reserve.
func (w *Writer) Write(ctx context.Context, kind record.Kind, body any, safety bool) error {
	now, policy := w.clock.Now(), w.policy.Load()
	class := journal.Normal
	if safety {
		class = journal.Safety
	}
	_, err := w.journal.Append(ctx, class, func(p journal.Position) ([]byte, error) {
		return encode(record.Event{Device: w.device, Boot: w.boot, Policy: policy.version, Pack: policy.pack, Kind: kind}, now, p, body)
	})
	if err != nil {
		return fmt.Errorf("fact %s: %w", kind, err)
	}
	return nil
}

// Event builds the bytes of a row that the journal writes by itself.
func Event(device record.DeviceID, boot record.BootID, now timekeeper.Reading, p journal.Position, kind record.Kind, body any) ([]byte, error) {
	return encode(record.Event{Device: device, Boot: boot, Kind: kind}, now, p, body)
}

func encode(e record.Event, now timekeeper.Reading, p journal.Position, body any) ([]byte, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("body of %s: %w", e.Kind, err)
	}
	e.V, e.Body = record.EventVersion, raw
	e.Epoch, e.Seq, e.Prev = record.Epoch(p.Epoch), p.Seq, record.Hash(p.Prev)
	e.Mono, e.Wall, e.Quality = now.Mono, now.Wall, now.Quality
	return e.Encode()
}
