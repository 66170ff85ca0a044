package contact_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/drivers/contact"
	"sekimori/internal/clock"
)

// heard keeps what an input reports.
type heard struct {
	mu  sync.Mutex
	all []contact.Change // guarded by mu
}

func (h *heard) tell(c contact.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, c)
}

func (h *heard) states() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []contact.State
	for _, c := range h.all {
		out = append(out, c.State)
	}
	return fmt.Sprint(out)
}

func running(t *testing.T, cfg contact.Config, check func(*bank, *heard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, h := newBank(), &heard{}
		in, err := contact.New(cfg, b)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx, h.tell) }()
		synctest.Wait()
		check(b, h)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestInput(t *testing.T) {
	running(t, contact.Config{ID: "call", Line: "a"}, func(b *bank, h *heard) {
		time.Sleep(time.Second)
		b.set("a", true)
		time.Sleep(49 * ms)
		if got := h.states(); got != "[normal]" {
			t.Errorf("after 49 ms %s", got)
		}
		time.Sleep(time.Second)
		if got := h.states(); got != "[normal active]" {
			t.Errorf("after a second %s", got)
		}
		b.set("a", false)
		time.Sleep(time.Hour)
		if got := h.states(); got != "[normal active normal]" {
			t.Errorf("after an hour %s", got)
		}
		if c := h.all[1]; c.ID != "call" || c.Was != contact.Normal || c.At <= 0 || c.At > clock.Mono()-contact.DefaultDebounce {
			t.Errorf("change %+v", c)
		}
	})
}

func TestSupervisedInputTellsCutFromShort(t *testing.T) {
	running(t, contact.Config{ID: "leak", Line: "a", Second: "b"}, func(b *bank, h *heard) {
		for _, levels := range [][2]gpio.Level{{false, true}, {true, true}, {false, false}, {true, false}, {false, true}} {
			b.set("a", levels[0])
			b.set("b", levels[1])
			time.Sleep(time.Second)
		}
		if got := h.states(); got != "[normal active cut short normal]" {
			t.Errorf("%s", got)
		}
	})
}

// The program was away while a button was pressed and let go.
func TestShortAlarmHandedOverLateIsHeard(t *testing.T) {
	running(t, contact.Config{ID: "call", Line: "a"}, func(b *bank, h *heard) {
		time.Sleep(time.Second)
		b.mu.Lock()
		b.behind = 300 * ms
		b.level["a"] = true
		b.tellLocked("a")
		b.behind = 0
		b.level["a"] = false
		b.tellLocked("a")
		b.mu.Unlock()
		time.Sleep(time.Second)
		if got := h.states(); got != "[normal active normal]" {
			t.Errorf("%s", got)
		}
	})
}

func TestLostEdgesAreReadAgain(t *testing.T) {
	running(t, contact.Config{ID: "leak", Line: "a", Second: "b"}, func(b *bank, h *heard) {
		b.set("b", true)
		time.Sleep(time.Second)
		b.miss("a", true)
		b.set("b", true) // its number shows the loss
		time.Sleep(time.Second)
		if got := h.states(); got != "[normal active]" || b.opened() != 2 {
			t.Errorf("%s after %d streams", got, b.opened())
		}
	})
}

func TestLostBankIsUnknownAndComesBack(t *testing.T) {
	running(t, contact.Config{ID: "mains", Line: "a"}, func(b *bank, h *heard) {
		time.Sleep(time.Second)
		b.lose(errors.New("chip unplugged"))
		synctest.Wait()
		if c := h.all[len(h.all)-1]; c.State != contact.Unknown || c.Why != "lines lost: chip unplugged" {
			t.Errorf("%+v", c)
		}
		b.set("a", true)
		time.Sleep(10 * time.Second)
		b.trouble(nil)
		time.Sleep(2 * time.Second)
		if got := h.states(); got != "[normal unknown active]" {
			t.Errorf("%s", got)
		}
		// A bank may say that it is lost without ending its streams.
		b.trouble(errors.New("simulator gone"))
		time.Sleep(2 * time.Second)
		if got := h.states(); got != "[normal unknown active unknown]" {
			t.Errorf("%s", got)
		}
	})
}

