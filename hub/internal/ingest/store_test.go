package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// A full disk: nothing is acknowledged, clocks are still served, people are told
// so, and afterwards everything is there once, with a row about the failure
// [T-52, 001-4.9(1)].
func TestDiskFull(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEpochStarted, record.EpochStarted{})
	full := fmt.Errorf("commit: %w", store.ErrFull)
	r.fault.err.Store(&full)
	r.up(d, d.batch(1, 1))
	r.await("failures", func() bool { return r.in.Health().Tries >= 2 })
	if h := r.in.Health(); !errors.Is(h.Err, store.ErrFull) || h.Since.IsZero() {
		t.Errorf("health %+v", h)
	}
	if a := r.answerTo(d, r.ask(d, record.AskSync, d.status())); len(a.Held) != 0 || a.HubTime.IsZero() {
		t.Errorf("answer %+v", a)
	}
	err := r.in.Record(t.Context(), []ledger.Fact{{Row: ledger.Row{Kind: ledger.KindSignedIn}}})
	if record.CodeOf(err) != record.CodeStoreFailed {
		t.Errorf("Record: %v", err)
	}
	if n := len(r.receiptsOf(d)); n != 0 {
		t.Fatalf("%d receipts for nothing", n)
	}
	r.fault.err.Store(nil)
	if got := r.receiptAfter(d, 0); got.Held[0].Seq != 1 {
		t.Errorf("afterwards held %+v", got.Held)
	}
	if f := r.finding(ingest.FindingStoreFailed); f.Code != record.CodeStoreFailed {
		t.Errorf("finding %+v", f)
	}
	if h := r.in.Health(); h.Err != nil {
		t.Errorf("health %+v", h)
	}
	if n := len(r.of(ledger.KindSignedIn)); n != 0 {
		t.Errorf("a fact that was refused is in the ledger")
	}
}

// More than one group waits while the disk is full: devices keep the rest and
// send it again.
func TestDiskFullForLong(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	const events = 6000
	for range events {
		d.write(record.KindEntered, passage("P07"))
	}
	full := fmt.Errorf("commit: %w", store.ErrFull)
	r.fault.err.Store(&full)
	for from := 1; from < events; from += 200 {
		r.up(d, d.batch(from, from+199))
	}
	r.await("failures", func() bool { return r.in.Health().Tries >= 3 })
	r.fault.err.Store(nil)
	var have uint64
	r.await("the first group", func() bool {
		if s := r.state(d); len(s.Held) > 0 {
			have = s.Held[0].Seq
		}
		return have > 0
	})
	for have < events {
		have = r.deliver(d, int(have)+1, min(events, int(have)+200)).Held[0].Seq
	}
	if n := len(r.of(record.KindEntered)); n != events {
		t.Errorf("%d rows, want %d", n, events)
	}
}

// A batch that can never be stored, by a fault of ours, stops its own device and
// no other.
func TestPoisonedBatch(t *testing.T) {
	r := newRig(t)
	a, b := r.device("DC-1"), r.device("DC-2")
	a.write(poison, record.Booted{})
	b.write(record.KindEntered, passage("P07"))
	r.up(a, a.batch(1, 1))
	r.up(b, b.batch(1, 1))
	if got := r.receiptAfter(b, 0); got.Held[0].Seq != 1 {
		t.Errorf("held %+v", got.Held)
	}
	r.finding(ingest.FindingStoreFailed)
	if n := len(r.receiptsOf(a)); n != 0 {
		t.Errorf("%d receipts for what was not stored", n)
	}
}

// A fact of people is durable when Record returns, with its articles.
func TestRecord(t *testing.T) {
	r := newRig(t)
	at := clock.Now().UTC().Add(-time.Hour)
	raw, err := json.Marshal(ledger.EntryByHand{Room: "R11", Person: "P07", Entered: at, Method: record.MethodKey, After: true, Paper: "12"})
	if err != nil {
		t.Fatal(err)
	}
	f := ledger.Fact{Row: ledger.Row{Kind: ledger.KindEntryByHand, At: at, Via: "console", Body: raw, Actor: &ledger.Resolved{Person: "P01", Name: "山田 太郎"}}}
	if err := r.in.Record(t.Context(), []ledger.Fact{f, f}); err != nil {
		t.Fatal(err)
	}
	rows := r.of(ledger.KindEntryByHand)
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	got := rows[0]
	if !got.At.Equal(at) || got.Received.IsZero() || got.Quality != record.TimeSynced || got.Via != "console" || len(got.Basis) == 0 || got.Actor.Name != "山田 太郎" {
		t.Errorf("row %+v", got.Row)
	}
	if err := r.in.Record(t.Context(), []ledger.Fact{{}}); err == nil {
		t.Error("a fact without a kind was taken")
	}
}

