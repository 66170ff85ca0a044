package console

import (
	"context"
	"net/http"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// today is 本日の状況: counts and exceptions. Each number has the address of
// exactly its rows.
type today struct {
	At          time.Time      `json:"at"`
	Day         string         `json:"day"` // 2026-06-15
	Rooms       []roomToday    `json:"rooms"`
	Inside      int            `json:"inside"`
	Entries     int64          `json:"entries"`
	Alarms      int64          `json:"alarms"`
	Records     int64          `json:"records"`
	OpenAlarms  int64          `json:"open_alarms"`
	Unconfirmed int            `json:"unconfirmed"`
	Gaps        int64          `json:"evidence_gaps"`
	Devices     []deviceHealth `json:"devices"`
	Ok          int            `json:"devices_ok"`
	Warn        int            `json:"devices_warn"`
	Down        int            `json:"devices_down"`
	Unknown     int            `json:"devices_unknown"`
	Behind      []deviceHealth `json:"-"`
	Stored      bool           `json:"store_writable"`
	Cursor      int64          `json:"cursor"`
}

// roomToday counts one room.
type roomToday struct {
	Room        record.RoomCode `json:"room"`
	Name        string          `json:"name"`
	Level       int             `json:"level"`
	Inside      int             `json:"inside"`
	Unconfirmed int             `json:"unconfirmed"`
	Entries     int64           `json:"entries"`
}

// Exceptions tells whether anything needs a person.
func (t today) Exceptions() bool {
	return t.OpenAlarms > 0 || t.Alarms > 0 || t.Unconfirmed > 0 || t.Gaps > 0 || t.Warn+t.Down+t.Unknown > 0 || len(t.Behind) > 0 || !t.Stored
}

// dayOf is the day in Japan that holds now.
func dayOf(now time.Time) (from, to time.Time) {
	y, m, d := now.In(clock.JST).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, clock.JST), time.Date(y, m, d+1, 0, 0, 0, 0, clock.JST)
}

func (c *console) today(ctx context.Context, now time.Time) (today, error) {
	from, to := dayOf(now)
	t := today{At: now, Day: from.Format(time.DateOnly), Stored: c.Writable() == nil}
	var err error
	if t.Cursor, err = c.Registers.Cursor(ctx); err != nil {
		return t, err
	}
	open, err := c.openStays(ctx, now)
	if err != nil {
		return t, err
	}
	for _, r := range c.watchedRooms(now) {
		t.Rooms = append(t.Rooms, roomToday{Room: record.RoomCode(r.ID), Name: r.Name, Level: r.Level})
	}
	for _, s := range open {
		if s.Unsure {
			t.Unconfirmed++
		} else {
			t.Inside++
		}
		for n := range t.Rooms {
			if t.Rooms[n].Room != s.Room {
				continue
			}
			if s.Unsure {
				t.Rooms[n].Unconfirmed++
			} else {
				t.Rooms[n].Inside++
			}
		}
	}
	if err := c.countToday(ctx, &t, from, to); err != nil {
		return t, err
	}
	return t, c.devicesToday(ctx, &t, now)
}

// openStays lists every stay without a known exit, by room and entry.
func (c *console) openStays(ctx context.Context, now time.Time) ([]Stay, error) {
	src := c.staySource(filter{Open: true}, now)
	src.filter.Limit = manyOpen
	return src.read(ctx, src.filter)
}

// manyOpen is more people than are ever inside at once.
const manyOpen = 100_000

// watchedRooms are the rooms that have a level: only those have registers.
func (c *console) watchedRooms(now time.Time) (rooms []people.Room) {
	for _, r := range c.Directory.Rooms(now) {
		if r.Level > 0 {
			rooms = append(rooms, r)
		}
	}
	return rooms
}

func (c *console) countToday(ctx context.Context, t *today, from, to time.Time) error {
	yes := true
	type count struct {
		into *int64
		f    store.RegisterFilter
	}
	counts := []count{
		{&t.Entries, store.RegisterFilter{Register: register.Entries, From: from, To: to}},
		{&t.Alarms, store.RegisterFilter{Register: register.Denials, Severity: register.SeverityAlarm, From: from, To: to}},
		{&t.Records, store.RegisterFilter{Register: register.Denials, Severity: register.SeverityRecord, From: from, To: to}},
		{&t.OpenAlarms, store.RegisterFilter{Register: register.Denials, Severity: register.SeverityAlarm, Open: &yes}},
		{&t.Gaps, store.RegisterFilter{Register: register.Denials, Kind: string(ledger.KindEvidenceGap), Open: &yes}},
	}
	for n := range t.Rooms {
		r := &t.Rooms[n]
		counts = append(counts, count{&r.Entries, store.RegisterFilter{Register: register.Entries, Room: string(r.Room), From: from, To: to}})
	}
	return c.Memory.View(ctx, func(tx store.ReadTx) (err error) {
		for _, one := range counts {
			if *one.into, err = tx.RegisterCount(one.f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *console) devicesToday(ctx context.Context, t *today, now time.Time) (err error) {
	if t.Devices, err = c.devices(ctx, now); err != nil {
		return err
	}
	for _, d := range t.Devices {
		switch d.State.Class {
		case "ok":
			t.Ok++
		case "warn":
			t.Warn++
		case "alarm":
			t.Down++
		default:
			t.Unknown++
		}
		if d.Behind {
			t.Behind = append(t.Behind, d)
		}
	}
	return nil
}

// devices judges every device that is a member.
func (c *console) devices(ctx context.Context, now time.Time) ([]deviceHealth, error) {
	doors := c.Directory.Doors(now)
	var out []deviceHealth
	err := c.Memory.View(ctx, func(tx store.ReadTx) error {
		all, err := tx.Devices()
		out = nil
		for _, d := range all {
			if !d.Revoked {
				out = append(out, judge(d, doors, now, c.Presence))
			}
		}
		return err
	})
	return out, err
}

func (c *console) todayPage(w http.ResponseWriter, r *http.Request) error {
	t, err := c.today(r.Context(), clock.Now())
	if err != nil {
		return err
	}
	return c.showLive(w, r, http.StatusOK, "today", "本日の状況", t, "/live/today", t.Cursor)
}
