package storetest

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

func testEmpty(t *testing.T, open Opener) {
	view(t, use(t, open), func(tx store.ReadTx) error {
		n, err := tx.Size()
		rows, err2 := tx.Rows(0, 10)
		if n != 0 || err != nil || len(rows) != 0 || err2 != nil {
			t.Errorf("size %d (%v), rows %v (%v)", n, err, rows, err2)
		}
		_, err = tx.RowOf("DC-31", record.Epoch{1}, 1)
		wantNotFound(t, "RowOf", err)
		_, err = tx.Hashes([]int64{0})
		wantNotFound(t, "Hashes", err)
		_, err = tx.Checkpoint()
		wantNotFound(t, "Checkpoint", err)
		_, err = tx.Envelope(1)
		wantNotFound(t, "Envelope", err)
		_, err = tx.Device("DC-31")
		wantNotFound(t, "Device", err)
		_, err = tx.RegisterRow("REG-01", "k")
		wantNotFound(t, "RegisterRow", err)
		_, err = tx.RegisterRow("REG-01", "")
		wantNotFound(t, "RegisterRow without key", err)
		_, err = tx.State("x")
		wantNotFound(t, "State", err)
		return nil
	})
}

func wantNotFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: %v, want ErrNotFound", what, err)
	}
}

func testLedgerFields(t *testing.T, open Opener) {
	st := use(t, open)
	var want []store.LedgerRow
	update(t, st, func(tx store.Tx) error {
		id, err := tx.AppendEnvelope("DC-31", record.Epoch{9}, 1, 2, []byte("envelope"))
		if err != nil {
			return err
		}
		want = []store.LedgerRow{
			{Index: 0, Row: []byte("row"), Salt: record.Salt{1}, Event: []byte("event"), EventSalt: record.Salt{2},
				Device: "DC-31", Epoch: record.Epoch{9}, Seq: 1, At: day, Envelope: id},
			{Index: 1, Row: []byte("鍵の貸出し"), Salt: record.Salt{3}, At: day.Add(-time.Hour)},
			{Index: 2, Row: []byte("r"), Salt: record.Salt{4}}, // no time at all
			{Index: 3, Row: []byte("r"), Salt: record.Salt{4}, At: time.Unix(0, math.MaxInt64).UTC()},
		}
		return tx.AppendRows(want)
	})
	view(t, st, func(tx store.ReadTx) error {
		got, err := tx.Rows(0, 10)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("rows\n%+v (%v), want\n%+v", got, err, want)
		}
		got, err = tx.Rows(1, 2)
		if err != nil || !reflect.DeepEqual(got, want[1:3]) {
			t.Errorf("rows 1 and 2\n%+v (%v), want\n%+v", got, err, want[1:3])
		}
		env, err := tx.Envelope(want[0].Envelope)
		if err != nil || string(env) != "envelope" {
			t.Errorf("envelope %q (%v)", env, err)
		}
		return nil
	})
}

func testLedgerGapless(t *testing.T, open Opener) {
	st := use(t, open)
	update(t, st, func(tx store.Tx) error { return grow(tx, 150) })
	for _, from := range []int64{0, 149, 151} {
		if err := st.Update(t.Context(), func(tx store.Tx) error { return tx.AppendRows(plain(from, 1)) }); err == nil {
			t.Errorf("row %d was appended where 150 is next", from)
		}
	}
	if err := st.Update(t.Context(), func(tx store.Tx) error { return tx.AppendHashes(1, []record.Hash{{1}}) }); err == nil {
		t.Error("tree hash 1 was appended where 0 is next")
	}
	if n := size(t, st); n != 150 {
		t.Errorf("size %d, want 150", n)
	}
}

