package sqlite

import (
	"database/sql"
	"strings"

	"sekimori/hub/internal/store"
)

// MasterAll lists every version of every item of a kind.
func (t *tx) MasterAll(kind string) ([]store.MasterItem, error) {
	var out []store.MasterItem
	err := t.each("SELECT id, since, deleted, idx, data FROM master WHERE kind = ? ORDER BY id, since", []any{kind}, func(r *sql.Rows) error {
		m := store.MasterItem{Kind: kind}
		var since int64
		var data []byte
		if err := r.Scan(&m.ID, &since, &m.Deleted, &m.Index, &data); err != nil {
			return err
		}
		m.From, m.Data = instant(since), data
		out = append(out, m)
		return nil
	})
	return out, err
}

// PutMaster adds or replaces a version.
func (t *tx) PutMaster(m store.MasterItem) error {
	_, err := t.c.run(`INSERT INTO master (kind, id, since, deleted, idx, data) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, id, since) DO UPDATE SET deleted = excluded.deleted, idx = excluded.idx, data = excluded.data`,
		m.Kind, m.ID, nanos(m.From), m.Deleted, m.Index, blob(m.Data))
	return err
}

// State reads a named value.
func (t *tx) State(name string) ([]byte, error) {
	var b []byte
	err := t.row("SELECT value FROM state WHERE name = ?", []any{name}, &b)
	return b, err
}

// States reads every value whose name starts with prefix.
func (t *tx) States(prefix string) (map[string][]byte, error) {
	out := map[string][]byte{}
	query, args := "SELECT name, value FROM state WHERE name >= ?", []any{prefix}
	if after, ok := afterPrefix(prefix); ok {
		query, args = query+" AND name < ?", append(args, after)
	}
	err := t.each(query, args, func(r *sql.Rows) error {
		var name string
		var value []byte
		if err := r.Scan(&name, &value); err != nil {
			return err
		}
		if strings.HasPrefix(name, prefix) {
			out[name] = value
		}
		return nil
	})
	return out, err
}

// afterPrefix is a string above all that start with prefix. Its last byte is
// ASCII, so that it stays valid text; without one there is no upper bound.
func afterPrefix(prefix string) (string, bool) {
	if n := len(prefix); n > 0 && prefix[n-1] < 0x7f {
		return prefix[:n-1] + string(rune(prefix[n-1]+1)), true
	}
	return "", false
}

// PutState replaces a named value.
func (t *tx) PutState(name string, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	_, err := t.c.run("INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// DeleteState forgets a named value; one that is not there is no error.
func (t *tx) DeleteState(name string) error {
	_, err := t.c.run("DELETE FROM state WHERE name = ?", name)
	return err
}
