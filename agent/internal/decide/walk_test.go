package decide_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/internal/record"
)

// Random walks over all inputs, checking what must hold whatever happens:
// a lock is released only after a grant or fire fact of the same step, a fire
// release ends only by a re-arming, every grant ends, and nothing panics.
// [T-15, T-40]
func TestRandomWalksKeepTheInvariants(t *testing.T) {
	for seed := range uint64(300) {
		walk(t, rand.New(rand.NewPCG(seed, 31)))
	}
}

func walk(t *testing.T, r *rand.Rand) {
	sc := open(t)
	released := map[record.DoorCode]bool{} // by our own reading of the effects
	seq := uint64(0)
	second := record.SecondFactors()[r.IntN(4)]
	sc.s.Policy = policyWith(second)
	for range 400 {
		sc.clock(sc.now.Wall.Add(time.Duration(r.Int64N(int64(12 * time.Second)))))
		door := []record.DoorCode{"D31", "D21"}[r.IntN(2)]
		in := randomInput(r, door, second, &seq)
		wasFire := sc.s.Doors[door].Released
		sc.do(in)
		checkEffects(t, sc, in)
		for _, e := range sc.effects {
			switch e := e.(type) {
			case decide.Unlock:
				released[e.Door] = true
			case decide.Lock:
				released[e.Door] = false
			}
		}
		for code, d := range sc.s.Doors {
			if want := d.Released || d.Grant != nil; released[code] != want {
				t.Fatalf("door %s: lock released %v, state says %v after %#v", code, released[code], want, in)
			}
			if d.Grant != nil && d.Grant.Until <= sc.now.Mono {
				t.Fatalf("door %s: a grant outlives its time", code)
			}
		}
		if o, ok := in.(decide.Ordered); wasFire && !sc.s.Doors[door].Released && (!ok || o.Order.Purpose != record.PurposeRearm) {
			t.Fatalf("fire release ended by %#v", in)
		}
	}
}

// checkEffects: every release of a lock stands behind a fact that explains it,
// and a card, PIN or finger never releases a lock without access_granted.
func checkEffects(t *testing.T, sc *scene, in decide.Input) {
	grant := false
	for _, e := range sc.effects {
		switch e := e.(type) {
		case decide.Record:
			grant = grant || e.Kind == record.KindGranted
			if p, ok := e.Body.(record.Passage); ok && e.Kind == record.KindDenied && p.Direction == record.DirectionOut {
				t.Fatalf("an exit was denied: %+v", p)
			}
		case decide.Unlock:
			if _, fire := in.(decide.LineChanged); !grant && !fire {
				t.Fatalf("released without a fact, on %#v", in)
			}
		}
	}
}

func randomInput(r *rand.Rand, door record.DoorCode, second record.SecondFactor, seq *uint64) decide.Input {
	tag := record.CredentialTag([]string{"t01", "t05", "t07", "t08", "t09", "t99"}[r.IntN(6)])
	dir := []record.Direction{record.DirectionIn, record.DirectionOut}[r.IntN(2)]
	on := r.IntN(2) == 0
	switch r.IntN(12) {
	case 0, 1, 2:
		return decide.CardRead{Door: door, Reader: record.ReaderID(door) + "-r", Direction: dir, Tag: tag, Unproven: r.IntN(8) == 0, ID: "g-" + string(tag)}
	case 3:
		return decide.PINChecked{Door: door, ID: "g-" + string(tag), OK: on}
	case 4, 5:
		return decide.LineChanged{Door: door, Line: decide.LineContact, Active: on}
	case 6:
		return decide.LineChanged{Door: door, Line: decide.LineREX, Active: on}
	case 7:
		return decide.LineChanged{Door: door, Line: decide.LineFire, Active: r.IntN(4) == 0}
	case 8:
		*seq++
		return decide.Ordered{Door: door, Order: record.Order{Seq: *seq, Issuer: "P01", Purpose: []record.Purpose{record.PurposeRearm, record.PurposeCloseRoom, record.PurposeReopenRoom}[r.IntN(3)]}}
	case 9, 10:
		return decide.FingerRead{Door: door, Reader: record.ReaderID(door) + "-f", Direction: dir, Slot: uint16([]int{0, 1, 7, 9}[r.IntN(4)]), ID: "f-" + string(tag)}
	}
	return []decide.Input{decide.Tick{}, decide.HubHeard{}, decide.PolicyIn{Policy: policyWith(second)}}[r.IntN(3)]
}
