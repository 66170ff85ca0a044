package console

import (
	"cmp"
	"fmt"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/register"
	"sekimori/internal/record"
)

// places looks up what rows call only by code, as it is now.
type places struct {
	rooms map[record.RoomCode]people.Room
}

func (c *console) places(now time.Time) places {
	p := places{rooms: map[record.RoomCode]people.Room{}}
	for _, r := range c.Directory.Rooms(now) {
		p.rooms[record.RoomCode(r.ID)] = r
	}
	return p
}

// stay turns a register row into what screens and the API show.
func (c *console) stay(p places, r register.StayRow, now time.Time) Stay {
	d := r.Stay
	room := p.rooms[d.Room]
	s := Stay{
		Room: d.Room, RoomName: room.Name, Level: cmp.Or(int(d.Level), room.Level), Year: r.FiscalYear, Number: r.Number,
		Entered: d.Entered, Exited: d.Exited, Person: d.Person, Name: d.Name, Section: d.Section, Post: d.Post, Category: d.Category,
		Method: method(d.Method), Credential: Number(d.Credential), Result: Word{string(d.Result), register.ResultLabel(d.Result)},
		Reasons: words(d.Reasons), Notes: d.Notes, Attendant: d.Attendant, Purpose: d.Purpose,
		Open: r.Open, Unsure: r.Open && r.Unconfirmed(now, c.Unconfirmed),
		Late: r.Late, Received: d.Received, Quality: quality(d.Quality), Device: d.Device, Door: d.Door, Basis: d.Basis,
		Index: r.Index, Changed: r.Changed,
	}
	if s.Unsure {
		s.Result = Word{string(register.ResultUnconfirmed), register.ResultLabel(register.ResultUnconfirmed)}
	}
	if d.ByHand {
		s.ByHand = &ByHand{By: nameOf(d.EnteredBy), After: d.After, Paper: d.Paper}
	}
	if d.Closing != nil {
		s.Closed = &Closing{Exited: d.Closing.Exited, By: nameOf(d.Closing.By), At: d.Closing.At, Reason: d.Closing.Reason}
	}
	return s
}

// denial does the same for 不許可・異常一覧.
func (c *console) denial(p places, r register.DenialRow) Denial {
	d := r.Denial
	return Denial{
		Room: d.Room, RoomName: p.rooms[d.Room].Name, Series: r.Series, Year: r.FiscalYear, Number: r.Number,
		At: d.At, Until: d.Until, Open: r.Open, Door: d.Door, Device: d.Device, Person: d.Person, Name: d.Name, Section: d.Section,
		Method: method(d.Method), Credential: Number(d.Credential),
		Kind: Word{string(d.Kind), register.KindLabel(d.Kind)}, Reason: reason(d.Reason), Alarm: d.Severity == register.SeverityAlarm,
		Notes: words(d.Notes), By: nameOf(d.By), Code: d.Code, Detail: d.Detail, Count: d.Count,
		Late: r.Late, Received: d.Received, Quality: quality(d.Quality), Basis: d.Basis, Index: r.Index, Changed: r.Changed,
	}
}

func nameOf(who *ledger.Resolved) string {
	switch {
	case who == nil:
		return ""
	case who.Name == "":
		return string(who.Person)
	case who.Post != "":
		return who.Name + "（" + who.Post + "）"
	}
	return who.Name
}

func words(list []record.Reason) []Word {
	out := make([]Word, len(list))
	for n, r := range list {
		out[n] = reason(r)
	}
	return out
}

// reason is a 理由区分, or the kind of a row that has none but its kind.
func reason(r record.Reason) Word {
	text := register.Label(r)
	if text == string(r) {
		text = register.KindLabel(record.Kind(r))
	}
	return Word{string(r), text}
}

func method(m record.Method) Word {
	return Word{string(m), register.MethodLabel(m)}
}

func quality(q record.TimeQuality) Word {
	return Word{string(q), register.QualityLabel(q)}
}

// Key names a row in addresses and in the page: one row has one key for ever.
func (s Stay) Key() string { return fmt.Sprintf("%s-%d-%d", s.Room, s.Year, s.Number) }

// Key names a row; rows of no room are of the hub or of a device.
func (d Denial) Key() string {
	return fmt.Sprintf("%s-%d-%d", cmp.Or(d.Series, hubSeries), d.Year, d.Number)
}

// Sort is where a row stands in a list by time; the browser compares it as text.
func (s Stay) Sort() string {
	at := s.Received
	if s.Entered != nil {
		at = *s.Entered
	} else if s.Exited != nil {
		at = *s.Exited
	}
	return fmt.Sprintf("%016d-%012d", at.UnixMilli(), s.Index)
}

// Sort is where a row stands in a list by time.
func (d Denial) Sort() string { return fmt.Sprintf("%016d-%012d", d.At.UnixMilli(), d.Index) }

func (s Stay) change() int64   { return s.Changed }
func (d Denial) change() int64 { return d.Changed }
