package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// everything writes to each part of the store.
func everything(tx store.Tx) error {
	_, err := tx.AppendEnvelope("DC-31", record.Epoch{1}, 1, 1, []byte("e"))
	_, err2 := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", FiscalYear: 2026, Key: "g", At: day})
	return errors.Join(err, err2, grow(tx, 70), tx.AppendHashes(0, make([]record.Hash, 139)), tx.PutCheckpoint(70, []byte("c")),
		tx.PutDevice(store.DeviceState{Device: "DC-31"}), tx.PutMaster(store.MasterItem{Kind: "room", ID: "R31", From: day}), tx.PutState("s", []byte("v")))
}

// holds counts how many parts of everything are there.
func holds(t *testing.T, st store.Store) (parts int) {
	t.Helper()
	view(t, st, func(tx store.ReadTx) error {
		n, _ := tx.Size()
		_, hash := tx.Hashes([]int64{138})
		_, checkpoint := tx.Checkpoint()
		_, device := tx.Device("DC-31")
		_, row := tx.RegisterRow("REG-01", "g")
		_, state := tx.State("s")
		master, _ := tx.MasterAll("room")
		for _, there := range []bool{n == 70, hash == nil, checkpoint == nil, device == nil, row == nil, state == nil, len(master) == 1} {
			if there {
				parts++
			}
		}
		return nil
	})
	return parts
}

func testAtomic(t *testing.T, open Opener) {
	st := use(t, open)
	if err := st.Update(t.Context(), func(tx store.Tx) error { return errors.Join(everything(tx), errBoom) }); !errors.Is(err, errBoom) {
		t.Fatal(err)
	}
	if n := holds(t, st); n != 0 {
		t.Errorf("%d of 7 parts of a failed update are there", n)
	}
	update(t, st, everything)
	if n := holds(t, st); n != 7 {
		t.Errorf("%d of 7 parts of an update are there", n)
	}
}

func testDurable(t *testing.T, open Opener) {
	st := open()
	update(t, st, everything)
	mustClose(t, st)
	st = use(t, open)
	if n := holds(t, st); n != 7 {
		t.Errorf("%d of 7 parts are there after opening again", n)
	}
	update(t, st, func(tx store.Tx) error {
		n, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", FiscalYear: 2026, At: day})
		if n != 2 {
			t.Errorf("numbering went on with %d after opening again, want 2", n)
		}
		return errors.Join(err, grow(tx, 1), tx.AppendHashes(139, make([]record.Hash, 1)))
	})
}

// testNeighbours: updates that share one commit do not share one fate.
func testNeighbours(t *testing.T, open Opener) {
	st := use(t, open)
	var wg sync.WaitGroup
	for i := range 120 {
		wg.Go(func() {
			err := st.Update(t.Context(), func(tx store.Tx) error {
				if err := grow(tx, 1); err != nil {
					return err
				}
				if _, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", FiscalYear: 2026, At: day}); err != nil {
					return err
				}
				if i%4 == 0 {
					return errBoom
				}
				return tx.PutState(fmt.Sprint("done/", i), []byte{1})
			})
			if (i%4 == 0) != errors.Is(err, errBoom) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := size(t, st); n != 90 {
		t.Errorf("size %d, want 90", n)
	}
	wantNumbers(t, st, store.RegisterFilter{Register: "REG-01"}, 90)
	view(t, st, func(tx store.ReadTx) error {
		states, err := tx.States("done/")
		if len(states) != 90 {
			t.Errorf("%d states, want 90", len(states))
		}
		return err
	})
}

func testPanic(t *testing.T, open Opener) {
	st := use(t, open)
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v: a panic must reach the caller", p)
			}
		}()
		_ = st.Update(t.Context(), func(tx store.Tx) error {
			_ = grow(tx, 1)
			panic("boom")
		})
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = st.Update(t.Context(), func(tx store.Tx) error { _ = grow(tx, 1); runtime.Goexit(); return nil })
	})
	wg.Go(func() {
		_ = st.View(t.Context(), func(store.ReadTx) error { runtime.Goexit(); return nil })
	})
	wg.Wait()
	update(t, st, func(tx store.Tx) error { return grow(tx, 1) })
	if n := size(t, st); n != 1 {
		t.Errorf("size %d, want 1: what panicked must leave nothing", n)
	}
}

