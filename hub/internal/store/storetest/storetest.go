// Package storetest is the conformance suite of store.Store: every
// implementation runs it, so that what stands on the contract need not know
// which database is below.
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Opener {
//			path := filepath.Join(t.TempDir(), "hub.db")
//			return func() store.Store { return mustOpen(t, path) }
//		})
//	}
package storetest

import (
	"errors"
	"testing"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Opener opens the same memory again each time it is called; the suite closes
// one store before it opens the next.
type Opener func() store.Store

// Run runs the suite. fresh gives an opener of an empty memory.
func Run(t *testing.T, fresh func(t *testing.T) Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Opener)
	}{
		{"EmptyStoreSaysNotFound", testEmpty},
		{"LedgerKeepsEveryField", testLedgerFields},
		{"LedgerIsGapless", testLedgerGapless},
		{"LedgerFindsEvents", testRowOf},
		{"HashesReadInAnyOrder", testHashes},
		{"CheckpointIsTheNewest", testCheckpoint},
		{"DeviceKeepsEveryField", testDevice},
		{"MasterKeepsVersions", testMaster},
		{"StateByName", testState},
		{"RegisterKeepsEveryField", testRegisterFields},
		{"RegisterFilters", testFilters},
		{"NumbersAreGaplessUnderFailure", testNumbersUnderFailure},
		{"NumbersAreTheSameAfterRebuild", testRebuild},
		{"KeysAreUnique", testKeys},
		{"FailedUpdateLeavesNothing", testAtomic},
		{"UpdateSurvivesReopen", testDurable},
		{"FailingUpdateHurtsNoNeighbour", testNeighbours},
		{"PanicAndGoexitLeaveTheWriterAlive", testPanic},
		{"ViewIsASnapshot", testSnapshot},
		{"ViewsRunBesideTheWriter", testConcurrent},
		{"ChangedTellsOfCommits", testChanged},
		{"CancelledUpdateDoesNotRun", testCancel},
		{"ClosedStoreRefuses", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, fresh(t)) })
	}
}

var errBoom = errors.New("boom")

var day = time.Date(2026, 6, 15, 9, 0, 0, 123456789, time.UTC)

// use opens a store for the length of the test.
func use(t *testing.T, open Opener) store.Store {
	t.Helper()
	st := open()
	t.Cleanup(func() { mustClose(t, st) })
	return st
}

func mustClose(t *testing.T, st store.Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func update(t *testing.T, st store.Store, f func(store.Tx) error) {
	t.Helper()
	if err := st.Update(t.Context(), f); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t *testing.T, st store.Store, f func(store.ReadTx) error) {
	t.Helper()
	if err := st.View(t.Context(), f); err != nil {
		t.Fatalf("view: %v", err)
	}
}

func size(t *testing.T, st store.Store) (n int64) {
	t.Helper()
	view(t, st, func(tx store.ReadTx) (err error) { n, err = tx.Size(); return err })
	return n
}

// plain makes ledger rows that are nobody's event.
func plain(from int64, n int) []store.LedgerRow {
	rows := make([]store.LedgerRow, n)
	for i := range rows {
		rows[i] = store.LedgerRow{Index: from + int64(i), Row: []byte(`{"v":1}`), Salt: record.Salt{1, byte(i)}, At: day}
	}
	return rows
}

// grow appends n plain rows at the end.
func grow(tx store.Tx, n int) error {
	from, err := tx.Size()
	if err != nil {
		return err
	}
	return tx.AppendRows(plain(from, n))
}
