package register_test

import (
	"slices"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/wareki"
	"sekimori/internal/record"
)

// [AS-01, 000-10.1]: one stay, one row, as the paper register would have it.
func TestAS01Row(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindGranted, in("P07", "R31"), at("09:02:15"))
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:02:16"))
	w.commit()
	if n := len(w.occupants(at("09:10:00"))); n != 1 {
		t.Errorf("%d inside, want 1", n)
	}
	w.device("DC-31", record.KindGranted, out("P07", "R31"), at("09:31:05"))
	w.device("DC-31", record.KindExited, out("P07", "R31"), at("09:31:06"))
	w.commit()
	rows := w.stays()
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	r, s := rows[0], rows[0].Stay
	got := []string{r.Series, wareki.Minute(*s.Entered), wareki.Minute(*s.Exited), s.Section, s.Name, s.Category,
		register.MethodLabel(s.Method), register.ResultLabel(s.Result), register.QualityLabel(s.Quality), string(s.Credential), string(s.Device)}
	want := []string{"R31", "令和8年6月15日 9:02", "令和8年6月15日 9:31", "総務課情報係", "𠮷田 誠", "職員",
		"カード+暗証番号", "許可", "同期", "0000012345", "DC-31"}
	if !slices.Equal(got, want) {
		t.Errorf("row %q\nwant %q", got, want)
	}
	if r.Number != 1 || r.FiscalYear != 2026 || r.Open || s.Level != 3 || s.Late || len(s.Basis) == 0 {
		t.Errorf("row %+v %+v", r.RegisterRow, s)
	}
	if n := len(w.occupants(at("09:40:00"))); n != 0 {
		t.Errorf("%d inside afterwards", n)
	}
	if n := len(w.occupants(at("09:20:00"))); n != 1 {
		t.Errorf("%d inside at 9:20 as seen later", n)
	}
	if n := len(w.denials()); n != 0 {
		t.Errorf("%d denials", n)
	}
}

// A grant that nobody used is no stay.
func TestGrantIsNoEntry(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindGranted, in("P07", "R31"), at("09:02:15"))
	w.commit()
	if n := len(w.all()); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestExitWithoutEntry(t *testing.T) {
	w := newTown(t)
	p := out("P07", "R31")
	p.Notes = []record.Reason{record.ReasonExitAfterExpiry}
	w.device("DC-31", record.KindExited, p, at("09:31:06"))
	w.commit()
	rows := w.stays()
	if len(rows) != 1 || rows[0].Stay.Entered != nil || rows[0].Stay.Exited == nil || rows[0].Open ||
		rows[0].Reason != string(record.ReasonExitAfterExpiry) || len(rows[0].Stay.Notes) == 0 {
		t.Fatalf("rows %+v", rows)
	}
}

// Somebody who comes in again has left unseen [T-16].
func TestEntryWhileInside(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:00:00"))
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("11:00:00"))
	w.commit()
	rows := w.stays()
	if len(rows) != 2 || !rows[0].Open || rows[0].Stay.Result != register.ResultUnconfirmed || !rows[0].Stay.Superseded ||
		rows[0].Reason != string(record.ReasonExitUnconfirmed) || !rows[1].Open || rows[1].Stay.Result != register.ResultGranted {
		t.Fatalf("rows %+v", rows)
	}
	if o := w.occupants(at("11:30:00")); len(o) != 1 || o[0].Number != 2 {
		t.Errorf("inside: %+v", o)
	}
	w.device("DC-31", record.KindExited, out("P07", "R31"), at("12:00:00"))
	w.commit()
	rows = w.stays()
	if !rows[0].Open || rows[1].Open {
		t.Errorf("the exit closed the wrong stay: %+v", rows)
	}
}

