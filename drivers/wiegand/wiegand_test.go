package wiegand_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/wiegand"
)

var config = wiegand.Config{
	Reader: "D21-in", D0: "d0", D1: "d1", Tamper: "tamper", LED: "led", Buzzer: "buz",
	Rules: wiegand.Rules{Keypad: true},
}

func mustReader(t testing.TB, b *bank) *wiegand.Reader {
	t.Helper()
	r, err := wiegand.New(config, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	for name, rhythm := range map[string][2]time.Duration{
		"fastest allowed": {20 * time.Microsecond, 200 * time.Microsecond},
		"usual":           {50 * time.Microsecond, 2 * time.Millisecond},
		"slowest allowed": {100 * time.Microsecond, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) drivertest.Rig {
				b := newBank(rhythm[0], rhythm[1])
				return drivertest.Rig{
					ID: "D21-in", Driver: mustReader(t, b), Device: b, Close: b.close,
					Card: card26(t, 0x03, 0xABCD), Other: card26(t, 0x05, 0x0001),
				}
			})
		})
	}
}

func running(t *testing.T, b *bank, check func(*wiegand.Reader, *drivertest.Recorder)) {
	t.Helper()
	r, rec := mustReader(t, b), &drivertest.Recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := r.Run(ctx, rec); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	check(r, rec)
	cancel()
	wg.Wait()
}

func TestLostEdgesRejectTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		running(t, b, func(_ *wiegand.Reader, rec *drivertest.Recorder) {
			// 37 bits of which 11 are lost could be a well-formed 26.
			bits := append(make([]byte, 11), bitsOf(card26(t, 1, 1))...)
			b.queue <- func() {
				b.frame(bits[:5]) // rejected for its length
				for _, x := range bits[:3] {
					b.pulse([]string{"d0", "d1"}[x])
				}
				b.mu.Lock()
				b.seq += 16
				b.mu.Unlock()
				b.frame(bits[11:])
			}
			time.Sleep(3 * time.Second)
			if n, h := len(rec.Readings()), rec.Last(); n != 0 || h.Noise != 2 || h.Detail != "edges were lost" {
				t.Errorf("%d readings, health %+v", n, h)
			}
			b.Present(card26(t, 1, 1))
			time.Sleep(time.Second)
			if n := len(rec.Readings()); n != 1 {
				t.Errorf("%d readings after the next card", n)
			}
		})
	})
}

// A busy machine hands the second half of a card over late: the stamps tell that
// it is one card. Half a card with nothing behind it is rejected all the same.
func TestLateEdgesAreStillOneFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		running(t, b, func(_ *wiegand.Reader, rec *drivertest.Recorder) {
			card := card26(t, 1, 1)
			bits := bitsOf(card)
			b.queue <- func() {
				for _, x := range bits[:13] {
					b.pulse([]string{"d0", "d1"}[x])
				}
				b.stall(200 * time.Millisecond)
				b.frame(bits[13:])
			}
			time.Sleep(time.Second)
			if l := rec.Readings(); len(l) != 1 || l[0].Card != card || rec.Last().Noise != 0 {
				t.Errorf("%d readings, health %+v", len(l), rec.Last())
			}
			b.queue <- func() { b.frame(bits[:13]) }
			time.Sleep(time.Second)
			b.Present(card)
			time.Sleep(time.Second)
			if n, h := len(rec.Readings()), rec.Last(); n != 2 || h.Noise != 1 {
				t.Errorf("%d readings, health %+v", n, h)
			}
		})
	})
}

func TestLostBankIsHealthAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		running(t, b, func(_ *wiegand.Reader, rec *drivertest.Recorder) {
			b.lose(b.out, errors.New("chip unplugged"))
			synctest.Wait()
			if h := rec.Last(); h.Online || h.Detail != "lines lost: chip unplugged" {
				t.Errorf("health %+v", h)
			}
			b.lose(nil, nil)
			time.Sleep(3 * time.Second)
			b.Present(card26(t, 1, 1))
			time.Sleep(time.Second)
			if n := len(rec.Readings()); n != 1 || !rec.Last().Online {
				t.Errorf("%d readings after the return, health %+v", n, rec.Last())
			}
		})
	})
}

func TestSignalsDriveLampAndBuzzer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		running(t, b, func(r *wiegand.Reader, _ *drivertest.Recorder) {
			at := func(d time.Duration, led, buz gpio.Level) {
				t.Helper()
				time.Sleep(d)
				if l, z := b.pins["led"].Read(), b.pins["buz"].Read(); l != led || z != buz {
					t.Errorf("lamp %v buzzer %v, want %v %v", l, z, led, buz)
				}
			}
			r.Show(drivers.SignalGranted)
			at(50*time.Millisecond, true, true)
			at(100*time.Millisecond, true, false)
			at(time.Minute, false, false) // nobody ended the grant: the lamp does
			r.Show(drivers.SignalDenied)
			at(500*time.Millisecond, false, true)
			at(time.Second, false, false)
			r.Show(drivers.SignalAskMore)
			at(100*time.Millisecond, true, false)
			at(250*time.Millisecond, false, false)
			r.Show(drivers.SignalGranted)
			at(200*time.Millisecond, true, false)
		})
		if b.pins["led"].Read() {
			t.Error("the lamp is green after Run")
		}
	})
}

func TestUnknownLinesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		for _, change := range []func(*wiegand.Config){
			func(c *wiegand.Config) { c.D1 = "d9" },
			func(c *wiegand.Config) { c.LED = "d9" },
		} {
			cfg := config
			change(&cfg)
			r, err := wiegand.New(cfg, b)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Run(t.Context(), &drivertest.Recorder{}); err == nil {
				t.Error("Run accepted a line that does not exist")
			}
		}
	})
}

// BenchmarkCardToReading measures from a card's last edge in the bank to its
// Reading. The silence that ends a frame is the larger part by far.
func BenchmarkCardToReading(b *testing.B) {
	bk := newBank(0, 0)
	defer bk.close()
	got := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	r := mustReader(b, bk)
	wg.Go(func() { r.Run(ctx, sinkFunc(func() { got <- struct{}{} })) })
	for watched := false; !watched; time.Sleep(time.Millisecond) {
		bk.mu.Lock()
		watched = bk.out != nil
		bk.mu.Unlock()
	}
	bits := bitsOf(card26(b, 1, 1))
	var total time.Duration
	for good := 0; good < b.N; {
		for _, x := range bits {
			for _, l := range []gpio.Level{false, true} {
				bk.set([]string{"d0", "d1"}[x], l)
				for began := time.Now(); time.Since(began) < 30*time.Microsecond; {
				}
			}
		}
		began := time.Now()
		select {
		case <-got:
			total += time.Since(began)
			good++
		case <-time.After(200 * time.Millisecond):
			// The machine stretched a pulse and the frame was rejected.
		}
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N)/1000, "ms/card")
}

type sinkFunc func()

func (f sinkFunc) Reading(drivers.Reading) { f() }
func (sinkFunc) Health(drivers.Health)     {}
