package fingerprint_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/drivers/fingerprint"
)

// helper is a person who does what the steps of an enrolment say, with these
// fingers in turn.
func (r *rig) helper(steps *[]fingerprint.Step, fingers ...touch) func(fingerprint.Step) {
	return func(s fingerprint.Step) {
		*steps = append(*steps, s)
		switch s {
		case fingerprint.StepPlace, fingerprint.StepPlaceAgain:
			if len(fingers) > 0 {
				r.module.touch(fingers[0])
				fingers = fingers[1:]
			}
		case fingerprint.StepLift, fingerprint.StepAgain:
			r.module.lift()
			if s == fingerprint.StepAgain && len(fingers) > 0 {
				r.module.touch(fingers[0])
				fingers = fingers[1:]
			}
		}
	}
}

func held(finger int) touch { return touch{finger: finger, held: true} }

// ofAct are the instructions since the n-th that are no looks for a finger.
func (r *rig) ofAct(n int) (codes []byte) {
	for _, c := range r.module.heardAll()[n:] {
		if c.code != 0x01 {
			codes = append(codes, c.code)
		}
	}
	return codes
}

func TestEnrol(t *testing.T) {
	for name, setup := range map[string]func(*module){
		"with an index":    func(*module) {},
		"without an index": func(m *module) { m.noIndex = true },
		"a silent index":   func(m *module) { m.deaf[0x1F] = 99 },
	} {
		t.Run(name, func(t *testing.T) {
			m := bound()
			setup(m)
			bubble(t, m, settings(t), func(r *rig) {
				r.online()
				var steps []fingerprint.Step
				if err := r.reader.Enrol(r.t.Context(), 8, r.helper(&steps, held(tanakaNoYubi), held(tanakaNoYubi))); err != nil {
					t.Fatal(err)
				}
				want := []fingerprint.Step{fingerprint.StepPlace, fingerprint.StepLift, fingerprint.StepPlaceAgain, fingerprint.StepDone}
				if !slices.Equal(steps, want) || r.module.library[8] != tanakaNoYubi {
					t.Errorf("steps %v, library %v", steps, r.module.library)
				}
				// The finger still lies there: it must not open the door.
				time.Sleep(5 * time.Second)
				r.wantSlots()
				r.module.lift()
				r.module.touch(touch{finger: tanakaNoYubi})
				r.until(3*time.Second, "the new finger", func() bool { return slices.Equal(r.slots(), []int{8}) })
				slots, err := r.reader.Slots(r.t.Context())
				if err != nil || !slices.Equal(slots, []uint16{7, 8}) {
					t.Errorf("slots %v, %v", slots, err)
				}
			})
		})
	}
}

func TestEnrolAsksForAGoodTouch(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		before := r.rec.Last().Retries
		var steps []fingerprint.Step
		err := r.reader.Enrol(r.t.Context(), 8, r.helper(&steps,
			touch{finger: tanakaNoYubi, held: true, bad: 1}, held(tanakaNoYubi), held(tanakaNoYubi)))
		if err != nil || steps[1] != fingerprint.StepAgain {
			t.Errorf("steps %v, %v", steps, err)
		}
		r.until(2*time.Second, "the retry to be counted", func() bool { return r.rec.Last().Retries == before+1 })
	})
}

// Both pictures of an enrolment must be of one life of the module: its buffers
// are empty after a reset, even if the answer that would tell is lost.
func TestEnrolNoticesAResetInTheMiddle(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		var steps []fingerprint.Step
		help := r.helper(&steps, held(tanakaNoYubi), held(tanakaNoYubi))
		err := r.reader.Enrol(r.t.Context(), 8, func(s fingerprint.Step) {
			if s == fingerprint.StepPlaceAgain {
				r.module.set(func() { r.module.muteZero = true; r.module.powerUp(); r.module.deaf[0x01] = 1 })
			}
			help(s)
		})
		r.wantErr(err, fingerprint.ErrInterrupted)
	})
}