// 記録なし退室 closes a stay only where one person alone can have left [T-16].
func TestExitWithoutCredential(t *testing.T) {
	for _, c := range []struct {
		name   string
		inside []record.PersonID
		fire   bool
		closes bool
	}{
		{"nobody", nil, false, false},
		{"one", []record.PersonID{"P07"}, false, true},
		{"two", []record.PersonID{"P07", "P01"}, false, false},
		{"one after a fire release", []record.PersonID{"P07"}, true, false},
		{"one who came in twice", []record.PersonID{"P07", "P07"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTown(t)
			for _, p := range c.inside {
				w.device("DC-21", record.KindEntered, in(p, "R21"), at("09:00:00"))
			}
			w.device("DC-31", record.KindEntered, in("P05", "R31"), at("09:00:00")) // in another room
			if c.fire {
				w.device("DC-21", record.KindFireRelease, door("R21"), at("09:10:00"))
				w.device("DC-21", record.KindFireEnded, door("R21"), at("09:11:00"))
				w.device("DC-21", record.KindRearmed, door("R21"), at("09:12:00"))
			}
			d := door("R21")
			d.Notes = []record.Reason{record.ReasonExitAfterExpiry}
			w.device("DC-21", record.KindExitFree, d, at("09:30:00"))
			w.commit()
			closed := slices.ContainsFunc(w.stays(), func(s register.StayRow) bool {
				return !s.Open && s.Room == "R21" && slices.Contains(s.Stay.Reasons, register.ReasonExitFree) &&
					slices.Contains(s.Stay.Reasons, record.ReasonExitAfterExpiry)
			})
			listed := slices.ContainsFunc(w.denials(), func(d register.DenialRow) bool {
				return d.Kind == string(record.KindExitFree) && d.Severity == register.SeverityRecord && d.Denial.Detail != ""
			})
			if closed != c.closes || listed == c.closes {
				t.Errorf("closed %v, listed %v", closed, listed)
			}
		})
	}
}

// A late anonymous exit counts those who have left since [T-41].
func TestLateExitWithoutCredential(t *testing.T) {
	w := newTown(t)
	w.device("DC-21", record.KindEntered, in("P07", "R21"), at("09:00:00"))
	w.device("DC-21", record.KindEntered, in("P01", "R21"), at("09:10:00"))
	w.device("DC-21", record.KindExited, out("P01", "R21"), at("11:00:00"))
	w.commit()
	w.late("DC-22", record.KindExitFree, door("R21"), at("10:00:00"), at("12:00:00"))
	w.commit()
	if rows := w.stays(); !rows[0].Open {
		t.Errorf("P07's stay was closed although P01 was inside too: %+v", rows[0])
	}
}

// [AS-03, 001-3.2]: the release, who was inside, the missing exits and their
// closing by hand all stay visible.
func TestAS03Rows(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:00:00"))
	w.device("DC-21", record.KindEntered, in("P01", "R21"), at("09:05:00"))
	w.device("DC-21", record.KindEntered, in("P08", "R21"), at("09:06:00"))
	w.device("DC-31", record.KindFireRelease, door("R31"), at("10:00:00"))
	w.device("DC-21", record.KindFireRelease, door("R21"), at("10:00:00"))
	w.commit()
	if n := len(w.occupants(at("10:00:00"))); n != 3 {
		t.Errorf("点呼表 lists %d names, want 3", n)
	}
	if s := w.stays()[0]; s.Unconfirmed(at("10:01:00"), 24*time.Hour) {
		t.Error("退室未確認 while the release goes on")
	}
	w.device("DC-31", record.KindFireEnded, door("R31"), at("10:30:00"))
	w.device("DC-21", record.KindFireEnded, door("R21"), at("10:30:00"))
	for _, room := range []record.RoomCode{"R31", "R21"} {
		d := door(room)
		d.By, d.Order = "P01", 3
		w.device(record.DeviceID("DC-"+room[1:]), record.KindRearmed, d, at("10:40:00"))
	}
	w.commit()
	fires := 0
	for _, d := range w.denials() {
		if d.Kind == string(record.KindFireRelease) {
			fires++
			if d.Severity != register.SeverityAlarm || d.Open || d.Denial.By == nil || d.Denial.By.Name != "山田 太郎" || !d.Until.Equal(at("10:40:00")) {
				t.Errorf("release %+v", d)
			}
		}
	}
	if fires != 2 || len(w.denials()) != 2 {
		t.Errorf("%d releases in %d rows", fires, len(w.denials()))
	}
	for _, s := range w.stays() {
		if !s.Open || s.Stay.Result != register.ResultUnconfirmed || !slices.Contains(s.Stay.Reasons, register.ReasonFire) {
			t.Errorf("stay %+v", s)
		}
		w.human("P01", ledger.KindStayClosed, ledger.StayClosed{Room: record.RoomCode(s.Room), Number: s.Number, Year: s.FiscalYear,
			Exited: at("10:05:00"), Reason: "点呼で確認"}, at("10:50:00"))
	}
	w.commit()
	for _, s := range w.stays() {
		c := s.Stay.Closing
		if s.Open || s.Stay.Result != register.ResultUnconfirmed || !s.Until.Equal(at("10:05:00")) ||
			c == nil || c.Reason != "点呼で確認" || c.By.Name != "山田 太郎" {
			t.Errorf("closed stay %+v %+v", s.Stay, c)
		}
	}
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("11:00:00"))
	w.commit()
	if o := w.occupants(at("11:01:00")); len(o) != 1 || o[0].Unconfirmed {
		t.Errorf("inside after the fire: %+v", o)
	}
	if n := len(w.occupants(at("10:00:00"))); n != 3 {
		t.Errorf("点呼表 of 10:00 lists %d names afterwards, want 3", n)
	}
}

