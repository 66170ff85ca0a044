package journal_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
	"sekimori/agent/internal/journal/disk/disktest"
)

const dir = "/var/lib/journal"

// small sizes, so that a few dozen events cover every turn of a journal's life.
func small() journal.Options {
	return journal.Options{Notice: notice, SegmentBytes: 16 << 10, ReserveBytes: 8 << 10, MaxBytes: 80 << 10}
}

// A test event holds its own position, as a real one does: epoch, seq, prev, then
// a byte that tells whose row it is, then a payload.
const eventHead = 16 + 8 + 32 + 1

func event(p journal.Position, who byte, payload []byte) []byte {
	b := append([]byte(nil), p.Epoch[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Seq)
	b = append(b, p.Prev[:]...)
	b = append(b, who)
	return append(b, payload...)
}

func notice(p journal.Position, n journal.Notice) ([]byte, error) {
	if n.Kind == journal.Full {
		return event(p, 'F', binary.BigEndian.AppendUint64(nil, n.Refused)), nil
	}
	return event(p, 'E', n.Previous[:]), nil
}

func MustOpen(tb testing.TB, fsys disk.FS, opt journal.Options) *journal.Journal {
	tb.Helper()
	j, err := journal.Open(context.Background(), fsys, dir, opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { j.Close() })
	return j
}

func write(j *journal.Journal, class journal.Class, payload []byte) (journal.Position, error) {
	return j.Append(context.Background(), class, func(p journal.Position) ([]byte, error) {
		return event(p, 'e', payload), nil
	})
}

func MustWrite(tb testing.TB, j *journal.Journal, class journal.Class, payload []byte) journal.Position {
	tb.Helper()
	p, err := write(j, class, payload)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// history is everything a journal holds, epochs oldest first.
func history(j *journal.Journal) ([]journal.Record, error) {
	var all []journal.Record
	for _, e := range j.Epochs() {
		for from := uint64(1); ; {
			recs, err := j.Read(e.Epoch, from, 100, 1<<20)
			if err != nil && !errors.Is(err, journal.ErrUnknownEpoch) { // delivered, and removed just now
				return nil, err
			}
			if len(recs) == 0 {
				break
			}
			all = append(all, recs...)
			from = recs[len(recs)-1].Seq + 1
		}
	}
	return all, nil
}

// check says what is wrong with a history: a seq out of order or twice, an event
// that is not the one of its position, a commitment or a link that does not hold.
// What is missing must have been delivered: the journal may remove that while
// its history is being read.
func check(recs []journal.Record, acked map[journal.Epoch]uint64) error {
	var before *journal.Record
	for i := range recs {
		r := &recs[i]
		if len(r.Event) < eventHead {
			return fmt.Errorf("record %d is too short", r.Seq)
		}
		if got := journal.Commit(r.Salt, r.Event); got != r.Commitment {
			return fmt.Errorf("record %d: commitment %s, computed %s", r.Seq, r.Commitment, got)
		}
		if journal.Epoch(r.Event[:16]) != r.Epoch || binary.BigEndian.Uint64(r.Event[16:]) != r.Seq {
			return fmt.Errorf("record %d of %s is an event of another position", r.Seq, r.Epoch)
		}
		prev := journal.Commitment(r.Event[24:56])
		switch {
		case before == nil || before.Epoch != r.Epoch:
			if r.Seq == 1 && prev != (journal.Commitment{}) {
				return fmt.Errorf("record 1 of %s names one before it", r.Epoch)
			}
			if r.Seq == 1 && r.Event[56] != 'E' {
				return fmt.Errorf("epoch %s does not begin with its own row", r.Epoch)
			}
		case r.Seq <= before.Seq:
			return fmt.Errorf("record %d follows %d", r.Seq, before.Seq)
		case r.Seq > before.Seq+1 && r.Seq-1 > acked[r.Epoch]:
			return fmt.Errorf("record %d follows %d: a gap", r.Seq, before.Seq)
		case r.Seq == before.Seq+1 && prev != before.Commitment:
			return fmt.Errorf("record %d does not name the one before it", r.Seq)
		}
		before = r
	}
	return nil
}

func MustHistory(tb testing.TB, j *journal.Journal) []journal.Record {
	tb.Helper()
	recs, err := history(j)
	if err == nil {
		err = check(recs, nil)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return recs
}

func payloads(recs []journal.Record) []string {
	var all []string
	for _, r := range recs {
		if r.Event[56] == 'e' {
			all = append(all, string(r.Event[eventHead:]))
		}
	}
	return all
}

func TestAppendedIsReadBackAfterReopen(t *testing.T) {
	d := disktest.New(1)
	j := MustOpen(t, d, small())
	var want []string
	for i := range 100 { // over several segments
		s := fmt.Sprintf("event %d %0*d", i, i*5, 0)
		want = append(want, s)
		if p := MustWrite(t, j, journal.Normal, []byte(s)); p.Seq != uint64(i+2) {
			t.Fatalf("seq %d, want %d (1 is the epoch's own row)", p.Seq, i+2)
		}
	}
	if got := payloads(MustHistory(t, j)); !slices.Equal(got, want) {
		t.Fatalf("before: %d events, want %d", len(got), len(want))
	}
	first := j.Epochs()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = MustOpen(t, d, small())
	if got := payloads(MustHistory(t, j)); !slices.Equal(got, want) {
		t.Fatalf("after: %d events, want %d", len(got), len(want))
	}
	if got := j.Epochs(); len(got) != 1 || got[0].Epoch != first[0].Epoch {
		t.Fatalf("epochs %v, want only %s", got, first[0].Epoch)
	}
	if p := MustWrite(t, j, journal.Normal, []byte("x")); p.Seq != 102 {
		t.Fatalf("seq %d after reopening, want 102", p.Seq)
	}
	MustHistory(t, j)
}

func TestSecondOpenIsRefused(t *testing.T) {
	d := disktest.New(1)
	MustOpen(t, d, small())
	if _, err := journal.Open(context.Background(), d, dir, small()); !errors.Is(err, disk.ErrLocked) {
		t.Fatalf("%v, want ErrLocked", err)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := journal.Open(context.Background(), disktest.New(1), dir, journal.Options{SegmentBytes: 1, ReserveBytes: 1, MaxBytes: 1, Keep: -1})
	for _, field := range []string{"Notice", "SegmentBytes", "ReserveBytes", "MaxBytes", "Keep"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v: does not name %s", err, field)
		}
	}
}

func TestBuildErrorUsesNoNumber(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	broken := errors.New("no")
	_, err := j.Append(context.Background(), journal.Normal, func(journal.Position) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Fatalf("%v, want the builder's error", err)
	}
	if _, err := write(j, journal.Normal, make([]byte, journal.MaxEvent)); !errors.Is(err, journal.ErrTooLarge) {
		t.Fatalf("%v, want ErrTooLarge", err)
	}
	if p := MustWrite(t, j, journal.Normal, []byte("x")); p.Seq != 2 {
		t.Fatalf("seq %d, want 2", p.Seq)
	}
	MustHistory(t, j)
}

func TestEndedContextTakesTheEventBack(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		_, err := j.Append(ctx, journal.Normal, func(p journal.Position) ([]byte, error) { return event(p, 'e', nil), nil })
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	MustWrite(t, j, journal.Normal, []byte("x"))
	MustHistory(t, j)
}

func TestClosedJournalRefuses(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	j.Close()
	if _, err := write(j, journal.Safety, []byte("x")); !errors.Is(err, journal.ErrClosed) {
		t.Fatalf("%v, want ErrClosed", err)
	}
}

func TestReceiptsAreRememberedAndPendingShrinks(t *testing.T) {
	d := disktest.New(1)
	j := MustOpen(t, d, small())
	for range 20 {
		MustWrite(t, j, journal.Normal, []byte("x"))
	}
	e := j.Epochs()[0].Epoch
	if err := j.Acknowledge(e, 15); err != nil {
		t.Fatal(err)
	}
	if err := j.Acknowledge(e, 3); err != nil { // late, and ignored
		t.Fatal(err)
	}
	j.Close()
	j = MustOpen(t, d, small())
	var seqs []uint64
	for rec, err := range j.Pending() {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, rec.Seq)
	}
	if !slices.Equal(seqs, []uint64{16, 17, 18, 19, 20, 21}) {
		t.Fatalf("pending %v", seqs)
	}
	st, err := j.Stats()
	if err != nil || st.Pending != 6 || st.Acked != 15 || st.OldestPending.IsZero() {
		t.Fatalf("stats %+v %v", st, err)
	}
	if first, err := j.Rewind(e, 5); err != nil || first != 6 {
		t.Fatalf("rewind %d %v", first, err)
	}
	if st, _ = j.Stats(); st.Pending != 16 {
		t.Fatalf("pending %d after rewind, want 16", st.Pending)
	}
}

// An epoch the hub has in full may be removed while the epochs before it are
// being read. It is passed over like any other record that was delivered.
func TestPendingPassesAnEpochRemovedMeanwhile(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	leave := func() journal.Epoch { // writes an epoch and leaves it, delivered
		MustWrite(t, j, journal.Normal, []byte("x"))
		e := j.Epochs()[len(j.Epochs())-1].Epoch
		if err := j.Acknowledge(e, 999); !errors.Is(err, journal.ErrAhead) {
			t.Fatalf("%v, want ErrAhead", err)
		}
		return e
	}
	first, second := leave(), leave()
	third := MustWrite(t, j, journal.Normal, []byte("x")).Epoch
	if _, err := j.Rewind(first, 0); err != nil {
		t.Fatal(err)
	}
	holds := func() bool {
		return slices.ContainsFunc(j.Epochs(), func(e journal.EpochInfo) bool { return e.Epoch == second })
	}
	var seen []journal.Epoch
	for rec, err := range j.Pending() {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, rec.Epoch)
		for n := 0; holds(); n++ {
			if _, err := write(j, journal.Normal, make([]byte, 900)); err != nil || n > 1000 {
				t.Fatalf("the delivered epoch did not go: %v", err)
			}
		}
	}
	if seen = slices.Compact(seen); !slices.Equal(seen, []journal.Epoch{first, third}) {
		t.Fatalf("pending of epochs %v, want %s and %s", seen, first, third)
	}
}
