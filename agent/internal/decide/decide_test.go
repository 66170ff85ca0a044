package decide_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/internal/record"
)

var jst = time.FixedZone("JST", 9*60*60)

func at(hour, minute, second int) time.Time {
	return time.Date(2026, 6, 15, hour, minute, second, 0, jst)
}

// policy is the part of the fixture city that door D31 or D21 needs.
func policy() *record.Policy {
	year := time.Date(2027, 4, 1, 0, 0, 0, 0, jst)
	office := record.Schedule{ID: "contractor"}
	for day := time.Monday; day <= time.Friday; day++ {
		office.Weekly[day] = []record.Span{{From: 9 * 60, To: 17 * 60}}
	}
	return &record.Policy{
		Version: 7, Pack: "kanmori/1",
		Doors: []record.DoorPolicy{
			{Door: "D31", Room: "R31", Level: 3, Second: record.SecondPIN, SecondWindow: 10 * time.Second, Release: 5 * time.Second, HeldOpen: 30 * time.Second, OfflineMaxAge: 24 * time.Hour, AntiPassback: true},
			{Door: "D21", Room: "R21", Level: 2, Release: 5 * time.Second, HeldOpen: 30 * time.Second, OfflineMaxAge: 72 * time.Hour},
		},
		Permits: []record.Permit{
			{Person: "P01", Rooms: []record.RoomCode{"R31", "R21"}, From: at(0, 0, 0).AddDate(0, -2, 0), Until: year},
			{Person: "P07", Rooms: []record.RoomCode{"R31", "R21"}, From: at(0, 0, 0).AddDate(0, -2, 0), Until: year},
			{Person: "P08", Rooms: []record.RoomCode{"R21"}, From: at(0, 0, 0).AddDate(0, -2, 0), Until: time.Date(2026, 7, 1, 0, 0, 0, 0, jst), Schedule: "contractor"},
		},
		Credentials: []record.Credential{
			{ID: "C01", Person: "P01", Tag: "t01", State: record.CredentialActive, PIN: &record.PINVerifier{}},
			{ID: "C05", Person: "P05", Tag: "t05", State: record.CredentialActive},
			{ID: "C07", Person: "P07", Tag: "t07", State: record.CredentialActive, PIN: &record.PINVerifier{}},
			{ID: "F01", Person: "P01", Slot: 1, State: record.CredentialActive},
			{ID: "F07", Person: "P07", Slot: 7, State: record.CredentialActive},
			{ID: "F09", Person: "P07", Slot: 9, State: record.CredentialRevoked},
			{ID: "C08", Person: "P08", Tag: "t08", State: record.CredentialActive},
			{ID: "C09", Person: "P07", Tag: "t09", State: record.CredentialLost},
			{ID: "C10", Person: "P07", Tag: "t10", State: record.CredentialRevoked},
		},
		Schedules: []record.Schedule{office},
		Attempts:  record.Attempts{Limit: 3, Within: 5 * time.Minute, Lock: 30 * time.Minute},
	}
}

// scene runs inputs one after the other.
type scene struct {
	t       *testing.T
	s       decide.State
	now     decide.Now
	effects []decide.Effect // of the last input
}

func open(t *testing.T) *scene {
	sc := &scene{t: t, s: decide.New([]record.DoorCode{"D31", "D21"}), now: decide.Now{Wall: at(9, 0, 0), Mono: time.Hour, Quality: record.TimeSynced}}
	sc.do(decide.PolicyIn{Policy: policy()})
	return sc
}

func (sc *scene) clock(wall time.Time) *scene {
	sc.now.Mono += wall.Sub(sc.now.Wall)
	sc.now.Wall = wall
	return sc
}

func (sc *scene) do(in decide.Input) *scene {
	sc.t.Helper()
	before := sc.s
	frozen := before.Doors["D31"].Inside["P07"]
	sc.s, sc.effects = decide.Step(sc.s, in, sc.now)
	if before.Doors["D31"].Inside["P07"] != frozen {
		sc.t.Fatal("Step changed the state it was given")
	}
	return sc
}