func TestEnrolFails(t *testing.T) {
	bad := touch{finger: tanakaNoYubi, held: true, bad: 9}
	for name, c := range map[string]struct {
		slot    uint16
		setup   func(*module)
		fingers []touch
		want    error
	}{
		"slot 0":             {0, nil, nil, fingerprint.ErrNoSuchSlot},
		"slot behind":        {200, nil, nil, fingerprint.ErrNoSuchSlot},
		"taken":              {7, nil, nil, fingerprint.ErrSlotTaken},
		"taken, no index":    {7, func(m *module) { m.noIndex = true }, nil, fingerprint.ErrSlotTaken},
		"taken, table 1":     {300, func(m *module) { m.capacity, m.library = 600, map[int]int{7: sugiNoYubi, 300: 5} }, nil, fingerprint.ErrSlotTaken},
		"nobody comes":       {8, nil, nil, fingerprint.ErrNobody},
		"never lifted":       {8, nil, []touch{held(tanakaNoYubi)}, fingerprint.ErrNobody},
		"two fingers":        {8, nil, []touch{held(tanakaNoYubi), held(stranger)}, fingerprint.ErrTouchesDiffer},
		"unreadable":         {8, nil, []touch{bad, bad, bad, bad, bad}, fingerprint.ErrUnreadable},
		"known finger":       {8, nil, []touch{held(sugiNoYubi)}, fingerprint.ErrAlreadyEnrolled},
		"flash":              {8, func(m *module) { m.say[0x06] = []byte{0x18} }, []touch{held(tanakaNoYubi), held(tanakaNoYubi)}, fingerprint.ErrStorage},
		"full, says Store":   {8, func(m *module) { m.say[0x06] = []byte{0x1F} }, []touch{held(tanakaNoYubi), held(tanakaNoYubi)}, fingerprint.ErrFull},
		"full, says count":   {8, func(m *module) { m.say[0x1D] = []byte{0, 0, 200} }, nil, fingerprint.ErrFull},
		"Store lies":         {8, func(m *module) { m.say[0x06] = []byte{0x00} }, []touch{held(tanakaNoYubi), held(tanakaNoYubi)}, fingerprint.ErrStorage},
		"count stays":        {8, func(m *module) { m.say[0x1D] = []byte{0, 0, 1} }, []touch{held(tanakaNoYubi), held(tanakaNoYubi)}, fingerprint.ErrStorage},
		"reset at Store":     {8, func(m *module) { m.resetAt = 0x06 }, []touch{held(tanakaNoYubi), held(tanakaNoYubi)}, fingerprint.ErrInterrupted},
		"RegModel is silent": {8, func(m *module) { m.deaf[0x05] = 1 }, []touch{held(tanakaNoYubi), held(tanakaNoYubi)}, fingerprint.ErrInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			m := bound()
			if c.setup != nil {
				c.setup(m)
			}
			bubble(t, m, settings(t), func(r *rig) {
				r.online()
				var steps []fingerprint.Step
				err := r.reader.Enrol(r.t.Context(), c.slot, func(s fingerprint.Step) {
					if name == "never lifted" && s == fingerprint.StepLift {
						return
					}
					r.helper(&steps, c.fingers...)(s)
					if s != fingerprint.StepLift && len(c.fingers) > 0 {
						c.fingers = c.fingers[1:]
					}
				})
				r.wantErr(err, c.want)
				if advice := fingerprint.Advice(err); strings.Contains(advice, "失敗しました") {
					t.Errorf("the advice about %v says nothing: %s", err, advice)
				}
				if r.module.library[8] != 0 && name != "count stays" {
					t.Errorf("a template was left: %v", r.module.library)
				}
				var known *fingerprint.AlreadyEnrolledError
				if errors.As(err, &known) && known.Slot != 7 {
					t.Errorf("the finger is said to be at slot %d", known.Slot)
				}
				// The finger that lies there is for nobody's door; then the reader goes on.
				time.Sleep(3 * time.Second)
				r.wantSlots()
				r.module.lift()
				r.module.set(func() { clear(r.module.say); r.module.queue = nil })
				time.Sleep(3 * time.Second)
				r.module.touch(touch{finger: sugiNoYubi})
				r.until(4*time.Second, "the next touch", func() bool { return slices.Equal(r.slots(), []int{7}) })
			})
		})
	}
}