func testSnapshot(t *testing.T, open Opener) {
	st := use(t, open)
	update(t, st, func(tx store.Tx) error { return grow(tx, 3) })
	view(t, st, func(tx store.ReadTx) error {
		// Nothing is read yet: the snapshot is the View's start all the same.
		update(t, st, func(tx store.Tx) error { return errors.Join(grow(tx, 1), tx.PutState("new", []byte("x"))) })
		if n, err := tx.Size(); err != nil || n != 3 {
			t.Errorf("size %d (%v) inside the view, want 3", n, err)
		}
		_, err := tx.State("new")
		wantNotFound(t, "a state written after the view began", err)
		return nil
	})
	if n := size(t, st); n != 4 {
		t.Errorf("size %d after the view, want 4", n)
	}
	// A transaction sees its own writes, others do not see them before its end.
	update(t, st, func(tx store.Tx) error {
		if err := grow(tx, 1); err != nil {
			return err
		}
		if n, err := tx.Size(); err != nil || n != 5 {
			t.Errorf("size %d (%v) inside the update, want 5", n, err)
		}
		if n := size(t, st); n != 4 {
			t.Errorf("size %d beside the update, want 4", n)
		}
		return nil
	})
}

func testConcurrent(t *testing.T, open Opener) {
	st := use(t, open)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := st.View(ctx, func(tx store.ReadTx) error {
					n, err := tx.Size()
					if err != nil {
						return err
					}
					rows, err := tx.Rows(0, 1<<20)
					count, err2 := tx.RegisterCount(store.RegisterFilter{Register: "REG-01"})
					if err := errors.Join(err, err2); err != nil {
						return err
					}
					if int64(len(rows)) != n || count != n {
						t.Errorf("one snapshot shows size %d, %d rows, %d register rows", n, len(rows), count)
					}
					return nil
				})
				if err != nil && ctx.Err() == nil {
					t.Errorf("view: %v", err)
					return
				}
			}
		})
	}
	for range 60 {
		update(t, st, func(tx store.Tx) error {
			_, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", FiscalYear: 2026, At: day})
			return errors.Join(err, grow(tx, 1))
		})
	}
	stop()
	wg.Wait()
}

func testChanged(t *testing.T, open Opener) {
	st := use(t, open)
	before := st.Changed()
	_ = st.Update(t.Context(), func(store.Tx) error { return errBoom })
	view(t, st, func(store.ReadTx) error { return nil })
	select {
	case <-before:
		t.Error("a failed update and a view count as a change")
	default:
	}
	update(t, st, func(tx store.Tx) error { return grow(tx, 1) })
	<-before
	if n := size(t, st); n != 1 {
		t.Errorf("size %d after the change was told, want 1", n)
	}
	select {
	case <-st.Changed():
		t.Error("the next channel is closed before the next commit")
	default:
	}
}

func testCancel(t *testing.T, open Opener) {
	st := use(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := st.Update(ctx, func(store.Tx) error { t.Error("f ran"); return nil })
	err2 := st.View(ctx, func(tx store.ReadTx) error { _, err := tx.Size(); return err })
	if !errors.Is(err, context.Canceled) || !errors.Is(err2, context.Canceled) {
		t.Errorf("update: %v, view: %v, want context.Canceled", err, err2)
	}
	// Cancelled halfway, the outcome is still told truly.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	err = st.Update(ctx, func(tx store.Tx) error { cancel(); return grow(tx, 1) })
	if n := size(t, st); (err == nil) != (n == 1) {
		t.Errorf("update said %v and the size is %d", err, n)
	}
}

func testClosed(t *testing.T, open Opener) {
	st := open()
	mustClose(t, st)
	mustClose(t, st)
	if err := st.Update(t.Context(), func(store.Tx) error { return nil }); err == nil {
		t.Error("a closed store took an update")
	}
	if err := st.View(t.Context(), func(store.ReadTx) error { return nil }); err == nil {
		t.Error("a closed store took a view")
	}
}
