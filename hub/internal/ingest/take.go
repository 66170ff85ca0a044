package ingest

import (
	"errors"
	"fmt"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// group is one transaction in the making. It holds everything the transaction
// decides, so that a second attempt can start from nothing.
type group struct {
	tx       store.Tx
	now      time.Time
	patience map[record.DeviceID]offer // the writer's, read only
	patient  time.Duration

	states   map[record.DeviceID]*store.DeviceState
	dirty    map[record.DeviceID]bool   // states to be written back
	fresh    map[record.DeviceID][]span // commitments of this group, not yet findable in the store
	facts    []ledger.Fact
	findings []finding
	offers   map[record.DeviceID]offer // what replaces patience after the commit
	receipts map[record.DeviceID]bool  // who is owed one
	answers  []reply
	heard    []heard // statuses taken
	logs     map[record.DeviceID]*record.LogView
	size     int64 // of the log after the group
}

// span is a run of commitments of one epoch.
type span struct {
	epoch record.Epoch
	first uint64
	list  []record.Hash
}

// offer is a batch beyond what is held that a device keeps coming back to.
type offer struct {
	epoch record.Epoch
	first uint64
	since time.Time
	times int
}

// A device that offers the same batch again and again, although each time it
// was told what is missing, does not have what is missing: the gap is taken as
// what it is and the line goes on. Until then the device is expected to go back.
const (
	patienceTimes = 3
	patienceTime  = 30 * time.Second
)

// state gives a device's state in this group; nil for a device that may not
// speak.
func (g *group) state(d record.DeviceID, key record.PublicKey) (*store.DeviceState, error) {
	s := g.states[d]
	if s == nil {
		got, err := g.tx.Device(d)
		switch {
		case errors.Is(err, store.ErrNotFound):
			got.Revoked = true
		case err != nil:
			return nil, err
		}
		s = &got
		g.states[d] = s
	}
	switch {
	case s.Revoked:
		g.find(FindingUnknownDevice, record.CodeUnknownDevice, d, "not enrolled or revoked")
		return nil, nil
	case s.Key.ID() != key.ID():
		g.find(FindingBadMessage, record.CodeBadSignature, d, "signed with a key that was replaced")
		return nil, nil
	}
	return s, nil
}

func (g *group) find(what string, code record.Code, d record.DeviceID, format string, args ...any) {
	g.findings = append(g.findings, finding{what, code, d, fmt.Sprintf(format, args...)})
}

// held tells how far an epoch is held, and where it stands among the epochs.
func held(s *store.DeviceState, e record.Epoch) (seq uint64, at int, known bool) {
	for n := range s.Held {
		if s.Held[n].Epoch == e {
			return s.Held[n].Seq, n, true
		}
	}
	return 0, len(s.Held), false
}

// take decides on one parcel.
func (g *group) take(p *parcel) error {
	d := p.head.Device
	s, err := g.state(d, p.key)
	if s == nil {
		return err
	}
	if p.head.Boot == s.LastBoot && p.head.Sent <= s.LastSent {
		g.find(FindingReplayedBatch, record.CodeReplayed, d, "batch %d of a boot that sent %d", p.head.Sent, s.LastSent)
		return nil
	}
	g.receipts[d], g.dirty[d] = true, true
	have, at, known := held(s, p.head.Epoch)
	last := p.head.First + uint64(len(p.facts)) - 1
	if p.head.First > have+1 && !g.impatient(p, have) {
		s.LastBoot, s.LastSent = p.head.Boot, p.head.Sent
		return nil // the receipt says what is held, and the device goes back there
	}
	if err := g.compare(p, min(have, last)); err != nil {
		return err
	}
	if last <= have {
		if p.head.Boot == s.LastBoot { // another boot's old batch must not end this one
			s.LastSent = p.head.Sent
		}
		return nil
	}
	s.LastBoot, s.LastSent = p.head.Boot, p.head.Sent
	skip := 0
	if have >= p.head.First {
		skip = int(have + 1 - p.head.First)
	}
	if err := g.epoch(p, s, have, at, known); err != nil {
		return err
	}
	return g.keep(p, s, skip, at)
}

// impatient tells whether a gap must be taken as such. It counts the offers of
// one batch beyond what is held.
func (g *group) impatient(p *parcel, have uint64) bool {
	d := p.head.Device
	o, ok := g.offers[d]
	if !ok {
		o = g.patience[d]
	}
	if o.epoch != p.head.Epoch || o.first == 0 {
		o = offer{epoch: p.head.Epoch, first: p.head.First, since: g.now}
	}
	switch {
	case p.head.First == o.first:
		o.times++
	case p.head.First < o.first:
		o = offer{epoch: p.head.Epoch, first: p.head.First, since: g.now, times: 1} // it did go back, though not far enough
	}
	g.offers[d] = o
	return p.head.First == o.first && o.times >= patienceTimes && g.now.Sub(o.since) >= g.patient
}

// compare looks at the events of a batch that are held already. They are the
// same, or somebody else has this device's key [T-40, 002-23(3)ア].
func (g *group) compare(p *parcel, upTo uint64) error {
	for seq := p.head.First; seq <= upTo; seq++ {
		got, ok, err := g.commitment(p.head.Device, p.head.Epoch, seq)
		if err != nil {
			return err
		}
		if ok && got != p.head.Commitments[seq-p.head.First] {
			g.find(FindingEventChanged, record.CodeEventChanged, p.head.Device, "seq %d of epoch %s came with other content", seq, p.head.Epoch)
			return nil
		}
	}
	return nil
}

// commitment is that of an event held; ok is false where it was erased.
func (g *group) commitment(d record.DeviceID, e record.Epoch, seq uint64) (h record.Hash, ok bool, err error) {
	for _, s := range g.fresh[d] {
		if s.epoch == e && seq >= s.first && seq-s.first < uint64(len(s.list)) {
			return s.list[seq-s.first], true, nil
		}
	}
	row, err := g.tx.RowOf(d, e, seq)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && len(row.Event) == 0:
		return h, false, nil
	case err != nil:
		return h, false, err
	}
	return record.Commitment(row.EventSalt, row.Event), true, nil
}

