package fingerprint_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/fingerprint"
	"sekimori/drivers/line"
)

// cable is a port that can be opened again: each opening is a new pair with the
// same module on it.
type cable struct {
	module *module
	mu     sync.Mutex
	theirs line.Port
	done   chan struct{}
	gone   bool
	opened int
}

func (c *cable) open() (line.Port, error) {
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, errors.New("no such file")
	}
	ours, theirs := line.PairAt(57600)
	done := make(chan struct{})
	c.theirs, c.done = theirs, done
	c.opened++
	go func() {
		defer close(done)
		c.module.serve(theirs)
	}()
	return ours, nil
}

func (c *cable) close() {
	c.mu.Lock()
	theirs, done := c.theirs, c.done
	c.theirs = nil
	c.mu.Unlock()
	if theirs != nil {
		theirs.Close()
		<-done
	}
}

func (c *cable) setGone(gone bool) {
	c.mu.Lock()
	c.gone = gone
	c.mu.Unlock()
	if gone {
		c.close()
	}
}

const hostPassword = 0x5EC1A700

func password(t testing.TB, v uint32) *fingerprint.Password {
	t.Helper()
	p, err := fingerprint.NewPassword(v)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

func mustReader(t testing.TB, cfg fingerprint.Config, open line.Opener) *fingerprint.Reader {
	t.Helper()
	r, err := fingerprint.New(cfg, open)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finger(t testing.TB, slot uint16) drivers.Finger {
	t.Helper()
	f, err := drivers.NewFinger(slot, 0x60)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bound is a module that belongs to this host, with one finger at slot 7.
func bound() *module {
	m := newModule()
	m.password = hostPassword
	m.library[7] = sugiNoYubi
	return m
}

func settings(t testing.TB) fingerprint.Config {
	return fingerprint.Config{Reader: "D31-finger", Password: password(t, hostPassword)}
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		bound bool
		setup func(*module)
	}{
		"bound":       {true, func(*module) {}},
		"as it comes": {false, func(m *module) { m.password = 0 }},
		"slow":        {true, func(m *module) { m.delay = 100 * time.Millisecond }},
		"forgetful":   {true, func(m *module) { m.muteZero = true }},
		"plain":       {true, func(m *module) { m.noRing, m.noIndex = true, true }},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) drivertest.Rig {
				m, cfg := bound(), settings(t)
				c.setup(m)
				if !c.bound {
					cfg.Password = nil
				}
				w := &cable{module: m}
				return drivertest.Rig{
					ID: "D31-finger", Driver: mustReader(t, cfg, w.open), Device: m,
					Close:    func() { w.close(); m.noTransfer(t) },
					NoKeys:   true,
					NoTamper: true, Authenticated: c.bound,
					Finger: finger(t, 7), Stranger: drivers.UnknownFinger(),
				}
			})
		})
	}
}

// rig is a reader that runs in virtual time.
type rig struct {
	t      *testing.T
	module *module
	cable  *cable
	reader *fingerprint.Reader
	rec    *drivertest.Recorder
	stop   func() // ends Run and waits for it
}

// bubble runs cfg's reader on m until check returns.
func bubble(t *testing.T, m *module, cfg fingerprint.Config, check func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cable{module: m}
		defer m.noTransfer(t)
		defer c.close()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		r := &rig{t, m, c, mustReader(t, cfg, c.open), &drivertest.Recorder{}, func() { cancel(); wg.Wait() }}
		defer r.stop()
		wg.Go(func() {
			if err := r.reader.Run(ctx, r.rec); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		synctest.Wait()
		check(r)
	})
}

func (r *rig) until(limit time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	began := time.Now()
	for ; !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > limit {
			r.t.Fatalf("waited %v for: %s; health %+v", limit, what, r.rec.Last())
		}
	}
	return time.Since(began)
}

func (r *rig) online() {
	r.t.Helper()
	r.until(3*time.Second, "online", func() bool { return r.rec.Last().Online })
}

// slots are the slots read so far; 0 is a finger nobody enrolled.
func (r *rig) slots() (got []int) {
	for _, x := range r.rec.Readings() {
		slot, _ := x.Finger.Slot()
		got = append(got, int(slot))
	}
	return got
}

func (r *rig) wantSlots(want ...int) {
	r.t.Helper()
	if got := r.slots(); !slices.Equal(got, want) {
		r.t.Errorf("slots %v were read, want %v", got, want)
	}
}

