package ingest_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// [T-52]: when a receipt leaves, every row it speaks of is durable and sealed.
func TestReceiptFollowsTheCommit(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	r.before = func(topic string) {
		if topic != record.Topic(d.id, record.ChannelReceipt) {
			return
		}
		if n := len(r.of(record.KindEntered)); n != 3 {
			t.Errorf("a receipt left with %d of 3 rows durable", n)
		}
	}
	for range 3 {
		d.write(record.KindEntered, passage("P07"))
	}
	got := r.deliver(d, 1, 3)
	want := []record.Held{{Epoch: d.epoch, Seq: 3}}
	if !slices.Equal(got.Held, want) || got.Device != d.id || got.Generation != 3 || got.Refused != nil {
		t.Fatalf("receipt %+v, want held %+v", got, want)
	}
	if age := clock.Now().Sub(got.HubTime); age < 0 || age > patience {
		t.Errorf("hub time is %s old", age)
	}
	var cp record.Checkpoint
	if err := r.st.View(t.Context(), func(tx store.ReadTx) error {
		signed, err := tx.Checkpoint()
		if err != nil {
			return err
		}
		cp, err = record.OpenCheckpoint(r.ledger.VerifierKey(), signed)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if n := int64(len(r.rows())); cp.Size < 4-1 || cp.Size > n {
		t.Errorf("checkpoint of %d rows, ledger has %d", cp.Size, n)
	}
}

// A row says everything a register needs: device position, commitment, effective
// time, receipt, person as of the event, articles [T-30, 000-10.1].
func TestRowOfAnEvent(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	now := clock.Now().UTC()
	r.declare("P07", ledger.Resolved{Person: "P07", Name: "𠮷田 誠", Section: "総務課情報係"}, now.Add(-time.Hour*24*400))
	r.declare("P07", ledger.Resolved{Person: "P07", Name: "𠮷田 誠", Section: "税務課"}, now.Add(-time.Hour))
	d.writeAt(record.KindEntered, passage("P07"), now.Add(-2*time.Hour), record.TimeSynced)
	d.writeAt(record.KindExited, passage("P07"), now.Add(-10*time.Second), record.TimeSynced)
	d.write(record.KindRearmed, record.DoorState{Door: "D31", Room: "R31", Order: 3, By: "P01"})
	r.deliver(d, 1, 3)
	rows := r.rows()
	first := rows[0]
	switch {
	case first.Kind != record.KindEntered || first.Device != d.id || first.Epoch != d.epoch || first.Seq != 1,
		first.Event != record.Commitment(d.salts[0], d.events[0]),
		string(first.stored.Event) != string(d.events[0]), first.stored.Envelope == 0,
		!first.At.Equal(now.Add(-2 * time.Hour)), first.Quality != record.TimeSynced, !first.Late,
		!slices.Equal(first.Basis, []string{"000-7.2", "000-10.1"}):
		t.Errorf("row %+v", first.Row)
	}
	if first.Who == nil || first.Who.Section != "総務課情報係" || first.Who.Name != "𠮷田 誠" {
		t.Errorf("person as of the event: %+v", first.Who)
	}
	if rows[1].Late || rows[1].Who.Section != "税務課" {
		t.Errorf("second row %+v", rows[1].Row)
	}
	if rows[2].Actor == nil || rows[2].Actor.Person != "P01" || rows[2].Who != nil {
		t.Errorf("the issuer of an order is its actor: %+v", rows[2].Row)
	}
}

// [T-40]: the device's sequence is the idempotence key.
func TestDuplicatesAreSkipped(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	for range 10 {
		d.write(record.KindEntered, passage("P07"))
	}
	r.deliver(d, 1, 6)
	r.deliver(d, 1, 6)
	got := r.deliver(d, 4, 10)
	if got.Held[0].Seq != 10 {
		t.Errorf("held %d, want 10", got.Held[0].Seq)
	}
	var seqs []uint64
	for _, l := range r.rows() {
		seqs = append(seqs, l.Seq)
	}
	if !slices.Equal(seqs, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("rows of seqs %v", seqs)
	}
}

// The same batch twice in one commit is one batch.
func TestDuplicatesWithinOneGroup(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	for range 4 {
		d.write(record.KindEntered, passage("P07"))
	}
	a, b := d.batch(1, 3), d.batch(2, 4)
	full := error(store.ErrFull)
	r.fault.err.Store(&full) // while the store fails, both wait for the same commit
	r.up(d, a)
	r.up(d, b)
	r.await("two failures", func() bool { return r.in.Health().Tries >= 2 })
	r.fault.err.Store(nil)
	r.await("seq 4 held", func() bool { s := r.state(d); return len(s.Held) == 1 && s.Held[0].Seq == 4 })
	if n := len(r.of(record.KindEntered)); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

// [T-50]: a batch that was sent before is a finding and nothing else.
func TestReplayedBatch(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEntered, passage("P07"))
	d.write(record.KindExited, passage("P07"))
	first := d.batch(1, 1)
	r.up(d, first)
	r.receiptAfter(d, 0)
	n := len(r.receiptsOf(d))
	r.up(d, first)
	f := r.finding(ingest.FindingReplayedBatch)
	if f.Device != d.id || f.Code != record.CodeReplayed {
		t.Errorf("finding %+v", f)
	}
	if got := len(r.receiptsOf(d)); got != n {
		t.Errorf("a replay was given a receipt")
	}
	if got := r.deliver(d, 2, 2); got.Held[0].Seq != 2 {
		t.Errorf("after the replay held %+v", got.Held)
	}
	// An old batch of an earlier boot tells nothing new and ends no boot.
	d.boot = record.NewBootID()
	d.write(record.KindEntered, passage("P07"))
	r.deliver(d, 3, 3)
	old := record.Batch{}
	old, err := record.DecodeBatch(first)
	if err != nil {
		t.Fatal(err)
	}
	r.up(d, old.Encode())
	r.receiptAfter(d, len(r.receiptsOf(d))-1)
	if s := r.state(d); s.LastBoot != d.boot {
		t.Errorf("an old boot's batch took the boot over")
	}
}

// A gap on the way is not a gap in the journal: the device is told what is held
// and goes back there.
func TestGapIsAnsweredWithWhatIsHeld(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	for range 9 {
		d.write(record.KindEntered, passage("P07"))
	}
	r.deliver(d, 1, 3)
	for _, from := range []int{5, 6, 8} {
		if got := r.deliver(d, from, from); got.Held[0].Seq != 3 {
			t.Fatalf("seq %d beyond the gap: held %+v", from, got.Held)
		}
	}
	if got := r.deliver(d, 4, 9); got.Held[0].Seq != 9 {
		t.Fatalf("after going back: held %+v", got.Held)
	}
	if n := len(r.of(ledger.KindEvidenceGap)); n != 0 {
		t.Errorf("%d rows of a gap that was none", n)
	}
}

// Nothing blocks the line: what a device no longer has becomes a row that says
// so, and its later facts are taken.
func TestGapThatStaysIsTaken(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	for range 9 {
		d.write(record.KindEntered, passage("P07"))
	}
	r.deliver(d, 1, 3)
	r.await("the gap to be taken", func() bool { return r.deliver(d, 6, 9).Held[0].Seq == 9 })
	gaps := r.of(ledger.KindEvidenceGap)
	if len(gaps) != 1 {
		t.Fatalf("%d gap rows", len(gaps))
	}
	if g := body[ledger.EvidenceGap](t, gaps[0]); g.After != 3 || g.Before != 6 || g.Device != d.id || g.Epoch != d.epoch || g.Why == "" {
		t.Errorf("gap %+v", g)
	}
}

// An authentic event that cannot be read is kept and receipted; a later kind is
// kept as itself; a device cannot state what only people state.
func TestUnreadableEventsAreKept(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.raw([]byte(`{"v":2,"from":"the future"}`))
	d.write("a_kind_of_tomorrow", map[string]int{"x": 1})
	d.write(ledger.KindStayClosed, ledger.StayClosed{Room: "R31", Number: 1})
	d.put(record.Event{V: 1, Device: "DC-99", Epoch: d.epoch, Seq: 4, Prev: d.prev, Kind: record.KindEntered, Wall: clock.Now(), Quality: record.TimeSynced})
	d.put(record.Event{V: 1, Device: d.id, Epoch: d.epoch, Seq: 77, Prev: d.prev, Kind: record.KindEntered, Wall: clock.Now(), Quality: record.TimeSynced})
	got := r.deliver(d, 1, 5)
	if got.Held[0].Seq != 5 {
		t.Fatalf("held %+v", got.Held)
	}
	var kinds []record.Kind
	for n, l := range r.rows()[:5] {
		kinds = append(kinds, l.Kind)
		if string(l.stored.Event) != string(d.events[n]) || l.Seq != uint64(n+1) {
			t.Errorf("row %d is not the event as it came", n)
		}
	}
	o := ledger.KindOpaqueEvent
	if want := []record.Kind{o, "a_kind_of_tomorrow", o, o, o}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	r.finding(ingest.FindingUnreadable)
}

func TestWrongDeviceAndWrongKey(t *testing.T) {
	r := newRig(t)
	a, b := r.device("DC-1"), r.device("DC-2")
	a.write(record.KindEntered, passage("P07"))
	b.signer = a.signer // b's name, a's key
	b.write(record.KindEntered, passage("P07"))
	r.up(b, b.batch(1, 1))
	if f := r.finding(ingest.FindingBadMessage); f.Code != record.CodeBadSignature || f.Device != "DC-2" {
		t.Errorf("a batch under another's key: %+v", f)
	}
	a.id = "DC-9" // the head names a device that does not have this topic
	payload := a.batch(1, 1)
	a.id = "DC-1"
	r.up(a, payload)
	r.await("a finding of the wrong device", func() bool {
		return slices.ContainsFunc(r.of(ledger.KindSecurityFinding), func(l line) bool {
			return body[ledger.SecurityFinding](t, l).Code == record.CodeWrongDevice
		})
	})
	stranger := &device{tb: t, id: "DC-404", signer: newSigner(t), epoch: record.NewEpoch(), boot: record.NewBootID()}
	stranger.write(record.KindEntered, passage("P07"))
	r.up(stranger, stranger.batch(1, 1))
	r.finding(ingest.FindingUnknownDevice)
	if n := len(r.of(record.KindEntered)); n != 0 {
		t.Errorf("%d rows of nobody's facts", n)
	}
}

// An event altered on the way does not match what the device signed [design §3].
func TestAlteredEvent(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEntered, passage("P07"))
	b, err := record.DecodeBatch(d.batch(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	b.Events[0] = []byte(string(b.Events[0][:len(b.Events[0])-1]) + " }")
	r.up(d, b.Encode())
	if f := r.finding(ingest.FindingBadMessage); f.Code != record.CodeBadSignature {
		t.Errorf("finding %+v", f)
	}
	if got := r.deliver(d, 1, 1); got.Held[0].Seq != 1 {
		t.Errorf("the true event afterwards: %+v", got.Held)
	}
}

// A revoked device is not heard; a renewed one is, with its new key [T-51].
func TestRevokedAndRenewed(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEntered, passage("P07"))
	d.write(record.KindExited, passage("P07"))
	r.deliver(d, 1, 1)
	old := *d
	d.signer = newSigner(t)
	r.update(func(tx store.Tx) error {
		s, err := tx.Device(d.id)
		s.Key = d.signer.Public()
		if err != nil {
			return err
		}
		return tx.PutDevice(s)
	})
	r.up(d, old.batch(2, 2)) // still verifies with the key ingest remembers
	if f := r.finding(ingest.FindingBadMessage); f.Code != record.CodeBadSignature {
		t.Errorf("finding %+v", f)
	}
	d.sends = old.sends
	if got := r.deliver(d, 2, 2); got.Held[0].Seq != 2 {
		t.Errorf("under the new key: %+v", got.Held)
	}
	r.update(func(tx store.Tx) error {
		s, err := tx.Device(d.id)
		s.Revoked = true
		if err != nil {
			return err
		}
		return tx.PutDevice(s)
	})
	d.write(record.KindEntered, passage("P07"))
	r.up(d, d.batch(3, 3))
	r.finding(ingest.FindingUnknownDevice)
	if s := r.state(d); s.Held[0].Seq != 2 {
		t.Errorf("a revoked device was heard: %+v", s.Held)
	}
}

// Another event for a number already held: somebody else has this device's key
// [002-23(3)ア]. The line goes on.
func TestClone(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEntered, passage("P07"))
	d.write(record.KindExited, passage("P07"))
	r.deliver(d, 1, 2)
	clone := *d
	clone.boot, clone.prev, clone.events, clone.salts = record.NewBootID(), record.Hash{}, nil, nil
	clone.write(record.KindEntered, passage("P01"))
	clone.write(record.KindExited, passage("P01"))
	clone.write(record.KindEntered, passage("P01"))
	r.up(&clone, clone.batch(1, 2))
	if f := r.finding(ingest.FindingEventChanged); f.Code != record.CodeEventChanged || f.Device != d.id {
		t.Errorf("finding %+v", f)
	}
	if n := len(r.of(record.KindEntered)); n != 1 {
		t.Errorf("%d entries, want the first one only", n)
	}
	// Its next fact is kept, and shows that it does not follow ours.
	r.deliver(&clone, 3, 3)
	if n := len(r.of(ledger.KindEvidenceGap)); n != 1 {
		t.Errorf("%d rows of the broken chain", n)
	}
}

func TestPolicyConfirmation(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	at := clock.Now().UTC().Add(-time.Minute).Truncate(time.Millisecond)
	d.writeAt(record.KindPolicyActivated, record.PolicyActivated{Version: 5, From: 4}, at, record.TimeSynced)
	r.deliver(d, 1, 1)
	if s := r.state(d); s.PolicyAck != 5 || !s.PolicyAckAt.Equal(at) {
		t.Errorf("confirmed %d at %s, want 5 at the device's own time %s", s.PolicyAck, s.PolicyAckAt, at)
	}
}

// A new epoch is 証跡欠落 unless both ends agree that nothing lies between.
func TestNewEpoch(t *testing.T) {
	for _, c := range []struct {
		name    string
		started func(before record.Epoch) record.EpochStarted
		gap     *ledger.EvidenceGap
	}{
		{"agreed", func(e record.Epoch) record.EpochStarted { return record.EpochStarted{Previous: e, LastSeq: 2} }, nil},
		{"damaged", func(e record.Epoch) record.EpochStarted {
			return record.EpochStarted{Previous: e, LastSeq: 2, Damage: "checksum"}
		}, &ledger.EvidenceGap{After: 2}},
		{"tail not delivered", func(e record.Epoch) record.EpochStarted { return record.EpochStarted{Previous: e, LastSeq: 5} }, &ledger.EvidenceGap{After: 2, Before: 6}},
		{"tail lost at the device", func(e record.Epoch) record.EpochStarted { return record.EpochStarted{Previous: e, LastSeq: 1} }, &ledger.EvidenceGap{After: 2}},
		{"journal lost", func(record.Epoch) record.EpochStarted { return record.EpochStarted{} }, &ledger.EvidenceGap{After: 2}},
		{"unknown epoch before", func(record.Epoch) record.EpochStarted {
			return record.EpochStarted{Previous: record.NewEpoch(), LastSeq: 4}
		}, &ledger.EvidenceGap{After: 0, Before: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			d := r.device("DC-31")
			d.write(record.KindEpochStarted, record.EpochStarted{})
			d.write(record.KindEntered, passage("P07"))
			r.deliver(d, 1, 2)
			before := d.epoch
			started := c.started(before)
			d.reopen(started)
			d.write(record.KindExited, passage("P07"))
			got := r.deliver(d, 1, 2)
			if want := []record.Held{{Epoch: before, Seq: 2}, {Epoch: d.epoch, Seq: 2}}; !slices.Equal(got.Held, want) {
				t.Errorf("held %+v, want %+v", got.Held, want)
			}
			gaps := r.of(ledger.KindEvidenceGap)
			if c.gap == nil {
				if len(gaps) != 0 {
					t.Errorf("gap %s", gaps[0].Body)
				}
				return
			}
			if len(gaps) != 1 {
				t.Fatalf("%d gap rows", len(gaps))
			}
			g := body[ledger.EvidenceGap](t, gaps[0])
			wantPrevious := started.Previous
			if wantPrevious.IsZero() {
				wantPrevious = before
			}
			if g.After != c.gap.After || g.Before != c.gap.Before || g.Epoch != d.epoch || g.Previous != wantPrevious || g.Why == "" {
				t.Errorf("gap %+v", g)
			}
		})
	}
}

// Two live epochs of one device are a clone alarm [design §3].
func TestTwoEpochs(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEpochStarted, record.EpochStarted{})
	r.deliver(d, 1, 1)
	old := *d
	d.reopen(record.EpochStarted{Previous: old.epoch, LastSeq: 1})
	r.deliver(d, 1, 1)
	old.sends = 100
	old.write(record.KindEntered, passage("P07"))
	got := r.deliver(&old, 2, 2)
	r.finding(ingest.FindingTwoEpochs)
	if !slices.Contains(got.Held, record.Held{Epoch: old.epoch, Seq: 2}) {
		t.Errorf("the line of the old epoch stands still: %+v", got.Held)
	}
	if last := got.Held[len(got.Held)-1]; last.Epoch != d.epoch {
		t.Errorf("the newest epoch is not last: %+v", got.Held)
	}
}