// epoch looks at where a parcel with something new stands among the device's
// epochs, and at what is missing before it.
func (g *group) epoch(p *parcel, s *store.DeviceState, have uint64, at int, known bool) error {
	d := p.head.Device
	if known && at < len(s.Held)-1 {
		g.find(FindingTwoEpochs, record.CodeEventChanged, d, "epoch %s goes on although %s has begun", p.head.Epoch, s.Held[len(s.Held)-1].Epoch)
	}
	if !known {
		if err := g.begin(p, s); err != nil {
			return err
		}
	}
	if p.head.First > have+1 && known {
		return g.gap(ledger.EvidenceGap{Device: d, Epoch: p.head.Epoch, After: have, Before: p.head.First,
			Why: "機器に残っていない番号があります。"})
	}
	return nil
}

// begin takes a new epoch. It names the one before; where both ends agree that
// nothing lies between, no evidence is missing [design §3].
func (g *group) begin(p *parcel, s *store.DeviceState) error {
	gap := ledger.EvidenceGap{Device: p.head.Device, Epoch: p.head.Epoch}
	var newest record.Held
	if n := len(s.Held); n > 0 {
		newest = s.Held[n-1]
	}
	started := p.started
	switch {
	case started == nil && p.head.First == 1 && len(s.Held) == 0:
		return nil // the device's first, without the word
	case started == nil: // its first event is missing, or says something else
		gap.Previous, gap.After = newest.Epoch, newest.Seq
		gap.Why = "新しい記録の始まり（epoch_started）がありません。"
		return g.gap(gap)
	}
	have, at, known := held(s, started.Previous)
	gap.Previous, gap.After = started.Previous, have
	if started.LastSeq > have {
		gap.Before = started.LastSeq + 1
	}
	switch {
	case started.Previous.IsZero() && len(s.Held) == 0:
		return nil // the device's first
	case started.Previous.IsZero():
		gap.Previous, gap.After = newest.Epoch, newest.Seq
		gap.Why = "機器が以前の記録を失いました。"
	case !known:
		gap.Why = "以前の記録を中央管理装置が持っていません。"
	case at < len(s.Held)-1:
		g.find(FindingTwoEpochs, record.CodeEventChanged, p.head.Device, "epochs %s and %s both follow %s", newest.Epoch, p.head.Epoch, started.Previous)
		gap.Why = "一つの記録から二つの記録が始まっています。"
	case started.LastSeq > have:
		gap.Why = "以前の記録の終わりが届いていません。"
	case started.LastSeq < have:
		gap.Why = "機器の記録の終わりが失われています（中央管理装置にはあります）。"
	case started.Damage != "":
		gap.Why = "機器の記録が傷んでいました。"
	default:
		return nil
	}
	return g.gap(gap)
}

