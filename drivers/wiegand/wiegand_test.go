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
	return mustReaderOf(t, config, b)
}

func mustReaderOf(t testing.TB, cfg wiegand.Config, b *bank) *wiegand.Reader {
	t.Helper()
	r, err := wiegand.New(cfg, b)
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
	runningOf(t, config, b, &drivertest.Recorder{}, check)
}

func runningOf(t *testing.T, cfg wiegand.Config, b *bank, rec *drivertest.Recorder, check func(*wiegand.Reader, *drivertest.Recorder)) {
	t.Helper()
	r := mustReaderOf(t, cfg, b)
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

// Terminals that are pulled to ground for "on" rest at 1, at the beginning and
// at the end, so that no reader beeps while its controller starts.
func TestActiveLowTerminals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		cfg := config
		cfg.LEDActiveLow, cfg.BuzzerActiveLow, cfg.TamperActiveLow, cfg.Hold, cfg.HoldActiveLow = true, true, true, "hold", true
		levels := func(when string, led, buz, hold gpio.Level) {
			t.Helper()
			synctest.Wait()
			if l, z, h := b.pins["led"].Read(), b.pins["buz"].Read(), b.pins["hold"].Read(); l != led || z != buz || h != hold {
				t.Errorf("%s: lamp %v buzzer %v hold %v, want %v %v %v", when, l, z, h, led, buz, hold)
			}
		}
		runningOf(t, cfg, b, &drivertest.Recorder{}, func(r *wiegand.Reader, rec *drivertest.Recorder) {
			time.Sleep(time.Second)
			levels("at the start", true, true, true)
			if !rec.Last().Tamper {
				t.Error("the tamper line is 0, which is open, and health does not tell")
			}
			b.set("tamper", true)
			time.Sleep(time.Second)
			if rec.Last().Tamper {
				t.Error("the tamper line is 1, which is closed, and health does not tell")
			}
			r.Show(drivers.SignalGranted)
			time.Sleep(50 * time.Millisecond)
			levels("granted", false, false, true)
		})
		levels("after Run", true, true, true)
	})
}

// A sink that is far behind makes the reader hold its cards; nothing is lost,
// and it lets go when there is room again.
func TestHoldWhileTheSinkIsFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 200*time.Microsecond)
		defer b.close()
		cfg := config
		cfg.Hold = "hold"
		runningOf(t, cfg, b, &drivertest.Recorder{Delay: time.Second}, func(_ *wiegand.Reader, rec *drivertest.Recorder) {
			const cards = 700
			for range cards {
				b.Present(card26(t, 1, 1))
			}
			if b.pins["hold"].Read() {
				t.Error("held from the start")
			}
			time.Sleep(cards * 70 * time.Millisecond)
			if !b.pins["hold"].Read() {
				t.Error("not held with more than half of the room taken")
			}
			time.Sleep(cards * time.Second)
			if n := len(rec.Readings()); n != cards || b.pins["hold"].Read() {
				t.Errorf("%d readings, held %v", n, b.pins["hold"].Read())
			}
			for range cards {
				b.Present(card26(t, 1, 1))
			}
			time.Sleep(cards * 70 * time.Millisecond)
		})
		if b.pins["hold"].Read() {
			t.Error("held after Run, when nobody listens")
		}
	})
}

func TestPauseThatEndsAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		cfg := config
		cfg.KeyGap = 10 * time.Second
		runningOf(t, cfg, b, &drivertest.Recorder{}, func(_ *wiegand.Reader, rec *drivertest.Recorder) {
			b.Press("00")
			time.Sleep(9 * time.Second)
			b.Press("42")
			time.Sleep(9 * time.Second)
			if n := len(rec.Readings()); n != 0 {
				t.Errorf("%d readings before the pause was over", n)
			}
			time.Sleep(2 * time.Second)
			if l := rec.Readings(); len(l) != 1 || l[0].Keys.Typed() != "0042" || l[0].Proof != drivers.ProofPIN {
				t.Errorf("readings %+v", l)
			}
		})
	})
	if _, err := wiegand.New(wiegand.Config{Reader: "x", D0: "d0", D1: "d1", KeyGap: time.Hour}, nil); err == nil {
		t.Error("an hour's pause was taken")
	}
}

func TestBufferedEntryIsAPIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		cfg := config
		cfg.Rules.Entries = []wiegand.Entry{wiegand.Buffered26(0, 4)}
		runningOf(t, cfg, b, &drivertest.Recorder{}, func(r *wiegand.Reader, rec *drivertest.Recorder) {
			card := card26(t, 1, 42)
			b.Present(card26(t, 0, 42))
			b.Present(card)
			b.queue <- func() { b.frame(make([]byte, 30)) }
			time.Sleep(3 * time.Second)
			l := rec.Readings()
			if len(l) != 2 || l[0].Keys.Typed() != "0042" || l[0].Proof != drivers.ProofPIN || !l[0].Card.IsZero() || l[1].Card != card {
				t.Errorf("readings %+v", l)
			}
			if c := r.Counts(); c.Frames != 2 || c.Lengths != 1 || c.Noise() != rec.Last().Noise {
				t.Errorf("counts %+v, health %+v", c, rec.Last())
			}
		})
	})
}

func TestUnknownLinesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBank(50*time.Microsecond, 2*time.Millisecond)
		defer b.close()
		for _, change := range []func(*wiegand.Config){
			func(c *wiegand.Config) { c.D1 = "d9" },
			func(c *wiegand.Config) { c.LED = "d9" },
			func(c *wiegand.Config) { c.Hold = "d9" },
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
