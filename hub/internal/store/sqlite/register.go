package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"

	"sekimori/hub/internal/store"
)

const registerColumns = "register, series, year, number, key, room, person, door, kind, reason, severity, at, until, open, late, idx, changed, data"

// defaultLimit is RegisterFilter.Limit's zero value.
const defaultLimit = 1000

// RegisterRows selects rows.
func (t *tx) RegisterRows(f store.RegisterFilter) ([]store.RegisterRow, error) {
	where, args := where(f)
	order := "at"
	if f.OrderByChanged {
		order = "changed"
	}
	direction := "ASC"
	if f.Newest {
		direction = "DESC"
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	query := fmt.Sprintf("SELECT %s FROM register%s ORDER BY %s %s, id %s LIMIT ? OFFSET ?", registerColumns, where, order, direction, direction)
	var out []store.RegisterRow
	err := t.each(query, append(args, limit, max(f.Offset, 0)), func(r *sql.Rows) error {
		row, err := scanRegister(r.Scan)
		out = append(out, row)
		return err
	})
	return out, err
}

// RegisterCount counts what RegisterRows would list without limit and offset.
func (t *tx) RegisterCount(f store.RegisterFilter) (int64, error) {
	where, args := where(f)
	var n int64
	err := t.row("SELECT count(*) FROM register"+where, args, &n)
	return n, err
}

// RegisterRow finds a row by its key.
func (t *tx) RegisterRow(register, key string) (store.RegisterRow, error) {
	if key == "" {
		return store.RegisterRow{}, store.ErrNotFound
	}
	return scanRegister(func(into ...any) error {
		return t.row("SELECT "+registerColumns+" FROM register WHERE register = ? AND key = ? AND key <> ''", []any{register, key}, into...)
	})
}

// AllRegisterRows reads every row, in the order of its unique index.
func (t *tx) AllRegisterRows() iter.Seq2[store.RegisterRow, error] {
	return func(yield func(store.RegisterRow, error) bool) {
		err := t.each("SELECT "+registerColumns+" FROM register ORDER BY register, series, year, number", nil, func(r *sql.Rows) error {
			row, err := scanRegister(r.Scan)
			if err == nil && !yield(row, nil) {
				err = errStop
			}
			return err
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(store.RegisterRow{}, err)
		}
	}
}

var errStop = errors.New("the reader has enough")

// where writes only the conditions a filter sets, so that each set of them is
// one kept statement with its own plan.
func where(f store.RegisterFilter) (string, []any) {
	var conds []string
	var args []any
	add := func(cond string, arg any) { conds, args = append(conds, cond), append(args, arg) }
	for _, c := range []struct{ column, value string }{
		{"register", f.Register}, {"series", f.Series}, {"room", f.Room}, {"person", f.Person},
		{"kind", f.Kind}, {"reason", f.Reason}, {"severity", f.Severity},
	} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if f.Person != "" {
		conds = append(conds, "person <> ''") // lets the partial index be used
	}
	if f.FiscalYear != 0 {
		add("year = ?", f.FiscalYear)
	}
	if !f.From.IsZero() {
		add("at >= ?", nanos(f.From))
	}
	if !f.To.IsZero() {
		add("at < ?", nanos(f.To))
	}
	if f.Open != nil {
		conds = append(conds, map[bool]string{true: "open = 1", false: "open = 0"}[*f.Open])
	}
	if f.ChangedAfter != 0 {
		add("changed > ?", f.ChangedAfter)
	}
	if len(conds) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args
}

func scanRegister(scan func(...any) error) (store.RegisterRow, error) {
	var r store.RegisterRow
	var at int64
	var until sql.NullInt64
	var data []byte
	err := scan(&r.Register, &r.Series, &r.FiscalYear, &r.Number, &r.Key, &r.Room, &r.Person, &r.Door, &r.Kind, &r.Reason,
		&r.Severity, &at, &until, &r.Open, &r.Late, &r.Index, &r.Changed, &data)
	if err != nil {
		return store.RegisterRow{}, err
	}
	r.At, r.Data = instant(at), data
	if until.Valid {
		u := instant(until.Int64)
		r.Until = &u
	}
	return r, nil
}

// AddRegisterRow gives the next number of the row's register, series and year.
// The counter is part of the transaction, so a number of an update that failed
// is given again.
func (t *tx) AddRegisterRow(r store.RegisterRow) (int64, error) {
	number, err := t.c.int64(`INSERT INTO counters (register, series, year, last) VALUES (?, ?, ?, 1)
		ON CONFLICT (register, series, year) DO UPDATE SET last = last + 1 RETURNING last`, r.Register, r.Series, r.FiscalYear)
	if err != nil {
		return 0, err
	}
	_, err = t.c.run("INSERT INTO register ("+registerColumns+") VALUES (?"+strings.Repeat(",?", 17)+")",
		r.Register, r.Series, r.FiscalYear, number, r.Key, r.Room, r.Person, r.Door, r.Kind, r.Reason,
		r.Severity, nanos(r.At), nullNanos(r.Until), r.Open, r.Late, r.Index, r.Changed, blob(r.Data))
	if err != nil {
		// The caller may go on in this transaction; the number must not be lost with the row.
		_, undo := t.c.run("UPDATE counters SET last = last - 1 WHERE register = ? AND series = ? AND year = ?", r.Register, r.Series, r.FiscalYear)
		if undo != nil {
			return 0, fmt.Errorf("%w; giving number %d back: %w", err, number, undo)
		}
		return 0, err
	}
	return number, nil
}

// PutRegisterRow replaces the row of the same register, series, year and number.
func (t *tx) PutRegisterRow(r store.RegisterRow) error {
	result, err := t.c.run(`UPDATE register SET key = ?, room = ?, person = ?, door = ?, kind = ?, reason = ?, severity = ?,
		at = ?, until = ?, open = ?, late = ?, idx = ?, changed = ?, data = ?
		WHERE register = ? AND series = ? AND year = ? AND number = ?`,
		r.Key, r.Room, r.Person, r.Door, r.Kind, r.Reason, r.Severity,
		nanos(r.At), nullNanos(r.Until), r.Open, r.Late, r.Index, r.Changed, blob(r.Data),
		r.Register, r.Series, r.FiscalYear, r.Number)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return fmt.Errorf("register %s %s %d number %d: %w", r.Register, r.Series, r.FiscalYear, r.Number, store.ErrNotFound)
	}
	return nil
}

// ClearRegisters drops every register row and counter.
func (t *tx) ClearRegisters() error {
	if _, err := t.c.run("DELETE FROM register"); err != nil {
		return err
	}
	_, err := t.c.run("DELETE FROM counters")
	return err
}
