package policy_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/policy"
	"sekimori/internal/record"
)

var (
	keyA = record.CredentialKey{1}
	keyB = record.CredentialKey{2}
)

func jst(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, time.FixedZone("JST", 9*60*60))
	if err != nil {
		panic(err)
	}
	return t
}

// pins are stretched once: it takes tens of milliseconds on purpose.
var pins = sync.OnceValue(func() map[string]record.PINRoot {
	out := map[string]record.PINRoot{}
	for _, p := range []string{"1001", "5005", "7007", "8008"} {
		out[p] = record.NewPINRoot(p, bytes.Repeat([]byte{9}, 16))
	}
	return out
})

// kanmori is the part of the acceptance fixture that devices need.
func kanmori() policy.City {
	pin := func(s string) *record.PINRoot {
		r := pins()[s]
		return &r
	}
	card := func(id record.CredentialID, person record.PersonID, key string, p *record.PINRoot) policy.Card {
		return policy.Card{ID: id, Person: person, Key: key, State: record.CredentialActive, PIN: p}
	}
	from, until := jst("2026-04-01 00:00"), jst("2027-04-01 00:00")
	return policy.City{
		Pack: "kanmori-1",
		Doors: []policy.Door{
			{Device: "DC-31", Policy: record.DoorPolicy{Door: "D31", Room: "R31", Level: 3, Second: record.SecondPIN, SecondWindow: 10 * time.Second, Release: 5 * time.Second, HeldOpen: 30 * time.Second, OfflineMaxAge: 24 * time.Hour}},
			{Device: "DC-21", Policy: record.DoorPolicy{Door: "D21", Room: "R21", Level: 2, Release: 5 * time.Second, HeldOpen: 30 * time.Second, OfflineMaxAge: 72 * time.Hour}},
		},
		Permits: []record.Permit{
			{Person: "P01", Rooms: []record.RoomCode{"R31", "R21"}, From: from, Until: until},
			{Person: "P07", Rooms: []record.RoomCode{"R31", "R21"}, From: from, Until: until},
			{Person: "P08", Rooms: []record.RoomCode{"R21"}, From: from, Until: jst("2026-07-01 00:00"), Schedule: "maintenance_hours"},
			{Person: "P05", Rooms: []record.RoomCode{"R11"}, From: from, Until: until},
		},
		Cards: []policy.Card{
			card("0000010001", "P01", "26:01", pin("1001")), card("0000010005", "P05", "26:05", pin("5005")),
			card("0000012345", "P07", "26:06181cc0", pin("7007")), card("0000010008", "P08", "26:08", pin("8008")), card("0000010011", "P11", "26:11", nil),
		},
		Schedules:  []record.Schedule{{ID: "maintenance_hours"}, {ID: "unused"}},
		ClosedDays: []record.Date{"2026-07-20", "2026-04-29"},
		KeysOnLoan: []record.KeyLoan{{Key: "K21", Door: "D21", Person: "P01"}, {Key: "K31", Door: "D31", Person: "P01"}},
		Attempts:   record.Attempts{Limit: 3, Within: 5 * time.Minute, Lock: 30 * time.Minute},
	}
}

func credential(t *testing.T, p record.Policy, tag record.CredentialTag) record.Credential {
	t.Helper()
	for _, c := range p.Credentials {
		if c.Tag == tag {
			return c
		}
	}
	t.Fatalf("no credential with tag %s", tag)
	return record.Credential{}
}

// [T-23]: a finger travels as the number of its place, with no tag.
func TestAFingerIsANumber(t *testing.T) {
	c := kanmori()
	c.Cards = append(c.Cards, policy.Card{ID: "F0007", Person: "P07", Slot: 7, State: record.CredentialActive})
	found := credential(t, policy.Compile(c, "DC-31", 4, keyA), "")
	if found != (record.Credential{ID: "F0007", Person: "P07", Slot: 7, State: record.CredentialActive}) {
		t.Errorf("%+v", found)
	}
}

// [T-19] [T-26] [000-7.1]: a device gets its own doors, rooms, hours and loans.
func TestADeviceGetsWhatItNeeds(t *testing.T) {
	p := policy.Compile(kanmori(), "DC-31", 4, keyA)
	if p.Device != "DC-31" || p.Version != 4 || p.Pack != "kanmori-1" || len(p.Doors) != 1 || p.Doors[0].Door != "D31" || p.Attempts.Limit != 3 {
		t.Errorf("%+v", p)
	}
	for _, permit := range p.Permits {
		if !slices.Equal(permit.Rooms, []record.RoomCode{"R31"}) || permit.Person == "P08" || permit.Person == "P05" {
			t.Errorf("permit %+v at DC-31", permit)
		}
	}
	if len(p.Permits) != 2 || len(p.Schedules) != 0 || len(p.KeysOnLoan) != 1 || p.KeysOnLoan[0].Key != "K31" {
		t.Errorf("%d permits, %d schedules, loans %v", len(p.Permits), len(p.Schedules), p.KeysOnLoan)
	}
	p = policy.Compile(kanmori(), "DC-21", 1, keyB)
	if len(p.Permits) != 3 || len(p.Schedules) != 1 || p.Schedules[0].ID != "maintenance_hours" {
		t.Errorf("DC-21 has permits %+v, schedules %+v", p.Permits, p.Schedules)
	}
	if !slices.Equal(p.ClosedDays, []record.Date{"2026-04-29", "2026-07-20"}) {
		t.Errorf("closed days %v", p.ClosedDays)
	}
}

