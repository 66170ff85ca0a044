package register

import (
	"cmp"
	"slices"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// many is the limit of queries whose answer must be whole.
const many = 1_000_000

var yes = true

// openStays lists the open stays of a room, of one person if named, oldest
// first. The room may be "" where a device had no policy yet.
func openStays(tx Tx, room record.RoomCode, person record.PersonID) ([]StayRow, error) {
	rows, err := tx.OpenRows(Entries, string(room))
	if err != nil {
		return nil, err
	}
	return selectStays(rows, room, person)
}

// selectStays reads the rows of exactly this room, and this person if named. The
// order does not depend on the store: time, then number.
func selectStays(rows []store.RegisterRow, room record.RoomCode, person record.PersonID) ([]StayRow, error) {
	rows = slices.DeleteFunc(rows, func(r store.RegisterRow) bool {
		return r.Series != string(room) || person != "" && r.Person != string(person)
	})
	list, err := stayRows(rows)
	slices.SortFunc(list, func(a, b StayRow) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.FiscalYear, b.FiscalYear), cmp.Compare(a.Number, b.Number))
	})
	return list, err
}

func stays(tx rowLister, f store.RegisterFilter) ([]StayRow, error) {
	rows, err := tx.RegisterRows(f)
	if err != nil {
		return nil, err
	}
	return stayRows(rows)
}

