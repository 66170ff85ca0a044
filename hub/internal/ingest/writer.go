package ingest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// writer owns the commits. Nothing else in ingest writes to the store.
type writer struct {
	*Ingest
	counter  counter
	patience map[record.DeviceID]offer
	boots    lifetimes
	shown    map[record.DeviceID]*shown
	busy     bool // the last group had company: more is likely on its way
	failing  Health
}

// shown is what a witness was shown of the log.
type shown struct {
	size int64     // what it holds, as far as we know
	at   time.Time // the newest view sent
}

const (
	viewEvery  = time.Second     // between log views in receipts to one device
	sweepEvery = 5 * time.Second // between looks at counted findings
	heldShown  = 4               // epochs named in a receipt besides those touched
)

func newWriter(i *Ingest) *writer {
	return &writer{Ingest: i, patience: map[record.DeviceID]offer{}, boots: lifetimes{}, shown: map[record.DeviceID]*shown{}}
}

// run commits group after group until ctx ends.
func (w *writer) run(ctx context.Context) error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		var items []item
		select {
		case <-ctx.Done():
			return nil
		case f := <-w.Findings: // nil blocks for ever
			items = append(items, w.foreign(f)...)
		case it := <-w.items:
			items = w.gather(ctx, it)
		case <-sweep.C:
		}
		w.count(items)
		if len(items) == 0 && len(w.counter.due(clock.Now())) == 0 {
			continue
		}
		w.store(ctx, items)
		if len(w.counter.due(clock.Now())) > 0 {
			w.store(ctx, nil) // what the group found out is a row at once
		}
	}
}

// foreign makes an item of a finding of the broker.
func (w *writer) foreign(f ledger.SecurityFinding) []item {
	fact, err := findingFact(f, clock.Now().UTC())
	if err != nil {
		w.Log.Error("finding not recorded", "finding", f.Finding, "err", err)
		return nil
	}
	return []item{{facts: []ledger.Fact{fact}}}
}

// gather takes what waits. It lingers only when more is known to be coming, so
// that a single card at a quiet hour is durable at once.
func (w *writer) gather(ctx context.Context, first item) []item {
	items, n := []item{first}, first.events()
	for n < w.Group {
		select {
		case it := <-w.items:
			items, n = append(items, it), n+it.events()
			continue
		default:
		}
		break
	}
	if !w.busy && len(items) == 1 && w.coming.Load() == 0 {
		return items
	}
	linger := time.NewTimer(w.Linger)
	defer linger.Stop()
	for n < w.Group {
		select {
		case it := <-w.items:
			items, n = append(items, it), n+it.events()
			continue
		case <-linger.C:
		case <-ctx.Done():
		}
		break
	}
	w.busy = len(items) > 1
	return items
}

// count hands findings over to the counter; the others stay.
func (w *writer) count(items []item) {
	now := clock.Now().UTC()
	for _, it := range items {
		if it.finding != nil {
			w.counter.add(*it.finding, now)
			w.Log.Warn("message from a device not accepted", "device", it.finding.device, "code", it.finding.code, "detail", it.finding.detail)
		}
	}
}

// Waits between attempts to store.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// store commits a group, and tries again while it cannot. In the meantime
// questions are answered from what is durable, people's facts are refused with
// the reason, and batches beyond one group are dropped: the devices keep them.
func (w *writer) store(ctx context.Context, items []item) {
	wait := retryMin
	for tries := 1; ; tries++ {
		g, err := w.commit(ctx, items)
		if err == nil {
			w.recovered()
			w.tell(g, items)
			return
		}
		if ctx.Err() != nil {
			return
		}
		w.failed(err)
		items = w.meanwhile(ctx, items, err)
		if tries%suspectAfter == 0 && !errors.Is(err, store.ErrFull) {
			items = w.setAside(ctx, items)
		}
		items = w.pause(ctx, items, wait, err)
		wait = min(2*wait, retryMax)
	}
}