func (sc *scene) card(door record.DoorCode, dir record.Direction, tag record.CredentialTag) *scene {
	reader := record.ReaderID(string(door) + "-" + string(dir))
	return sc.do(decide.CardRead{Door: door, Reader: reader, Direction: dir, Tag: tag, ID: "g-" + string(tag)})
}

func (sc *scene) leaf(door record.DoorCode, isOpen bool) *scene {
	return sc.do(decide.LineChanged{Door: door, Line: decide.LineContact, Active: isOpen})
}

func (sc *scene) kinds() []record.Kind {
	var out []record.Kind
	for _, e := range sc.effects {
		if r, ok := e.(decide.Record); ok {
			out = append(out, r.Kind)
		}
	}
	return out
}

func (sc *scene) want(kinds ...record.Kind) *scene {
	sc.t.Helper()
	if got := sc.kinds(); !reflect.DeepEqual(got, kinds) {
		sc.t.Fatalf("facts %v, want %v", got, kinds)
	}
	return sc
}

func (sc *scene) denied(why record.Reason) {
	sc.t.Helper()
	sc.want(record.KindDenied)
	if got := sc.effects[0].(decide.Record).Body.(record.Passage).Reason; got != why {
		sc.t.Fatalf("reason %s, want %s", got, why)
	}
	if sc.unlocked() {
		sc.t.Fatal("a denial released the lock")
	}
}

func (sc *scene) refused() {
	sc.t.Helper()
	if len(sc.effects) != 1 {
		sc.t.Fatalf("effects %v, want a refusal only", sc.effects)
	}
	if _, ok := sc.effects[0].(decide.Refuse); !ok {
		sc.t.Fatalf("effect %T, want a refusal", sc.effects[0])
	}
}

func (sc *scene) unlocked() bool {
	for _, e := range sc.effects {
		if _, ok := e.(decide.Unlock); ok {
			return true
		}
	}
	return false
}

func (sc *scene) granted(notes ...record.Reason) *scene {
	sc.t.Helper()
	sc.want(record.KindGranted)
	if _, ok := sc.effects[1].(decide.Unlock); !ok {
		sc.t.Fatalf("the lock does not follow the fact: %#v", sc.effects)
	}
	if got := sc.effects[0].(decide.Record).Body.(record.Passage).Notes; !reflect.DeepEqual(got, notes) {
		sc.t.Fatalf("notes %v, want %v", got, notes)
	}
	return sc
}

// [000-7.2-L3, 000-10.1, AS-01] Both factors, each way, and the door's opening
// makes the entry.
func TestLevel3NeedsBothFactorsEachWay(t *testing.T) {
	sc := open(t)
	sc.card("D31", record.DirectionIn, "t07").want()
	sc.clock(at(9, 0, 5)).do(decide.PINChecked{Door: "D31", ID: "g-t07", OK: true}).granted()
	sc.leaf("D31", true).want(record.KindEntered)
	sc.leaf("D31", false).want()
	sc.clock(at(9, 31, 0)).card("D31", record.DirectionOut, "t07").want()
	sc.clock(at(9, 31, 5)).do(decide.PINChecked{Door: "D31", ID: "g-t07", OK: true}).granted()
	sc.leaf("D31", true).want(record.KindExited)
}

// [T-40] A grant that nobody used is no entry.
func TestUnusedGrantEnds(t *testing.T) {
	sc := open(t)
	sc.card("D21", record.DirectionIn, "t07").granted()
	sc.clock(at(9, 0, 6)).do(decide.Tick{}).want()
	if _, ok := sc.effects[0].(decide.Lock); !ok {
		t.Fatalf("effects %#v", sc.effects)
	}
	sc.leaf("D21", true).want(record.KindForcedOpen)
}

