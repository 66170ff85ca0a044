package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"sekimori/hub/internal/store"
)

func testRegisterFields(t *testing.T, open Opener) {
	st := use(t, open)
	until := day.Add(time.Hour)
	full := store.RegisterRow{Register: "REG-01", Series: "R31", FiscalYear: 2026, Key: "g1", Room: "R31", Person: "P07", Door: "D31",
		Kind: "entered", Reason: "exit_unconfirmed", Severity: "record", At: day, Until: &until, Open: true, Late: true, Index: 7, Changed: 9,
		Data: []byte(`{"氏名":"髙橋"}`)}
	bare := store.RegisterRow{Register: "denials", FiscalYear: 2026}
	update(t, st, func(tx store.Tx) error {
		for _, r := range []*store.RegisterRow{&full, &bare} {
			n, err := tx.AddRegisterRow(*r)
			if err != nil || n != 1 {
				t.Errorf("%s: number %d (%v), want 1", r.Register, n, err)
			}
			r.Number = n
		}
		return nil
	})
	same := func(want store.RegisterRow) {
		t.Helper()
		view(t, st, func(tx store.ReadTx) error {
			got, err := tx.RegisterRows(store.RegisterFilter{Register: want.Register})
			if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Errorf("%s\n%+v (%v), want\n%+v", want.Register, got, err, want)
			}
			return nil
		})
	}
	same(full)
	same(bare)
	full.Open, full.Until, full.Changed, full.Data, full.Key = false, nil, 10, nil, "g2"
	update(t, st, func(tx store.Tx) error { return tx.PutRegisterRow(full) })
	same(full)
	view(t, st, func(tx store.ReadTx) error {
		got, err := tx.RegisterRow("REG-01", "g2")
		if err != nil || !reflect.DeepEqual(got, full) {
			t.Errorf("by key\n%+v (%v), want\n%+v", got, err, full)
		}
		_, err = tx.RegisterRow("REG-01", "g1")
		wantNotFound(t, "the old key", err)
		return nil
	})
	full.Number = 2
	err := st.Update(t.Context(), func(tx store.Tx) error { return tx.PutRegisterRow(full) })
	wantNotFound(t, "PutRegisterRow of a number never given", err)
}

