// Package pkitest gives tests of people, policy and pki a memory that behaves
// like the store as far as they use it: one writer, all or nothing, and a
// ledger that keeps what was appended.
package pkitest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Store is a store.Store in memory. Registers, rows and hashes are not there:
// asking for them is a nil dereference and ends the test.
type Store struct {
	mu      sync.Mutex
	held    content       // guarded by mu
	changed chan struct{} // guarded by mu
	Fail    error         // returned instead of committing, when set
}

type content struct {
	devices map[record.DeviceID]store.DeviceState
	master  []store.MasterItem
	state   map[string][]byte
	rows    []ledger.Row
	sealed  int // rows under a checkpoint
}

func (c content) clone() content {
	return content{maps.Clone(c.devices), slices.Clone(c.master), maps.Clone(c.state), slices.Clone(c.rows), c.sealed}
}

// NewStore is empty.
func NewStore() *Store {
	return &Store{changed: make(chan struct{}), held: content{devices: map[record.DeviceID]store.DeviceState{}, state: map[string][]byte{}}}
}

// Update commits what f did, or nothing.
func (s *Store) Update(_ context.Context, f func(tx store.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{c: s.held.clone()}
	if err := f(t); err != nil {
		return err
	}
	if s.Fail != nil {
		return s.Fail
	}
	if t.c.sealed != len(t.c.rows) {
		return errors.New("pkitest: rows were appended and not sealed")
	}
	s.held = t.c
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// View shows a snapshot.
func (s *Store) View(_ context.Context, f func(tx store.ReadTx) error) error {
	s.mu.Lock()
	t := &tx{c: s.held.clone()}
	s.mu.Unlock()
	return f(t)
}

// Changed is closed after the next commit.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Close has nothing to do.
func (s *Store) Close() error { return nil }

// Rows lists what was appended to the ledger.
func (s *Store) Rows() []ledger.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held.rows)
}

// RowsOf lists what was appended of one kind.
func (s *Store) RowsOf(kind record.Kind) []ledger.Row {
	return slices.DeleteFunc(s.Rows(), func(r ledger.Row) bool { return r.Kind != kind })
}

// Everything is all bytes held, for tests that look for a secret in them.
func (s *Store) Everything() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []byte
	for _, m := range s.held.master {
		all = append(all, m.Data...)
	}
	for name, b := range s.held.state {
		all = append(append(all, name...), b...)
	}
	for _, r := range s.held.rows {
		all = append(all, r.Body...)
	}
	return all
}

// Ledger appends to the store's rows.
type Ledger struct{}

// Append keeps the facts with the transaction.
func (Ledger) Append(t store.Tx, facts []ledger.Fact) (first int64, err error) {
	in, ok := t.(*tx)
	if !ok {
		return 0, errors.New("pkitest: another store's transaction")
	}
	first = int64(len(in.c.rows))
	for _, f := range facts {
		in.c.rows = append(in.c.rows, f.Row)
	}
	return first, nil
}

// Seal counts: the ledger is signed up to its size.
func (Ledger) Seal(t store.Tx) (note []byte, cp record.Checkpoint, err error) {
	in, ok := t.(*tx)
	if !ok {
		return nil, cp, errors.New("pkitest: another store's transaction")
	}
	in.c.sealed = len(in.c.rows)
	return nil, cp, nil
}

type tx struct {
	store.Tx // what is not implemented below
	c        content
}

func (t *tx) Size() (int64, error) { return int64(len(t.c.rows)), nil }

func (t *tx) Device(id record.DeviceID) (store.DeviceState, error) {
	d, ok := t.c.devices[id]
	if !ok {
		return d, store.ErrNotFound
	}
	return d, nil
}

func (t *tx) Devices() ([]store.DeviceState, error) {
	return slices.SortedFunc(maps.Values(t.c.devices), func(a, b store.DeviceState) int {
		return strings.Compare(string(a.Device), string(b.Device))
	}), nil
}

func (t *tx) PutDevice(d store.DeviceState) error {
	t.c.devices[d.Device] = d
	return nil
}

func (t *tx) MasterAll(kind string) ([]store.MasterItem, error) {
	found := slices.DeleteFunc(slices.Clone(t.c.master), func(m store.MasterItem) bool { return m.Kind != kind })
	slices.SortFunc(found, func(a, b store.MasterItem) int {
		if c := strings.Compare(a.ID, b.ID); c != 0 {
			return c
		}
		return a.From.Compare(b.From)
	})
	return found, nil
}

func (t *tx) PutMaster(m store.MasterItem) error {
	t.c.master = slices.DeleteFunc(t.c.master, func(o store.MasterItem) bool {
		return o.Kind == m.Kind && o.ID == m.ID && o.From.Equal(m.From)
	})
	t.c.master = append(t.c.master, m)
	return nil
}

func (t *tx) State(name string) ([]byte, error) {
	b, ok := t.c.state[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return slices.Clone(b), nil
}

func (t *tx) States(prefix string) (map[string][]byte, error) {
	found := map[string][]byte{}
	for name, b := range t.c.state {
		if strings.HasPrefix(name, prefix) {
			found[name] = slices.Clone(b)
		}
	}
	return found, nil
}

func (t *tx) PutState(name string, value []byte) error {
	t.c.state[name] = slices.Clone(value)
	return nil
}

func (t *tx) DeleteState(name string) error {
	delete(t.c.state, name)
	return nil
}
