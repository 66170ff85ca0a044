package osdp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/drivers/drivertest"
	"sekimori/drivers/osdp"
)

func TestCommissionGivesANewReaderItsKey(t *testing.T) {
	for name, setup := range map[string]func(*reader, *osdp.Config){
		"settings without a key": func(_ *reader, c *osdp.Config) { c.Readers[0].Key = nil },
		"settings with the key":  func(*reader, *osdp.Config) {},
		"KEYSET's ACK in clear":  func(r *reader, _ *osdp.Config) { r.hidden.clearKeyAck = true },
		"a key of ours before": func(r *reader, c *osdp.Config) {
			r.hidden.key, r.hidden.install = otherKey[:], false
			k := otherKey
			c.Readers[0].Key = &k
		},
		"checksum":                func(r *reader, c *osdp.Config) { r.checksum, c.Readers[0].Checksum = true, true },
		"slow, deaf now and then": func(r *reader, _ *osdp.Config) { r.delay, r.deaf = 120*time.Millisecond, 3 },
		"others on the bus absent": func(_ *reader, c *osdp.Config) {
			c.Readers = append(c.Readers, osdp.ReaderConfig{Reader: "x", Address: 9})
		},
	} {
		t.Run(name, func(t *testing.T) {
			pd, cfg := factoryReader(0), secureConfig(0)
			setup(pd, &cfg)
			var log strings.Builder
			cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			bubble(t, cfg, []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
				time.Sleep(3 * time.Second)
				if n := publicOrKeySet(c.log()); n != 0 {
					t.Fatalf("%d commands with SCBK-D or KEYSET before anybody asked", n)
				}
				began := time.Now()
				if err := bus.Commission(t.Context(), "D21-in", ownKey, 10*time.Second); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 4*time.Second || pd.hidden.installs != 1 || !bytes.Equal(pd.hidden.key, ownKey[:]) {
					t.Errorf("took %v, %d keys taken", took, pd.hidden.installs)
				}
				n := publicOrKeySet(c.log())
				until(t, 2*time.Second, "secure", isSecure(recs[0]))
				pd.Present(card(t, 26, 1, 2, 3, 0))
				until(t, time.Second, "a card", func() bool { return len(recs[0].Readings()) == 1 })
				if r := recs[0].Readings()[0]; !r.Authenticated {
					t.Error("the reading is not authenticated")
				}
				pd.Plug(false)
				time.Sleep(20 * time.Second)
				pd.Plug(true)
				until(t, 3*time.Second, "secure again", isSecure(recs[0]))
				// A second time only verifies.
				if err := bus.Commission(t.Context(), "D21-in", ownKey, 10*time.Second); err != nil || pd.hidden.installs != 1 {
					t.Errorf("the second time: %v, %d keys taken", err, pd.hidden.installs)
				}
				if m := publicOrKeySet(c.log()); m != n {
					t.Errorf("%d commands with SCBK-D or KEYSET afterwards", m-n)
				}
			})
			if s := log.String(); strings.Count(s, "commissioning begins") != 2 || strings.Count(s, "commissioning done") != 2 || !strings.Contains(s, "reader=D21-in") {
				t.Errorf("the log says %q", s)
			}
		})
	}
}

func TestCommissionFailsInWords(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(*reader)
		want  error
		takes time.Duration // at most
	}{
		"holds another key":    {func(r *reader) { r.hidden.key, r.hidden.install = otherKey[:], false }, osdp.ErrOtherKey, 2 * time.Second},
		"no secure channel":    {func(r *reader) { r.hidden.install = false; r.caps = []byte{4, 1, 1, 9, 0, 0} }, osdp.ErrNoSecure, 2 * time.Second},
		"not there":            {func(r *reader) { r.out = true }, osdp.ErrOffline, 10 * time.Second},
		"forgets the key":      {func(r *reader) { r.hidden.forgetKey = true }, osdp.ErrNotKept, 2 * time.Second},
		"always busy":          {func(r *reader) { r.busy = 1 << 30 }, osdp.ErrDeadline, 10 * time.Second},
		"loses every sequence": {func(r *reader) { r.refuse[0x61] = 4 }, osdp.ErrDeadline, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			pd := factoryReader(0)
			c.setup(pd)
			bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, cb *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
				time.Sleep(3 * time.Second)
				began := time.Now()
				err := bus.Commission(t.Context(), "D21-in", ownKey, 10*time.Second)
				if !errors.Is(err, c.want) || !strings.HasPrefix(fmt.Sprint(err), "D21-in: ") {
					t.Errorf("%v, want %v", err, c.want)
				}
				if took := time.Since(began); took > c.takes+time.Second {
					t.Errorf("took %v, want at most %v", took, c.takes)
				}
				n := publicOrKeySet(cb.log())
				time.Sleep(time.Minute)
				if m := publicOrKeySet(cb.log()); m != n {
					t.Errorf("%d commands with SCBK-D or KEYSET after the end", m-n)
				}
			})
		})
	}
}

func TestCommissionEndsWhenItsCallerGoes(t *testing.T) {
	pd := factoryReader(0)
	pd.out = true
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, c *cable, _ []*drivertest.Recorder, bus *osdp.Bus) {
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := bus.Commission(ctx, "D21-in", ownKey, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Second)
		pd.set(func() { pd.out = false })
		time.Sleep(5 * time.Second)
		if n := publicOrKeySet(c.log()); n != 0 || pd.hidden.installs != 0 {
			t.Errorf("%d commands of a commissioning that nobody waits for", n)
		}
	})
}

func TestCommissionRefusesNonsense(t *testing.T) {
	pd := factoryReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, _ []*drivertest.Recorder, bus *osdp.Bus) {
		for name, c := range map[string]struct {
			reader string
			key    osdp.Key
			within time.Duration
			want   error
		}{
			"unknown reader": {"nobody", ownKey, time.Minute, osdp.ErrUnknownReader},
			"no limit":       {"D21-in", ownKey, 0, osdp.ErrWithin},
			"all day":        {"D21-in", ownKey, 24 * time.Hour, osdp.ErrWithin},
		} {
			if err := bus.Commission(t.Context(), c.reader, c.key, c.within); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := bus.Commission(t.Context(), "D21-in", osdp.Key(factoryKey), time.Minute); err == nil {
			t.Error("SCBK-D was to become a reader's own key")
		}
	})
	bus := mustBus(t, oneReader(0), nil)
	if err := bus.Commission(t.Context(), "D21-in", ownKey, time.Minute); !errors.Is(err, osdp.ErrNotRunning) {
		t.Errorf("without a running reader: %v", err)
	}
}

// Two installers at once: each gets an answer, one key is given.
func TestTwoCommissionsWaitForEachOther(t *testing.T) {
	pd := factoryReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, _ []*drivertest.Recorder, bus *osdp.Bus) {
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := bus.Commission(t.Context(), "D21-in", ownKey, 10*time.Second); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if pd.hidden.installs != 1 {
			t.Errorf("%d keys given", pd.hidden.installs)
		}
	})
}