// Findings of the broker are rows too.
func TestBrokerFindings(t *testing.T) {
	r := newRig(t)
	r.findings <- ledger.SecurityFinding{Finding: "foreign_certificate", Remote: "192.0.2.7", Count: 41, First: clock.Now()}
	if f := r.finding("foreign_certificate"); f.Count != 41 || f.Remote != "192.0.2.7" {
		t.Errorf("finding %+v", f)
	}
}

// Nobody fills the ledger by repeating themselves, and nothing a stranger sends
// stops the line.
func TestFlood(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEpochStarted, record.EpochStarted{})
	good := d.batch(1, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 3000 {
		p := append([]byte(nil), good...)
		switch n % 3 {
		case 0:
			p = p[:rng.IntN(len(p))]
		case 1:
			p[rng.IntN(len(p))] ^= byte(1 + rng.IntN(255))
		case 2:
			p = make([]byte, rng.IntN(200))
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
		}
		ch := record.ChannelUp
		if n%2 == 0 {
			ch = record.ChannelAsk
		}
		if err := r.in.Handle(t.Context(), ingest.Message{Device: d.id, Channel: ch, Payload: p}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.deliver(d, 1, 1); got.Held[0].Seq != 1 {
		t.Errorf("held %+v", got.Held)
	}
	if n := len(r.of(ledger.KindSecurityFinding)); n == 0 || n > 20 {
		t.Errorf("%d rows of 3000 bad messages", n)
	}
}

// Every kind of fact cites an article [000-10.1].
func TestBasis(t *testing.T) {
	for _, k := range []record.Kind{record.KindEntered, record.KindDenied, record.KindFireRelease, record.KindTamper, record.KindClockAnomaly,
		ledger.KindEntryByHand, ledger.KindEvidenceGap, ledger.KindHubStarted, "something of tomorrow"} {
		if len(ingest.Basis(k)) == 0 {
			t.Errorf("%s cites nothing", k)
		}
	}
}

// Many devices at once, some batches lost on the way, some twice: every event is
// there once, in order, and the receipts never promised more.
func TestManyDevices(t *testing.T) {
	r := newPatientRig(t, time.Hour)
	const devices, events = 8, 120
	var list []*device
	for n := range devices {
		d := r.device(record.DeviceID(fmt.Sprintf("DC-%d", n)))
		for range events {
			d.write(record.KindEntered, passage("P07"))
		}
		list = append(list, d)
	}
	var wg sync.WaitGroup
	for n, d := range list {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(n)))
			deadline := time.Now().Add(patience)
			for acked := 0; acked < events; {
				if time.Now().After(deadline) {
					t.Errorf("%s is at %d", d.id, acked)
					return
				}
				for from := acked + 1; from <= events; {
					to := min(events, from+rng.IntN(20))
					payload := d.batch(from, to)
					if rng.IntN(5) > 0 { // otherwise lost
						if r.in.Handle(context.Background(), ingest.Message{Device: d.id, Channel: record.ChannelUp, Payload: payload}) != nil {
							return
						}
					}
					from = to + 1 - rng.IntN(3)
					from = max(from, 1)
				}
				time.Sleep(5 * time.Millisecond)
				for _, c := range r.receiptsOf(d) {
					for _, h := range c.Held {
						acked = max(acked, int(h.Seq))
					}
				}
			}
		})
	}
	wg.Wait()
	next := map[record.DeviceID]uint64{}
	for _, l := range r.of(record.KindEntered) {
		if l.Seq != next[l.Device]+1 {
			t.Fatalf("%s: seq %d after %d", l.Device, l.Seq, next[l.Device])
		}
		next[l.Device] = l.Seq
	}
	for _, d := range list {
		if next[d.id] != events {
			t.Errorf("%s: %d of %d rows", d.id, next[d.id], events)
		}
	}
}
