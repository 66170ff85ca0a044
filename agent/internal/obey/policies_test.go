package obey_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/obey"
	"sekimori/internal/record"
)

func activate(t *testing.T, p *obey.Policies, s *record.Signer, d record.DeviceID, version uint64) error {
	t.Helper()
	head, chunks := pack(t, s, d, version)
	return p.Activate(t.Context(), head, chunks)
}

// [T-53] Only what the hub signed for this device, and newer, is put in force.
func TestPolicyVersionsOnlyRise(t *testing.T) {
	hub, w := signer(t), &world{}
	p := obey.NewPolicies(t.TempDir(), device, only(hub), w, w)
	for _, c := range []struct {
		name    string
		signer  *record.Signer
		device  record.DeviceID
		version uint64
		code    record.Code
		inForce uint64
	}{
		{"the first", hub, device, 5, "", 5},
		{"the same again", hub, device, 5, "", 5},
		{"an older one", hub, device, 4, record.CodePolicyOld, 5},
		{"somebody else's signature", signer(t), device, 9, record.CodeBadSignature, 5},
		{"another device's", hub, "DC-21", 9, record.CodeWrongDevice, 5},
		{"a newer one", hub, device, 6, "", 6},
	} {
		if err := activate(t, p, c.signer, c.device, c.version); record.CodeOf(err) != c.code || (err != nil) != (c.code != "") {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
		if p.Version() != c.inForce {
			t.Errorf("%s: %d in force, want %d", c.name, p.Version(), c.inForce)
		}
	}
	want := []fact{
		{record.KindPolicyActivated, record.PolicyActivated{Version: 5, From: 0}},
		{record.KindPolicyActivated, record.PolicyActivated{Version: 6, From: 5}},
	}
	if !reflect.DeepEqual(w.facts, want) || len(w.done) != 2 {
		t.Fatalf("facts %+v, at the doors %d; want %+v", w.facts, len(w.done), want)
	}
}

func TestPolicyChangedOnItsWay(t *testing.T) {
	hub, w := signer(t), &world{}
	p := obey.NewPolicies(t.TempDir(), device, only(hub), w, w)
	head, chunks := pack(t, hub, device, 3)
	for name, change := range map[string]func(head []byte, chunks [][]byte) ([]byte, [][]byte){
		"a bit of a chunk":  func(h []byte, c [][]byte) ([]byte, [][]byte) { c[0][3] ^= 1; return h, c },
		"no chunk":          func(h []byte, _ [][]byte) ([]byte, [][]byte) { return h, nil },
		"a chunk too many":  func(h []byte, c [][]byte) ([]byte, [][]byte) { return h, append(c, c[0]) },
		"no head":           func(_ []byte, c [][]byte) ([]byte, [][]byte) { return nil, c },
		"a head of rubbish": func(_ []byte, c [][]byte) ([]byte, [][]byte) { return []byte("{}"), c },
	} {
		var copied [][]byte
		for _, c := range chunks {
			copied = append(copied, slices.Clone(c))
		}
		h, c := change(slices.Clone(head), copied)
		if err := p.Activate(t.Context(), h, c); record.CodeOf(err) == "" || p.Version() != 0 || len(w.done) != 0 {
			t.Errorf("%s: %v, %d in force", name, err, p.Version())
		}
	}
}

// A restart resumes the policy; a file that was changed on the disk is set aside
// and reported, and nothing is in force then.
func TestPolicyOnTheDisk(t *testing.T) {
	hub, dir := signer(t), t.TempDir()
	file := filepath.Join(dir, "policy.json")
	before := &world{}
	if err := activate(t, obey.NewPolicies(dir, device, only(hub), before, before), hub, device, 5); err != nil {
		t.Fatal(err)
	}
	resume := func(keys func() []record.PublicKey) (got *record.Policy, w *world, version uint64, err error) {
		w = &world{}
		p := obey.NewPolicies(dir, device, keys, w, w)
		err = p.Resume(t.Context(), func(p *record.Policy) { got = p })
		return got, w, p.Version(), err
	}
	if got, w, version, err := resume(only(hub)); err != nil || got == nil || version != 5 || len(w.facts) != 0 {
		t.Fatalf("%v, %d in force, facts %v", err, version, w.facts)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]struct {
		bytes []byte
		keys  func() []record.PublicKey
	}{
		"changed":            {slices.Concat(good[:len(good)/2], []byte("A"), good[len(good)/2+1:]), only(hub)},
		"cut short":          {good[:len(good)/2], only(hub)},
		"empty":              {nil, only(hub)},
		"of a key taken out": {good, only(signer(t))},
	} {
		if err := os.WriteFile(file, damage.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		got, w, version, err := resume(damage.keys)
		if err == nil || got != nil || version != 0 || !slices.Equal(w.kinds(), []record.Kind{record.KindPolicyRejected}) {
			t.Errorf("%s: %v, %d in force, facts %v", name, err, version, w.facts)
		}
		if _, err := os.Stat(file + ".bad"); err != nil {
			t.Errorf("%s: not kept for people to look at: %v", name, err)
		}
		if got, w, _, err := resume(only(hub)); err != nil || got != nil || len(w.facts) != 0 {
			t.Errorf("%s: reported again: %v %v", name, err, w.facts)
		}
	}
}

// The hub shows who has not yet heard of a revocation by these facts, so an
// activation whose fact was lost is told after all.
func TestActivationIsToldEvenIfLate(t *testing.T) {
	hub, dir, w := signer(t), t.TempDir(), &world{full: errors.New("full")}
	p := obey.NewPolicies(dir, device, only(hub), w, w)
	if err := activate(t, p, hub, device, 5); err == nil || record.CodeOf(err) != "" {
		t.Fatalf("err %v", err)
	}
	if p.Version() != 5 || len(w.done) != 1 {
		t.Fatal("a policy that was kept is not in force")
	}
	w = &world{}
	p = obey.NewPolicies(dir, device, only(hub), w, w)
	if err := p.Resume(t.Context(), func(*record.Policy) {}); err != nil {
		t.Fatal(err)
	}
	if want := []fact{{record.KindPolicyActivated, record.PolicyActivated{Version: 5}}}; !reflect.DeepEqual(w.facts, want) {
		t.Fatalf("facts %+v", w.facts)
	}
}

// Nobody who asks for the version waits for the doors.
func TestVersionDoesNotWaitForTheDoors(t *testing.T) {
	hub := signer(t)
	w := &world{}
	var p *obey.Policies
	w.doors = func(decide.Input) error {
		if v := p.Version(); v != 0 { // from the doors' own goroutine: it would hang for ever
			t.Errorf("%d in force before the doors have it", v)
		}
		return nil
	}
	p = obey.NewPolicies(t.TempDir(), device, only(hub), w, w)
	if err := activate(t, p, hub, device, 5); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyThatCannotBeKept(t *testing.T) {
	hub, w := signer(t), &world{}
	p := obey.NewPolicies(filepath.Join(t.TempDir(), "gone"), device, only(hub), w, w)
	if err := activate(t, p, hub, device, 5); record.CodeOf(err) != record.CodeStoreFailed || p.Version() != 0 || len(w.done) != 0 {
		t.Fatalf("%v, %d in force", err, p.Version())
	}
}