// Deletion is believed only when every witness has been asked again [T-23].
func TestDeleteIsVerified(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		n := len(r.module.heardAll())
		if err := r.reader.Delete(r.t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		want := []byte{
			0x1D, 0x1F, 0x07, // how many, is it in the index, can it be loaded
			0x0C,             // delete
			0x1D, 0x1F, 0x07, // again
		}
		if got := r.ofAct(n); !slices.Equal(got, want) {
			t.Errorf("said % x, want % x", got, want)
		}
		r.module.touch(touch{finger: sugiNoYubi})
		r.until(3*time.Second, "the finger", func() bool { return slices.Equal(r.slots(), []int{0}) })
		if err := r.reader.Delete(r.t.Context(), 7); err != nil {
			t.Errorf("to delete what is not there: %v", err)
		}
		if n := r.module.seen(0x0C); n != 1 {
			t.Errorf("%d deletions", n)
		}
		r.wantErr(r.reader.Delete(r.t.Context(), 0), fingerprint.ErrNoSuchSlot)
	})
}

func TestDeletionThatWasNone(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(*module)
		want  error
	}{
		"says yes, keeps it":             {func(m *module) { m.keep = true }, fingerprint.ErrStillThere},
		"but the count tells":            {func(m *module) { m.keep, m.hides = true, hiding{index: true, load: true} }, fingerprint.ErrStillThere},
		"but the index tells":            {func(m *module) { m.keep, m.hides = true, hiding{count: true, load: true} }, fingerprint.ErrStillThere},
		"but LoadChar tells":             {func(m *module) { m.keep, m.hides = true, hiding{count: true, index: true} }, fingerprint.ErrStillThere},
		"and has no index":               {func(m *module) { m.keep, m.noIndex = true, true }, fingerprint.ErrStillThere},
		"and its LoadChar is silent":     {func(m *module) { m.keep, m.hides, m.deaf[0x07] = true, hiding{count: true, index: true}, 99 }, fingerprint.ErrInterrupted},
		"and its LoadChar says no":       {func(m *module) { m.keep, m.say[0x07] = true, []byte{0x0C} }, fingerprint.ErrStillThere},
		"and its LoadChar says nonsense": {func(m *module) { m.keep, m.say[0x07] = true, []byte{0x19} }, nil},
		"cannot":                         {func(m *module) { m.say[0x0C] = []byte{0x10} }, fingerprint.ErrStorage},
		"cannot write":                   {func(m *module) { m.say[0x0C] = []byte{0x18} }, fingerprint.ErrStorage},
		"is reset":                       {func(m *module) { m.resetAt = 0x0C }, fingerprint.ErrInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			m := bound()
			c.setup(m)
			bubble(t, m, settings(t), func(r *rig) {
				r.online()
				err := r.reader.Delete(r.t.Context(), 7)
				if err == nil {
					t.Fatal("a deletion that was none is a success")
				}
				var fault *fingerprint.ModuleError
				if c.want == nil && (!errors.As(err, &fault) || fault.Doing != "LoadChar") {
					t.Errorf("got %v, want a *ModuleError of LoadChar", err)
				}
				if c.want != nil {
					r.wantErr(err, c.want)
				}
			})
		})
	}
}

