package fingerprint_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sekimori/drivers/fingerprint"
)

// sometimes does f to one of n answers, at random.
func sometimes(n int, f func([]byte) []byte) func(byte, []byte) []byte {
	rng := rand.New(rand.NewPCG(7, 7))
	return func(_ byte, b []byte) []byte {
		if rng.IntN(n) == 0 {
			return f(b)
		}
		return b
	}
}

var damages = map[string]func([]byte) []byte{
	"wrong sum":     func(b []byte) []byte { b[len(b)-1]++; return b },
	"truncated":     func(b []byte) []byte { return b[:len(b)-3] },
	"head alone":    func(b []byte) []byte { return b[:5] },
	"nothing":       func([]byte) []byte { return nil },
	"too long":      func(b []byte) []byte { b[7], b[8] = 0x7F, 0xFF; return b },
	"a bit longer":  func(b []byte) []byte { b[8] += 7; return b },
	"shorter":       func(b []byte) []byte { b[8]--; return b },
	"length 0":      func(b []byte) []byte { b[7], b[8] = 0, 0; return b },
	"other address": func(b []byte) []byte { return frame(0x01020304, 7, b[9:len(b)-2]) },
	"a command":     func(b []byte) []byte { return frame(0xFFFFFFFF, 1, b[9:len(b)-2]) },
	"other shape":   func(b []byte) []byte { return frame(0xFFFFFFFF, 7, append(b[9:len(b)-2], 1, 2, 3)) },
}

// A wire that damages every fourth answer costs time and is counted; nobody's
// touch is lost, doubled or taken for another's.
func TestDamagedAnswers(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			m := bound()
			m.mangle = sometimes(4, damage)
			bubble(t, m, settings(t), func(r *rig) {
				r.until(20*time.Second, "online", func() bool { return r.rec.Last().Online })
				for range 3 {
					r.patient(sugiNoYubi)
					r.patient(stranger)
				}
				r.wantSlots(7, 0, 7, 0, 7, 0)
				if h := r.rec.Last(); h.Retries == 0 || h.Noise == 0 && name != "nothing" {
					t.Errorf("health is %+v", h)
				}
			})
		})
	}
}

// patient is a person who leaves the finger until the reader has shown that it
// was read, and for a while longer, and takes as much time before the next.
func (r *rig) patient(finger int) {
	r.t.Helper()
	n := len(r.slots())
	r.module.touch(touch{finger: finger, held: true})
	r.until(time.Minute, "a touch to be read", func() bool { return len(r.slots()) > n })
	time.Sleep(5 * time.Second)
	r.module.lift()
	time.Sleep(20 * time.Second)
}

// What comes beside the answers is noise: doubles, templates nobody asked for,
// chatter.
func TestAnswersAndMore(t *testing.T) {
	for name, more := range map[string]func([]byte) []byte{
		"twice":            func(b []byte) []byte { return append(b, b...) },
		"a template":       func(b []byte) []byte { return append(frame(0xFFFFFFFF, 2, make([]byte, 128)), b...) },
		"a template after": func(b []byte) []byte { return append(b, frame(0xFFFFFFFF, 8, make([]byte, 128))...) },
		"half before":      func(b []byte) []byte { return append(b[:len(b)/2:len(b)/2], b...) },
	} {
		t.Run(name, func(t *testing.T) {
			m := bound()
			m.mangle = sometimes(2, more)
			bubble(t, m, settings(t), func(r *rig) {
				r.online()
				for range 3 {
					r.patient(sugiNoYubi)
					r.patient(stranger)
				}
				r.wantSlots(7, 0, 7, 0, 7, 0)
				if r.rec.Last().Noise == 0 {
					t.Error("no noise was counted")
				}
			})
		})
	}
}

// A module whose answers come late, one of them after the next question, is not
// believed about that question: the protocol has no sequence numbers.
func TestLateAnswers(t *testing.T) {
	m := bound()
	m.library[8] = tanakaNoYubi
	bubble(t, m, settings(t), func(r *rig) {
		r.online()
		// The answer to DeletChar comes after its window, and is a lie: the
		// template is still there.
		r.module.set(func() {
			r.module.keep = true
			r.module.mangle = func(code byte, b []byte) []byte {
				if code == 0x0C {
					time.Sleep(4 * time.Second)
				}
				return b
			}
		})
		if err := r.reader.Delete(r.t.Context(), 7); err == nil {
			t.Error("late answers passed for a deletion")
		}
		// And of each answer to GetImage, with fingers coming.
		i := 0
		r.module.set(func() {
			r.module.mangle = func(code byte, b []byte) []byte {
				if i++; code == 0x01 && i%4 == 0 {
					time.Sleep(1200 * time.Millisecond)
				}
				return b
			}
		})
		r.until(20*time.Second, "online", func() bool { return r.rec.Last().Online })
		for range 3 {
			r.patient(sugiNoYubi)
			r.patient(stranger)
			r.patient(tanakaNoYubi)
		}
		r.wantSlots(7, 0, 8, 7, 0, 8, 7, 0, 8)
	})
}

