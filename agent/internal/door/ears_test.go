package door_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/internal/record"
)

// [000-7.2-L3] Card and the right PIN; the PIN is checked by the real verifier.
func TestPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		in, out := r.readers["D31-in"], r.readers["D31-out"]
		r.take()
		in.press("4711#") // nobody asked
		r.pass(0)
		r.want()
		in.present(31)
		r.want("D31-in ask")
		out.press("0000#") // from the other side of the door
		r.pass(0)
		r.want()
		in.press("4712#")
		r.pass(0)
		r.want("fact access_denied P31 card pin_mismatch", "D31-in denied")
		in.present(31)
		in.press("4711#")
		r.pass(0)
		r.want("D31-in ask", "fact access_granted P31 card_pin", "D31"+released, "D31-in granted")
	})
}

// Checking a PIN is slow on purpose; nobody at another door waits for it.
func TestSlowPINDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir(), func(r *rig) {
			r.c.CheckPIN = func(_ *record.PINVerifier, pin string) bool {
				if pin == "9999" {
					time.Sleep(3 * time.Second)
				}
				return true
			}
		})
		defer r.end()
		r.readers["D31-in"].present(31)
		r.readers["D31-in"].press("9999#")
		r.take()
		r.readers["D32-in"].present(21)
		r.readers["D32-in"].press("4711#")
		r.readers["D21-in"].present(21)
		r.pass(0)
		got := r.take()
		for _, door := range []string{"D32", "D21"} {
			if !slices.Contains(got, door+released) {
				t.Errorf("%s waited for the PIN at D31: %q", door, got)
			}
		}
		r.pass(3 * time.Second)
		if got := r.take(); !slices.Contains(got, "D31"+released) {
			t.Errorf("D31: %q", got)
		}
	})
}

// [T-40] A card that was presented while nobody listened releases no lock when
// the reader hands it over at last.
func TestCardsOfAnEarlierTimeAreDropped(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		after []time.Duration // since the reader came online: when cards are handed over
		want  []bool          // which of them counts
	}{
		{"at once", []time.Duration{0}, []bool{false}},
		{"nearly a second", []time.Duration{999 * ms}, []bool{false}},
		{"a second", []time.Duration{1000 * ms}, []bool{true}},
		{"presented again", []time.Duration{0, 1200 * ms}, []bool{false, true}},
		{"a long queue", []time.Duration{900 * ms, 1000 * ms, 1100 * ms, 1350 * ms, 2000 * ms}, []bool{false, false, false, false, true}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			r := start(t, t.TempDir())
			defer r.end()
			reader := r.readers["D21-in"]
			reader.online(false)
			r.pass(time.Minute)
			reader.online(true)
			r.take()
			began := time.Now()
			for n, at := range c.after {
				r.pass(at - time.Since(began))
				reader.present(21)
				if got := slices.Contains(r.take(), "D21"+released); got != c.want[n] {
					t.Errorf("card %d at %v: released %v, want %v", n, at, got, c.want[n])
				}
			}
			if !strings.Contains(r.log.String(), "dropped=1") && slices.Contains(c.want, false) {
				t.Errorf("nobody was told: %s", r.log)
			}
		})
	}
	bubble(t, "right after the start, without a word of health", func(t *testing.T) {
		r := build(t, t.TempDir())
		r.run()
		defer r.end()
		r.take()
		r.readers["D21-in"].present(21)
		r.want()
		r.pass(time.Second)
		r.readers["D21-in"].present(21)
		if got := r.take(); !slices.Contains(got, "D21"+released) {
			t.Fatalf("happened: %q", got)
		}
	})
}