func testRowOf(t *testing.T, open Opener) {
	st := use(t, open)
	event := func(index int64, seq uint64, e record.Epoch) store.LedgerRow {
		return store.LedgerRow{Index: index, Row: []byte("r"), Salt: record.Salt{1}, Device: "DC-31", Epoch: e, Seq: seq}
	}
	update(t, st, func(tx store.Tx) error {
		return tx.AppendRows([]store.LedgerRow{event(0, 1, record.Epoch{1}), event(1, 2, record.Epoch{1}), event(2, 1, record.Epoch{2}),
			{Index: 3, Row: []byte("r"), Device: "DC-31"}, {Index: 4, Row: []byte("r"), Device: "DC-31"}})
	})
	view(t, st, func(tx store.ReadTx) error {
		r, err := tx.RowOf("DC-31", record.Epoch{2}, 1)
		if err != nil || r.Index != 2 {
			t.Errorf("found row %d (%v), want 2", r.Index, err)
		}
		_, err = tx.RowOf("DC-31", record.Epoch{2}, 2)
		wantNotFound(t, "RowOf another seq", err)
		_, err = tx.RowOf("DC-32", record.Epoch{1}, 1)
		wantNotFound(t, "RowOf another device", err)
		_, err = tx.RowOf("DC-31", record.Epoch{}, 0)
		wantNotFound(t, "RowOf no event", err)
		_, err = tx.RowOf("DC-31", record.Epoch{1}, math.MaxUint64)
		wantNotFound(t, "RowOf a huge seq", err)
		return nil
	})
	err := st.Update(t.Context(), func(tx store.Tx) error { return tx.AppendRows([]store.LedgerRow{event(5, 2, record.Epoch{1})}) })
	if !errors.Is(err, store.ErrExists) {
		t.Errorf("the same event again: %v, want ErrExists", err)
	}
}

func testHashes(t *testing.T, open Opener) {
	st := use(t, open)
	hash := func(i int64) (h record.Hash) { h[0], h[1], h[31] = byte(i), byte(i>>8), 1; return h }
	next := int64(0)
	for _, n := range []int{1, 2, 125, 126, 127, 1, 400} {
		update(t, st, func(tx store.Tx) error {
			var hs []record.Hash
			for i := range n {
				hs = append(hs, hash(next+int64(i)))
			}
			return tx.AppendHashes(next, hs)
		})
		next += int64(n)
	}
	view(t, st, func(tx store.ReadTx) error {
		var ask []int64
		for i := range next {
			ask = append(ask, (i*389)%next) // 389 is prime to the count: every index, out of order
		}
		slices.Reverse(ask)
		got, err := tx.Hashes(ask)
		if err != nil {
			return err
		}
		for i, x := range ask {
			if got[i] != hash(x) {
				t.Fatalf("hash %d is %v, want %v", x, got[i], hash(x))
			}
		}
		_, err = tx.Hashes([]int64{0, next})
		wantNotFound(t, "a hash beyond the end", err)
		_, err = tx.Hashes([]int64{-1})
		wantNotFound(t, "hash -1", err)
		return nil
	})
}

func testCheckpoint(t *testing.T, open Opener) {
	st := use(t, open)
	for _, c := range []struct {
		size int64
		note string
	}{{1, "one"}, {5, "five"}, {5, "five, cosigned"}} {
		update(t, st, func(tx store.Tx) error { return tx.PutCheckpoint(c.size, []byte(c.note)) })
		view(t, st, func(tx store.ReadTx) error {
			got, err := tx.Checkpoint()
			if string(got) != c.note {
				t.Errorf("checkpoint %q, want %q", got, c.note)
			}
			return err
		})
	}
	if err := st.Update(t.Context(), func(tx store.Tx) error { return tx.PutCheckpoint(4, []byte("four")) }); err == nil {
		t.Error("a smaller checkpoint replaced a larger one")
	}
}

