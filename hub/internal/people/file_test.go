package people_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"sekimori/hub/internal/people"
	"sekimori/internal/settings"
)

// [T-22]: the bits a reader sends for a card, as drivers.Card.Key writes them.
// By hand for facility 12, id 12345: 0 00001100 00110000 00111001 1.
func TestCardKeys(t *testing.T) {
	for _, c := range []struct {
		card people.Card
		want string
	}{
		{people.Card{Layout: "h10301", Facility: 12, ID: 12345}, "26:06181cc0"},
		{people.Card{Layout: "h10301"}, "26:00000040"},                           // even 0, odd 1
		{people.Card{Layout: "h10301", Facility: 255, ID: 65535}, "26:7fffffc0"}, // 12 ones each: even 0, odd 1
		{people.Card{Layout: "h10301", Facility: 128}, "26:c0000040"},            // one 1 in the first half: even 1
		{people.Card{Layout: "h10301", ID: 1}, "26:00000080"},                    // one 1 in the second half: odd 0
		{people.Card{Layout: "raw", Bits: "10100001101"}, "11:a1a0"},
		{people.Card{Layout: "raw", Bits: "0"}, "1:00"},
		{people.Card{Layout: "uid", UID: "04A1B2C3D4E5F6"}, "56:04a1b2c3d4e5f6"},
		{people.Card{Layout: "uid", UID: "08112233"}, "32:08112233"},
	} {
		if got, err := people.CardKey(c.card); err != nil || got != c.want {
			t.Errorf("%s, want %s (%v)", got, c.want, err)
		}
	}
	for _, c := range []people.Card{{Layout: "h10301", Facility: 256}, {Layout: "h10301", ID: 65536}, {Layout: "h10301", Bits: "1"}, {Layout: "raw"}, {Layout: "raw", Bits: "102"}, {Layout: "mifare"},
		{Layout: "uid"}, {Layout: "uid", UID: "0811223"}, {Layout: "uid", UID: "0811223344"}, {Layout: "uid", UID: "08112233", ID: 1}, {Layout: "raw", Bits: "1", UID: "08112233"}} {
		if key, err := people.CardKey(c); err == nil {
			t.Errorf("a card of nonsense has key %s", key)
		}
	}
}

// TestEveryFaultAtOnceWithItsLine breaks each rule once, in one file.
func TestEveryFaultAtOnceWithItsLine(t *testing.T) {
	breaches := []struct{ old, new, code string }{
		{"{id: R21, name: 電子計算機室, level: 2, site: HQ, manager: entry_manager_R21}", "{id: R21, name: 電子計算機室, level: 2, site: HQ}", "no-manager"}, // [000-7.1]
		{"level: 1, site: HQ, manager: entry_manager_R11", "level: 4, site: HQ, manager: entry_manager_R11", "out-of-range"},                     //
		{"controller: DC-21", "controller: DC.21", "bad-id"},                           //
		{"{id: D21-in, direction: in}", "{id: D31-in, direction: in}", "duplicate-id"}, //
		{"{id: role_cso, name: セキュリティ統括責任者, holders: [{person: P09, from: 2026-04-01}]}", "{id: role_cso, name: セキュリティ統括責任者, holders: [{person: P09, from: 2026-04-01}, {person: P02, from: 2026-10-01}]}", "two-holders"}, // [000-2]
		{"{id: role_access_manager, name: アクセス管理責任者, holders: [{person: P01,", "{id: role_access_manager, name: アクセス管理責任者, holders: [{person: P99,", "unknown-reference"},
		{"until: 2026-06-30, schedule: maintenance_hours", "until: 2026-03-31, schedule: maintenance_hours", "ends-before-start"},
		{"mon: ['9:00-17:00']", "mon: ['17:00-9:00']", "bad-value"},
		{"rooms: [R99]", "rooms: [R98]", "unknown-reference"},
		{"{day: 2026-05-06,", "{day: 2026-05-05,", "duplicate-id"},
		{"id: 10005}, pin: '5005'", "id: 10001}, pin: '5005'", "card-twice"},
		{"pin: '8008'", "pin: '80O8'", "bad-pin"},
		{"finger: 8}", "finger: 7}", "card-twice"},
		{"finger: 1}", "finger: 1, pin: '1001'}", "pin-of-finger"},
		{"finger: 5}", "card: {format: uid, uid: '08112233'}, finger: 5}", "card-or-finger"},
		{"{id: '0000010011', person: P11,", "{id: '0000010011', person: P10,", "no-permit"}, // [000-9.2]
		{"{id: yoshida, person: P07}", "{id: yoshida, person: P07, password_hash: 'secret'}", "bad-hash"},
		{"{id: ito, person: P10}", "{id: ito, person: P10, admin: true}", "unknown-key"},
	}
	var edits []string
	for _, b := range breaches {
		edits = append(edits, b.old, b.new)
	}
	text := mustText(t, edits...)
	_, err := people.Parse("city.yaml", text)
	var faults *settings.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("%v", err)
	}
	lines := strings.Split(string(text), "\n")
	for _, b := range breaches {
		found := slices.ContainsFunc(faults.List, func(f settings.Fault) bool {
			return f.Code == b.code && f.Line > 0 && strings.Contains(lines[f.Line-1], strings.SplitN(b.new, "\n", 2)[0])
		})
		if !found {
			t.Errorf("no fault %s at %q", b.code, b.new)
		}
	}
	if len(faults.List) != len(breaches) {
		t.Errorf("%d faults for %d breaches:\n%v", len(faults.List), len(breaches), err)
	}
	if strings.Contains(err.Error(), "80O8") {
		t.Error("a PIN is in the message")
	}
}

