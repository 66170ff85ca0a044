package register

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Reader answers the console's questions.
type Reader struct {
	Store store.Store
	// Unconfirmed is how long a stay may be open before it is shown as
	// 退室未確認; the pack says it, 0 means 24 h.
	Unconfirmed time.Duration
}

func (r Reader) limit() time.Duration {
	if r.Unconfirmed > 0 {
		return r.Unconfirmed
	}
	return 24 * time.Hour
}

// Today is 本日の状況: counts of the day in Japan that holds now.
type Today struct {
	Inside      int   // 在室者
	Unconfirmed int   // 退室未確認
	Entries     int64 // 入室
	Denied      int64 // 拒否
	Alarms      int64 // 警報
	OpenAlarms  int64 // 警報 whose state goes on, whenever it began
}

// Today counts.
func (r Reader) Today(ctx context.Context, now time.Time) (Today, error) {
	var t Today
	y, m, d := now.In(clock.JST).Date()
	from, to := time.Date(y, m, d, 0, 0, 0, 0, clock.JST), time.Date(y, m, d+1, 0, 0, 0, 0, clock.JST)
	err := r.Store.View(ctx, func(tx store.ReadTx) error {
		open, err := stays(tx, store.RegisterFilter{Register: Entries, Open: &yes, Limit: many})
		if err != nil {
			return err
		}
		for _, s := range open {
			if s.Unconfirmed(now, r.limit()) {
				t.Unconfirmed++
			}
			if !s.Stay.Superseded {
				t.Inside++
			}
		}
		for _, c := range []struct {
			into *int64
			f    store.RegisterFilter
		}{
			{&t.Entries, store.RegisterFilter{Register: Entries, From: from, To: to}},
			{&t.Denied, store.RegisterFilter{Register: Denials, Kind: string(record.KindDenied), From: from, To: to}},
			{&t.Alarms, store.RegisterFilter{Register: Denials, Severity: SeverityAlarm, From: from, To: to}},
			{&t.OpenAlarms, store.RegisterFilter{Register: Denials, Severity: SeverityAlarm, Open: &yes}},
		} {
			if *c.into, err = tx.RegisterCount(c.f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Today{}, fmt.Errorf("today: %w", err)
	}
	return t, nil
}

// Occupant is one person of the 在室者一覧 and the 点呼表.
type Occupant struct {
	StayRow
	Unconfirmed bool // 退室未確認
}

// Occupants lists who was inside at a moment, by room and entry: everybody whose
// stay covers it, less those who came in again since.
func (r Reader) Occupants(ctx context.Context, at time.Time) ([]Occupant, error) {
	var out []Occupant
	err := r.Store.View(ctx, func(tx store.ReadTx) error {
		list, err := stays(tx, store.RegisterFilter{Register: Entries, Open: &yes, To: at.Add(1), Limit: many})
		if err != nil {
			return err
		}
		past, err := stays(tx, store.RegisterFilter{Register: Entries, From: at.Add(-longestStay), To: at.Add(1), Limit: many})
		if err != nil {
			return err
		}
		for _, s := range past {
			if !s.Open && s.Stay.Entered != nil && s.Until != nil && s.Until.After(at) {
				list = append(list, s)
			}
		}
		for _, s := range list {
			if !s.Stay.Superseded {
				out = append(out, Occupant{s, s.Unconfirmed(at, r.limit())})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("occupants: %w", err)
	}
	slices.SortStableFunc(out, func(a, b Occupant) int {
		if a.Room != b.Room {
			if a.Room < b.Room {
				return -1
			}
			return 1
		}
		return a.At.Compare(b.At)
	})
	return out, nil
}

// Stays queries 入退室管理簿. Register is set; Limit 0 is 1000.
func (r Reader) Stays(ctx context.Context, f store.RegisterFilter) ([]StayRow, error) {
	f.Register = Entries
	var out []StayRow
	err := r.Store.View(ctx, func(tx store.ReadTx) (err error) {
		out, err = stays(tx, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("stays: %w", err)
	}
	return out, nil
}

// Denials queries 不許可・異常一覧.
func (r Reader) Denials(ctx context.Context, f store.RegisterFilter) ([]DenialRow, error) {
	f.Register = Denials
	var out []DenialRow
	err := r.Store.View(ctx, func(tx store.ReadTx) error {
		rows, err := tx.RegisterRows(f)
		if err != nil {
			return err
		}
		for _, row := range rows {
			d, err := denialRow(row)
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("denials: %w", err)
	}
	return out, nil
}

// Changes are the rows a live list must show anew.
type Changes struct {
	Stays   []StayRow
	Denials []DenialRow
	Next    int64 // ask again with this
}

// ChangedSince lists rows that ledger rows after `after` made or changed, oldest
// change first, at most limit of each register. Begin with Cursor. limit must be
// larger than a room is full: what one fact changes comes in one answer.
func (r Reader) ChangedSince(ctx context.Context, after int64, limit int) (Changes, error) {
	c := Changes{Next: after}
	f := store.RegisterFilter{ChangedAfter: after, OrderByChanged: true, Limit: limit}
	var err error
	if c.Stays, err = r.Stays(ctx, f); err != nil {
		return c, err
	}
	if c.Denials, err = r.Denials(ctx, f); err != nil {
		return c, err
	}
	for _, s := range c.Stays {
		c.Next = max(c.Next, s.Changed)
	}
	if n := len(c.Denials); n > 0 {
		c.Next = max(c.Next, c.Denials[n-1].Changed)
	}
	// A list that was cut short ends the step: the rest of both follows.
	for _, last := range [][]int64{lastChanged(c.Stays, limit, func(s StayRow) int64 { return s.Changed }),
		lastChanged(c.Denials, limit, func(d DenialRow) int64 { return d.Changed })} {
		for _, at := range last {
			c.Next = max(after, min(c.Next, at))
		}
	}
	return c, nil
}

// lastChanged is how far a list that reached its limit is whole: one fact may
// change many rows, so the last one counts as not yet seen.
func lastChanged[T any](list []T, limit int, of func(T) int64) []int64 {
	if limit <= 0 || len(list) < limit {
		return nil
	}
	return []int64{of(list[len(list)-1]) - 1}
}

// Cursor is the index of the newest ledger row the registers show; -1 for none.
func (r Reader) Cursor(ctx context.Context) (int64, error) {
	var n int64
	err := r.Store.View(ctx, func(tx store.ReadTx) (err error) {
		n, err = cursor(tx)
		return err
	})
	return n - 1, err
}