func TestUnknownLinesAreRefused(t *testing.T) {
	in, err := contact.New(contact.Config{ID: "x", Line: "z"}, newBank())
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Run(t.Context(), func(contact.Change) {}); err == nil {
		t.Error("Run accepted an input line that does not exist")
	}
	out, err := contact.NewOutput(contact.OutputConfig{ID: "x", Line: "z"}, newBank())
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Run(t.Context(), nil); err == nil {
		t.Error("Run accepted an output line that does not exist")
	}
}

// driving runs an output; look waits and says whether the line is on.
func driving(t *testing.T, cfg contact.OutputConfig, check func(o *contact.Output, p *pin, look func(time.Duration) bool, faults *[]error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBank()
		cfg.ID, cfg.Line = "lamp", "lamp"
		o, err := contact.NewOutput(cfg, b)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		var faults []error
		go func() { done <- o.Run(ctx, func(err error) { faults = append(faults, err) }) }()
		p := b.pins["lamp"]
		check(o, p, func(d time.Duration) bool {
			time.Sleep(d)
			synctest.Wait()
			return bool(p.Read()) != cfg.ActiveLow
		}, &faults)
		o.Set(true)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if bool(p.Read()) != cfg.ActiveLow {
			t.Error("the line is not at rest after Run")
		}
	})
}

func TestSteadyOutput(t *testing.T) {
	for _, low := range []bool{false, true} {
		driving(t, contact.OutputConfig{ActiveLow: low}, func(o *contact.Output, p *pin, look func(time.Duration) bool, _ *[]error) {
			if look(time.Second) || len(p.took) != 1 {
				t.Errorf("on at the start, or driven %d times", len(p.took))
			}
			o.Set(true)
			if !look(0) || !look(time.Hour) {
				t.Error("off after Set(true)")
			}
			o.Set(true)
			if !look(0) || len(p.took) != 2 {
				t.Errorf("set twice: driven %v", p.took)
			}
			o.Set(false)
			if look(0) {
				t.Error("on after Set(false)")
			}
		})
	}
}

func TestPulsedOutput(t *testing.T) {
	driving(t, contact.OutputConfig{On: 300 * ms, Off: 700 * ms}, func(o *contact.Output, _ *pin, look func(time.Duration) bool, _ *[]error) {
		o.Set(true)
		for range 5 {
			if !look(299*ms) || look(2*ms) || look(698*ms) {
				t.Error("out of rhythm")
			}
			o.Set(true) // said again, it keeps its rhythm
			look(1 * ms)
		}
	})
}

func TestTimedOutput(t *testing.T) {
	driving(t, contact.OutputConfig{For: 10 * time.Second}, func(o *contact.Output, _ *pin, look func(time.Duration) bool, _ *[]error) {
		o.Set(true)
		if !look(6 * time.Second) {
			t.Error("off too soon")
		}
		o.Set(true) // anew
		if !look(9*time.Second) || look(2*time.Second) || look(time.Hour) {
			t.Error("not 10 s from the last Set")
		}
		o.Set(true)
		if !look(time.Second) {
			t.Error("it cannot be set a second time")
		}
	})
	driving(t, contact.OutputConfig{On: 100 * ms, Off: 100 * ms, For: 250 * ms}, func(o *contact.Output, p *pin, look func(time.Duration) bool, _ *[]error) {
		look(0)
		o.Set(true)
		if look(time.Minute) || len(p.took) != 5 { // rest, on, off, on, off
			t.Errorf("driven %v", p.took)
		}
	})
}

func TestOutputIsTriedAgain(t *testing.T) {
	driving(t, contact.OutputConfig{}, func(o *contact.Output, p *pin, look func(time.Duration) bool, faults *[]error) {
		look(0)
		p.deafen(errors.New("bus fault"))
		o.Set(true)
		if look(5 * time.Second) {
			t.Error("on through a fault")
		}
		p.deafen(nil)
		if !look(time.Second) {
			t.Error("not tried again")
		}
		if len(*faults) != 2 || (*faults)[0] == nil || (*faults)[1] != nil {
			t.Errorf("told %v", *faults)
		}
	})
}
