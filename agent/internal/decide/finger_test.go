package decide_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/internal/record"
)

// policyWith is the policy with another second factor at D31.
func policyWith(second record.SecondFactor) *record.Policy {
	p := policy()
	p.Doors[0].Second = second
	return p
}

func openWith(t *testing.T, second record.SecondFactor) *scene {
	t.Helper()
	sc := open(t)
	return sc.do(decide.PolicyIn{Policy: policyWith(second)})
}

// finger lays a finger on the module beside the reader of one side.
func (sc *scene) finger(door record.DoorCode, dir record.Direction, slot uint16) *scene {
	sc.t.Helper()
	return sc.do(decide.FingerRead{Door: door, Reader: record.ReaderID(door) + "-finger", Direction: dir, Slot: slot, ID: "f"})
}

func (sc *scene) passage() record.Passage {
	sc.t.Helper()
	for _, e := range sc.effects {
		if r, ok := e.(decide.Record); ok {
			return r.Body.(record.Passage)
		}
	}
	sc.t.Fatalf("no fact in %#v", sc.effects)
	return record.Passage{}
}

func (sc *scene) method(want record.Method) {
	sc.t.Helper()
	if got := sc.passage().Method; got != want {
		sc.t.Fatalf("method %q, want %q", got, want)
	}
}

// [000-7.2-L3, AS-01] Card and finger, each way, from two readers of one side.
func TestCardAndFingerEachWay(t *testing.T) {
	for _, second := range []record.SecondFactor{record.SecondBiometric, record.SecondAny} {
		sc := openWith(t, second)
		for _, dir := range []record.Direction{record.DirectionIn, record.DirectionOut} {
			sc.card("D31", dir, "t07").want()
			ask := []decide.Effect{decide.Show{Door: "D31", Side: dir, Signal: decide.SignalAskMore}, decide.Compare{Door: "D31", Side: dir, Slot: 7}}
			if !reflect.DeepEqual(sc.effects, ask) {
				t.Fatalf("asked by %#v", sc.effects)
			}
			sc.clock(sc.now.Wall.Add(5*time.Second)).finger("D31", dir, 7).granted()
			sc.method(record.MethodCardBio)
			if p := sc.passage(); p.Credential != "C07" || p.Reader != "D31-"+record.ReaderID(dir) || p.Grant != "g-t07" {
				t.Fatalf("granted %+v", p)
			}
			kind := map[record.Direction]record.Kind{record.DirectionIn: record.KindEntered, record.DirectionOut: record.KindExited}[dir]
			sc.leaf("D31", true).want(kind)
			sc.leaf("D31", false).want()
		}
	}
}

// [AS-01] Variants: the finger of another person, one that the module does not
// know, one that nobody here has, one that was struck off.
func TestFingerOfSomebodyElse(t *testing.T) {
	for name, slot := range map[string]uint16{"P01's": 1, "unknown": 0, "of no credential": 500, "revoked": 9} {
		t.Run(name, func(t *testing.T) {
			sc := openWith(t, record.SecondBiometric)
			for n := range 3 {
				sc.clock(at(9, n, 0)).card("D31", record.DirectionIn, "t07").want()
				sc.finger("D31", record.DirectionIn, slot)
				if n < 2 {
					sc.denied(record.ReasonBiometricMismatch)
				}
			}
			// It counts as a wrong PIN does [001-4.4(8)].
			sc.want(record.KindDenied, record.KindAttemptsSpent)
			if p := sc.passage(); p.Person != "P07" || p.Method != record.MethodCard {
				t.Fatalf("denied %+v", p)
			}
			sc.card("D31", record.DirectionIn, "t07").denied(record.ReasonAttemptsExceeded)
			sc.card("D31", record.DirectionOut, "t07").want()
			sc.finger("D31", record.DirectionOut, slot).granted(record.ReasonBiometricMismatch)
		})
	}
}

// Each door takes the second factor it wants, and no other.
func TestWhichSecondFactorIsTaken(t *testing.T) {
	pin := decide.PINChecked{Door: "D31", ID: "g-t07", OK: true}
	finger := decide.FingerRead{Door: "D31", Reader: "D31-finger", Direction: record.DirectionIn, Slot: 7, ID: "f"}
	for _, c := range []struct {
		second record.SecondFactor
		in     decide.Input
		method record.Method // "" where it is no factor here
	}{
		{record.SecondPIN, pin, record.MethodCardPIN}, {record.SecondPIN, finger, ""},
		{record.SecondBiometric, pin, ""}, {record.SecondBiometric, finger, record.MethodCardBio},
		{record.SecondAny, pin, record.MethodCardPIN}, {record.SecondAny, finger, record.MethodCardBio},
	} {
		sc := openWith(t, c.second).card("D31", record.DirectionIn, "t07")
		if _, _, asked := sc.s.PendingPIN("D31", record.DirectionIn); asked != c.second.PIN() {
			t.Errorf("%s: a PIN is asked for: %v", c.second, asked)
		}
		if sc.do(c.in); c.method != "" {
			sc.granted().method(c.method)
			continue
		}
		sc.want()
		sc.clock(at(9, 0, 10)).do(decide.Tick{}).denied(record.ReasonSecondFactorMissing)
	}
}

