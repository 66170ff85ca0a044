package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// reply is an answer in the making, with what its sending must know.
type reply struct {
	answer record.Answer
	sync   bool          // asked on connecting
	status record.Status // of the ask; zero of cosign
}

// heard is a status that was taken.
type heard struct {
	device record.DeviceID
	boot   record.BootID
	mono   time.Duration
}

// lifetimes remembers the boots of each device, newest last, so that a status
// of a boot that is over is known for what it is: replayed, or a clone's [T-50].
// It is memory, not evidence: a restarted hub begins anew.
type lifetimes map[record.DeviceID][]heard

const maxBoots = 16

// stale tells whether a status cannot be the device's newest word.
func (l lifetimes) stale(d record.DeviceID, s record.Status) bool {
	list := l[d]
	for n, h := range list {
		if h.boot == s.Boot {
			return n < len(list)-1 || s.Mono <= h.mono
		}
	}
	return false
}

func (l lifetimes) saw(h heard) {
	list := l[h.device]
	if n := len(list); n > 0 && list[n-1].boot == h.boot {
		list[n-1] = h
		return
	}
	list = append(list, h)
	if len(list) > maxBoots {
		list = slices.Delete(list, 0, len(list)-maxBoots)
	}
	l[h.device] = list
}

// answer takes one question.
func (g *group) answer(q *question, seen lifetimes) error {
	s, err := g.state(q.Device, q.key)
	if s == nil {
		return err
	}
	r := reply{sync: q.Question == record.AskSync}
	switch {
	case q.cosign != nil:
		if err := g.cosigned(q.Device, *q.cosign); err != nil {
			return err
		}
	case g.replayed(q, seen):
		g.find(FindingReplayedAsk, record.CodeReplayed, q.Device, "a status of boot %s that is over", q.status.Boot)
		r.sync = false // answered, since an answer is worth nothing to whoever did not ask; believed it is not
	default:
		r.status = *q.status
		s.Status, s.SeenAt = slices.Clone(q.Body), g.now
		g.dirty[q.Device] = true
		g.heard = append(g.heard, heard{q.Device, q.status.Boot, q.status.Mono})
		if err := g.witness(q.Device, q.status.LogSize, q.status.LogRoot); err != nil {
			return err
		}
	}
	r.answer = record.Answer{Device: q.Device, Nonce: q.Nonce}
	g.answers = append(g.answers, r)
	return nil
}

func (g *group) replayed(q *question, seen lifetimes) bool {
	for _, h := range g.heard { // of this group
		if h.device == q.Device && h.boot == q.status.Boot && q.status.Mono <= h.mono {
			return true
		}
	}
	return seen.stale(q.Device, *q.status)
}

// witness compares what a witness holds of our log with our log [design §5].
func (g *group) witness(d record.DeviceID, size int64, root record.Hash) error {
	if size <= 0 {
		return nil
	}
	ours, ok, err := rootAt(g.tx, size)
	switch {
	case err != nil:
		return err
	case !ok:
		g.find(FindingLogAhead, record.CodeLogRolledBack, d, "the witness holds size %d root %s", size, root)
	case ours != root:
		g.find(FindingLogDiffers, record.CodeLogForked, d, "at size %d the witness holds root %s, here it is %s", size, root, ours)
	}
	return nil
}

// rootAt is our tree's root at a size; ok is false beyond our size.
func rootAt(tx store.ReadTx, size int64) (root record.Hash, ok bool, err error) {
	have, err := tx.Size()
	if err != nil || size > have {
		return root, false, err
	}
	h, err := tlog.TreeHash(size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes, err := tx.Hashes(indexes)
		out := make([]tlog.Hash, len(hashes))
		for n := range hashes {
			out[n] = tlog.Hash(hashes[n])
		}
		return out, err
	}))
	if err != nil {
		return root, false, fmt.Errorf("root at size %d: %w", size, err)
	}
	return record.Hash(h), true, nil
}

// StateCosignature is the prefix of the states that keep each witness's newest
// cosignature: JSON of record.Cosignature, by device.
const StateCosignature = "cosignature/"

// cosigned keeps a cosignature of a checkpoint that is ours.
func (g *group) cosigned(d record.DeviceID, c record.Cosignature) error {
	ours, ok, err := rootAt(g.tx, c.Size)
	if err != nil {
		return err
	}
	if !ok || ours != c.Root || c.Size <= 0 {
		g.find(FindingCosignDiffers, record.CodeLogForked, d, "size %d root %s", c.Size, c.Root)
		return nil
	}
	name := StateCosignature + string(d)
	var before record.Cosignature
	switch old, err := g.tx.State(name); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	case json.Unmarshal(old, &before) == nil && before.Size >= c.Size:
		return nil
	}
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("cosignature: %w", err)
	}
	return g.tx.PutState(name, value)
}

// fill completes an answer from a state.
func (r *reply) fill(s store.DeviceState, held []record.Held, generation uint64) {
	r.answer.Held, r.answer.Generation = held, generation
	r.answer.Policy, r.answer.LastOrder = s.Policy, s.LastOrder
}

// believed tells that the ask brought a status that was taken.
func (r *reply) believed() bool { return r.status.Boot != record.BootID{} }

// behind tells what a device lacks.
func (r *reply) behind() (policy, orders bool) {
	return r.status.Policy < r.answer.Policy, r.status.LastOrder < r.answer.LastOrder
}