// An epoch that does not begin with epoch_started is a gap, not a stop.
func TestEpochWithoutBeginning(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	d.write(record.KindEntered, passage("P07"))
	r.deliver(d, 1, 1)
	before := d.epoch
	d.epoch, d.prev, d.events, d.salts = record.NewEpoch(), record.Hash{}, nil, nil
	d.write(record.KindEntered, passage("P07"))
	if got := r.deliver(d, 1, 1); !slices.Contains(got.Held, record.Held{Epoch: d.epoch, Seq: 1}) {
		t.Errorf("held %+v", got.Held)
	}
	gaps := r.of(ledger.KindEvidenceGap)
	if len(gaps) != 1 {
		t.Fatalf("%d gap rows", len(gaps))
	}
	if g := body[ledger.EvidenceGap](t, gaps[0]); g.Previous != before || g.After != 1 {
		t.Errorf("gap %+v", g)
	}
}

// [T-38, T-39]: effective time and its quality.
func TestWhen(t *testing.T) {
	received := time.Date(2026, 6, 17, 7, 0, 0, 0, time.UTC)
	wall := time.Date(2026, 6, 16, 3, 0, 0, 0, time.UTC)
	zero := time.Date(2026, 6, 16, 1, 0, 0, 0, time.UTC)
	boot, other := record.BootID{1}, record.BootID{2}
	dating := []record.BootClock{{Boot: boot, Zero: zero}}
	for _, c := range []struct {
		name    string
		e       record.Event
		dating  []record.BootClock
		at      time.Time
		quality record.TimeQuality
	}{
		{"synced", record.Event{Wall: wall, Quality: record.TimeSynced, Boot: boot}, dating, wall, record.TimeSynced},
		{"unsynced, dated afterwards", record.Event{Wall: wall, Quality: record.TimeUnsynced, Boot: boot, Mono: time.Minute}, dating, zero.Add(time.Minute), record.TimeEstimated},
		{"estimated, dated afterwards", record.Event{Wall: wall, Quality: record.TimeEstimated, Boot: boot, Mono: time.Hour}, dating, zero.Add(time.Hour), record.TimeEstimated},
		{"unsynced, of a boot nobody can date", record.Event{Wall: wall, Quality: record.TimeUnsynced, Boot: other}, dating, wall, record.TimeUnsynced},
		{"estimated, not dated", record.Event{Wall: wall, Quality: record.TimeEstimated, Boot: other}, nil, wall, record.TimeEstimated},
		{"dead clock", record.Event{Wall: time.Unix(0, 0), Quality: record.TimeUnsynced, Boot: other}, nil, received, record.TimeUnsynced},
		{"unconfirmed clock in the future", record.Event{Wall: received.AddDate(9, 0, 0), Quality: record.TimeEstimated}, nil, received, record.TimeUnsynced},
		{"year nobody can store", record.Event{Wall: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Quality: record.TimeSynced}, nil, received, record.TimeUnsynced},
		{"dating that overflows", record.Event{Wall: wall, Quality: record.TimeUnsynced, Boot: boot, Mono: 1<<63 - 1}, dating, received, record.TimeUnsynced},
		{"quality of another version", record.Event{Wall: wall, Quality: "atomic"}, nil, wall, record.TimeUnsynced},
		{"other zone", record.Event{Wall: wall.In(clock.JST), Quality: record.TimeSynced}, nil, wall, record.TimeSynced},
	} {
		at, q := ingest.When(c.e, c.dating, received)
		if !at.Equal(c.at) || q != c.quality || at.Location() != time.UTC {
			t.Errorf("%s: %s %s, want %s %s", c.name, at, q, c.at, c.quality)
		}
	}
}

// Hostile numbers neither stop the line nor the process.
func TestHostileTimes(t *testing.T) {
	r := newRig(t)
	d := r.device("DC-31")
	for _, wall := range []string{"9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59", "2262-05-01T00:00:00Z"} {
		raw := json.RawMessage(`{"v":1,"device":"DC-31","epoch":"` + d.epoch.String() + `","seq":` + string(rune('1'+len(d.events))) +
			`,"prev":"` + d.prev.String() + `","boot":"` + d.boot.String() + `","mono":-9223372036854775808,"wall":"` + wall + `","tq":"unsynced","policy":0,"pack":"","kind":"entered"}`)
		d.raw(raw)
	}
	d.dating = []record.BootClock{{Boot: d.boot, Zero: clock.Now()}}
	if got := r.deliver(d, 1, 3); got.Held[0].Seq != 3 {
		t.Fatalf("held %+v", got.Held)
	}
	if n := len(r.of(record.KindEntered)); n != 3 {
		t.Errorf("%d rows readable", n)
	}
}
