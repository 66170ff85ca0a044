package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

var _ store.Tx = (*tx)(nil)

// tx is a transaction of either kind. Read connections are query_only, so that
// a View cannot write even by way of a type assertion.
type tx struct {
	c   *conn
	ctx context.Context
}

func (t *tx) row(query string, args []any, into ...any) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	return t.c.row(query, args, into...)
}

func (t *tx) each(query string, args []any, scan func(*sql.Rows) error) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	return t.c.each(query, args, scan)
}

// Instants outside what an int64 of nanoseconds can say (1677 to 2262) are held
// at its ends: a device's mad clock must not stop the line, and the row's own
// bytes keep what it said. The zero time has a place of its own.
const (
	zeroNanos = math.MinInt64
	minNanos  = math.MinInt64 + 1
	maxNanos  = math.MaxInt64
)

var (
	firstInstant = time.Unix(0, minNanos)
	lastInstant  = time.Unix(0, maxNanos)
)

func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return zeroNanos
	case t.Before(firstInstant):
		return minNanos
	case t.After(lastInstant):
		return maxNanos
	}
	return t.UnixNano()
}

func instant(n int64) time.Time {
	if n == zeroNanos {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func nullNanos(t *time.Time) any {
	if t == nil {
		return nil
	}
	return nanos(*t)
}

// blob keeps nil and empty apart from each other: nil is NULL.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

func saltBlob(s record.Salt) any {
	if s == (record.Salt{}) {
		return nil
	}
	return s[:]
}

func epochBlob(e record.Epoch) any {
	if e.IsZero() {
		return nil
	}
	return e[:]
}