func testFilters(t *testing.T, open Opener) {
	st := use(t, open)
	yes, no := true, false
	at := func(h int) time.Time { return day.Add(time.Duration(h) * time.Hour) }
	row := func(index int64, h int, f func(*store.RegisterRow)) store.RegisterRow {
		r := store.RegisterRow{Register: "REG-01", Series: "R31", FiscalYear: 2026, Room: "R31", Person: "P01", Kind: "entered", Reason: "r",
			Severity: "record", At: at(h), Index: index, Changed: index, Key: fmt.Sprint(index)}
		f(&r)
		return r
	}
	update(t, st, func(tx store.Tx) error {
		for _, r := range []store.RegisterRow{
			row(0, 0, func(r *store.RegisterRow) { r.Open = true }),
			row(1, 5, func(r *store.RegisterRow) { r.Room, r.Series = "R32", "R32" }),
			row(2, 2, func(r *store.RegisterRow) { r.Person, r.Changed = "", 9 }),
			row(3, 2, func(r *store.RegisterRow) { r.Kind, r.FiscalYear = "granted", 2025 }),
			row(4, 4, func(r *store.RegisterRow) { r.Reason, r.Severity = "x", "alarm" }),
			row(5, 1, func(r *store.RegisterRow) { r.Register = "denials" }),
		} {
			if _, err := tx.AddRegisterRow(r); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, st, func(tx store.ReadTx) error {
		var all, first []int64
		for r, err := range tx.AllRegisterRows() {
			if err != nil {
				return err
			}
			all = append(all, r.Index)
		}
		for r := range tx.AllRegisterRows() {
			first = append(first, r.Index)
			break
		}
		if !slices.Equal(all, []int64{3, 0, 2, 4, 1, 5}) || !slices.Equal(first, []int64{3}) {
			t.Errorf("all rows by register, series, year and number: %v, the first: %v", all, first)
		}
		return nil
	})
	for _, c := range []struct {
		name string
		f    store.RegisterFilter
		want []int64 // indexes, in order
	}{
		{"everything, oldest first, ties as they came", store.RegisterFilter{}, []int64{0, 5, 2, 3, 4, 1}},
		{"newest first", store.RegisterFilter{Newest: true}, []int64{1, 4, 3, 2, 5, 0}},
		{"register", store.RegisterFilter{Register: "denials"}, []int64{5}},
		{"series", store.RegisterFilter{Series: "R32"}, []int64{1}},
		{"year", store.RegisterFilter{FiscalYear: 2025}, []int64{3}},
		{"room", store.RegisterFilter{Register: "REG-01", Room: "R32"}, []int64{1}},
		{"person", store.RegisterFilter{Register: "REG-01", Person: "P01"}, []int64{0, 3, 4, 1}},
		{"kind", store.RegisterFilter{Kind: "granted"}, []int64{3}},
		{"reason", store.RegisterFilter{Reason: "x"}, []int64{4}},
		{"severity", store.RegisterFilter{Severity: "alarm"}, []int64{4}},
		{"from is included, to is not", store.RegisterFilter{From: at(2), To: at(5)}, []int64{2, 3, 4}},
		{"open", store.RegisterFilter{Open: &yes}, []int64{0}},
		{"not open", store.RegisterFilter{Register: "REG-01", Open: &no}, []int64{2, 3, 4, 1}},
		{"changed after", store.RegisterFilter{ChangedAfter: 3, OrderByChanged: true}, []int64{4, 5, 2}},
		{"limit and offset", store.RegisterFilter{Limit: 2, Offset: 1}, []int64{5, 2}},
		{"nothing", store.RegisterFilter{Room: "R99"}, nil},
	} {
		view(t, st, func(tx store.ReadTx) error {
			rows, err := tx.RegisterRows(c.f)
			if err != nil {
				return err
			}
			var got []int64
			for _, r := range rows {
				got = append(got, r.Index)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
			want := int64(len(c.want))
			if c.f.Limit != 0 {
				want = 6
			}
			if n, err := tx.RegisterCount(c.f); err != nil || n != want {
				t.Errorf("%s: count %d (%v), want %d", c.name, n, err, want)
			}
			return nil
		})
	}
}

// testNumbersUnderFailure: a number given in an update that failed is given
// again, so the printed register shows no hole.
func testNumbersUnderFailure(t *testing.T, open Opener) {
	st := use(t, open)
	for i := range 30 {
		err := st.Update(t.Context(), func(tx store.Tx) error {
			for _, series := range []string{"R31", "R32"} {
				if _, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", Series: series, FiscalYear: 2026, At: day}); err != nil {
					return err
				}
			}
			if i%3 == 0 {
				return errBoom
			}
			return nil
		})
		if (i%3 == 0) != errors.Is(err, errBoom) {
			t.Fatalf("update %d: %v", i, err)
		}
	}
	for _, series := range []string{"R31", "R32"} {
		wantNumbers(t, st, store.RegisterFilter{Series: series}, 20)
	}
	update(t, st, func(tx store.Tx) error {
		n, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", Series: "R31", FiscalYear: 2027, At: day})
		if n != 1 {
			t.Errorf("the first of a new year has number %d", n)
		}
		return err
	})
}

func wantNumbers(t *testing.T, st store.Store, f store.RegisterFilter, n int) {
	t.Helper()
	view(t, st, func(tx store.ReadTx) error {
		rows, err := tx.RegisterRows(f)
		if len(rows) != n {
			t.Errorf("%+v: %d rows, want %d", f, len(rows), n)
		}
		for i, r := range rows {
			if r.Number != int64(i+1) {
				t.Errorf("row %d of %+v has number %d", i, f, r.Number)
			}
		}
		return err
	})
}

func testRebuild(t *testing.T, open Opener) {
	st := use(t, open)
	build := func(tx store.Tx) error {
		for i := range 10 {
			r := store.RegisterRow{Register: "REG-01", Series: []string{"R31", "R32"}[i%2], FiscalYear: 2026, Key: fmt.Sprint(i), At: day, Index: int64(i)}
			if _, err := tx.AddRegisterRow(r); err != nil {
				return err
			}
		}
		return nil
	}
	read := func() (rows []store.RegisterRow) {
		view(t, st, func(tx store.ReadTx) (err error) { rows, err = tx.RegisterRows(store.RegisterFilter{}); return err })
		return rows
	}
	update(t, st, build)
	before := read()
	if err := st.Update(t.Context(), func(tx store.Tx) error { return errors.Join(tx.ClearRegisters(), errBoom) }); !errors.Is(err, errBoom) {
		t.Fatal(err)
	}
	if after := read(); !reflect.DeepEqual(before, after) {
		t.Error("a rebuild that failed changed the registers")
	}
	update(t, st, func(tx store.Tx) error { return errors.Join(tx.ClearRegisters(), build(tx)) })
	if after := read(); !reflect.DeepEqual(before, after) {
		t.Errorf("after a rebuild\n%+v, before\n%+v", after, before)
	}
}

// testKeys: a refused key gives no number away, even if the caller goes on.
func testKeys(t *testing.T, open Opener) {
	st := use(t, open)
	row := store.RegisterRow{Register: "REG-01", FiscalYear: 2026, Key: "g1", At: day}
	update(t, st, func(tx store.Tx) error {
		if _, err := tx.AddRegisterRow(row); err != nil {
			return err
		}
		if _, err := tx.AddRegisterRow(row); !errors.Is(err, store.ErrExists) {
			t.Errorf("the same key again: %v, want ErrExists", err)
		}
		other := row
		other.Register = "denials"
		if _, err := tx.AddRegisterRow(other); err != nil {
			t.Errorf("the same key in another register: %v", err)
		}
		row.Key = "g2"
		_, err := tx.AddRegisterRow(row)
		return err
	})
	wantNumbers(t, st, store.RegisterFilter{Register: "REG-01"}, 2)
}
