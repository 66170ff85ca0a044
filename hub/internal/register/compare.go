package register

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"sekimori/hub/internal/store"
)

// Damage is how a stored row differs from what the ledger says.
type Damage string

// Kinds of damage, as `sekimori-hub verify` names them.
const (
	DamageMissing Damage = "欠落" // the ledger gives the row, the register lacks it
	DamageExtra   Damage = "余分" // the register has a row the ledger does not give
	DamageChanged Damage = "改変" // the row says something else
)

// Difference names one damaged row.
type Difference struct {
	Damage     Damage
	Register   string
	Series     string
	FiscalYear int
	Number     int64
	Field      string             // of a changed row, the first field that differs
	Want, Got  *store.RegisterRow // nil where there is none
}

// String is one line for people.
func (d Difference) String() string {
	s := fmt.Sprintf("%s %s %d年度 通番%d: %s", d.Register, d.Series, d.FiscalYear, d.Number, d.Damage)
	if d.Field != "" {
		s += "（" + d.Field + "）"
	}
	return s
}

// Compare projects the ledger anew in memory, up to where the registers are, and
// lists how the stored registers differ. The store is only read, from one
// snapshot.
func Compare(ctx context.Context, st store.Store) ([]Difference, error) {
	var out []Difference
	err := st.View(ctx, func(tx store.ReadTx) error {
		end, err := cursor(tx)
		if err != nil {
			return err
		}
		want := newMemory()
		for next := int64(0); next < end; {
			if err := ctx.Err(); err != nil {
				return err
			}
			rows, err := tx.Rows(next, int(min(chunk, end-next)))
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				return fmt.Errorf("the registers are at row %d of a ledger that ends at %d", end, next)
			}
			if err := project(want, rows); err != nil {
				return err
			}
			next = rows[len(rows)-1].Index + 1
		}
		out, err = want.compare(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compare registers: %w", err)
	}
	return out, nil
}

// compare reads the stored rows.
func (m *memory) compare(tx store.RegisterReader) ([]Difference, error) {
	var out []Difference
	seen := make(map[place]bool, len(m.byPlace))
	for got, err := range tx.AllRegisterRows() {
		if err != nil {
			return nil, err
		}
		at := placeOf(got)
		want := m.byPlace[at]
		seen[at] = true
		if want == nil {
			out = append(out, difference(DamageExtra, at, "", nil, &got))
		} else if field := differs(*want, got); field != "" {
			out = append(out, difference(DamageChanged, at, field, want, &got))
		}
	}
	for at, want := range m.byPlace {
		if !seen[at] {
			out = append(out, difference(DamageMissing, at, "", want, nil))
		}
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Register, b.Register), cmp.Compare(a.Series, b.Series),
			cmp.Compare(a.FiscalYear, b.FiscalYear), cmp.Compare(a.Number, b.Number))
	})
	return out, nil
}

func difference(d Damage, at place, field string, want, got *store.RegisterRow) Difference {
	return Difference{Damage: d, Register: at.register, Series: at.series, FiscalYear: at.year, Number: at.number, Field: field, Want: want, Got: got}
}

// differs names the first field that is not the same.
func differs(a, b store.RegisterRow) string {
	until := (a.Until == nil) == (b.Until == nil) && (a.Until == nil || a.Until.Equal(*b.Until))
	for _, c := range []struct {
		field string
		same  bool
	}{
		{"key", a.Key == b.Key}, {"room", a.Room == b.Room}, {"person", a.Person == b.Person}, {"door", a.Door == b.Door},
		{"kind", a.Kind == b.Kind}, {"reason", a.Reason == b.Reason}, {"severity", a.Severity == b.Severity},
		{"at", a.At.Equal(b.At)}, {"until", until}, {"open", a.Open == b.Open}, {"late", a.Late == b.Late},
		{"index", a.Index == b.Index}, {"changed", a.Changed == b.Changed}, {"data", bytes.Equal(a.Data, b.Data)},
	} {
		if !c.same {
			return c.field
		}
	}
	return ""
}
