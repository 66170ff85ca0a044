package console

import (
	"context"
	"net/http"
	"time"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// occupants is 在室者一覧 as of a moment; printed, it is the 点呼表.
type occupants struct {
	At     time.Time       `json:"at"`
	Past   bool            `json:"past"` // a moment that was asked for, not now
	Rooms  []roomOccupants `json:"rooms"`
	Total  int             `json:"total"`
	Unsure int             `json:"unconfirmed"`
	Cursor int64           `json:"cursor"`
}

// roomOccupants is who is inside one room; rooms with nobody inside are listed.
type roomOccupants struct {
	Room   record.RoomCode `json:"room"`
	Name   string          `json:"name"`
	Level  int             `json:"level"`
	Inside []Stay          `json:"inside"`      // by time of entry
	Unsure []Stay          `json:"unconfirmed"` // 退室未確認: may be inside
}

func (c *console) occupants(ctx context.Context, at, now time.Time) (occupants, error) {
	o := occupants{At: now}
	var err error
	if o.Cursor, err = c.Registers.Cursor(ctx); err != nil {
		return o, err
	}
	var inside []Stay
	if at.IsZero() {
		inside, err = c.openStays(ctx, now)
	} else {
		o.At, o.Past = at, true
		inside, err = c.insideAt(ctx, at)
	}
	if err != nil {
		return o, err
	}
	for _, r := range c.watchedRooms(now) {
		o.Rooms = append(o.Rooms, roomOccupants{Room: record.RoomCode(r.ID), Name: r.Name, Level: r.Level, Inside: []Stay{}, Unsure: []Stay{}})
	}
	for _, s := range inside {
		o.add(s)
	}
	return o, nil
}

// add puts a stay into its room; a room that is no longer declared still holds
// who is in it.
func (o *occupants) add(s Stay) {
	n := 0
	for n < len(o.Rooms) && o.Rooms[n].Room != s.Room {
		n++
	}
	if n == len(o.Rooms) {
		o.Rooms = append(o.Rooms, roomOccupants{Room: s.Room, Name: s.RoomName, Level: s.Level, Inside: []Stay{}, Unsure: []Stay{}})
	}
	if s.Unsure {
		o.Rooms[n].Unsure = append(o.Rooms[n].Unsure, s)
		o.Unsure++
		return
	}
	o.Rooms[n].Inside = append(o.Rooms[n].Inside, s)
	o.Total++
}

func (c *console) insideAt(ctx context.Context, at time.Time) ([]Stay, error) {
	rows, err := c.Registers.Occupants(ctx, at)
	p := c.places(at)
	var out []Stay
	for _, r := range rows {
		s := c.stay(p, r.StayRow, at)
		s.Unsure = r.Unconfirmed
		out = append(out, s)
	}
	return out, err
}

// moment reads ?at=2026-06-15T10:00, in JST; anything else is now.
func moment(text string, now time.Time) time.Time {
	for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(form, text, clock.JST); err == nil && !t.After(now) {
			return t
		}
	}
	return time.Time{}
}

func (c *console) occupantsPage(w http.ResponseWriter, r *http.Request) error {
	now := clock.Now()
	o, err := c.occupants(r.Context(), moment(r.URL.Query().Get("at"), now), now)
	if err != nil {
		return err
	}
	live := "/live/occupants"
	if o.Past {
		live = ""
	}
	return c.showLive(w, r, http.StatusOK, "occupants", "在室者一覧", o, live, o.Cursor)
}