func (w *writer) failed(err error) {
	if w.failing.Err == nil {
		w.failing.Since = clock.Now().UTC()
		w.Log.Error("facts cannot be stored; devices keep theirs", "err", err)
	}
	w.failing.Err = err
	w.failing.Tries++
	w.setHealth(w.failing)
}

// recovered reports a time of failure once it is over, in the ledger too.
func (w *writer) recovered() {
	if w.failing.Err == nil {
		return
	}
	w.Log.Info("facts are stored again", "failed_commits", w.failing.Tries)
	w.counter.add(finding{FindingStoreFailed, record.CodeStoreFailed, "",
		fmt.Sprintf("%d commits failed since %s: %v", w.failing.Tries, w.failing.Since.Format(time.RFC3339), w.failing.Err)}, w.failing.Since)
	w.failing = Health{}
	w.setHealth(w.failing)
}

// meanwhile serves those who should not wait for the store.
func (w *writer) meanwhile(ctx context.Context, items []item, cause error) []item {
	kept := items[:0]
	for _, it := range items {
		switch {
		case it.ask != nil:
			w.answerOnly(ctx, it.ask)
		case it.done != nil:
			it.done <- cause
		case it.finding == nil:
			kept = append(kept, it)
		}
	}
	return kept
}

// pause waits before the next attempt and goes on serving.
func (w *writer) pause(ctx context.Context, items []item, d time.Duration, cause error) []item {
	t := time.NewTimer(d)
	defer t.Stop()
	n := 0
	for _, it := range items {
		n += it.events()
	}
	for {
		select {
		case <-ctx.Done():
			return items
		case <-t.C:
			return items
		case it := <-w.items:
			w.count([]item{it})
			rest := w.meanwhile(ctx, []item{it}, cause)
			if len(rest) > 0 && n < w.Group {
				items, n = append(items, it), n+it.events()
			}
		}
	}
}

// answerOnly answers a question without writing anything down: a hub whose disk
// is full is still the town's clock.
func (w *writer) answerOnly(ctx context.Context, q *question) {
	var r reply
	err := w.Store.View(ctx, func(tx store.ReadTx) error {
		s, err := tx.Device(q.Device)
		if err != nil {
			return err
		}
		if s.Revoked || s.Key.ID() != q.key.ID() {
			return record.Fail(record.CodeUnknownDevice, errors.New("not in service"))
		}
		r.answer = record.Answer{Device: q.Device, Nonce: q.Nonce}
		r.fill(s, s.Held, w.Generation)
		return nil
	})
	if err != nil {
		w.Log.Warn("question not answered", "device", q.Device, "err", err)
		return
	}
	w.outgo.answer(r)
}

// suspectAfter is how many failures make a group be tried item by item: one
// that can never be stored must not stop the others for ever.
const suspectAfter = 5

// setAside stores what can be stored alone. When others could, an item that
// still cannot is dropped; its device is told nothing and keeps it.
func (w *writer) setAside(ctx context.Context, items []item) []item {
	var left []item
	stored := false
	for _, it := range items {
		g, err := w.commit(ctx, []item{it})
		if err != nil {
			left = append(left, it)
			continue
		}
		stored = true
		w.tell(g, []item{it})
	}
	if !stored {
		return left
	}
	for _, it := range left {
		if it.parcel != nil {
			w.Log.Error("a batch cannot be stored", "device", it.parcel.head.Device, "epoch", it.parcel.head.Epoch, "first", it.parcel.head.First)
		}
	}
	return nil
}

// commit is one transaction. The function may run more than once, so it starts
// from nothing each time and leaves the writer untouched.
func (w *writer) commit(ctx context.Context, items []item) (*group, error) {
	now := clock.Now().UTC()
	due := w.counter.due(now)
	var g *group
	err := w.Store.Update(ctx, func(tx store.Tx) error {
		g = &group{tx: tx, now: now, patience: w.patience, patient: w.patient,
			states: map[record.DeviceID]*store.DeviceState{}, dirty: map[record.DeviceID]bool{},
			fresh: map[record.DeviceID][]span{}, offers: map[record.DeviceID]offer{}, receipts: map[record.DeviceID]bool{}}
		counted, err := w.counter.facts(due, now)
		if err != nil {
			return err
		}
		g.facts = append(g.facts, counted...)
		return w.fill(g, items)
	})
	if err != nil {
		return nil, fmt.Errorf("store facts: %w", err)
	}
	g.tx = nil // ended
	w.counter.written(due, now)
	for _, f := range g.findings {
		w.counter.add(f, now)
	}
	for d, o := range g.offers {
		if w.patience[d] = o; o.first == 0 {
			delete(w.patience, d)
		}
	}
	for _, h := range g.heard {
		w.boots.saw(h)
	}
	return g, nil
}