func (g *group) gap(gap ledger.EvidenceGap) error {
	f, err := hubFact(ledger.KindEvidenceGap, gap, g.now)
	if err != nil {
		return err
	}
	g.facts = append(g.facts, f)
	return nil
}

// keep adds what is new of a parcel to the group.
func (g *group) keep(p *parcel, s *store.DeviceState, skip, at int) error {
	d := p.head.Device
	if err := g.chain(p, s, skip, at); err != nil {
		return err
	}
	id, err := g.tx.AppendEnvelope(d, p.head.Epoch, p.head.First, len(p.facts), p.envelope)
	if err != nil {
		return err
	}
	for _, f := range p.facts[skip:] {
		f.Envelope = id
		g.facts = append(g.facts, f)
	}
	g.findings = append(g.findings, p.faults...)
	g.fresh[d] = append(g.fresh[d], span{p.head.Epoch, p.head.First, p.head.Commitments})
	last := p.head.First + uint64(len(p.facts)) - 1
	if at == len(s.Held) {
		s.Held = append(s.Held, record.Held{Epoch: p.head.Epoch})
	}
	s.Held[at].Seq = last
	if at == len(s.Held)-1 {
		s.LastPrev = p.head.Commitments[len(p.facts)-1]
	}
	if p.policy != nil && p.policy.version >= s.PolicyAck {
		s.PolicyAck, s.PolicyAckAt = p.policy.version, p.policy.at
	}
	g.offers[d] = offer{}
	return nil
}

// chain checks that each new event names the commitment of the one before. A
// break says that the device's journal was written twice from that point.
func (g *group) chain(p *parcel, s *store.DeviceState, skip, at int) error {
	for x := skip; x < len(p.facts); x++ {
		if !p.readable[x] {
			continue
		}
		want, known, err := g.before(p, s, x, at)
		if err != nil {
			return err
		}
		if !known || p.prevs[x] == want {
			continue
		}
		seq := p.head.First + uint64(x)
		return g.gap(ledger.EvidenceGap{Device: p.head.Device, Epoch: p.head.Epoch, After: seq - 1, Before: seq,
			Why: "直前の事象とのつながりが合いません。"})
	}
	return nil
}

// before is the commitment of the event before the x-th; not known after a gap.
func (g *group) before(p *parcel, s *store.DeviceState, x, at int) (record.Hash, bool, error) {
	seq := p.head.First + uint64(x)
	switch {
	case x > 0:
		return p.head.Commitments[x-1], true, nil
	case seq == 1:
		return record.Hash{}, true, nil
	case at < len(s.Held) && s.Held[at].Seq != seq-1:
		return record.Hash{}, false, nil // a gap lies before it, and has a row of its own
	case at < len(s.Held) && at == len(s.Held)-1 && s.LastPrev != (record.Hash{}):
		return s.LastPrev, true, nil
	}
	return g.commitment(p.head.Device, p.head.Epoch, seq-1)
}