// A module that lies about places is not believed.
func TestFoundWhereNobodyAsked(t *testing.T) {
	for name, found := range map[string][]byte{
		"page 0":        {0, 0, 0, 0, 9},
		"the 200th":     {0, 0, 200, 0, 9},
		"the last page": {0, 0xFF, 0xFF, 0, 9},
	} {
		m := bound()
		bubble(t, m, settings(t), func(r *rig) {
			r.online()
			r.module.set(func() { r.module.say[0x04], r.module.says[0x04] = found, 1 })
			r.module.touch(touch{finger: sugiNoYubi})
			time.Sleep(3 * time.Second)
			r.wantSlots()
			if r.rec.Last().Noise != 1 {
				t.Errorf("%s: health is %+v", name, r.rec.Last())
			}
		})
	}
}

// A search the module cannot make is a fault and not a stranger.
func TestFailedSearchIsNoStranger(t *testing.T) {
	for _, code := range []byte{0x18, 0x19, 0x0B, 0x01} {
		bubble(t, bound(), settings(t), func(r *rig) {
			r.online()
			r.module.set(func() { r.module.say[0x04] = []byte{code} })
			r.module.touch(touch{finger: stranger, held: true})
			time.Sleep(3 * time.Second)
			r.wantSlots()
			if r.rec.Last().Noise != 1 {
				t.Errorf("code %#02x: health is %+v", code, r.rec.Last())
			}
		})
	}
}

func TestDeafToOneCommand(t *testing.T) {
	for _, code := range []byte{0x01, 0x02, 0x04} {
		bubble(t, bound(), settings(t), func(r *rig) {
			r.online()
			r.module.set(func() { r.module.deaf[code] = 1000 })
			r.module.touch(touch{finger: sugiNoYubi, held: true})
			time.Sleep(time.Minute)
			r.wantSlots()
			h := r.rec.Last()
			if h.Online && h.Noise == 0 {
				t.Errorf("deaf to %#02x: health is %+v", code, h)
			}
			r.module.set(func() { clear(r.module.deaf) })
			r.module.lift()
			time.Sleep(5 * time.Second)
			r.module.touch(touch{finger: sugiNoYubi})
			r.until(10*time.Second, "the finger", func() bool { return slices.Equal(r.slots(), []int{7}) })
		})
	}
}

// An hour of a bad wire and a module that resets at random: every reading is of
// a finger that was there, acts end, and the reader is well again afterwards.
func TestRandomFaults(t *testing.T) {
	m := bound()
	m.library[8] = tanakaNoYubi
	rng := rand.New(rand.NewPCG(5, 1))
	kinds := []string{}
	for name := range damages {
		kinds = append(kinds, name)
	}
	slices.Sort(kinds)
	m.mangle = func(code byte, b []byte) []byte {
		switch rng.IntN(40) {
		case 0, 1:
			return damages[kinds[rng.IntN(len(kinds))]](b)
		case 2:
			return append(b, b...)
		case 3:
			time.Sleep(time.Duration(rng.IntN(2500)) * time.Millisecond)
		case 4:
			m.set(func() { m.resetAt = byte(rng.IntN(8)) })
		}
		return b
	}
	bubble(t, m, settings(t), func(r *rig) {
		fingers := map[int]int{sugiNoYubi: 7, tanakaNoYubi: 8, stranger: 0}
		read := 0
		for i := range 200 {
			f := []int{sugiNoYubi, tanakaNoYubi, stranger}[i%3]
			r.module.touch(touch{finger: f, held: true})
			time.Sleep(9 * time.Second)
			r.module.lift()
			time.Sleep(9 * time.Second)
			for _, slot := range r.slots()[read:] {
				if slot != fingers[f] {
					t.Fatalf("slot %d was read of the finger of slot %d", slot, fingers[f])
				}
			}
			read = len(r.slots())
			if i%20 == 19 {
				if _, err := r.reader.Count(r.t.Context()); err != nil && !errors.Is(err, fingerprint.ErrOffline) && !errors.Is(err, fingerprint.ErrInterrupted) &&
					!errors.Is(err, fingerprint.ErrRefused) && !errors.As(err, new(*fingerprint.ModuleError)) {
					t.Errorf("count: %v", err)
				}
			}
		}
		if read < 150 {
			t.Errorf("%d of 200 touches were read", read)
		}
		t.Logf("%d of 200 touches were read; %+v", read, r.rec.Last())
		r.module.set(func() { r.module.mangle = nil; r.module.resetAt = 0 })
		time.Sleep(10 * time.Second)
		r.module.touch(touch{finger: tanakaNoYubi})
		r.until(5*time.Second, "a touch when all is well", func() bool { return len(r.slots()) == read+1 })
	})
}
