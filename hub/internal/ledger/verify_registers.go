package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// errUndo ends the rebuild's transaction: the copy stays as it was found.
var errUndo = errors.New("the rebuild is only looked at")

// registers rebuilds the registers inside a transaction and compares them with
// those outside of it.
func (v *verification) registers(ctx context.Context, st store.Store) error {
	v.r.Rebuilt = true
	return st.View(ctx, func(old store.ReadTx) error {
		err := st.Update(ctx, func(tx store.Tx) error {
			if err := v.opts.Rebuilder.Rebuild(ctx, tx); err != nil {
				return v.unbuildable(ctx, err)
			}
			if err := v.compare(old.AllRegisterRows(), tx.AllRegisterRows()); err != nil {
				return err
			}
			return errUndo
		})
		if errors.Is(err, errUndo) {
			return nil
		}
		return err
	})
}

// unbuildable makes a finding of a ledger that cannot be projected: the report
// on its rows must not be lost with it.
func (v *verification) unbuildable(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, store.ErrFull) {
		return err
	}
	v.r.add(Finding{Damage: Changed, Index: -1, Detail: record.Text{
		JA: fmt.Sprintf("台帳から管理簿を作り直せません（%v）。", err), EN: fmt.Sprintf("registers cannot be rebuilt from the ledger (%v).", err)}})
	return errUndo
}

// compare walks both in order of register, series, year and number.
func (v *verification) compare(held, rebuilt iter.Seq2[store.RegisterRow, error]) error {
	nextHeld, stopHeld := iter.Pull2(held)
	defer stopHeld()
	nextRebuilt, stopRebuilt := iter.Pull2(rebuilt)
	defer stopRebuilt()
	a, errA, okA := nextHeld()
	b, errB, okB := nextRebuilt()
	for okA || okB {
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		order := 0
		switch {
		case !okA:
			order = 1
		case !okB:
			order = -1
		default:
			order = compareKeys(a, b)
		}
		switch {
		case order > 0:
			v.registerFinding(Missing, b, record.Text{JA: "台帳にある事実の行が管理簿にありません。", EN: "the ledger has it and the register does not."})
		case order < 0:
			v.registerFinding(Changed, a, record.Text{JA: "管理簿の行のもとになる事実が台帳にありません。", EN: "the register has it and the ledger does not."})
		case !sameRow(a, b):
			v.registerFinding(Changed, a, record.Text{JA: "管理簿の行が台帳から作り直した行と違います。", EN: "the register's row is not the one the ledger makes."})
		}
		if order <= 0 {
			v.r.RegisterRows++
			a, errA, okA = nextHeld()
		}
		if order >= 0 {
			b, errB, okB = nextRebuilt()
		}
	}
	return nil
}

func (v *verification) registerFinding(d Damage, r store.RegisterRow, detail record.Text) {
	f := Finding{Damage: d, Index: r.Index, Detail: detail}
	f.names(r)
	v.r.add(f)
}

func compareKeys(a, b store.RegisterRow) int {
	return cmp.Or(cmp.Compare(a.Register, b.Register), cmp.Compare(a.Series, b.Series),
		cmp.Compare(a.FiscalYear, b.FiscalYear), cmp.Compare(a.Number, b.Number))
}

// sameRow compares rows as data: how their JSON is spaced does not matter.
func sameRow(a, b store.RegisterRow) bool {
	if !bytes.Equal(a.Data, b.Data) {
		var x, y any
		if json.Unmarshal(a.Data, &x) != nil || json.Unmarshal(b.Data, &y) != nil || !reflect.DeepEqual(x, y) {
			return false
		}
	}
	a.Data, b.Data = nil, nil
	return reflect.DeepEqual(a, b)
}