func testDevice(t *testing.T, open Opener) {
	st := use(t, open)
	full := store.DeviceState{Device: "DC-31", Key: record.PublicKey{Alg: record.AlgEd25519, SPKI: []byte{1, 2}}, Serial: "0a",
		CertUntil: day, Enrolled: day, Revoked: true, Credential: []byte{3}, Held: []record.Held{{Epoch: record.Epoch{1}, Seq: 7}},
		LastSent: math.MaxUint64, LastBoot: record.BootID{1}, LastPrev: record.Hash{2}, Policy: 3, PolicyAck: 2, PolicyAckAt: day,
		LastOrder: 4, Status: []byte(`{"boot":"x"}`), SeenAt: day}
	empty := store.DeviceState{Device: "DC-09"}
	update(t, st, func(tx store.Tx) error {
		return errors.Join(tx.PutDevice(store.DeviceState{Device: "DC-31", Serial: "old"}), tx.PutDevice(full), tx.PutDevice(empty))
	})
	view(t, st, func(tx store.ReadTx) error {
		got, err := tx.Devices()
		if want := []store.DeviceState{empty, full}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("devices\n%+v (%v), want\n%+v", got, err, want)
		}
		one, err := tx.Device("DC-31")
		if err != nil || !reflect.DeepEqual(one, full) {
			t.Errorf("device\n%+v (%v), want\n%+v", one, err, full)
		}
		return nil
	})
}

func testMaster(t *testing.T, open Opener) {
	st := use(t, open)
	a1 := store.MasterItem{Kind: "person", ID: "P01", From: day, Index: 1, Data: []byte(`{"name":"髙橋"}`)}
	a2 := store.MasterItem{Kind: "person", ID: "P01", From: day.Add(time.Hour), Index: 2, Deleted: true}
	b := store.MasterItem{Kind: "person", ID: "P02", Index: 3, Data: []byte(`{}`)}
	corrected := a1
	corrected.Index, corrected.Data = 4, []byte(`{"name":"高橋"}`)
	update(t, st, func(tx store.Tx) error {
		return errors.Join(tx.PutMaster(b), tx.PutMaster(a2), tx.PutMaster(a1), tx.PutMaster(corrected),
			tx.PutMaster(store.MasterItem{Kind: "room", ID: "P01", From: day}))
	})
	view(t, st, func(tx store.ReadTx) error {
		got, err := tx.MasterAll("person")
		if want := []store.MasterItem{corrected, a2, b}; err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("persons\n%+v (%v), want\n%+v", got, err, want)
		}
		return nil
	})
}

func testState(t *testing.T, open Opener) {
	st := use(t, open)
	values := map[string][]byte{"pin/P01": {1}, "pin/P02": {2, 0, 3}, "pin0": {9}, "鍵/1": {4}, "鍵/2": {5}, "z\x7f1": {6}, "empty": {}}
	update(t, st, func(tx store.Tx) error {
		for name, v := range values {
			if err := errors.Join(tx.PutState(name, []byte("old")), tx.PutState(name, v)); err != nil {
				return err
			}
		}
		return errors.Join(tx.PutState("gone", nil), tx.DeleteState("gone"), tx.DeleteState("never"))
	})
	view(t, st, func(tx store.ReadTx) error {
		for prefix, want := range map[string][]string{"pin/": {"pin/P01", "pin/P02"}, "pin": {"pin/P01", "pin/P02", "pin0"},
			"鍵/": {"鍵/1", "鍵/2"}, "鍵": {"鍵/1", "鍵/2"}, "z\x7f": {"z\x7f1"}, "gone": nil,
			"": {"empty", "pin/P01", "pin/P02", "pin0", "z\x7f1", "鍵/1", "鍵/2"}} {
			got, err := tx.States(prefix)
			if names := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(names, want) {
				t.Errorf("states %q: %v (%v), want %v", prefix, names, err, want)
			}
		}
		for name, want := range values {
			if got, err := tx.State(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("state %q: %v (%v), want %v", name, got, err, want)
			}
		}
		_, err := tx.State("gone")
		wantNotFound(t, "a deleted state", err)
		return nil
	})
}
