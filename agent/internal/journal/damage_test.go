package journal_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk/disktest"
)

func segment(n int) string { return filepath.Join(dir, fmt.Sprintf("%016x.seg", n)) }

// written makes a closed journal of n events, 200 bytes each, over segments.
func written(tb testing.TB, n int) (*disktest.Disk, []journal.Record) {
	tb.Helper()
	d := disktest.New(1)
	j := MustOpen(tb, d, small())
	for i := range n {
		MustWrite(tb, j, journal.Normal, fmt.Appendf(nil, "%0200d", i))
	}
	recs := MustHistory(tb, j)
	j.Close()
	return d, recs
}

func flip(tb testing.TB, d *disktest.Disk, name string, off int) {
	tb.Helper()
	err := d.Corrupt(name, func(b []byte) []byte { b[off] ^= 0x55; return b })
	if err != nil {
		tb.Fatal(err)
	}
}

// lost returns the sequence numbers of want that are not in got.
func lost(want, got []journal.Record) []uint64 {
	have := map[journal.Commitment]bool{}
	for _, r := range got {
		have[r.Commitment] = true
	}
	var seqs []uint64
	for _, r := range want {
		if !have[r.Commitment] {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs
}

func pending(tb testing.TB, j *journal.Journal) []journal.Record {
	tb.Helper()
	var recs []journal.Record
	for rec, err := range j.Pending() {
		if err != nil {
			tb.Fatal(err)
		}
		recs = append(recs, rec)
	}
	return recs
}

func TestDamageInTheMiddleBeginsAnEpochAndLosesNothingElse(t *testing.T) {
	for _, c := range []struct {
		name string
		file int
		off  int
	}{
		{"an event of the first segment", 1, 4096 + 2000},
		{"the first record", 1, 4096 + 3},
		{"an event of the last segment", 3, 4096 + 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, want := written(t, 90)
			flip(t, d, segment(c.file), c.off)
			for range 3 { // one new epoch, however often it is opened
				j := MustOpen(t, d, small())
				gone := lost(want, pending(t, j))
				if len(gone) != 1 {
					t.Fatalf("lost %v, want one record", gone)
				}
				eps := j.Epochs()
				if len(eps) != 2 || len(eps[0].Gaps) != 1 || eps[0].Gaps[0].From != gone[0] || eps[0].Gaps[0].To != gone[0] {
					t.Fatalf("epochs %+v, want the gap at %d", eps, gone[0])
				}
				j.Close()
			}
			j := MustOpen(t, d, small())
			if p := MustWrite(t, j, journal.Normal, []byte("x")); p.Seq != 2 {
				t.Fatalf("seq %d, want 2 of the new epoch", p.Seq)
			}
			recs := pending(t, j)
			own := recs[len(recs)-2]
			if own.Seq != 1 || journal.Epoch(own.Event[eventHead:]) != want[0].Epoch {
				t.Fatal("the new epoch does not name the old one")
			}
			ackAll(t, j)
			if left := pending(t, j); len(left) != 0 {
				t.Fatalf("%d pending after receipts for both epochs", len(left))
			}
		})
	}
}

func TestDamagedHeaderLosesNothing(t *testing.T) {
	d, want := written(t, 90)
	flip(t, d, segment(2), 30)
	j := MustOpen(t, d, small())
	if gone := lost(want, pending(t, j)); len(gone) != 0 {
		t.Fatalf("lost %v", gone)
	}
	MustWrite(t, j, journal.Normal, []byte("x"))
	MustHistory(t, j)
}

func TestMissingSegmentIsAGap(t *testing.T) {
	d, want := written(t, 120)
	if err := errors.Join(d.Remove(segment(2)), d.SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	j := MustOpen(t, d, small())
	gone := lost(want, pending(t, j))
	eps := j.Epochs()
	if len(eps) != 2 || len(eps[0].Gaps) != 1 || len(gone) == 0 {
		t.Fatalf("epochs %+v lost %v", eps, gone)
	}
	if g := eps[0].Gaps[0]; g.From != gone[0] || g.To != gone[len(gone)-1] {
		t.Fatalf("gap %v, lost %v", g, gone)
	}
}

func TestMissingFirstSegmentIsAGapUnlessDelivered(t *testing.T) {
	d, _ := written(t, 120)
	if err := errors.Join(d.Remove(segment(1)), d.SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	j := MustOpen(t, d, small())
	if eps := j.Epochs(); len(eps) != 2 || len(eps[0].Gaps) != 1 || eps[0].Gaps[0].From != 1 {
		t.Fatalf("epochs %+v", eps)
	}
}

func TestAllSegmentsGoneNamesTheOldEpoch(t *testing.T) {
	d, want := written(t, 90)
	for n := 1; n <= 10; n++ {
		_ = d.Remove(segment(n))
	}
	j := MustOpen(t, d, small())
	MustWrite(t, j, journal.Normal, []byte("x"))
	recs := pending(t, j)
	if recs[0].Seq != 1 || recs[0].Epoch == want[0].Epoch || journal.Epoch(recs[0].Event[eventHead:]) != want[0].Epoch {
		t.Fatal("the new epoch does not name the old one")
	}
}

func TestRolledBackJournalLeavesItsEpoch(t *testing.T) {
	d, _ := written(t, 10)
	j := MustOpen(t, d, small())
	e := j.Epochs()[0].Epoch
	if err := j.Acknowledge(e, 1000); !errors.Is(err, journal.ErrAhead) {
		t.Fatalf("%v, want ErrAhead", err)
	}
	if p := MustWrite(t, j, journal.Normal, []byte("x")); p.Epoch == e || p.Seq != 2 {
		t.Fatalf("%s/%d, want seq 2 of another epoch", p.Epoch, p.Seq)
	}
	if err := j.Acknowledge(journal.Epoch{1}, 1); !errors.Is(err, journal.ErrUnknownEpoch) {
		t.Fatalf("%v, want ErrUnknownEpoch", err)
	}
	MustHistory(t, j)
}

func TestDamageFoundWhileRunning(t *testing.T) {
	d := disktest.New(1)
	j := MustOpen(t, d, small())
	for i := range 40 {
		MustWrite(t, j, journal.Normal, fmt.Appendf(nil, "%0200d", i))
	}
	want := MustHistory(t, j)
	last := j.Epochs()[0].Last
	flip(t, d, segment(1), 4096+2000)
	if gone := lost(want, pending(t, j)); len(gone) != 1 {
		t.Fatalf("lost %v, want one", gone)
	}
	if p := MustWrite(t, j, journal.Normal, []byte("x")); p.Seq != 2 {
		t.Fatalf("seq %d, want 2 of a new epoch", p.Seq)
	}
	if eps := j.Epochs(); len(eps) != 2 || eps[0].Last != last || len(eps[0].Gaps) != 1 {
		t.Fatalf("%+v", eps)
	}
}

func TestTornTailIsCutAndCounted(t *testing.T) {
	d, want := written(t, 10)
	// A record that was begun and never confirmed: its CRC does not hold.
	err := d.Corrupt(segment(1), func(b []byte) []byte {
		end := len(b)
		for b[end-1] == 0 {
			end--
		}
		copy(b[(end+7)&^7:], "half a record")
		return b
	})
	if err != nil {
		t.Fatal(err)
	}
	j := MustOpen(t, d, small())
	if st, _ := j.Stats(); st.Torn == 0 || len(st.Gaps) != 0 {
		t.Fatalf("%+v", st)
	}
	if p := MustWrite(t, j, journal.Normal, []byte("x")); p.Seq != want[len(want)-1].Seq+1 {
		t.Fatalf("seq %d, want the epoch to go on", p.Seq)
	}
	MustHistory(t, j)
}

// A failed sync is not believed later: the batch goes to another segment.
func TestFailedSyncMovesToAnotherSegment(t *testing.T) {
	d := disktest.New(3)
	j := MustOpen(t, d, small())
	MustWrite(t, j, journal.Normal, []byte("a"))
	d.FailSync(1)
	MustWrite(t, j, journal.Normal, []byte("b"))
	MustWrite(t, j, journal.Normal, []byte("c"))
	d.Crash()
	j.Close()
	j = MustOpen(t, d, small())
	if got := payloads(MustHistory(t, j)); len(got) != 3 || got[1] != "b" {
		t.Fatalf("%q", got)
	}
}

// A segment whose name is in doubt may turn up after a power cut and say that the
// one before it ended there; so nothing more may be confirmed in that one.
func TestSegmentOfDoubtfulNameCutsNothingOff(t *testing.T) {
	for seed := range uint64(50) {
		d := disktest.New(seed)
		j := MustOpen(t, d, small())
		MustWrite(t, j, journal.Normal, make([]byte, 7000))
		d.FailSyncDir()
		if _, err := write(j, journal.Normal, make([]byte, 6000)); !errors.Is(err, disktest.ErrIO) {
			t.Fatalf("%v, want the disk's error", err)
		}
		MustWrite(t, j, journal.Normal, []byte("small enough for the first segment"))
		d.Crash()
		j.Close()
		j = MustOpen(t, d, small())
		if got := payloads(MustHistory(t, j)); len(got) != 2 || len(got[1]) != 34 {
			t.Fatalf("seed %d: %d events", seed, len(got))
		}
		j.Close()
	}
}

func TestDeadDiskIsAnErrorAndNoPromise(t *testing.T) {
	d := disktest.New(3)
	j := MustOpen(t, d, small())
	MustWrite(t, j, journal.Normal, []byte("a"))
	for n := range 20 {
		d.FailSync(n + 1)
	}
	if _, err := write(j, journal.Normal, []byte("b")); !errors.Is(err, disktest.ErrIO) {
		t.Fatalf("%v, want the disk's error", err)
	}
	for range 20 { // until the disk is well again
		if _, err := write(j, journal.Normal, []byte("c")); err == nil {
			break
		}
	}
	MustHistory(t, j)
}

// FuzzOpen puts any bytes anywhere into a segment: opening must not panic, what
// lies before is served, and the journal can go on.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(0), []byte("SKJRNL1\n"))
	f.Add(uint16(4096), make([]byte, 300))
	f.Add(uint16(5000), []byte{1, 2, 3})
	f.Add(uint16(9000), make([]byte, 7000))
	f.Fuzz(func(t *testing.T, at uint16, junk []byte) {
		d, want := written(t, 90)
		err := d.Corrupt(segment(2), func(b []byte) []byte {
			copy(b[int(at)%len(b):], junk)
			return b
		})
		if err != nil {
			t.Fatal(err)
		}
		j := MustOpen(t, d, small())
		gone := lost(want, pending(t, j))
		for _, seq := range gone { // only what was hit, and never in silence
			covered := false
			for _, e := range j.Epochs() {
				for _, g := range e.Gaps {
					covered = covered || g.From <= seq && (g.To == 0 || seq <= g.To)
				}
			}
			if !covered {
				t.Fatalf("record %d is missing and nothing says so", seq)
			}
		}
		first := len(rows(want, 'e'))
		for _, seq := range gone {
			first = min(first, int(seq))
		}
		if first < 30 {
			t.Fatalf("record %d of the first, intact segment is missing", first)
		}
		MustWrite(t, j, journal.Normal, []byte("x"))
	})
}

// FuzzLoneSegment opens a directory that holds any bytes as its only segment.
func FuzzLoneSegment(f *testing.F) {
	d, _ := written(f, 5)
	_ = d.Corrupt(segment(1), func(b []byte) []byte { f.Add(b[:6000]); return b })
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		d := disktest.New(1)
		file, err := d.Create(segment(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		j := MustOpen(t, d, small())
		pending(t, j)
		MustWrite(t, j, journal.Normal, []byte("x"))
	})
}
