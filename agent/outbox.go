package agent

import (
	"errors"
	"slices"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/uplink"
	"sekimori/internal/record"
)

// outbox shows the journal to the uplink.
type outbox struct{ *journal.Journal }

// After finds the next run of entries without a gap. An epoch that the journal
// no longer holds was delivered and removed, so what follows it begins with the
// oldest that is held.
func (o outbox) After(epoch record.Epoch, seq uint64, n, bytes int) ([]uplink.Entry, error) {
	epochs := o.Epochs()
	first := slices.IndexFunc(epochs, func(e journal.EpochInfo) bool { return record.Epoch(e.Epoch) == epoch })
	for i, e := range epochs[max(first, 0):] {
		from := e.Acked + 1
		if i == 0 && first >= 0 {
			from = seq + 1
		}
		if from > e.Last {
			continue
		}
		recs, err := o.Read(e.Epoch, from, n, bytes)
		if err != nil && !errors.Is(err, journal.ErrUnknownEpoch) { // removed just now
			return nil, err
		}
		if len(recs) > 0 {
			return contiguous(recs), nil
		}
	}
	return nil, nil
}

func contiguous(recs []journal.Record) []uplink.Entry {
	var out []uplink.Entry
	for i, r := range recs {
		if r.Seq != recs[0].Seq+uint64(i) {
			break
		}
		out = append(out, uplink.Entry{Epoch: record.Epoch(r.Epoch), Seq: r.Seq, Event: r.Event, Salt: r.Salt})
	}
	return out
}

// Held takes the hub's word of what it holds. The hub names its newest epochs:
// of one that is newer still it has nothing, because it is new or because the
// hub was restored from before it; an older one it need not name.
func (o outbox) Held(list []record.Held) error {
	held := map[journal.Epoch]uint64{}
	for _, h := range list {
		held[journal.Epoch(h.Epoch)] = h.Seq
	}
	epochs := o.Epochs()
	newest := -1
	for n, e := range epochs {
		if _, named := held[e.Epoch]; named {
			newest = n
		}
	}
	for n, e := range epochs {
		seq, named := held[e.Epoch]
		var err error
		switch {
		case seq > e.Acked:
			err = o.Acknowledge(e.Epoch, seq)
		case seq < e.Acked && (named || n > newest):
			_, err = o.Rewind(e.Epoch, seq)
		}
		// A journal behind the hub's word has already begun a new epoch, which
		// says so in its first row; sending goes on from there.
		if err != nil && !errors.Is(err, journal.ErrAhead) && !errors.Is(err, journal.ErrUnknownEpoch) {
			return err
		}
	}
	return nil
}
