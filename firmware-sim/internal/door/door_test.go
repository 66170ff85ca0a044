package door_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/door"
)

const sec = time.Second

type step struct {
	at      time.Duration
	in      door.Input
	want    []door.Kind // effects in order
	refused door.Refusal
}

func on(k door.Kind) door.Input  { return door.Input{Kind: k, On: true} }
func off(k door.Kind) door.Input { return door.Input{Kind: k} }

// TestStep tells each rule of the door as a short story.
func TestStep(t *testing.T) {
	secure, safe := door.Spec{}, door.Spec{FailSafe: true}
	k := func(k ...door.Kind) []door.Kind { return k }
	cases := []struct {
		name  string
		spec  door.Spec
		steps []step
	}{
		{"a grant: relay, open, relock, close", secure, []step{
			{0, on(door.SetRelay), k(door.RelayOn, door.Released), door.Done},
			{1 * sec, on(door.Pull), k(door.Opened), door.Done},
			{2 * sec, off(door.SetRelay), k(door.RelayOff, door.Relocked), door.Done},
			{3 * sec, off(door.Push), k(door.Closed), door.Done},
			{4 * sec, on(door.Pull), nil, door.StaysLocked},
		}},
		{"a locked door opens only by force", secure, []step{
			{0, on(door.Pull), nil, door.StaysLocked},
			{1 * sec, on(door.Force), k(door.BrokeOpen), door.Done},
			{2 * sec, on(door.Force), nil, door.AlreadyOpen},
			{3 * sec, off(door.Push), k(door.Closed), door.Done},
			{4 * sec, off(door.Push), nil, door.AlreadyClosed},
		}},
		{"force on a released door is an opening", secure, []step{
			{0, on(door.SetFire), k(door.FireOn, door.Released), door.Done},
			{1 * sec, on(door.Force), k(door.Opened), door.Done},
		}},
		{"[T-15] fire releases a fail-secure door with no program and no supply", secure, []step{
			{0, off(door.SetSupply), k(door.PowerOff), door.Done},
			{1 * sec, on(door.SetFire), k(door.FireOn, door.Released), door.Done},
			{2 * sec, on(door.Pull), k(door.Opened), door.Done},
			{3 * sec, off(door.SetFire), k(door.FireOff, door.Relocked), door.Done},
		}},
		{"[T-15] the inside handle frees whatever the relay does", secure, []step{
			{0, door.Input{Kind: door.SetRex, On: true, For: sec}, k(door.RexOn, door.Released), door.Done},
			{sec / 2, on(door.SetRelay), k(door.RelayOn, door.Recaused), door.Done},
			{sec, off(door.Tick), k(door.RexOff, door.Recaused), door.Done},
			{2 * sec, off(door.SetRelay), k(door.RelayOff, door.Relocked), door.Done},
		}},
		{"a second press is longer than the first", secure, []step{
			{0, door.Input{Kind: door.SetRex, On: true, For: sec}, k(door.RexOn, door.Released), door.Done},
			{sec / 2, door.Input{Kind: door.SetRex, On: true, For: sec}, nil, door.Done},
			{sec, off(door.Tick), nil, door.Done},
			{3 * sec / 2, off(door.Tick), k(door.RexOff, door.Relocked), door.Done},
		}},
		{"a fail-safe lock lets go when its supply is cut", safe, []step{
			{0, off(door.SetSupply), k(door.PowerOff, door.Released), door.Done},
			{sec, on(door.SetSupply), k(door.PowerOn, door.Relocked), door.Done},
		}},
		{"a fail-secure lock needs supply for the relay to matter", secure, []step{
			{0, off(door.SetSupply), k(door.PowerOff), door.Done},
			{sec, on(door.SetRelay), k(door.RelayOn), door.Done},
			{2 * sec, on(door.SetSupply), k(door.PowerOn, door.Released), door.Done},
		}},
		{"the closer shuts the leaf", safe, []step{
			{0, on(door.SetRelay), k(door.RelayOn, door.Released), door.Done},
			{0, door.Input{Kind: door.Pull, On: true, For: 2 * sec}, k(door.Opened), door.Done},
			{sec, off(door.Tick), nil, door.Done},
			{2 * sec, off(door.Tick), k(door.Closed), door.Done},
		}},
		{"tamper touches nothing else", secure, []step{
			{0, on(door.SetTamper), k(door.TamperOn), door.Done},
			{sec, off(door.SetTamper), k(door.TamperOff), door.Done},
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := door.New()
			for i, st := range c.steps {
				var fx []door.Effect
				var refused door.Refusal
				s, fx, refused = door.Step(c.spec, s, st.in, st.at)
				var got []door.Kind
				for _, f := range fx {
					got = append(got, f.Kind)
				}
				if !slices.Equal(got, st.want) || refused != st.refused {
					t.Fatalf("step %d %+v: effects %v refused %q, want %v %q", i, st.in, got, refused, st.want, st.refused)
				}
			}
		})
	}
}

// TestWalk drives doors at random and checks what must always hold [T-15].
func TestWalk(t *testing.T) {
	kinds := []door.Kind{door.SetRelay, door.SetFire, door.SetRex, door.SetTamper, door.SetSupply, door.Pull, door.Push, door.Force, door.Tick}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		spec := door.Spec{FailSafe: seed%2 == 0}
		s, now := door.New(), time.Duration(0)
		for range 300 {
			now += time.Duration(r.IntN(2000)) * time.Millisecond
			in := door.Input{Kind: kinds[r.IntN(len(kinds))], On: r.IntN(2) == 0, For: time.Duration(r.IntN(3)) * sec}
			was := s
			var fx []door.Effect
			s, fx, _ = door.Step(spec, s, in, now)
			if (s.Fire || s.Rex) && !s.Released(spec) {
				t.Fatalf("seed %d: fire or REX did not release: %+v", seed, s)
			}
			if !was.Open && s.Open && in.Kind != door.Force && !s.Released(spec) {
				t.Fatalf("seed %d: the leaf opened against a locked lock: %+v", seed, s)
			}
			if s.Forced && !s.Open {
				t.Fatalf("seed %d: a closed leaf counts as forced", seed)
			}
			if due, timed := s.Due(); timed && due <= now {
				t.Fatalf("seed %d: something was due and did not happen", seed)
			}
			if was == s && len(fx) > 0 {
				t.Fatalf("seed %d: effects %v without a change", seed, fx)
			}
		}
	}
}

func TestRelayPolarity(t *testing.T) {
	for _, c := range []struct{ activeLow, level, want bool }{
		{false, true, true}, {false, false, false}, {true, false, true}, {true, true, false},
	} {
		if got := (door.Spec{ActiveLow: c.activeLow}).Relay(c.level); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