// [000-7.2, 000-9.2, AS-02]
func TestEntryIsRefusedForEachReason(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*scene)
		door record.DoorCode
		tag  record.CredentialTag
		why  record.Reason
	}{
		{"unknown card", nil, "D31", "t99", record.ReasonUnknownCredential},
		{"no permit for the room", nil, "D21", "t05", record.ReasonNoPermit},
		{"after hours", func(sc *scene) { sc.clock(at(18, 30, 0)) }, "D21", "t08", record.ReasonOutsideSchedule},
		{"last minute of hours is over at 17:00", func(sc *scene) { sc.clock(at(17, 0, 0)) }, "D21", "t08", record.ReasonOutsideSchedule},
		{"permit ended", func(sc *scene) { sc.clock(at(9, 0, 0).AddDate(0, 0, 16)) }, "D21", "t08", record.ReasonPermitExpired},
		{"lost card", nil, "D21", "t09", record.ReasonCredentialLost},
		{"revoked card", nil, "D21", "t10", record.ReasonCredentialRevoked},
		{"clock that is only order", func(sc *scene) { sc.now.Quality = record.TimeUnsynced }, "D21", "t07", record.ReasonClockAnomaly},
		{"room closed by its manager", func(sc *scene) {
			sc.do(decide.Ordered{Door: "D21", Order: record.Order{Seq: 1, Purpose: record.PurposeCloseRoom, Issuer: "P01"}}).want(record.KindRoomClosed)
		}, "D21", "t07", record.ReasonRoomClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := open(t)
			if c.set != nil {
				c.set(sc)
			}
			if c.why == record.ReasonPermitExpired {
				sc.do(decide.HubHeard{})
			}
			sc.card(c.door, record.DirectionIn, c.tag).denied(c.why)
		})
	}
}

// [T-21, AS-06] Without the hub, level 3 fails closed after a day, level 2
// after three; leaving never does.
func TestCachedPermitsAge(t *testing.T) {
	sc := open(t).clock(at(9, 0, 0).Add(25 * time.Hour))
	sc.card("D31", record.DirectionIn, "t07").denied(record.ReasonPolicyStale)
	sc.card("D21", record.DirectionIn, "t07").granted()
	sc.leaf("D21", true)
	sc.leaf("D21", false)
	sc.clock(at(9, 0, 0).Add(73 * time.Hour))
	sc.card("D21", record.DirectionIn, "t07").denied(record.ReasonPolicyStale)
	sc.do(decide.HubHeard{}).card("D21", record.DirectionIn, "t07").granted()
}

// [AS-01] Variant: card only.
func TestSecondFactorThatDoesNotCome(t *testing.T) {
	sc := open(t)
	sc.card("D31", record.DirectionIn, "t07")
	if due, ok := sc.s.Next(); !ok || due != sc.now.Mono+10*time.Second {
		t.Fatalf("next %v %v", due, ok)
	}
	sc.clock(at(9, 0, 10)).do(decide.Tick{}).denied(record.ReasonSecondFactorMissing)
	sc.do(decide.PINChecked{Door: "D31", ID: "g-t07", OK: true}).want() // too late is nothing
}

// [001-4.4(8), T-09] Three wrong PINs lock a person's entry, over a restart too,
// and never the way out.
func TestThreeWrongPINs(t *testing.T) {
	sc := open(t)
	for i := range 3 {
		sc.clock(at(9, i, 0)).card("D31", record.DirectionIn, "t07")
		sc.do(decide.PINChecked{Door: "D31", ID: "g-t07"})
	}
	sc.want(record.KindDenied, record.KindAttemptsSpent)
	restarted := decide.New([]record.DoorCode{"D31", "D21"})
	restarted.Policy, restarted.LastHub, restarted.Failures = sc.s.Policy, sc.s.LastHub, sc.s.Failures
	sc.s = restarted
	sc.clock(at(9, 10, 0)).card("D31", record.DirectionIn, "t07").denied(record.ReasonAttemptsExceeded)
	sc.card("D21", record.DirectionIn, "t07").denied(record.ReasonAttemptsExceeded)
	sc.card("D31", record.DirectionOut, "t07").do(decide.PINChecked{Door: "D31", ID: "g-t07"}).granted(record.ReasonPINMismatch)
	sc.clock(at(9, 40, 0)).leaf("D31", false)
	sc.card("D21", record.DirectionIn, "t07").granted()
}

