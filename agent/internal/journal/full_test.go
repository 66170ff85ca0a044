package journal_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk/disktest"
)

// fill appends Normal events until the journal refuses one, and n-1 more.
func fill(tb testing.TB, j *journal.Journal, n int) {
	tb.Helper()
	for range 10_000 {
		_, err := write(j, journal.Normal, make([]byte, 500))
		if errors.Is(err, journal.ErrFull) {
			if n--; n == 0 {
				return
			}
		} else if err != nil {
			tb.Fatal(err)
		}
	}
	tb.Fatal("the journal never became full")
}

func ackAll(tb testing.TB, j *journal.Journal) {
	tb.Helper()
	for _, e := range j.Epochs() {
		if err := j.Acknowledge(e.Epoch, e.Last); err != nil {
			tb.Fatal(err)
		}
	}
}

// rows returns the records that are the journal's own, of kind.
func rows(recs []journal.Record, kind byte) []journal.Record {
	return slices.DeleteFunc(slices.Clone(recs), func(r journal.Record) bool { return r.Event[56] != kind })
}

// eventually waits for the journal's goroutine to have made ok true.
func eventually(tb testing.TB, j *journal.Journal, ok func() bool) {
	tb.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-j.Changed():
		case <-deadline:
			tb.Fatal("waited in vain")
		}
	}
}

func TestFullJournal(t *testing.T) {
	for name, limit := range map[string]int64{"budget": 0, "disk": 60 << 10} {
		t.Run(name, func(t *testing.T) {
			d := disktest.New(1)
			d.LimitBytes(limit)
			j := MustOpen(t, d, small())
			fill(t, j, 7)
			before := MustHistory(t, j)
			for i := range 10 { // the reserve holds safety events, and no Normal one slips in
				MustWrite(t, j, journal.Safety, []byte{byte(i)})
				if _, err := write(j, journal.Normal, []byte("x")); !errors.Is(err, journal.ErrFull) {
					t.Fatalf("%v, want ErrFull", err)
				}
			}
			if st, _ := j.Stats(); st.Refused != 17 || st.Pending != uint64(len(before))+10 {
				t.Fatalf("refused %d pending %d", st.Refused, st.Pending)
			}
			j.Close() // the count outlives the process
			d.Crash()
			d.LimitBytes(limit)
			j = MustOpen(t, d, small())
			if got := MustHistory(t, j); len(got) != len(before)+10 {
				t.Fatalf("%d records, want %d: undelivered ones are never removed", len(got), len(before)+10)
			}
			ackAll(t, j)
			eventually(t, j, func() bool { st, _ := j.Stats(); return st.Refused == 0 })
			MustWrite(t, j, journal.Normal, []byte("back"))
			j.Close()
			j = MustOpen(t, d, small())
			full := rows(MustHistory(t, j), 'F')
			if len(full) != 1 || countOf(full[0]) != 17 {
				t.Fatalf("%d rows of refusals, want one of 17", len(full))
			}
			if st, _ := j.Stats(); st.Bytes > st.Max {
				t.Fatalf("%d bytes, budget %d", st.Bytes, st.Max)
			}
		})
	}
}

// Refusals that share a group are counted one by one.
func TestRefusalsInParallelAreAllCounted(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	fill(t, j, 1)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				if _, err := write(j, journal.Normal, []byte("x")); !errors.Is(err, journal.ErrFull) {
					t.Errorf("%v, want ErrFull", err)
				}
			}
		})
	}
	wg.Wait()
	if st, _ := j.Stats(); st.Refused != 641 {
		t.Fatalf("%d counted, want 641", st.Refused)
	}
}

func TestReserveRunsOutAndSafetyIsCountedToo(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	fill(t, j, 1)
	n := 0
	for ; n < 1000; n++ {
		if _, err := write(j, journal.Safety, make([]byte, 300)); errors.Is(err, journal.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n < 5 || n == 1000 {
		t.Fatalf("%d safety events found room", n)
	}
	ackAll(t, j)
	eventually(t, j, func() bool { st, _ := j.Stats(); return st.Refused == 0 })
	full := rows(MustHistory(t, j), 'F')
	if len(full) != 1 || countOf(full[0]) != 2 {
		t.Fatalf("%d rows, want one that counts 2", len(full))
	}
}

func TestDeliveredGoesFirstAndPendingStays(t *testing.T) {
	j := MustOpen(t, disktest.New(1), small())
	e := j.Epochs()[0].Epoch
	var last uint64
	for range 1000 { // far more than the budget holds
		last = MustWrite(t, j, journal.Normal, make([]byte, 300)).Seq
		if err := j.Acknowledge(e, last); err != nil {
			t.Fatal(err)
		}
	}
	st, _ := j.Stats()
	if st.Bytes > st.Max || st.First <= 1 || st.Last != last {
		t.Fatalf("%+v", st)
	}
	if recs := MustHistory(t, j); recs[0].Seq != st.First || len(recs) < 20 {
		t.Fatalf("history begins at %d of %d", recs[0].Seq, st.First)
	}
	first, err := j.Rewind(e, 3) // a restored hub asks for more than is left
	if err != nil || first != st.First {
		t.Fatalf("rewind to %d %v, want %d", first, err, st.First)
	}
}

func TestDeliveredIsKeptForItsTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := small()
		opt.Keep = 90 * 24 * time.Hour
		j, err := journal.Open(context.Background(), disktest.New(1), dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		for range 60 {
			MustWrite(t, j, journal.Normal, make([]byte, 500))
		}
		ackAll(t, j)
		time.Sleep(89 * 24 * time.Hour)
		MustWrite(t, j, journal.Normal, []byte("x"))
		synctest.Wait()
		if st, _ := j.Stats(); st.First != 1 {
			t.Fatalf("first held is %d after 89 days, want 1", st.First)
		}
		time.Sleep(2 * 24 * time.Hour)
		MustWrite(t, j, journal.Normal, []byte("x"))
		synctest.Wait()
		if st, _ := j.Stats(); st.First == 1 {
			t.Fatal("still there after 91 days")
		}
	})
}
