package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Findings of ingest, as SecurityFinding.Finding says them.
const (
	FindingBadMessage    = "bad_message"         // not readable, or not signed by the device's key
	FindingUnknownDevice = "unknown_device"      // not enrolled, or revoked
	FindingReplayedBatch = "replayed_batch"      // BatchHead.Sent did not rise in its boot [T-50]
	FindingReplayedAsk   = "replayed_ask"        // a status older than the newest of its boot, or of a boot that is over
	FindingUnreadable    = "unreadable_event"    // authentic and not readable; kept opaque
	FindingEventChanged  = "event_changed"       // another event for a number already held: a clone
	FindingTwoEpochs     = "two_epochs"          // two journals of one device live at once: a clone
	FindingLogAhead      = "witness_ahead"       // a witness holds a longer log than ours: ours was rolled back
	FindingLogDiffers    = "witness_differs"     // a witness holds another root at a size we have: ours was changed
	FindingCosignDiffers = "cosignature_differs" // a cosignature of a checkpoint that is not ours
	FindingStoreFailed   = "store_failed"        // facts could not be stored for a time; they stayed at the devices
)

// finding is one observation before it is counted together.
type finding struct {
	what   string
	code   record.Code
	device record.DeviceID
	detail string
}

// findingKey is what is counted together.
type findingKey struct {
	what   string
	code   record.Code
	device record.DeviceID
}

func (f finding) key() findingKey { return findingKey{f.what, f.code, f.device} }

// findingOf names what is wrong with a message that could not be taken.
func findingOf(m Message, err error) finding {
	f := finding{what: FindingBadMessage, code: record.CodeOf(err), device: m.Device, detail: fmt.Sprintf("%s: %v", m.Channel, err)}
	switch {
	case errors.Is(err, store.ErrNotFound):
		f.what, f.code = FindingUnknownDevice, record.CodeUnknownDevice
	case f.code == "":
		f.code = record.CodeMalformed
	}
	return f
}

// quiet is how long a finding of the same kind is only counted after it was
// written, so that nobody can fill the ledger by repeating themselves.
func quiet(what string) time.Duration {
	switch what {
	case FindingLogAhead, FindingLogDiffers:
		return time.Hour // a lasting state, seen again at every heartbeat
	}
	return time.Minute
}

const maxDetail = 300 // bytes

// counter counts findings between their rows. It belongs to the writer.
type counter struct {
	open map[findingKey]*counted
}

type counted struct {
	last   finding
	n      uint64 // not yet written
	first  time.Time
	silent time.Time // until then only counted
}

// maxCounted bounds the memory repeated oddities can take.
const maxCounted = 4096

func (c *counter) add(f finding, now time.Time) {
	if c.open == nil {
		c.open = map[findingKey]*counted{}
	}
	k := f.key()
	e := c.open[k]
	if e == nil {
		if len(c.open) >= maxCounted {
			k.device, k.code = "", ""
			e = c.open[k]
		}
		if e == nil {
			e = &counted{}
			c.open[k] = e
		}
	}
	if e.n == 0 {
		e.first = now
	}
	e.n++
	e.last = f
}

// due are the findings to be written now. They stay due until written is called.
func (c *counter) due(now time.Time) []findingKey {
	var out []findingKey
	for k, e := range c.open {
		switch {
		case e.n > 0 && !now.Before(e.silent):
			out = append(out, k)
		case e.n == 0 && !now.Before(e.silent):
			delete(c.open, k)
		}
	}
	return out
}

// facts makes rows of findings.
func (c *counter) facts(keys []findingKey, now time.Time) ([]ledger.Fact, error) {
	out := make([]ledger.Fact, 0, len(keys))
	for _, k := range keys {
		e := c.open[k]
		f, err := findingFact(ledger.SecurityFinding{
			Finding: k.what, Code: k.code, Identity: string(e.last.device), Device: e.last.device,
			Count: e.n, Detail: e.last.detail, First: e.first,
		}, now)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// written begins the quiet time of findings that are durable.
func (c *counter) written(keys []findingKey, now time.Time) {
	for _, k := range keys {
		if e := c.open[k]; e != nil {
			e.n, e.silent = 0, now.Add(quiet(k.what))
		}
	}
}

// findingFact makes a row of a finding, ours or the broker's.
func findingFact(f ledger.SecurityFinding, now time.Time) (ledger.Fact, error) {
	if len(f.Detail) > maxDetail {
		f.Detail = f.Detail[:maxDetail]
	}
	f.First = f.First.UTC()
	return hubFact(ledger.KindSecurityFinding, f, now)
}

// hubFact is a fact of the hub itself.
func hubFact(kind record.Kind, body any, now time.Time) (ledger.Fact, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return ledger.Fact{}, fmt.Errorf("fact %s: %w", kind, err)
	}
	return complete(ledger.Fact{Row: ledger.Row{Kind: kind, At: now, Via: "hub", Body: raw}}, now), nil
}
