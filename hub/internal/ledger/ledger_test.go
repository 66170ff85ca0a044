package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

const origin = "sekimori/test-city"

var (
	day  = time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	seed = bytes.Repeat([]byte{7}, 32)
)

func mustLedger(tb testing.TB) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.New(origin, seed)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func mustOpen(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	return st
}

func mustUpdate(tb testing.TB, st store.Store, f func(store.Tx) error) {
	tb.Helper()
	if err := st.Update(tb.Context(), f); err != nil {
		tb.Fatal(err)
	}
}

func mustView(tb testing.TB, st store.Store, f func(store.ReadTx) error) {
	tb.Helper()
	if err := st.View(tb.Context(), f); err != nil {
		tb.Fatal(err)
	}
}

// starts makes facts that need no device.
func starts(n int) []ledger.Fact {
	facts := make([]ledger.Fact, n)
	for i := range facts {
		facts[i].Row = ledger.Row{Kind: ledger.KindHubStarted, At: day.Add(time.Duration(i) * time.Second), Received: day,
			Body: fmt.Appendf(nil, `{"version":"%d"}`, i)}
	}
	return facts
}

func appendSealed(tb testing.TB, st store.Store, l *ledger.Ledger, facts []ledger.Fact) (cp record.Checkpoint) {
	tb.Helper()
	mustUpdate(tb, st, func(tx store.Tx) (err error) {
		if _, err = l.Append(tx, facts); err != nil {
			return err
		}
		_, cp, err = l.Seal(tx)
		return err
	})
	return cp
}

// storedTree recomputes the tree of the stored rows by another way: the tlog
// package's own StoredHashes over all leaves.
func storedTree(tb testing.TB, st store.Store) (hashes []tlog.Hash, root tlog.Hash) {
	tb.Helper()
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, x := range indexes {
			out = append(out, hashes[x])
		}
		return out, nil
	})
	mustView(tb, st, func(tx store.ReadTx) error {
		rows, err := tx.Rows(0, 1<<20)
		if err != nil {
			return err
		}
		for i, r := range rows {
			c := ledger.RowCommitment(r.Salt, r.Row)
			more, err := tlog.StoredHashes(int64(i), append([]byte("sekimori/leaf/v1"), c[:]...), reader)
			if err != nil {
				return err
			}
			hashes = append(hashes, more...)
		}
		root, err = tlog.TreeHash(int64(len(rows)), reader)
		return err
	})
	return hashes, root
}

func TestTreeIsTheOneOthersCompute(t *testing.T) {
	st, l := mustOpen(t, filepath.Join(t.TempDir(), "hub.db")), mustLedger(t)
	var cp record.Checkpoint
	for _, n := range []int{1, 2, 1, 5, 64, 127, 1, 300} {
		cp = appendSealed(t, st, l, starts(n))
	}
	want, root := storedTree(t, st)
	if cp.Size != 501 || record.Hash(root) != cp.Root || cp.Origin != origin {
		t.Errorf("checkpoint %+v, want size 501 and root %x", cp, root)
	}
	mustView(t, st, func(tx store.ReadTx) error {
		for i, h := range want {
			got, err := tx.Hashes([]int64{int64(i)})
			if err != nil || tlog.Hash(got[0]) != h {
				t.Errorf("stored hash %d is %v (%v), want %v", i, got, err, h)
			}
		}
		if _, err := tx.Hashes([]int64{int64(len(want))}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a hash beyond the tree: %v", err)
		}
		return nil
	})
}

func TestRolledBackAppendIsForgotten(t *testing.T) {
	st, l := mustOpen(t, filepath.Join(t.TempDir(), "hub.db")), mustLedger(t)
	appendSealed(t, st, l, starts(5))
	boom := errors.New("boom")
	for _, n := range []int{1, 3, 8} {
		err := st.Update(t.Context(), func(tx store.Tx) error {
			if _, err := l.Append(tx, starts(n)); err != nil {
				return err
			}
			if _, _, err := l.Seal(tx); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		cp := appendSealed(t, st, l, starts(n))
		if _, root := storedTree(t, st); record.Hash(root) != cp.Root {
			t.Fatalf("after a rolled-back append of %d the root is wrong", n)
		}
	}
}

func TestWitnessFollowsViews(t *testing.T) {
	st, l := mustOpen(t, filepath.Join(t.TempDir(), "hub.db")), mustLedger(t)
	var held record.Checkpoint
	for _, n := range []int{3, 1, 20, 100, 1} {
		appendSealed(t, st, l, starts(n))
		mustView(t, st, func(tx store.ReadTx) error {
			view, err := l.View(tx, held.Size)
			if err != nil {
				return err
			}
			held, err = record.CheckView(l.VerifierKey(), held, view)
			return err
		})
	}
	if held.Size != 125 {
		t.Errorf("the witness holds size %d, want 125", held.Size)
	}
}

func TestProveRow(t *testing.T) {
	st, l := mustOpen(t, filepath.Join(t.TempDir(), "hub.db")), mustLedger(t)
	appendSealed(t, st, l, starts(77))
	mustView(t, st, func(tx store.ReadTx) error {
		for _, i := range []int64{0, 1, 63, 64, 76} {
			p, err := l.ProveRow(tx, i)
			if err != nil {
				return err
			}
			if _, err := p.Check(l.VerifierKey()); err != nil {
				t.Errorf("row %d: %v", i, err)
			}
			p.Row = bytes.Replace(p.Row, []byte("hub.started"), []byte("hub.stopped"), 1)
			if _, err := p.Check(l.VerifierKey()); record.CodeOf(err) != record.CodeLogForked {
				t.Errorf("a changed row %d: %v", i, err)
			}
		}
		if _, err := l.ProveRow(tx, 77); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a row beyond the checkpoint: %v", err)
		}
		return nil
	})
}

func TestAppendRefusesAnotherEvent(t *testing.T) {
	st, l := mustOpen(t, filepath.Join(t.TempDir(), "hub.db")), mustLedger(t)
	f := starts(1)
	f[0].Event, f[0].EventSalt = []byte("{}"), record.NewSalt()
	f[0].Row.Event = record.Commitment(f[0].EventSalt, []byte("{ }"))
	err := st.Update(t.Context(), func(tx store.Tx) error {
		_, err := l.Append(tx, f)
		return err
	})
	if err == nil {
		t.Error("a row naming another event was appended")
	}
}

func TestSealKeepsCosignatures(t *testing.T) {
	st, l := mustOpen(t, filepath.Join(t.TempDir(), "hub.db")), mustLedger(t)
	cp := appendSealed(t, st, l, starts(4))
	mustUpdate(t, st, func(tx store.Tx) error {
		signed, err := tx.Checkpoint()
		if err != nil {
			return err
		}
		cosigned := append(bytes.Clone(signed), "— witness AAAAAAAAAAAAAAAA\n"...)
		if err := tx.PutCheckpoint(cp.Size, cosigned); err != nil {
			return err
		}
		again, same, err := l.Seal(tx)
		if err != nil {
			return err
		}
		if !bytes.Equal(again, cosigned) || same != cp {
			t.Errorf("sealing again dropped the cosignature:\n%s", again)
		}
		return nil
	})
}

func TestNewRefusesBadKeys(t *testing.T) {
	for _, c := range []struct {
		origin string
		seed   []byte
	}{{origin, seed[:31]}, {"two words", seed}, {"a+b", seed}, {"", seed}} {
		if _, err := ledger.New(c.origin, c.seed); err == nil {
			t.Errorf("New(%q, %d bytes) succeeded", c.origin, len(c.seed))
		}
	}
}