func (r *rig) wantErr(err, want error) {
	r.t.Helper()
	if !errors.Is(err, want) {
		r.t.Errorf("got %v, want %v", err, want)
	}
}

func TestOneReadingForOneTouch(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.module.touch(touch{finger: sugiNoYubi, held: true})
		took := r.until(3*time.Second, "a reading", func() bool { return len(r.rec.Readings()) == 1 })
		if took > 300*time.Millisecond {
			t.Errorf("a touch took %v with a module that answers at once", took)
		}
		time.Sleep(20 * time.Second)
		r.wantSlots(7)
		r.module.lift()
		r.module.touch(touch{finger: stranger})
		r.until(3*time.Second, "the stranger", func() bool { return len(r.rec.Readings()) == 2 })
		time.Sleep(5 * time.Second)
		r.wantSlots(7, 0)
		x := r.rec.Readings()[0]
		if x.Proof != drivers.ProofBiometric || !x.Authenticated || x.Finger.Score() != 0x60 {
			t.Errorf("the reading is %+v", x)
		}
	})
}

// A finger that rolls is gone for a moment; it is still one touch.
func TestRollingFingerIsOneTouch(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.module.touch(held(sugiNoYubi))
		r.until(3*time.Second, "a reading", func() bool { return len(r.slots()) == 1 })
		for range 10 {
			r.module.set(func() { r.module.say[0x01], r.module.says[0x01] = []byte{0x02}, 1 })
			time.Sleep(time.Second)
		}
		r.wantSlots(7)
	})
}

// A module that is reset while its answer is lost must not search for an empty
// buffer and call the finger unknown.
func TestResetWithALostAnswer(t *testing.T) {
	for name, cfg := range map[string]fingerprint.Config{
		"bound":       settings(t),
		"as it comes": {Reader: "D31-finger"},
	} {
		for _, code := range []byte{0x01, 0x02, 0x04} {
			m := bound()
			if cfg.Password == nil {
				m.password = 0
			}
			bubble(t, m, cfg, func(r *rig) {
				r.online()
				once := true
				r.module.touch(held(sugiNoYubi))
				r.module.set(func() {
					r.module.mangle = func(c byte, b []byte) []byte {
						if c != code || !once {
							return b
						}
						once = false
						r.module.set(func() { r.module.hello = nil; r.module.powerUp() })
						return nil
					}
				})
				r.until(10*time.Second, "the finger", func() bool { return len(r.slots()) > 0 })
				r.wantSlots(7)
				for _, h := range r.rec.Healths()[1:] {
					if !h.Online || h.Secure != (cfg.Password != nil) && h.Detail != "the module was reset" {
						t.Errorf("%s, %#02x: a reset is health %+v", name, code, h)
					}
				}
			})
		}
	}
}

// A touch that was read is waited out even if the module is reset under an act.
func TestResetUnderAnActTellsNoTouchTwice(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.module.touch(held(sugiNoYubi))
		r.until(3*time.Second, "a reading", func() bool { return len(r.slots()) == 1 })
		r.module.set(func() { r.module.resetAt = 0x1D })
		_, err := r.reader.Count(r.t.Context())
		r.wantErr(err, fingerprint.ErrInterrupted)
		time.Sleep(5 * time.Second)
		r.wantSlots(7)
	})
}

// The end of Run ends the act that is being done and those that wait.
func TestRunEndsActs(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		errs := make(chan error, 3)
		go func() { errs <- r.reader.Enrol(r.t.Context(), 8, nil) }()
		time.Sleep(time.Second)
		go func() { errs <- r.reader.Wipe(r.t.Context()) }()
		go func() { errs <- r.reader.Delete(r.t.Context(), 7) }()
		time.Sleep(time.Second)
		r.stop()
		for range 3 {
			r.wantErr(<-errs, fingerprint.ErrNotRunning)
		}
		if len(r.module.library) != 1 {
			t.Errorf("library %v", r.module.library)
		}
	})
}

