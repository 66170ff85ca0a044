package ingest_test

import (
	"slices"
	"testing"
	"time"

	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

func (d *device) status() record.Status {
	d.mono += time.Millisecond
	return record.Status{Boot: d.boot, Mono: d.mono, Wall: clock.Now().UTC(), Quality: record.TimeSynced, Version: "test",
		Policy: 5, LastOrder: 7, Epoch: d.epoch, LastSeq: uint64(len(d.events))}
}

func TestSync(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEpochStarted, record.EpochStarted{})
	r.deliver(d, 1, 1)
	s := d.status()
	s.Policy = 4 // one behind
	a := r.answerTo(d, r.ask(d, record.AskSync, s))
	if a.Device != d.id || a.Policy != 5 || a.LastOrder != 7 || a.Generation != 3 || !slices.Equal(a.Held, []record.Held{{Epoch: d.epoch, Seq: 1}}) {
		t.Errorf("answer %+v", a)
	}
	if age := clock.Now().Sub(a.HubTime); age < 0 || age > patience {
		t.Errorf("hub time is %s old", age)
	}
	cp, err := record.OpenCheckpoint(r.ledger.VerifierKey(), a.Log.Checkpoint)
	if err != nil || cp.Size == 0 || a.Log.From != 0 {
		t.Errorf("log view %+v of %d rows: %v", a.Log, cp.Size, err)
	}
	r.await("the push", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Equal(r.pushed, []string{"policy DC-31"})
	})
	if got := r.state(d); len(got.Status) == 0 || clock.Now().Sub(got.SeenAt) > patience {
		t.Errorf("status %s seen at %s", got.Status, got.SeenAt)
	}
	if n := len(r.rows()); n != 1 {
		t.Errorf("a status is not a fact: %d rows", n)
	}
}

// A status that was sent before is not believed; the asker gets an answer,
// which is worth nothing to anybody else [T-50].
func TestReplayedStatus(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	first, second := d.status(), d.status()
	r.answerTo(d, r.ask(d, record.AskSync, first))
	r.answerTo(d, r.ask(d, record.AskHeartbeat, second))
	seen := r.state(d)
	r.answerTo(d, r.ask(d, record.AskHeartbeat, first))
	if f := r.finding(ingest.FindingReplayedAsk); f.Code != record.CodeReplayed {
		t.Errorf("finding %+v", f)
	}
	if got := r.state(d); string(got.Status) != string(seen.Status) || !got.SeenAt.Equal(seen.SeenAt) {
		t.Errorf("a replayed status was believed")
	}
	before := d.boot
	d.boot, d.mono = record.NewBootID(), 0
	r.answerTo(d, r.ask(d, record.AskSync, d.status()))
	now := r.state(d)
	if string(now.Status) == string(seen.Status) {
		t.Errorf("the status of a new boot was not taken")
	}
	late := second
	late.Boot, late.Mono = before, time.Hour
	r.answerTo(d, r.ask(d, record.AskHeartbeat, late)) // a clone that goes on in the old boot
	if got := r.state(d); string(got.Status) != string(now.Status) {
		t.Errorf("a boot that was over came back and was believed")
	}
}

// A witness that holds more than we have, or something else, is a finding in
// the ledger it accuses (巻戻し・改変).
func TestWitness(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	for range 3 {
		d.write(record.KindEntered, passage("P07"))
	}
	r.deliver(d, 1, 3)
	a := r.answerTo(d, r.ask(d, record.AskSync, d.status()))
	cp, err := record.OpenCheckpoint(r.ledger.VerifierKey(), a.Log.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	true_ := d.status()
	true_.LogSize, true_.LogRoot = cp.Size, cp.Root
	d.write(record.KindExited, passage("P07"))
	r.deliver(d, 4, 4)
	a = r.answerTo(d, r.ask(d, record.AskHeartbeat, true_))
	if a.Log.From != cp.Size || len(a.Log.Proof) == 0 {
		t.Errorf("view %+v, want a proof from %d", a.Log, cp.Size)
	}
	if n := len(r.rows()); n != 4 {
		t.Fatalf("an honest witness made rows: %d", n)
	}
	ahead := d.status()
	ahead.LogSize, ahead.LogRoot = 1000, record.Hash{1}
	r.ask(d, record.AskHeartbeat, ahead)
	if f := r.finding(ingest.FindingLogAhead); f.Code != record.CodeLogRolledBack || f.Device != d.id {
		t.Errorf("finding %+v", f)
	}
	other := d.status()
	other.LogSize, other.LogRoot = cp.Size, record.Hash{1}
	r.ask(d, record.AskHeartbeat, other)
	if f := r.finding(ingest.FindingLogDiffers); f.Code != record.CodeLogForked {
		t.Errorf("finding %+v", f)
	}
	r.answerTo(d, r.ask(d, record.AskCosign, record.Cosignature{Size: cp.Size, Root: cp.Root, Line: "— DC-31 AAAA"}))
	if err := r.st.View(t.Context(), func(tx store.ReadTx) error {
		_, err := tx.State(ingest.StateCosignature + "DC-31")
		return err
	}); err != nil {
		t.Errorf("cosignature: %v", err)
	}
	r.answerTo(d, r.ask(d, record.AskCosign, record.Cosignature{Size: cp.Size, Root: record.Hash{9}}))
	r.finding(ingest.FindingCosignDiffers)
}

// Receipts show the log at most once a second to each device, from the size it
// was shown before.
func TestLogInReceipts(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEpochStarted, record.EpochStarted{})
	if got := r.deliver(d, 1, 1); got.Log != nil {
		t.Errorf("a log view without knowing what the witness holds")
	}
	a := r.answerTo(d, r.ask(d, record.AskSync, d.status()))
	cp, err := record.OpenCheckpoint(r.ledger.VerifierKey(), a.Log.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var views []record.LogView
	for n := 2; len(views) < 2 && time.Since(began) < patience; n++ {
		d.write(record.KindEntered, passage("P07"))
		if got := r.deliver(d, n, n); got.Log != nil {
			views = append(views, *got.Log)
		}
	}
	if took := time.Since(began); len(views) != 2 || took < 1900*time.Millisecond {
		t.Fatalf("%d views in %s", len(views), took)
	}
	next, err := record.OpenCheckpoint(r.ledger.VerifierKey(), views[0].Checkpoint)
	if err != nil || views[0].From != cp.Size || views[1].From != next.Size {
		t.Errorf("views from %d and %d, want %d and %d", views[0].From, views[1].From, cp.Size, next.Size)
	}
}