// [000-2] [T-22]: what is lawful and odd is said, not refused.
func TestWarnings(t *testing.T) {
	c := mustCity(t,
		"holders: [{person: P10, from: 2026-04-01}]", "holders: [{person: P10, from: 2026-04-01, last: 2026-06-30}, {person: P09, from: 2026-07-02}]",
		"    second_factor: any\n", "")
	w := c.Warnings()
	if len(w) != 2 || w[0].Item != "post auditor" || !strings.Contains(w[0].JA, "2026-07-01") || w[1].Item != "door D31" {
		t.Errorf("%+v", w)
	}
}

// TestDaysAndHours: how people write an end.
func TestDaysAndHours(t *testing.T) {
	var e people.End
	var s people.Start
	for text, want := range map[string]string{"2026-06-30": "2026-07-01 00:00", "2026-06-30T17:00+09:00": "2026-06-30 17:00", "2026-06-30T08:00:00Z": "2026-06-30 17:00"} {
		if err := e.UnmarshalText([]byte(text)); err != nil || !e.Equal(jst(t, want)) {
			t.Errorf("until %s is %v (%v)", text, e, err)
		}
	}
	if err := s.UnmarshalText([]byte("2026-04-01")); err != nil || !s.Equal(jst(t, "2026-04-01 00:00")) {
		t.Errorf("%v %v", s, err)
	}
	for _, bad := range []string{"", "2026/06/30", "2026-02-30", "2026-06-30 17:00", "令和8年6月30日"} {
		if e.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q was read as %v", bad, e)
		}
	}
	var h people.Hours
	if err := h.UnmarshalText([]byte("09:00-24:00")); err != nil || h != (people.Hours{From: 540, To: 1440}) {
		t.Errorf("%v %v", h, err)
	}
	for _, bad := range []string{"", "9-17", "9:00", "9:60-17:00", "9:00-25:00", "17:00-9:00", "-1:00-2:00", "9:00-17:00x"} {
		if h.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q was read as %v", bad, h)
		}
	}
}

// TestFixtureIsTheCityOfTheScenarios: what acceptance scenarios rest on.
func TestFixtureIsTheCityOfTheScenarios(t *testing.T) {
	c, err := people.Load(fixture)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.People) != 11 || len(c.Rooms) != 5 || len(c.Doors) != 2 || len(c.Credentials) != 10 || len(c.Warnings()) != 0 {
		t.Errorf("%d people, %d rooms, %d doors, %d cards and fingers, warnings %v", len(c.People), len(c.Rooms), len(c.Doors), len(c.Credentials), c.Warnings())
	}
	if bytes.Contains(mustText(t), []byte("password_hash:")) {
		t.Error("the fixture has a default password")
	}
}