// A touch that cannot be read is noise and nobody's failed attempt [001-4.4(4)].
func TestUnreadableTouchIsNoAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		touch          touch
		want           []int
		noise, retries uint64
	}{
		"good at the second picture": {touch{finger: sugiNoYubi, bad: 1}, []int{7}, 0, 1},
		"good at the third":          {touch{finger: sugiNoYubi, bad: 2}, []int{7}, 0, 2},
		"never good":                 {touch{finger: sugiNoYubi, bad: 99, held: true}, nil, 1, 2},
		"lifted too soon":            {touch{finger: sugiNoYubi, bad: 1, gone: true}, nil, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, bound(), settings(t), func(r *rig) {
				r.online()
				before := r.rec.Last()
				r.module.touch(c.touch)
				time.Sleep(10 * time.Second)
				r.wantSlots(c.want...)
				h := r.rec.Last()
				if h.Noise-before.Noise != c.noise || h.Retries-before.Retries != c.retries || !h.Online {
					t.Errorf("health is %+v, want %d noise and %d retries more than %+v", h, c.noise, c.retries, before)
				}
				if c.noise > 0 && h.Detail == "" {
					t.Error("no word about why the finger was not read")
				}
				r.module.lift()
				r.module.touch(touch{finger: sugiNoYubi})
				r.until(3*time.Second, "the next touch", func() bool { return len(r.slots()) == len(c.want)+1 })
			})
		})
	}
}

func TestHealthSaysBound(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		if h := r.rec.Last(); !h.Secure || h.Refused {
			t.Errorf("health of a bound module is %+v", h)
		}
		r.module.Plug(false)
		r.until(4*time.Second, "offline", func() bool { return !r.rec.Last().Online })
		if h := r.rec.Last(); h.Secure {
			t.Errorf("health of a lost module is %+v", h)
		}
	})
	m := newModule()
	bubble(t, m, fingerprint.Config{Reader: "D31-finger"}, func(r *rig) {
		r.online()
		if h := r.rec.Last(); h.Secure || h.Refused {
			t.Errorf("health of a module with the factory's password is %+v", h)
		}
	})
}

// A wrong password is an alarm, and never a reason to try another [T-23].
func TestWrongPasswordIsRefusedAndNothingElseTried(t *testing.T) {
	for name, theirs := range map[string]uint32{"factory's": 0, "of another host": 0xBADC0DE5} {
		t.Run(name, func(t *testing.T) {
			m := bound()
			m.password = theirs
			bubble(t, m, settings(t), func(r *rig) {
				r.until(3*time.Second, "refused", func() bool { return r.rec.Last().Refused })
				r.module.touch(touch{finger: sugiNoYubi, held: true})
				time.Sleep(2 * time.Minute)
				if h := r.rec.Last(); h.Secure || h.Detail == "" {
					t.Errorf("health is %+v", h)
				}
				r.wantSlots()
				for _, c := range r.module.heardAll() {
					if c.code != 0x13 || num(c.args) != hostPassword {
						t.Fatalf("a module that refuses its password was told %#02x % x", c.code, c.args)
					}
				}
				if n := r.module.seen(0x13); n < 10 || n > 40 {
					t.Errorf("the password was offered %d times in two minutes", n)
				}
				_, err := r.reader.Count(r.t.Context())
				r.wantErr(err, fingerprint.ErrRefused)
				// The right module is put back.
				r.module.set(func() { r.module.password = hostPassword })
				r.until(6*time.Second, "secure", func() bool { return r.rec.Last().Secure })
				if r.rec.Last().Refused {
					t.Error("the right module is still refused")
				}
				r.until(3*time.Second, "the finger", func() bool { return slices.Equal(r.slots(), []int{7}) })
			})
		})
	}
}

// A module that is exchanged while nobody looks at the port is noticed.
func TestExchangedModuleIsNoticed(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		n := r.module.seen(0x01)
		r.until(time.Second, "the pause after a look", func() bool { return r.module.seen(0x01) > n })
		time.Sleep(40 * time.Millisecond)
		r.module.set(func() {
			r.module.password, r.module.library = 0, map[int]int{7: stranger}
			r.module.powerUp() // says hello
		})
		r.until(2*time.Second, "refused", func() bool { return r.rec.Last().Refused })
	})
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.module.set(func() { r.module.password = 0 }) // no hello, no silence
		r.until(31*time.Second, "refused", func() bool { return r.rec.Last().Refused })
	})
}