// Closing what is not open changes nothing and is seen.
func TestClosingNothing(t *testing.T) {
	w := newTown(t)
	w.human("P01", ledger.KindStayClosed, ledger.StayClosed{Room: "R31", Number: 9, Year: 2026, Exited: at("10:05:00"), Reason: "x"}, at("10:50:00"))
	w.commit()
	if d := w.denials(); len(d) != 1 || d[0].Denial.By == nil || len(w.stays()) != 0 {
		t.Errorf("rows %+v", d)
	}
}

// A stay older than the pack's limit is shown as 退室未確認, without a fact.
func TestOldStay(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:00:00"))
	w.commit()
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{23 * time.Hour, false}, {25 * time.Hour, true}} {
		if o := w.occupants(at("09:00:00").Add(c.after)); len(o) != 1 || o[0].Unconfirmed != c.want {
			t.Errorf("after %s: %+v", c.after, o)
		}
	}
	today, err := w.Today(t.Context(), at("09:00:00").Add(25*time.Hour))
	if err != nil || today.Inside != 1 || today.Unconfirmed != 1 || today.Entries != 0 {
		t.Errorf("today %+v, %v", today, err)
	}
}

// Entries by hand are rows like any other [000-10.1].
func TestEntryByHand(t *testing.T) {
	w := newTown(t)
	until := at("10:30:00")
	w.human("P01", ledger.KindEntryByHand, ledger.EntryByHand{Room: "R31", Person: "P08", Entered: at("09:30:00"), Exited: &until,
		Method: record.MethodKey, Purpose: "保守", Paper: "17", After: true, Note: "停電"}, at("15:00:00"))
	w.human("P01", ledger.KindEntryByHand, ledger.EntryByHand{Room: "R31", Person: "P07", Entered: at("11:00:00"), Method: record.MethodKey}, at("15:01:00"))
	w.device("DC-31", record.KindExited, out("P07", "R31"), at("16:00:00"))
	w.commit()
	rows := w.stays()
	if len(rows) != 2 {
		t.Fatalf("%d rows", len(rows))
	}
	s := rows[0].Stay
	if rows[0].Open || s.Name != "中村 保" || s.EnteredBy.Name != "山田 太郎" || s.Paper != "17" || !s.ByHand || !s.After ||
		s.Purpose != "保守" || register.MethodLabel(s.Method) != "鍵" || !rows[0].At.Equal(at("09:30:00")) || !rows[0].Until.Equal(until) {
		t.Errorf("row %+v", s)
	}
	if rows[1].Open || rows[1].Stay.Exited == nil {
		t.Errorf("an exit by card does not close an entry by hand: %+v", rows[1].Stay)
	}
}

// 鍵による入室 opens a stay of the person the key is lent to [T-19].
func TestKeyEntry(t *testing.T) {
	w := newTown(t)
	p := in("P07", "R21")
	p.Method, p.Credential = record.MethodKey, "K-3"
	w.device("DC-21", record.KindKeyEntry, p, at("09:00:00"))
	w.commit()
	if rows := w.stays(); len(rows) != 1 || !rows[0].Open || register.KindLabel(record.Kind(rows[0].Kind)) != "鍵による入室" || rows[0].Stay.Credential != "K-3" {
		t.Errorf("rows %+v", rows)
	}
}

