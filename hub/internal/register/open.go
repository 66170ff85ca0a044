package register

import (
	"slices"

	"sekimori/hub/internal/store"
)

// openRows are the rows that still wait for something, by register and series.
// Nearly every rule asks for them and for nothing else, so the projector keeps
// them between its transactions: it is the only one who writes registers.
type openRows map[[2]string][]store.RegisterRow

// place is where a row stands.
type place struct {
	register, series string
	year             int
	number           int64
}

func placeOf(r store.RegisterRow) place {
	return place{r.Register, r.Series, r.FiscalYear, r.Number}
}

// put takes a row as it now is.
func (o openRows) put(r store.RegisterRow) {
	s := [2]string{r.Register, r.Series}
	at := slices.IndexFunc(o[s], func(x store.RegisterRow) bool { return placeOf(x) == placeOf(r) })
	switch {
	case r.Open && at < 0:
		o[s] = append(o[s], r)
	case r.Open:
		o[s][at] = r
	case at >= 0:
		o[s] = slices.Delete(o[s], at, at+1)
	}
}

// of lists copies, so that a caller may change what it got.
func (o openRows) of(register, series string) []store.RegisterRow {
	return slices.Clone(o[[2]string{register, series}])
}

// loadOpen reads them once.
func loadOpen(tx store.RegisterReader) (openRows, error) {
	rows, err := tx.RegisterRows(store.RegisterFilter{Open: &yes, Limit: many})
	if err != nil {
		return nil, err
	}
	o := openRows{}
	for _, r := range rows {
		o.put(r)
	}
	return o, nil
}

// storeTx is a transaction of a store with the open rows beside it.
type storeTx struct {
	store.Tx
	open openRows
}

func (t storeTx) OpenRows(register, series string) ([]store.RegisterRow, error) {
	return t.open.of(register, series), nil
}

func (t storeTx) AddRegisterRow(r store.RegisterRow) (number int64, err error) {
	if r.Number, err = t.Tx.AddRegisterRow(r); err != nil {
		return 0, err
	}
	t.open.put(r)
	return r.Number, nil
}

func (t storeTx) PutRegisterRow(r store.RegisterRow) error {
	if err := t.Tx.PutRegisterRow(r); err != nil {
		return err
	}
	t.open.put(r)
	return nil
}
