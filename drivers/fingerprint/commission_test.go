package fingerprint_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers/fingerprint"
)

// fresh is a module as it comes from its maker.
func fresh() *module {
	m := newModule()
	m.password = 0
	return m
}

// Commissioning binds a module to this host [T-23].
func TestCommission(t *testing.T) {
	for name, cfg := range map[string]fingerprint.Config{
		"from nothing":         {Reader: "D31-finger"},
		"password in settings": {Reader: "D31-finger", Password: password(t, hostPassword)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, fresh(), cfg, func(r *rig) {
				r.online()
				r.module.set(func() { r.module.library[3] = stranger }) // it brings a finger along
				n := len(r.module.heardAll())
				wiped, err := r.reader.Commission(r.t.Context(), *password(t, hostPassword))
				if err != nil || wiped != 1 {
					t.Fatalf("wiped %d, %v", wiped, err)
				}
				if len(r.module.library) != 0 || r.module.password != hostPassword {
					t.Errorf("the module has %v and password %08x", r.module.library, r.module.password)
				}
				want := []byte{0x13, 0x0F, 0x1D, 0x0D, 0x1D, 0x1F, 0x12, 0x13, 0x13}
				if got := r.ofAct(n); len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
					t.Errorf("said % x, want % x", got, want)
				}
				r.until(2*time.Second, "secure", func() bool { return r.rec.Last().Secure })
				r.module.Plug(false)
				r.until(4*time.Second, "offline", func() bool { return !r.rec.Last().Online })
				r.module.Plug(true)
				r.until(3*time.Second, "secure again", func() bool { return r.rec.Last().Secure })
			})
		})
	}
}

func TestCommissionAgain(t *testing.T) {
	bubble(t, bound(), settings(t), func(r *rig) {
		r.online()
		wiped, err := r.reader.Commission(r.t.Context(), *password(t, hostPassword))
		if err != nil || wiped != 0 || r.module.library[7] != sugiNoYubi || r.module.seen(0x12) != 0 {
			t.Errorf("a bound module: wiped %d, %v, %d passwords set", wiped, err, r.module.seen(0x12))
		}
	})
}

func TestCommissionLosesAnswers(t *testing.T) {
	for _, code := range []byte{0x13, 0x0F, 0x1D, 0x12} {
		bubble(t, fresh(), fingerprint.Config{Reader: "D31-finger"}, func(r *rig) {
			r.online()
			r.module.set(func() { r.module.deaf[code] = 2 })
			if _, err := r.reader.Commission(r.t.Context(), *password(t, hostPassword)); err != nil {
				t.Errorf("two lost answers to %#02x: %v", code, err)
			}
			r.until(2*time.Second, "secure", func() bool { return r.rec.Last().Secure })
		})
	}
}

func TestCommissionFails(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(*module)
		want  error
	}{
		"bound to another host":  {func(m *module) { m.password = 0xBADC0DE5 }, fingerprint.ErrForeign},
		"keeps the factory's":    {func(m *module) { m.keep = true }, fingerprint.ErrNotKept},
		"takes any password":     {func(m *module) { m.anyPass = true }, fingerprint.ErrNotKept},
		"keeps foreign fingers":  {func(m *module) { m.library[3], m.keep = stranger, true }, fingerprint.ErrStillThere},
		"keeps another password": {func(m *module) { m.garbles = true }, fingerprint.ErrNotKept},
		"cannot write":           {func(m *module) { m.say[0x12] = []byte{0x18} }, fingerprint.ErrStorage},
		"says nothing to SetPwd": {func(m *module) { m.deaf[0x12] = 99 }, fingerprint.ErrOffline},
	} {
		t.Run(name, func(t *testing.T) {
			m := fresh()
			c.setup(m)
			bubble(t, m, settings(t), func(r *rig) {
				r.until(3*time.Second, "an answer", func() bool { return r.rec.Last().Online })
				_, err := r.reader.Commission(r.t.Context(), *password(t, 0x11223344))
				r.wantErr(err, c.want)
				time.Sleep(10 * time.Second)
				// What failed leaves the reader with the password of its settings.
				for _, h := range r.module.heardAll()[len(r.module.heardAll())-2:] {
					if h.code == 0x13 && num(h.args) != hostPassword {
						t.Errorf("the reader goes on with password %08x", num(h.args))
					}
				}
			})
		})
	}
	var zero fingerprint.Password
	c := &cable{module: fresh()}
	if _, err := mustReader(t, settings(t), c.open).Commission(t.Context(), zero); err == nil {
		t.Error("the factory's password binds a module")
	}
}

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(*module)
		want  fingerprint.Probed
		err   error
	}{
		"as it comes": {func(*module) {}, fingerprint.Probed{Parameters: fingerprint.Parameters{
			System: 4, Capacity: 200, SecurityLevel: 3, Address: 0xFFFFFFFF, Status: 0x0004, PacketSize: 128, Baud: 57600}}, nil},
		"bound":      {func(m *module) { m.password = 1 }, fingerprint.Probed{Bound: true}, nil},
		"slow start": {func(m *module) { m.deaf[0x13] = 1 }, fingerprint.Probed{}, nil},
		"nothing":    {func(m *module) { m.out = true }, fingerprint.Probed{}, fingerprint.ErrOffline},
		"noise": {func(m *module) { m.mangle = func(_ byte, b []byte) []byte { b[len(b)-1]++; return b } },
			fingerprint.Probed{}, fingerprint.ErrOffline},
	} {
		t.Run(name, func(t *testing.T) {
			m := fresh()
			c.setup(m)
			synctest.Test(t, func(t *testing.T) {
				w := &cable{module: m}
				defer w.close()
				port, err := w.open()
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				got, err := fingerprint.Probe(t.Context(), port)
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Errorf("got %v, want %v", err, c.err)
				}
				if c.want != (fingerprint.Probed{}) && c.want.Bound != got.Bound {
					t.Errorf("got %+v, want %+v", got, c.want)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				for _, h := range m.heardAll() {
					if h.code != 0x13 && h.code != 0x0F {
						t.Errorf("a probe said %#02x", h.code)
					}
				}
			})
		})
	}
	if b := fingerprint.Bauds(); len(b) != 12 || b[0] != 57600 || slices.Max(b) != 115200 {
		t.Errorf("bauds %v", b)
	}
}