// [T-15, AS-04] Whatever the state, a card at the exit reader is let out and
// the exit button explains the opening.
func TestExitIsNeverRefused(t *testing.T) {
	states := map[string]func(*scene){
		"no policy":        func(sc *scene) { sc.s.Policy = nil },
		"clock only order": func(sc *scene) { sc.now.Quality = record.TimeUnsynced },
		"hub long away":    func(sc *scene) { sc.clock(at(9, 0, 0).AddDate(0, 0, 10)) },
		"permit ended":     func(sc *scene) { sc.clock(at(9, 0, 0).AddDate(2, 0, 0)) },
		"room closed": func(sc *scene) {
			sc.do(decide.Ordered{Door: "D31", Order: record.Order{Seq: 1, Purpose: record.PurposeCloseRoom}})
		},
		"locked out":      func(sc *scene) { sc.s.Failures["P07"] = decide.Failures{Locked: at(23, 0, 0)} },
		"thought outside": func(sc *scene) { delete(sc.s.Doors["D31"].Inside, "P07") },
		"fire":            func(sc *scene) { sc.do(decide.LineChanged{Door: "D31", Line: decide.LineFire, Active: true}) },
	}
	for name, set := range states {
		for _, tag := range []record.CredentialTag{"t07", "t08", "t09", "unknown"} {
			t.Run(name+"/"+string(tag), func(t *testing.T) {
				sc := open(t)
				set(sc)
				sc.card("D31", record.DirectionOut, tag)
				if !sc.unlocked() { // a second factor was asked for: nobody gives it
					sc.clock(sc.now.Wall.Add(10 * time.Second)).do(decide.Tick{})
				}
				if !sc.unlocked() {
					t.Fatalf("not let out: %#v", sc.effects)
				}
			})
		}
		t.Run(name+"/button", func(t *testing.T) {
			sc := open(t)
			set(sc)
			sc.do(decide.LineChanged{Door: "D31", Line: decide.LineREX, Active: true}).want(record.KindREX)
			sc.leaf("D31", true)
			for _, k := range sc.kinds() {
				if k == record.KindForcedOpen {
					t.Fatal("leaving was called forcing")
				}
			}
		})
	}
}

// [AS-04] The note of a permit that ended while its holder was inside.
func TestExitAfterExpiryIsNoted(t *testing.T) {
	sc := open(t).clock(time.Date(2026, 6, 30, 16, 59, 0, 0, jst)).do(decide.HubHeard{})
	sc.card("D21", record.DirectionIn, "t08").granted()
	sc.leaf("D21", true).want(record.KindEntered)
	sc.leaf("D21", false)
	sc.clock(time.Date(2026, 7, 1, 0, 10, 0, 0, jst)).do(decide.LineChanged{Door: "D21", Line: decide.LineREX, Active: true})
	sc.leaf("D21", true).want(record.KindExitFree)
	if notes := sc.effects[0].(decide.Record).Body.(record.DoorState).Notes; !reflect.DeepEqual(notes, []record.Reason{record.ReasonExitAfterExpiry}) {
		t.Fatalf("notes %v", notes)
	}
}

// [001-3.2, T-15, T-16, AS-03] Fire releases until a named person re-arms, and
// does not keep anyone out afterwards.
func TestFireReleasesUntilRearmed(t *testing.T) {
	sc := open(t)
	sc.card("D31", record.DirectionIn, "t07").do(decide.PINChecked{Door: "D31", ID: "g-t07", OK: true})
	sc.leaf("D31", true).leaf("D31", false)
	sc.do(decide.LineChanged{Door: "D31", Line: decide.LineFire, Active: true}).want(record.KindFireRelease)
	if !sc.unlocked() {
		t.Fatal("the program does not hold the release")
	}
	sc.leaf("D31", true).want()
	sc.leaf("D31", false).want()
	rearm := decide.Ordered{Door: "D31", Order: record.Order{Seq: 4, Purpose: record.PurposeRearm, Issuer: "P01"}}
	sc.do(rearm).refused() // the input is still on
	rearm.Order.Seq++
	sc.do(decide.LineChanged{Door: "D31", Line: decide.LineFire, Active: false}).want(record.KindFireEnded)
	if sc.s.Doors["D31"].StateName() != "released" {
		t.Fatal("the door locked by itself")
	}
	sc.do(rearm).want(record.KindRearmed)
	if by := sc.effects[0].(decide.Record).Body.(record.DoorState).By; by != "P01" {
		t.Fatalf("re-armed by %q", by)
	}
	sc.do(rearm).want() // the same number again does nothing
	sc.card("D31", record.DirectionIn, "t07").do(decide.PINChecked{Door: "D31", ID: "g-t07", OK: true}).granted()
}