// [AS-02]: P05's card has no permit for R21, and its person is named all the
// same; an unknown card has no name.
func TestEveryCardIsRecognisedEverywhere(t *testing.T) {
	p := policy.Compile(kanmori(), "DC-21", 1, keyA)
	c := credential(t, p, keyA.Tag("26:05"))
	if c.Person != "P05" || c.State != record.CredentialActive || c.PIN != nil {
		t.Errorf("%+v", c)
	}
	if slices.ContainsFunc(p.Permits, func(x record.Permit) bool { return x.Person == "P05" }) {
		t.Error("P05 has a permit at DC-21")
	}
	if slices.ContainsFunc(p.Credentials, func(c record.Credential) bool { return c.Tag == keyA.Tag("26:99") }) {
		t.Error("an unknown card is known")
	}
}

// [001-4.4(4)] [T-22]: what one board holds says nothing at another; PINs are verifiable
// only where their owners may enter, and written nowhere.
func TestSecretsAreBoundToTheDevice(t *testing.T) {
	a, b := policy.Compile(kanmori(), "DC-31", 1, keyA), policy.Compile(kanmori(), "DC-31", 1, keyB)
	for i := range a.Credentials {
		if a.Credentials[i].Tag == b.Credentials[i].Tag {
			t.Errorf("%s has one tag at two boards", a.Credentials[i].ID)
		}
	}
	c := credential(t, a, keyA.Tag("26:06181cc0"))
	if c.PIN == nil || !c.PIN.Check(keyA, "7007") || c.PIN.Check(keyA, "7008") || c.PIN.Check(keyB, "7007") {
		t.Error("P07's PIN is judged wrongly")
	}
	if credential(t, a, keyA.Tag("26:08")).PIN != nil {
		t.Error("P08, who may not enter R31, has a PIN verifier there")
	}
	encoded, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"7007", "26:0", "06181cc0"} {
		if bytes.Contains(encoded, []byte(secret)) {
			t.Errorf("%q is in the policy", secret)
		}
	}
}

// [000-9.2] [AS-05]: a lost card stays known, as lost.
func TestLostCardIsNamedAsLost(t *testing.T) {
	c := kanmori()
	c.Cards[2].State = record.CredentialLost
	if got := credential(t, policy.Compile(c, "DC-21", 1, keyA), keyA.Tag("26:06181cc0")); got.State != record.CredentialLost || got.Person != "P07" {
		t.Errorf("%+v", got)
	}
}

// TestCompileIsDeterministic: in whatever order things were declared, the bytes
// are the same, and the input is left as it was.
func TestCompileIsDeterministic(t *testing.T) {
	encode := func(c policy.City) string {
		b, err := json.Marshal(policy.Compile(c, "DC-21", 1, keyA))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := encode(kanmori())
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		c := kanmori()
		r.Shuffle(len(c.Doors), func(i, j int) { c.Doors[i], c.Doors[j] = c.Doors[j], c.Doors[i] })
		r.Shuffle(len(c.Permits), func(i, j int) { c.Permits[i], c.Permits[j] = c.Permits[j], c.Permits[i] })
		r.Shuffle(len(c.Cards), func(i, j int) { c.Cards[i], c.Cards[j] = c.Cards[j], c.Cards[i] })
		r.Shuffle(len(c.KeysOnLoan), func(i, j int) { c.KeysOnLoan[i], c.KeysOnLoan[j] = c.KeysOnLoan[j], c.KeysOnLoan[i] })
		r.Shuffle(len(c.ClosedDays), func(i, j int) { c.ClosedDays[i], c.ClosedDays[j] = c.ClosedDays[j], c.ClosedDays[i] })
		before, _ := json.Marshal(c.Permits)
		if got := encode(c); got != want {
			t.Fatalf("another order, another policy:\n%s\n%s", got, want)
		}
		if after, _ := json.Marshal(c.Permits); !bytes.Equal(before, after) {
			t.Fatal("Compile changed its input")
		}
	}
}