func stayRows(rows []store.RegisterRow) ([]StayRow, error) {
	out := make([]StayRow, len(rows))
	var err error
	for n, r := range rows {
		if out[n], err = stayRow(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// precedes tells whether a stay began before a fact. One device's facts follow
// its numbers, whatever its clock did; several devices' follow their times [T-39].
func precedes(s StayRow, f fact) bool {
	if f.Seq > 0 && s.Stay.Device == f.Device && s.Stay.Epoch == f.Epoch {
		return s.Stay.Seq < f.Seq
	}
	return !s.At.After(f.At)
}

// entered opens a stay [000-7.2-L3, 000-10.1]. Somebody who is inside already
// has left unseen: that stay stays open as 退室未確認.
func entered(tx Tx, f fact, p record.Passage) error {
	s := newStay(f, p)
	at := f.At
	s.Entered, s.Method = &at, p.Method
	if p.Person != "" {
		if joined, err := joinExit(tx, f, s); joined || err != nil {
			return err
		}
		older, err := supersede(tx, f, p.Room, p.Person)
		if err != nil {
			return err
		}
		if older {
			s.Superseded, s.Result = true, ResultUnconfirmed
			s.Reasons = addReason(s.Reasons, record.ReasonExitUnconfirmed)
		}
	}
	return addStay(tx, f, StayRow{Stay: s, RegisterRow: store.RegisterRow{At: f.At, Open: true}})
}

// supersede marks the stays that a new entry ends in doubt. older tells that
// the new entry is itself the earlier one: it came late.
func supersede(tx Tx, f fact, room record.RoomCode, person record.PersonID) (older bool, err error) {
	open, err := openStays(tx, room, person)
	if err != nil {
		return false, err
	}
	for _, o := range open {
		if !precedes(o, f) {
			older = true
			continue
		}
		if o.Stay.Superseded {
			continue
		}
		o.Stay.Superseded, o.Stay.Result = true, ResultUnconfirmed
		o.Stay.Reasons = addReason(o.Stay.Reasons, record.ReasonExitUnconfirmed)
		if err := putStay(tx, f, o); err != nil {
			return false, err
		}
	}
	return older, nil
}

// joinExit gives an entry that came late to the exit that waited for it, if both
// belong to the same 年度: numbers are not moved.
func joinExit(tx Tx, f fact, s Stay) (bool, error) {
	rows, err := tx.RegisterRows(store.RegisterFilter{Register: Entries, Person: string(s.Person), From: f.At, Limit: many})
	if err != nil {
		return false, err
	}
	orphans, err := selectStays(rows, s.Room, s.Person)
	if err != nil {
		return false, err
	}
	for _, o := range orphans {
		if o.Stay.Entered != nil || o.Stay.Exited == nil || o.FiscalYear != year(f.At) {
			continue
		}
		exit := o.Stay
		s.Exited, s.ExitMethod, s.ExitReceived, s.ExitQuality = exit.Exited, exit.ExitMethod, exit.ExitReceived, exit.ExitQuality
		s.Late = s.Late || exit.Late
		for _, r := range exit.Reasons {
			s.Reasons = addReason(s.Reasons, r)
		}
		s.Notes = append(s.Notes, "退室の後に入室の記録を受信")
		o.Stay, o.At, o.Late, o.Kind = s, f.At, s.Late, string(f.Kind)
		return true, putStay(tx, f, o)
	}
	return false, nil
}

// exited closes the person's stay; an exit nobody entered for has a row of its
// own, with 入室 blank.
func exited(tx Tx, f fact, p record.Passage) error {
	if p.Person == "" { // let out with a credential nobody knows
		return anonymousExit(tx, f, record.DoorState{Door: p.Door, Room: p.Room, Level: p.Level, Notes: p.Notes})
	}
	open, err := openStays(tx, p.Room, p.Person)
	if err != nil {
		return err
	}
	open = slices.DeleteFunc(open, func(s StayRow) bool { return !precedes(s, f) })
	if len(open) > 0 {
		s := open[len(open)-1]
		s.Stay.ExitMethod = p.Method
		return closeStay(tx, f, s, p.Notes)
	}
	s := newStay(f, p)
	s.ExitMethod = p.Method
	at, received := f.At, f.Received
	s.Exited, s.ExitReceived, s.ExitQuality = &at, &received, f.Quality
	s.Notes = append(s.Notes, "入室の記録なし")
	return addStay(tx, f, StayRow{Stay: s, RegisterRow: store.RegisterRow{At: f.At, Until: &at}})
}

// closeStay ends a stay with an exit that was seen.
func closeStay(tx Tx, f fact, s StayRow, notes []record.Reason) error {
	at, received := f.At, f.Received
	s.Until, s.Open, s.Late = &at, false, s.Late || f.Late
	s.Stay.Exited, s.Stay.ExitReceived, s.Stay.ExitQuality = &at, &received, f.Quality
	s.Stay.Late = s.Late
	for _, r := range notes {
		s.Stay.Reasons = addReason(s.Stay.Reasons, r)
	}
	if s.Stay.Result == ResultUnconfirmed {
		s.Stay.Result = ResultGranted
		s.Stay.Notes = append(s.Stay.Notes, "退室未確認の後に退室の記録を受信")
	}
	return putStay(tx, f, s)
}

// exitFree is 記録なし退室 [T-16].
func exitFree(tx Tx, f fact, d record.DoorState) error { return anonymousExit(tx, f, d) }

// anonymousExit ends a stay only where one person alone can have left;
// otherwise nobody can say who it was, and it is a row of its own.
func anonymousExit(tx Tx, f fact, d record.DoorState) error {
	inside, others, err := insideAt(tx, f, d.Room)
	if err != nil {
		return err
	}
	if len(inside) == 1 && others == 0 && !inside[0].Stay.Fire {
		return closeStay(tx, f, inside[0], append([]record.Reason{ReasonExitFree}, d.Notes...))
	}
	why := "在室者が複数のため退室者を特定できない"
	switch {
	case len(inside)+others == 0:
		why = "在室者の記録なし"
	case len(inside) == 1 && others == 0:
		why = "火災解錠後のため退室者を特定できない"
	}
	n := newDenial(f)
	n.Kind, n.Reason, n.Room, n.Level, n.Door, n.Notes, n.Detail = record.KindExitFree, ReasonExitFree, d.Room, d.Level, d.Door, d.Notes, why
	return addDenial(tx, f, n, false)
}

// insideAt lists the open stays that may be inside when f happens, and how many
// more were inside then and have left since, which only a late fact can find.
func insideAt(tx Tx, f fact, room record.RoomCode) (inside []StayRow, others int, err error) {
	open, err := openStays(tx, room, "")
	if err != nil {
		return nil, 0, err
	}
	for _, s := range open {
		if !s.Stay.Superseded && precedes(s, f) {
			inside = append(inside, s)
		}
	}
	if !f.Late {
		return inside, 0, nil
	}
	rows, err := tx.RegisterRows(store.RegisterFilter{Register: Entries, Room: string(room), From: f.At.Add(-longestStay), To: f.At, Limit: many})
	if err != nil {
		return nil, 0, err
	}
	past, err := selectStays(rows, room, "")
	if err != nil {
		return nil, 0, err
	}
	for _, r := range past {
		if !r.Open && r.Until != nil && r.Until.After(f.At) {
			others++
		}
	}
	return inside, others, nil
}

// longestStay bounds the search for who was inside at a past moment.
const longestStay = 31 * 24 * time.Hour

// entryByHand is a row like any other, with who wrote it and from which paper.
func entryByHand(tx Tx, f fact) error {
	var e ledger.EntryByHand
	if !f.into(&e) || e.Entered.IsZero() {
		return unreadable(tx, f)
	}
	f.At = e.Entered.UTC()
	s := newStay(f, record.Passage{Room: e.Room, Person: e.Person})
	at := f.At
	s.Entered, s.Method, s.Purpose, s.Paper, s.ByHand, s.After = &at, e.Method, e.Purpose, e.Paper, true, e.After
	if e.Note != "" {
		s.Notes = append(s.Notes, e.Note)
	}
	row := store.RegisterRow{At: f.At, Open: e.Exited == nil}
	if e.Exited != nil {
		until := e.Exited.UTC()
		s.Exited, row.Until = &until, &until
	} else if e.Person != "" {
		older, err := supersede(tx, f, e.Room, e.Person)
		if err != nil {
			return err
		}
		if older {
			s.Superseded, s.Result = true, ResultUnconfirmed
			s.Reasons = addReason(s.Reasons, record.ReasonExitUnconfirmed)
		}
	}
	return addStay(tx, f, StayRow{Stay: s, RegisterRow: row})
}

// stayClosed closes a stay by hand. The missing exit stays visible [T-16].
func stayClosed(tx Tx, f fact) error {
	var c ledger.StayClosed
	if !f.into(&c) || c.Exited.IsZero() {
		return unreadable(tx, f)
	}
	open, err := openStays(tx, c.Room, "")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(s StayRow) bool { return s.FiscalYear == c.Year && s.Number == c.Number })
	if i < 0 {
		n := newDenial(f)
		n.Kind, n.Room, n.By, n.Detail = f.Kind, c.Room, f.Actor, "閉じる在室がない"
		return addDenial(tx, f, n, false)
	}
	s, until := open[i], c.Exited.UTC()
	s.Until, s.Open = &until, false
	s.Stay.Exited, s.Stay.Result = &until, ResultUnconfirmed
	s.Stay.Reasons = addReason(s.Stay.Reasons, record.ReasonExitUnconfirmed)
	s.Stay.Closing = &Closing{Exited: until, Reason: c.Reason, By: f.Actor, At: f.At}
	return putStay(tx, f, s)
}

// newStay fills in what every stay has.
func newStay(f fact, p record.Passage) Stay {
	s := Stay{
		Room: p.Room, Level: p.Level, Door: p.Door, Person: p.Person, Credential: p.Credential, Result: ResultGranted,
		Reasons: slices.Clone(p.Notes), Received: f.Received, Late: f.Late, Quality: f.Quality,
		Device: f.Device, Epoch: f.Epoch, Seq: f.Seq, EnteredBy: f.Actor, Basis: f.Basis,
	}
	if f.Who != nil {
		s.Person, s.Name, s.Section, s.Post, s.Category = f.Who.Person, f.Who.Name, f.Who.Section, f.Who.Post, f.Who.Category
	}
	return s
}

func addReason(list []record.Reason, r record.Reason) []record.Reason {
	if slices.Contains(list, r) {
		return list
	}
	return append(list, r)
}

func addStay(tx Tx, f fact, s StayRow) error {
	s.Register, s.FiscalYear, s.Key, s.Kind, s.Index = Entries, year(s.At), f.key(), string(f.Kind), f.index
	s.Series, s.Room, s.Person, s.Door = string(s.Stay.Room), string(s.Stay.Room), string(s.Stay.Person), string(s.Stay.Door)
	s.Late = s.Stay.Late
	row, err := s.sealed(f)
	if err != nil {
		return err
	}
	_, err = tx.AddRegisterRow(row)
	return err
}

func putStay(tx Tx, f fact, s StayRow) error {
	row, err := s.sealed(f)
	if err != nil {
		return err
	}
	return tx.PutRegisterRow(row)
}

// sealed writes the data and what filters see of it.
func (s StayRow) sealed(f fact) (store.RegisterRow, error) {
	r := s.RegisterRow
	r.Severity, r.Reason, r.Changed = SeverityRecord, "", f.index
	if n := len(s.Stay.Reasons); n > 0 {
		r.Reason = string(s.Stay.Reasons[n-1])
	}
	if s.Stay.Result == ResultUnconfirmed {
		r.Reason = string(record.ReasonExitUnconfirmed)
	}
	var err error
	r.Data, err = encode(s.Stay)
	return r, err
}