// [T-16] Entering while inside is refused; an exit by the button forgives.
func TestAntiPassback(t *testing.T) {
	enter := func(sc *scene) *scene {
		return sc.card("D31", record.DirectionIn, "t07").do(decide.PINChecked{Door: "D31", ID: "g-t07", OK: true})
	}
	sc := open(t)
	enter(sc).granted()
	sc.leaf("D31", true).leaf("D31", false)
	sc.card("D31", record.DirectionIn, "t07").denied(record.ReasonAntiPassback)
	sc.do(decide.LineChanged{Door: "D31", Line: decide.LineREX, Active: true})
	sc.leaf("D31", true).want(record.KindExitFree)
	sc.leaf("D31", false)
	enter(sc).granted()
}

// [001-3.1(1)イ, T-19] An opening that nothing explains was forced; with a key
// on loan it was the key.
func TestUnexplainedOpening(t *testing.T) {
	sc := open(t)
	sc.leaf("D21", true).want(record.KindForcedOpen)
	sc.clock(at(9, 0, 29)).leaf("D21", false).want(record.KindDoorClosed)
	withKey := policy()
	withKey.KeysOnLoan = []record.KeyLoan{{Key: "K-21-2", Door: "D21", Person: "P01"}}
	sc.do(decide.PolicyIn{Policy: withKey}).leaf("D21", true).want(record.KindKeyEntry)
}

// [000-7.2] 開放放置 is reported once and ends with the closing.
func TestHeldOpen(t *testing.T) {
	sc := open(t)
	sc.card("D21", record.DirectionIn, "t07").granted()
	sc.leaf("D21", true).want(record.KindEntered)
	sc.clock(at(9, 0, 30)).do(decide.Tick{}).want(record.KindHeldOpen)
	sc.clock(at(9, 5, 0)).do(decide.Tick{}).want()
	sc.leaf("D21", false).want(record.KindDoorClosed)
	if lasted := sc.effects[0].(decide.Record).Body.(record.DoorState).For; lasted != 5*time.Minute {
		t.Fatalf("lasted %v", lasted)
	}
}

// [001-3.1(1)ウエ] A reader that goes silent, or is opened, is one fact each way.
func TestReaderHealthIsRecordedOncePerChange(t *testing.T) {
	sc := open(t)
	health := decide.ReaderHealth{Door: "D31", Reader: "D31-in", Online: true}
	sc.do(health).want()
	health.Online = false
	sc.do(health).want(record.KindReaderOffline)
	sc.do(health).want()
	health.Online, health.Tamper = true, true
	sc.clock(at(9, 0, 8)).do(health).want(record.KindReaderOnline, record.KindTamper)
	health.Tamper = false
	sc.do(health).want(record.KindTamperEnded)
}

// A reader that is not there at the start is silent only after a while; one
// that is found in time is no fact at all.
func TestReaderNotFoundAtStart(t *testing.T) {
	sc := open(t)
	health := decide.ReaderHealth{Door: "D31", Reader: "D31-in"}
	sc.do(health).want()
	health.Detail = "no key"
	sc.clock(at(9, 0, 9)).do(health).want()
	sc.clock(at(9, 0, 10)).do(decide.Tick{}).want(record.KindReaderOffline)
	if got := sc.effects[0].(decide.Record).Body.(record.ReaderState).Detail; !strings.Contains(got, "no key") {
		t.Fatalf("why: %q", got)
	}
	sc.clock(at(9, 5, 0)).do(decide.Tick{}).want()
	health.Online = true
	sc.do(health).want(record.KindReaderOnline)

	found := open(t)
	found.do(decide.ReaderHealth{Door: "D31", Reader: "D31-in"}).want()
	found.clock(at(9, 0, 2)).do(health).want()
	found.clock(at(9, 1, 0)).do(decide.Tick{}).want()
}