func TestWipeIsVerified(t *testing.T) {
	m := bound()
	m.library[0], m.library[199] = 5, 6
	bubble(t, m, settings(t), func(r *rig) {
		r.online()
		if n, err := r.reader.Count(r.t.Context()); n != 3 || err != nil {
			t.Errorf("count %d, %v", n, err)
		}
		if err := r.reader.Wipe(r.t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := r.reader.Count(r.t.Context()); n != 0 || err != nil {
			t.Errorf("count %d, %v", n, err)
		}
	})
	for name, setup := range map[string]func(*module){
		"keeps all":                   func(m *module) { m.keep = true },
		"keeps one, counts none":      func(m *module) { m.keep, m.say[0x1D] = true, []byte{0, 0, 0} },
		"keeps all, and has no index": func(m *module) { m.keep, m.noIndex = true, true },
	} {
		m := bound()
		setup(m)
		bubble(t, m, settings(t), func(r *rig) {
			r.online()
			if err := r.reader.Wipe(r.t.Context()); !errors.Is(err, fingerprint.ErrStillThere) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestSlots(t *testing.T) {
	for _, noIndex := range []bool{false, true} {
		m := bound()
		m.capacity, m.noIndex = 600, noIndex
		m.library = map[int]int{0: 1, 1: 2, 255: 3, 256: 4, 511: 5, 599: 6}
		bubble(t, m, settings(t), func(r *rig) {
			r.online()
			got, err := r.reader.Slots(r.t.Context())
			if want := []uint16{1, 255, 256, 511, 599}; err != nil || !slices.Equal(got, want) {
				t.Errorf("without an index %v: slots %v, want %v, %v", noIndex, got, want, err)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		var steps []fingerprint.Step
		f, err := r.reader.Verify(r.t.Context(), 7, r.helper(&steps, touch{finger: sugiNoYubi}))
		if slot, ok := f.Slot(); err != nil || !ok || slot != 7 || f.Score() != 0x58 {
			t.Errorf("verified as %v score %d, %v", slot, f.Score(), err)
		}
		_, err = r.reader.Verify(r.t.Context(), 7, r.helper(&steps, touch{finger: stranger}))
		r.wantErr(err, fingerprint.ErrDifferentFinger)
		r.module.set(func() { r.module.library[9] = tanakaNoYubi })
		_, err = r.reader.Verify(r.t.Context(), 10, r.helper(&steps, held(sugiNoYubi)))
		r.wantErr(err, fingerprint.ErrSlotEmpty)
		time.Sleep(2 * time.Second)
		r.wantSlots() // none of it was for the door
	})
}

func TestActsNeedAModule(t *testing.T) {
	c := &cable{module: bound()}
	_, err := mustReader(t, settings(t), c.open).Count(t.Context())
	if !errors.Is(err, fingerprint.ErrNotRunning) {
		t.Errorf("count without Run: %v", err)
	}
	m := bound()
	m.out = true
	bubble(t, m, settings(t), func(r *rig) {
		began := time.Now()
		r.wantErr(r.reader.Wipe(r.t.Context()), fingerprint.ErrOffline)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v to say that the module is away", took)
		}
	})
	// The module goes away in the middle.
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		err := r.reader.Enrol(r.t.Context(), 8, func(fingerprint.Step) { r.module.Plug(false) })
		r.wantErr(err, fingerprint.ErrOffline)
	})
}

func TestActIsGivenUp(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		r.wantErr(r.reader.Enrol(ctx, 8, nil), context.DeadlineExceeded)
		if took := time.Since(began); took > 3500*time.Millisecond {
			t.Errorf("an enrolment was given up after %v", took)
		}
		r.wantErr(r.reader.Wipe(ctx), context.DeadlineExceeded)
		time.Sleep(time.Second)
		r.module.touch(touch{finger: sugiNoYubi})
		r.until(3*time.Second, "the door to work on", func() bool { return slices.Equal(r.slots(), []int{7}) })
		if r.module.seen(0x0D) != 0 {
			t.Error("an act with an ended context was begun")
		}
	})
}

// One act waits for the other, and a caller who goes away while waiting is
// forgotten.
func TestActsTakeTurns(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		enrolled := make(chan error)
		var steps []fingerprint.Step
		help := r.helper(&steps, held(tanakaNoYubi), held(tanakaNoYubi))
		go func() {
			enrolled <- r.reader.Enrol(r.t.Context(), 8, func(s fingerprint.Step) {
				time.Sleep(time.Second) // a person is slow
				help(s)
			})
		}()
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(r.t.Context(), 100*time.Millisecond)
		defer cancel()
		r.wantErr(r.reader.Wipe(ctx), context.DeadlineExceeded)
		n, err := r.reader.Count(r.t.Context())
		if n != 2 || err != nil {
			t.Errorf("counted %d, %v: the enrolment was not finished first", n, err)
		}
		if err := <-enrolled; err != nil || r.module.seen(0x0D) != 0 {
			t.Errorf("enrolment %v, %d wipes", err, r.module.seen(0x0D))
		}
	})
}
