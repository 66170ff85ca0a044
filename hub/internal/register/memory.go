package register

import (
	"cmp"
	"fmt"
	"slices"

	"sekimori/hub/internal/store"
)

// memory is a register that lives as long as a comparison. It answers the
// queries of the rules as a store does.
type memory struct {
	rows    []*store.RegisterRow // in the order they were added
	byKey   map[[2]string]*store.RegisterRow
	byPlace map[place]*store.RegisterRow
	last    map[place]int64 // newest number, with Number 0 in the key
	person  map[[2]string][]*store.RegisterRow
	open    openRows
	states  map[string][]byte
}

// place is where a row stands.
type place struct {
	register, series string
	year             int
	number           int64
}

func placeOf(r store.RegisterRow) place {
	return place{r.Register, r.Series, r.FiscalYear, r.Number}
}

func newMemory() *memory {
	return &memory{byKey: map[[2]string]*store.RegisterRow{}, byPlace: map[place]*store.RegisterRow{}, last: map[place]int64{},
		person: map[[2]string][]*store.RegisterRow{}, open: openRows{},
		states: map[string][]byte{}}
}

// candidates is the shortest list that holds all rows a filter can match.
func (m *memory) candidates(f store.RegisterFilter) []*store.RegisterRow {
	if f.Person != "" && f.Register != "" {
		return m.person[[2]string{f.Register, f.Person}]
	}
	return m.rows
}

func (m *memory) OpenRows(register, series string) ([]store.RegisterRow, error) {
	return m.open.of(register, series), nil
}

func matches(f store.RegisterFilter, r *store.RegisterRow) bool {
	for _, c := range [][2]string{{f.Register, r.Register}, {f.Series, r.Series}, {f.Room, r.Room}, {f.Person, r.Person},
		{f.Kind, r.Kind}, {f.Reason, r.Reason}, {f.Severity, r.Severity}} {
		if c[0] != "" && c[0] != c[1] {
			return false
		}
	}
	return (f.FiscalYear == 0 || f.FiscalYear == r.FiscalYear) &&
		(f.From.IsZero() || !r.At.Before(f.From)) && (f.To.IsZero() || r.At.Before(f.To)) &&
		(f.Open == nil || *f.Open == r.Open) && (f.ChangedAfter == 0 || r.Changed > f.ChangedAfter)
}

func (m *memory) RegisterRows(f store.RegisterFilter) ([]store.RegisterRow, error) {
	var out []store.RegisterRow
	for _, r := range m.candidates(f) {
		if matches(f, r) {
			out = append(out, *r)
		}
	}
	slices.SortStableFunc(out, func(a, b store.RegisterRow) int {
		n := a.At.Compare(b.At)
		if f.OrderByChanged {
			n = cmp.Compare(a.Changed, b.Changed)
		}
		if f.Newest {
			n = -n
		}
		return n
	})
	limit := f.Limit
	if limit <= 0 {
		limit = 1000
	}
	out = out[min(max(f.Offset, 0), len(out)):]
	return out[:min(limit, len(out))], nil
}

func (m *memory) RegisterRow(register, key string) (store.RegisterRow, error) {
	if r, ok := m.byKey[[2]string{register, key}]; ok && key != "" {
		return *r, nil
	}
	return store.RegisterRow{}, store.ErrNotFound
}

func (m *memory) AddRegisterRow(r store.RegisterRow) (int64, error) {
	if _, ok := m.byKey[[2]string{r.Register, r.Key}]; ok && r.Key != "" {
		return 0, fmt.Errorf("key %s of %s: %w", r.Key, r.Register, store.ErrExists)
	}
	r.Number = 0
	at := placeOf(r)
	m.last[at]++
	r.Number = m.last[at]
	p := &r
	m.rows = append(m.rows, p)
	m.byPlace[placeOf(r)] = p
	m.byKey[[2]string{r.Register, r.Key}] = p
	who := [2]string{r.Register, r.Person}
	m.person[who] = append(m.person[who], p)
	m.open.put(r)
	return r.Number, nil
}

func (m *memory) PutRegisterRow(r store.RegisterRow) error {
	p, ok := m.byPlace[placeOf(r)]
	if !ok {
		return fmt.Errorf("%s %s %d number %d: %w", r.Register, r.Series, r.FiscalYear, r.Number, store.ErrNotFound)
	}
	*p = r // neither its key nor its person ever changes
	m.open.put(r)
	return nil
}

func (m *memory) State(name string) ([]byte, error) {
	if v, ok := m.states[name]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (m *memory) PutState(name string, value []byte) error { m.states[name] = value; return nil }