// Numbers run per room and 年度 of the event; what arrives late takes the next
// number of its own year [T-41, T-42].
func TestNumbering(t *testing.T) {
	w := newTown(t)
	march, april := time.Date(2026, 3, 31, 23, 59, 0, 0, jst), time.Date(2026, 4, 1, 0, 1, 0, 0, jst)
	w.device("DC-31", record.KindEntered, in("P07", "R31"), march)
	w.device("DC-31", record.KindExited, out("P07", "R31"), april) // the person inside at midnight [T-31]
	w.device("DC-31", record.KindEntered, in("P01", "R31"), april)
	w.device("DC-21", record.KindEntered, in("P01", "R21"), april)
	w.commit()
	w.late("DC-32", record.KindEntered, in("P08", "R31"), march.Add(-time.Hour), april.Add(9*time.Hour))
	w.commit()
	type num struct {
		room   string
		year   int
		number int64
		late   bool
	}
	var got []num
	for _, s := range w.stays() {
		got = append(got, num{s.Series, s.FiscalYear, s.Number, s.Late})
	}
	want := []num{{"R31", 2025, 2, true}, {"R31", 2025, 1, false}, {"R31", 2026, 1, false}, {"R21", 2026, 1, false}}
	if !slices.Equal(got, want) {
		t.Errorf("numbers %+v, want %+v", got, want)
	}
}

// An entry that comes after its exit joins it; an older entry that comes late is
// the one in doubt, not the newer.
func TestEntriesThatComeLate(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindExited, out("P07", "R31"), at("10:00:00"))
	w.late("DC-32", record.KindEntered, in("P07", "R31"), at("09:00:00"), at("12:00:00"))
	w.commit()
	rows := w.stays()
	if len(rows) != 1 || rows[0].Open || !rows[0].Stay.Entered.Equal(at("09:00:00")) || !rows[0].Stay.Exited.Equal(at("10:00:00")) || !rows[0].Late {
		t.Fatalf("rows %+v", rows)
	}
	w.device("DC-31", record.KindEntered, in("P01", "R31"), at("14:00:00"))
	w.late("DC-32", record.KindEntered, in("P01", "R31"), at("13:00:00"), at("15:00:00"))
	w.commit()
	for _, s := range w.stays() {
		if s.Person == "P01" && s.Stay.Superseded != s.At.Equal(at("13:00:00")) {
			t.Errorf("stay from %s superseded: %v", s.At, s.Stay.Superseded)
		}
	}
}

// One device's facts follow its numbers, whatever its clock did [T-39].
func TestClockSetBackDuringAStay(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("10:00:04"))
	w.device("DC-31", record.KindExited, out("P07", "R31"), at("10:00:01"))
	w.commit()
	if rows := w.stays(); len(rows) != 1 || rows[0].Open {
		t.Errorf("rows %+v", rows)
	}
}

// A device before its first policy knows no room: its facts touch no other room.
func TestNoRoom(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:00:00"))
	w.device("DC-99", record.KindExited, record.Passage{Door: "D99", Person: "P07"}, at("09:10:00"))
	w.device("DC-99", record.KindExitFree, record.DoorState{Door: "D99"}, at("09:11:00"))
	w.device("DC-99", record.KindFireRelease, record.DoorState{Door: "D99"}, at("09:12:00"))
	w.commit()
	for _, s := range w.stays() {
		if s.Room == "R31" && (!s.Open || s.Stay.Fire) {
			t.Errorf("stay %+v", s)
		}
	}
	if got := w.denials(); len(got) != 2 {
		t.Errorf("%d denials", len(got))
	}
}

// Live lists get each change once.
func TestChangedSince(t *testing.T) {
	w := newTown(t)
	w.device("DC-31", record.KindBooted, record.Booted{Version: "1"}, at("08:00:00"))
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("09:00:00"))
	w.device("DC-31", record.KindForcedOpen, door("R31"), at("09:00:30"))
	w.commit()
	from, err := w.Cursor(t.Context())
	if err != nil || from != 2 {
		t.Fatalf("cursor %d, %v", from, err)
	}
	w.device("DC-31", record.KindDoorClosed, door("R31"), at("09:01:00"))
	w.device("DC-31", record.KindExited, out("P07", "R31"), at("09:02:00"))
	w.commit()
	c, err := w.ChangedSince(t.Context(), from, 100)
	if err != nil || len(c.Stays) != 1 || len(c.Denials) != 1 || c.Next != 4 {
		t.Fatalf("changes %+v, %v", c, err)
	}
	again, err := w.ChangedSince(t.Context(), c.Next, 100)
	if err != nil || len(again.Stays)+len(again.Denials) != 0 || again.Next != c.Next {
		t.Errorf("again %+v, %v", again, err)
	}
	if n, err := w.Stays(t.Context(), store.RegisterFilter{Room: "R31", Person: "P07"}); err != nil || len(n) != 1 {
		t.Errorf("filter: %d rows, %v", len(n), err)
	}
}