// fill decides on the items and writes everything of the group.
func (w *writer) fill(g *group, items []item) error {
	for _, it := range items {
		var err error
		switch {
		case it.parcel != nil:
			err = g.take(it.parcel)
		case it.ask != nil:
			err = g.answer(it.ask, w.boots)
		default:
			g.facts = append(g.facts, it.facts...)
		}
		if err != nil {
			return err
		}
	}
	if len(g.facts) > 0 {
		if _, err := w.Ledger.Append(g.tx, g.facts); err != nil {
			return err
		}
		if _, _, err := w.Ledger.Seal(g.tx); err != nil {
			return err
		}
	}
	for _, d := range slices.Sorted(maps.Keys(g.dirty)) {
		if err := g.tx.PutDevice(*g.states[d]); err != nil {
			return err
		}
	}
	return w.views(g)
}

// views adds the log to answers, and to receipts now and then.
func (w *writer) views(g *group) error {
	g.logs = map[record.DeviceID]*record.LogView{}
	from := map[record.DeviceID]int64{}
	for d := range g.receipts {
		if s := w.shown[d]; s != nil && g.now.Sub(s.at) >= viewEvery {
			from[d] = s.size
		}
	}
	for n := range g.answers {
		from[g.answers[n].answer.Device] = g.answers[n].status.LogSize
	}
	if len(from) == 0 {
		return nil
	}
	size, err := g.tx.Size()
	if err != nil || size == 0 {
		return err
	}
	for _, d := range slices.Sorted(maps.Keys(from)) {
		view, err := w.Ledger.View(g.tx, max(from[d], 0)) // of a size beyond ours there is no proof: the witness sees the shorter log for itself
		if errors.Is(err, store.ErrNotFound) {
			continue // nothing was ever sealed
		}
		if err != nil {
			return err
		}
		g.logs[d] = &view
	}
	g.size = size
	return nil
}

// tell hands out what the group has made true.
func (w *writer) tell(g *group, items []item) {
	for _, it := range items {
		if it.done != nil {
			it.done <- nil
		}
	}
	for n := range g.answers {
		r := g.answers[n]
		d := r.answer.Device
		r.fill(*g.states[d], w.named(g, d), w.Generation)
		if r.believed() { // otherwise no size was told, and nothing can be shown to extend it
			r.answer.Log = g.logs[d]
			w.showed(d, g)
		}
		w.outgo.answer(r)
	}
	for _, d := range slices.Sorted(maps.Keys(g.receipts)) {
		r := record.Receipt{Device: d, Held: w.named(g, d), Generation: w.Generation}
		if s := w.shown[d]; s != nil && g.now.Sub(s.at) >= viewEvery {
			r.Log = g.logs[d]
			w.showed(d, g)
		}
		w.outgo.receipt(r)
	}
}

func (w *writer) showed(d record.DeviceID, g *group) {
	if g.logs[d] == nil {
		return
	}
	w.shown[d] = &shown{size: g.size, at: g.now}
}

// named is what a device is told it is held of: its newest epochs and those it
// has just sent of.
func (w *writer) named(g *group, d record.DeviceID) []record.Held {
	list := g.states[d].Held
	var out []record.Held
	for n, h := range list {
		touched := slices.ContainsFunc(g.fresh[d], func(s span) bool { return s.epoch == h.Epoch })
		if touched || n >= len(list)-heldShown {
			out = append(out, h)
		}
	}
	return out
}