func TestRecoversFromReset(t *testing.T) {
	for _, code := range []byte{0x01, 0x02, 0x04} {
		bubble(t, bound(), settings(t), func(r *rig) {
			r.online()
			r.module.touch(touch{finger: sugiNoYubi, held: true})
			r.module.set(func() { r.module.resetAt = code })
			r.until(5*time.Second, "the finger in spite of a reset", func() bool { return len(r.slots()) > 0 })
			time.Sleep(3 * time.Second)
			r.wantSlots(7)
			if h := r.rec.Last(); !h.Online || !h.Secure {
				t.Errorf("after a reset at %#02x health is %+v", code, h)
			}
		})
	}
}

func TestPortComesBack(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.cable.setGone(true)
		r.until(time.Second, "offline", func() bool { return !r.rec.Last().Online })
		_, err := r.reader.Count(r.t.Context())
		r.wantErr(err, fingerprint.ErrOffline)
		time.Sleep(time.Minute)
		r.cable.setGone(false)
		took := r.until(3*time.Second, "online", func() bool { return r.rec.Last().Online })
		if took > 1500*time.Millisecond {
			t.Errorf("a port that is back was used after %v", took)
		}
		r.module.touch(touch{finger: sugiNoYubi})
		r.until(3*time.Second, "the finger", func() bool { return slices.Equal(r.slots(), []int{7}) })
	})
}

func TestSecurityLevelIsSet(t *testing.T) {
	cfg := settings(t)
	cfg.SecurityLevel = 5
	bubble(t, bound(), cfg, func(r *rig) {
		r.online()
		if r.module.level != 5 || r.reader.About().SecurityLevel != 5 || r.rec.Last().Detail != "" {
			t.Errorf("the module is at level %d, about says %+v, health %+v", r.module.level, r.reader.About(), r.rec.Last())
		}
	})
	m := bound()
	m.say[0x0E] = []byte{0x1A} // invalid register
	bubble(t, m, cfg, func(r *rig) {
		r.online()
		if r.rec.Last().Detail == "" || r.module.seen(0x0E) != 1 {
			t.Errorf("a level that cannot be set was tried %d times, health %+v", r.module.seen(0x0E), r.rec.Last())
		}
	})
}

func TestRing(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.reader.Show(drivers.SignalDenied)
		r.reader.Show(drivers.SignalGranted) // replaces it
		r.until(time.Second, "the light", func() bool { return r.module.seen(0x35) == 1 })
		r.reader.Show(drivers.SignalIdle)
		r.until(time.Second, "the light", func() bool { return r.module.seen(0x35) == 2 })
		want := [][]byte{{3, 0, 2, 0}, {3, 0, 1, 0}} // steady blue, steady red
		if !slices.EqualFunc(r.module.lights, want, slices.Equal) {
			t.Errorf("lights % x, want % x", r.module.lights, want)
		}
		r.module.Plug(false)
		r.until(4*time.Second, "offline", func() bool { return !r.rec.Last().Online })
		r.module.Plug(true)
		r.until(3*time.Second, "the light of before", func() bool { return r.module.seen(0x35) == 3 })
	})
	for name, setup := range map[string]func(*module){
		"error":   func(m *module) { m.noRing = true },
		"silence": func(m *module) { m.deaf[0x35] = 99 },
	} {
		m := bound()
		setup(m)
		bubble(t, m, settings(t), func(r *rig) {
			r.online()
			for range 5 {
				r.reader.Show(drivers.SignalIdle)
				time.Sleep(3 * time.Second)
			}
			if n := r.module.seen(0x35); n != 1 {
				t.Errorf("%s: a module without a ring was asked %d times", name, n)
			}
			for _, h := range r.rec.Healths()[1:] {
				if !h.Online {
					t.Errorf("%s: the missing ring took the module offline: %+v", name, h)
				}
			}
			r.module.touch(touch{finger: sugiNoYubi})
			r.until(3*time.Second, "the finger", func() bool { return slices.Equal(r.slots(), []int{7}) })
		})
	}
}

func TestSettings(t *testing.T) {
	var zero fingerprint.Password
	for name, cfg := range map[string]fingerprint.Config{
		"no ID":              {},
		"level 6":            {Reader: "x", SecurityLevel: 6},
		"factory's password": {Reader: "x", Password: &zero},
	} {
		if _, err := fingerprint.New(cfg, nil); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := fingerprint.NewPassword(0); err == nil {
		t.Error("a password of 0 was accepted")
	}
}

func TestRunsOnce(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		r.wantErr(r.reader.Run(r.t.Context(), r.rec), fingerprint.ErrRunning)
	})
}
