package door_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/door"
	"sekimori/drivers"
	"sekimori/internal/record"
)

// matcher is a reader that compares with one template when asked.
type matcher struct{ *reader }

func (m matcher) Match(slot uint16) { m.add("%s compares with %d", m.id, slot) }

// touch lays a finger on the module; slot 0 is one it does not know.
func (r *reader) touch(slot uint16) {
	f := drivers.UnknownFinger()
	if slot != 0 {
		f, _ = drivers.NewFinger(slot, 100)
	}
	r.sink.Reading(drivers.Reading{Reader: r.id, Proof: drivers.ProofBiometric, Authenticated: true, Finger: f, At: r.now()})
	synctest.Wait()
}

// withModule stands a fingerprint module beside the card reader outside D31.
// [000-7.2-L3]
func withModule(r *rig) {
	x := &reader{story: r.story, id: "D31-finger", rig: r, fail: make(chan error, 1)}
	r.readers[x.id] = x
	r.c.Doors[0].Readers = append(r.c.Doors[0].Readers,
		door.Reader{ID: "D31-finger", Direction: record.DirectionIn, Secure: true, Driver: matcher{x}})
}

func wantFingers(t *testing.T, r *rig) {
	t.Helper()
	p := policy(t)
	p.Doors[0].Second = record.SecondBiometric
	p.Credentials = append(p.Credentials, record.Credential{ID: "F31", Person: "P31", Slot: 5, State: record.CredentialActive})
	if err := r.c.Do(t.Context(), decide.PolicyIn{Policy: p}); err != nil {
		t.Fatal(err)
	}
	r.take()
}

// [AS-01] The card at one reader, the finger at another of the same side: both
// show what is going on, and the one that compares is asked to.
func TestCardAndFingerAtTwoReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir(), withModule)
		defer r.end()
		wantFingers(t, r)
		r.readers["D31-in"].present(31)
		r.want("D31-in ask", "D31-finger ask", "D31-finger compares with 5")
		r.readers["D31-finger"].touch(5)
		r.want("fact access_granted P31 card_bio", "D31"+released, "D31-in granted", "D31-finger granted")
		r.edge("D31.contact", true)
		r.want("fact entered P31 card_bio", "D31"+atRest, "D31-in idle", "D31-finger idle")
		r.edge("D31.contact", false)
		r.readers["D31-in"].present(31)
		r.take()
		r.readers["D31-finger"].touch(0)
		r.want("fact access_denied P31 card biometric_mismatch", "D31-in denied", "D31-finger denied")
		r.readers["D31-in"].present(31)
		r.take()
		r.pass(10 * time.Second)
		r.want("fact access_denied P31 card second_factor_missing", "D31-in denied", "D31-finger denied")
	})
}

// [T-22] A link that should prove itself and did not is not believed, whatever
// it says; a card that did not prove itself opens nothing.
func TestReadingsWithoutProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir(), withModule)
		defer r.end()
		wantFingers(t, r)
		module, in := r.readers["D31-finger"], r.readers["D21-in"]
		r.readers["D31-in"].present(31)
		r.take()
		f, _ := drivers.NewFinger(5, 100)
		module.sink.Reading(drivers.Reading{Reader: module.id, Proof: drivers.ProofBiometric, Finger: f, At: r.clock.Now().Mono})
		synctest.Wait()
		r.want()
		in.sink.Reading(drivers.Reading{Reader: in.id, Proof: drivers.ProofUIDOnly, Claim: card(21), At: r.clock.Now().Mono})
		synctest.Wait()
		r.want("fact access_denied P21 card proof_missing", "D21-in denied")
		in.sink.Health(drivers.Health{Reader: in.id, Online: true, Refused: true})
		in.sink.Health(drivers.Health{Reader: in.id, Online: true})
		synctest.Wait()
		if got := r.take(); !slices.Equal(got, []string{"fact reader_untrusted", "fact reader_trusted"}) {
			t.Fatalf("happened: %q", got)
		}
	})
}
