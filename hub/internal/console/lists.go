package console

import (
	"context"
	"strings"
	"time"

	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
)

// pageRows is how many rows one page shows.
const pageRows = 100

// scanRows is how many rows are read at once where the database cannot decide.
const scanRows = 2000

// list is one page of one register.
type list[T any] struct {
	Rows   []T   `json:"rows"`
	Total  int64 `json:"total"`
	Cursor int64 `json:"cursor"` // everything up to this ledger index is in the list
}

// row is a row of either register.
type row interface {
	Key() string
	change() int64
}

// source is one register behind a filter.
type source[T row] struct {
	filter store.RegisterFilter // what the database decides
	steady store.RegisterFilter // what no later fact can change; streams select by it
	scan   bool                 // the database does not decide alone
	shows  func(T) bool         // whether the list holds the row now
	read   func(ctx context.Context, f store.RegisterFilter) ([]T, error)
}

// readPage reads one page. The cursor is read first: a row that comes between
// is in the page and in the stream, and is shown once.
func readPage[T row](ctx context.Context, c *console, f filter, src source[T]) (list[T], error) {
	cursor, err := c.Registers.Cursor(ctx)
	l := list[T]{Cursor: cursor, Rows: []T{}}
	if err != nil {
		return l, err
	}
	rf := src.filter
	rf.Newest, rf.Limit, rf.Offset = !f.Oldest, pageRows, (f.Page-1)*pageRows
	if src.scan {
		return l, scanAll(ctx, src, rf, &l)
	}
	if l.Rows, err = src.read(ctx, rf); err != nil {
		return l, err
	}
	err = c.Memory.View(ctx, func(tx store.ReadTx) (err error) {
		l.Total, err = tx.RegisterCount(rf)
		return err
	})
	return l, err
}

// scanAll reads everything the database selects and keeps what the list shows.
func scanAll[T row](ctx context.Context, src source[T], rf store.RegisterFilter, l *list[T]) error {
	skip := int64(rf.Offset)
	for rf.Offset, rf.Limit = 0, scanRows; ; rf.Offset += scanRows {
		rows, err := src.read(ctx, rf)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if !src.shows(r) {
				continue
			}
			if l.Total >= skip && len(l.Rows) < pageRows {
				l.Rows = append(l.Rows, r)
			}
			l.Total++
		}
		if len(rows) < scanRows {
			return nil
		}
	}
}

// staySource is 入退室管理簿.
func (c *console) staySource(f filter, now time.Time) source[Stay] {
	p, who := c.places(now), fold(f.Person)
	src := source[Stay]{steady: store.RegisterFilter{Register: register.Entries, Room: f.Room}, scan: who != "" || f.Result != ""}
	src.steady.From, src.steady.To = f.span()
	src.filter = src.steady
	if f.Open {
		src.filter.Open = &f.Open
	}
	src.shows = func(s Stay) bool {
		return (!f.Open || s.Open) && (f.Result == "" || s.Result.Code == f.Result) && isPerson(who, string(s.Person), s.Name, s.Section)
	}
	src.read = func(ctx context.Context, rf store.RegisterFilter) ([]Stay, error) {
		rows, err := c.Registers.Stays(ctx, rf)
		return each(rows, func(r register.StayRow) Stay { return c.stay(p, r, now) }), err
	}
	return src
}

// denialSource is 不許可・異常一覧.
func (c *console) denialSource(f filter, now time.Time) source[Denial] {
	p, who := c.places(now), fold(f.Person)
	src := source[Denial]{scan: who != "",
		steady: store.RegisterFilter{Register: register.Denials, Room: f.Room, Kind: f.Kind, Reason: f.Reason, Severity: f.Level}}
	src.steady.From, src.steady.To = f.span()
	src.filter = src.steady
	if f.Open {
		src.filter.Open = &f.Open
	}
	src.shows = func(d Denial) bool {
		return (!f.Open || d.Open) && isPerson(who, string(d.Person), d.Name, d.Section)
	}
	src.read = func(ctx context.Context, rf store.RegisterFilter) ([]Denial, error) {
		rows, err := c.Registers.Denials(ctx, rf)
		return each(rows, func(r register.DenialRow) Denial { return c.denial(p, r) }), err
	}
	return src
}

// isPerson tells whether a folded search text means a person.
func isPerson(who, id, name, section string) bool {
	return who == "" || strings.EqualFold(who, id) || strings.Contains(fold(name), who) || strings.Contains(fold(section), who)
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for n, v := range list {
		out[n] = f(v)
	}
	return out
}