// [000-7.2] A finger with no card before it is one factor.
func TestFingerAlone(t *testing.T) {
	for _, c := range []struct {
		name   string
		second record.SecondFactor
		dir    record.Direction
		slot   uint16
		why    record.Reason   // of a denial
		notes  []record.Reason // of a grant
	}{
		{"one factor is enough", record.SecondNone, record.DirectionIn, 7, "", nil},
		{"nobody's", record.SecondNone, record.DirectionIn, 0, record.ReasonBiometricMismatch, nil},
		{"of no credential", record.SecondNone, record.DirectionIn, 500, record.ReasonUnknownCredential, nil},
		{"struck off", record.SecondNone, record.DirectionIn, 9, record.ReasonCredentialRevoked, nil},
		{"finger first, and two are wanted", record.SecondBiometric, record.DirectionIn, 7, record.ReasonSecondFactorMissing, nil},
		{"and with a PIN", record.SecondPIN, record.DirectionIn, 7, record.ReasonSecondFactorMissing, nil},
		{"out", record.SecondNone, record.DirectionOut, 7, "", nil},
		{"out where two are wanted", record.SecondBiometric, record.DirectionOut, 7, "", []record.Reason{record.ReasonSecondFactorMissing}},
		{"out, nobody's", record.SecondBiometric, record.DirectionOut, 0, "", []record.Reason{record.ReasonBiometricMismatch}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := openWith(t, c.second).finger("D31", c.dir, c.slot)
			if c.why != "" {
				sc.denied(c.why)
			} else {
				sc.granted(c.notes...)
			}
			sc.method(record.MethodFinger)
			if p := sc.passage(); p.Tag != "" || p.UIDOnly || (p.Person == "P07") != (c.slot == 7 || c.slot == 9) {
				t.Fatalf("%+v", p)
			}
		})
	}
}

// [AS-02] A finger with the permit taken away. [000-9.2]
func TestFingerWithoutPermit(t *testing.T) {
	p := policy()
	p.Permits = slices.DeleteFunc(p.Permits, func(permit record.Permit) bool { return permit.Person == "P07" })
	open(t).do(decide.PolicyIn{Policy: p}).finger("D21", record.DirectionIn, 7).denied(record.ReasonNoPermit)
}

// Who lays the finger on once more while the door is released is not refused.
func TestFingerTwice(t *testing.T) {
	sc := openWith(t, record.SecondBiometric).card("D31", record.DirectionIn, "t07")
	sc.finger("D31", record.DirectionIn, 7).granted()
	sc.finger("D31", record.DirectionIn, 7).want()
	sc.finger("D31", record.DirectionIn, 1).want(record.KindDenied) // somebody else's is an attempt of its own
}

// A finger on the other side is no answer to what was asked on this one.
func TestFingerOnTheOtherSide(t *testing.T) {
	sc := openWith(t, record.SecondBiometric).card("D31", record.DirectionIn, "t07")
	sc.finger("D31", record.DirectionOut, 7).want(record.KindDenied, record.KindGranted)
	if sc.passage().Reason != record.ReasonSecondFactorMissing {
		t.Fatalf("%+v", sc.passage())
	}
}

// A person without an enrolled finger is let out of a door that wants one, and
// kept out of it.
func TestNoFingerEnrolled(t *testing.T) {
	p := policyWith(record.SecondBiometric)
	p.Permits = append(p.Permits, record.Permit{Person: "P05", Rooms: []record.RoomCode{"R31"}, From: at(0, 0, 0), Until: at(23, 0, 0)})
	sc := open(t).do(decide.PolicyIn{Policy: p})
	sc.card("D31", record.DirectionIn, "t05").want()
	for _, e := range sc.effects {
		if _, compare := e.(decide.Compare); compare {
			t.Fatal("compared with no template")
		}
	}
	sc.finger("D31", record.DirectionIn, 7).denied(record.ReasonBiometricMismatch) // [AS-01] P07's finger with P05's card
	sc.card("D31", record.DirectionOut, "t05").granted()
}

// [T-22] A card that did not prove itself where that is demanded opens nothing,
// whoever it says it is; out, it is a note.
func TestCardThatDidNotProveItself(t *testing.T) {
	for _, tag := range []record.CredentialTag{"t07", "t99"} {
		in := decide.CardRead{Door: "D21", Reader: "D21-in", Direction: record.DirectionIn, Tag: tag, UIDOnly: true, Unproven: true, ID: "g"}
		sc := open(t).do(in)
		sc.denied(record.ReasonUnproven)
		if p := sc.passage(); (p.Person == "P07") != (tag == "t07") || !p.UIDOnly {
			t.Fatalf("%+v", p)
		}
		in.Direction, in.Door = record.DirectionOut, "D31"
		if sc.do(in); !sc.unlocked() || sc.passage().Notes[0] != record.ReasonUnproven {
			t.Fatalf("out: %#v", sc.effects)
		}
	}
}

// [T-22] A reader that cannot prove its key is one fact, its proof another, and
// silence is no proof.
func TestUntrustedReader(t *testing.T) {
	sc := open(t)
	health := decide.ReaderHealth{Door: "D31", Reader: "D31-in", Online: true}
	sc.do(health).want()
	health.Refused, health.Detail = true, "wrong cryptogram"
	sc.do(health).want(record.KindReaderUntrusted)
	sc.do(health).want()
	health.Online, health.Refused = false, false
	sc.do(health).want(record.KindReaderOffline)
	health.Online = true
	sc.clock(at(9, 1, 0)).do(health).want(record.KindReaderOnline, record.KindReaderTrusted)
	if s := sc.effects[1].(decide.Record).Body.(record.ReaderState); s.For != time.Minute || s.Reader != "D31-in" || s.Room != "R31" {
		t.Fatalf("%+v", s)
	}
	sc.do(health).want()
}
