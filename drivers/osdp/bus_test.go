package osdp_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
)

func card(t testing.TB, n int, b ...byte) drivers.Card {
	t.Helper()
	c, err := drivers.NewCard(b, n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func oneReader(addr byte) osdp.Config {
	return osdp.Config{Baud: 9600, Readers: []osdp.ReaderConfig{{Reader: "D21-in", Address: addr}}}
}

func mustBus(t testing.TB, cfg osdp.Config, open line.Opener) *osdp.Bus {
	t.Helper()
	b, err := osdp.NewBus(cfg, open)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustReader(t testing.TB, b *osdp.Bus, id string) *osdp.Reader {
	t.Helper()
	r, err := b.Reader(id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// cable is a port that can be opened again: each opening is a new pair with the
// same readers on it.
type cable struct {
	baud    int
	readers []*reader
	mu      sync.Mutex
	wire    *wire
	gone    bool
	opened  int
	tamper  func(command, out []byte) []byte
}

func (c *cable) open() (line.Port, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, errors.New("no such file")
	}
	if c.wire != nil {
		c.wire.Close()
	}
	ours, theirs := line.PairAt(c.baud)
	c.wire = newWire(theirs, c.readers...)
	c.wire.setTamper(c.tamper)
	c.opened++
	return ours, nil
}

// interpose puts somebody between the readers and the controller.
func (c *cable) interpose(tamper func(command, out []byte) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tamper = tamper
	if c.wire != nil {
		c.wire.setTamper(tamper)
	}
}

// logged is every command of the present opening.
func (c *cable) logged() []onWire {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire == nil {
		return nil
	}
	return c.wire.heard()
}

// log is the bytes of the same.
func (c *cable) log() (out [][]byte) {
	for _, f := range c.logged() {
		out = append(out, f.bytes)
	}
	return out
}

func (c *cable) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire != nil {
		c.wire.Close()
		c.wire = nil
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

func TestConformance(t *testing.T) {
	for name, setup := range map[string]func(*reader, *osdp.Config){
		"crc":      func(*reader, *osdp.Config) {},
		"checksum": func(r *reader, c *osdp.Config) { r.checksum, c.Readers[0].Checksum = true, true },
		"slow":     func(r *reader, c *osdp.Config) { r.delay = 150 * time.Millisecond; c.Readers[0].NoMark = true },
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) drivertest.Rig {
				r, cfg := newReader(3), oneReader(3)
				setup(r, &cfg)
				c := &cable{baud: 9600, readers: []*reader{r}}
				return drivertest.Rig{
					ID: "D21-in", Driver: mustBus(t, cfg, c.open).Readers()[0], Device: r, Close: c.close,
					Card: card(t, 26, 0x01, 0xA0, 0x35, 0x40), Other: card(t, 26, 0x00, 0xA0, 0x35, 0x80),
				}
			})
		})
	}
}

// bubble runs a bus with these readers in virtual time; Run of each is on until
// the check returns.
func bubble(t *testing.T, cfg osdp.Config, readers []*reader, check func(t *testing.T, c *cable, recs []*drivertest.Recorder, bus *osdp.Bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cable{baud: cfg.Baud, readers: readers}
		defer c.close()
		bus := mustBus(t, cfg, c.open)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		recs := make([]*drivertest.Recorder, len(bus.Readers()))
		for i, r := range bus.Readers() {
			recs[i] = &drivertest.Recorder{}
			wg.Go(func() {
				if err := r.Run(ctx, recs[i]); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
		check(t, c, recs, bus)
	})
}

// bubbleOf is a bubble without a bus.
func bubbleOf(t *testing.T, check func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, check)
}

func until(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for ; !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("waited %v for: %s", limit, what)
		}
	}
	return time.Since(began)
}

func isOnline(r *drivertest.Recorder) func() bool { return func() bool { return r.Last().Online } }

func TestStartUpAsksInOrder(t *testing.T) {
	pd := newReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		time.Sleep(400 * time.Millisecond)
		var codes []byte
		var seqs []int
		for _, c := range pd.seen()[:6] {
			codes, seqs = append(codes, c.code), append(seqs, c.seq)
		}
		// ID, CAP, LSTAT, then the lamp in its idle colour, then polls.
		if want := []byte{0x61, 0x62, 0x64, 0x69, 0x60, 0x60}; !slices.Equal(codes, want) {
			t.Errorf("commands % X, want % X", codes, want)
		}
		if want := []int{0, 1, 2, 3, 1, 2}; !slices.Equal(seqs, want) {
			t.Errorf("sequence %v, want %v", seqs, want)
		}
		if got := mustReader(t, bus, "D21-in").About().Identity; got.Serial != 0x12345678 || got.Vendor != [3]byte{0xA0, 0xB1, 0xC2} || got.Firmware != [3]byte{2, 3, 4} {
			t.Errorf("identity %+v", got)
		}
	})
}

// A reader that answers 400 ms late must cost one retry, not its place on the
// bus, and what it reported must come once.
func TestLateAnswerIsHeardOnce(t *testing.T) {
	pd := newReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		for i := range 3 {
			pd.set(func() { pd.delay = 400 * time.Millisecond })
			pd.Present(card(t, 26, byte(i), 2, 3, 0x40))
			time.Sleep(50 * time.Millisecond)
			pd.set(func() { pd.delay = 0 })
			until(t, 2*time.Second, "the card", func() bool { return len(recs[0].Readings()) == i+1 })
			time.Sleep(time.Second)
		}
		if n := len(recs[0].Readings()); n != 3 {
			t.Errorf("%d readings of 3 cards", n)
		}
		for _, h := range recs[0].Healths()[1:] {
			if !h.Online {
				t.Errorf("a late answer took the reader offline: %s", h.Detail)
			}
		}
	})
}

func TestLostAndDamagedAnswersAreAskedAgain(t *testing.T) {
	pd := newReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		faults := []func(){
			func() { pd.deaf = 2 }, func() { pd.damage = 2 }, func() { pd.twice = 3 },
			func() { pd.busy = 5 }, func() { pd.lose = true }, func() { pd.deaf = 6 },
		}
		for i, fault := range faults {
			pd.Present(card(t, 26, byte(i), 9, 9, 0x40))
			pd.set(fault)
			until(t, 7*time.Second, "the card after fault", func() bool { return len(recs[0].Readings()) == i+1 })
			time.Sleep(2 * time.Second)
		}
		if n := len(recs[0].Readings()); n != len(faults) {
			t.Errorf("%d readings of %d cards", n, len(faults))
		}
		h := recs[0].Last()
		if !h.Online || h.Retries < 6 || h.Noise < 2 {
			t.Errorf("health after the faults: %+v", h)
		}
	})
}

func TestUnplugIsNoticedInTwoSecondsAndTheReturnUsedInOne(t *testing.T) {
	pd := newReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		pd.Plug(false)
		if took := until(t, 9*time.Second, "offline", func() bool { return !recs[0].Last().Online }); took < time.Second || took > 2*time.Second {
			t.Errorf("offline after %v, want 1 to 2 s", took)
		}
		time.Sleep(time.Minute)
		pd.Plug(true)
		pd.Present(card(t, 26, 1, 2, 3, 0))
		until(t, 1300*time.Millisecond, "usable again", func() bool { return len(recs[0].Readings()) == 1 })
	})
}

func TestAbsentReadersCostLittle(t *testing.T) {
	cfg := oneReader(0)
	for i := range byte(3) {
		cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: string(rune('a' + i)), Address: i + 1})
	}
	pd := newReader(0)
	bubble(t, cfg, []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, 2*time.Second, "online", isOnline(recs[0]))
		var took []time.Duration
		for i := range 200 {
			pd.Present(card(t, 26, byte(i), 2, 3, 0x40))
			took = append(took, until(t, time.Second, "the card", func() bool { return len(recs[0].Readings()) == i+1 }))
			time.Sleep(time.Duration(73+i*7%50) * time.Millisecond)
		}
		slices.Sort(took)
		t.Logf("card to reading at 9600 with 3 absent readers, virtual wire: p50 %v p90 %v max %v", took[100], took[180], took[199])
		// A card that comes as an absent reader is being asked waits for one
		// reply time-out, and that happens once a second at most.
		if took[180] > 100*time.Millisecond || took[199] > 290*time.Millisecond {
			t.Errorf("p90 %v, max %v with three absent readers", took[180], took[199])
		}
		probes, last := 0, time.Time{}
		for _, f := range c.logged() {
			if f.bytes[1] == 0 {
				continue
			}
			if probes++; probes > 4 && f.at.Sub(last) < 990*time.Millisecond {
				t.Errorf("two probes of absent readers within %v", f.at.Sub(last))
			}
			last = f.at
		}
		if probes < 10 {
			t.Errorf("%d probes", probes)
		}
	})
}

// All 127 addresses configured and two there: they are found, and while the
// others are looked for, cards are heard.
func TestAFullBusOfAbsentReaders(t *testing.T) {
	cfg := osdp.Config{Baud: 9600}
	for a := range byte(127) {
		cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: fmt.Sprint("r", a), Address: a})
	}
	first, last := newReader(0), newReader(126)
	bubble(t, cfg, []*reader{first, last}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, 10*time.Second, "the first reader", isOnline(recs[0]))
		for i := range 50 {
			first.Present(card(t, 26, byte(i), 2, 3, 0x40))
			if took := until(t, time.Second, "a card during the sweep", func() bool { return len(recs[0].Readings()) == i+1 }); took > 250*time.Millisecond {
				t.Errorf("a card took %v during the sweep", took)
			}
			time.Sleep(137 * time.Millisecond)
		}
		until(t, 20*time.Second, "the last reader", isOnline(recs[126]))
	})
}

func TestReadersShareTheBusFairly(t *testing.T) {
	cfg := oneReader(0)
	cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: "D21-out", Address: 1})
	a, b := newReader(0), newReader(1)
	bubble(t, cfg, []*reader{a, b}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "both online", func() bool { return recs[0].Last().Online && recs[1].Last().Online })
		for i := range 100 { // a long queue at a must not keep b waiting
			a.Present(card(t, 26, byte(i), 1, 1, 0x40))
		}
		time.Sleep(200 * time.Millisecond)
		b.Present(card(t, 26, 7, 7, 7, 0x40))
		if took := until(t, time.Second, "b's card", func() bool { return len(recs[1].Readings()) == 1 }); took > 120*time.Millisecond {
			t.Errorf("b waited %v behind a's queue", took)
		}
		until(t, 10*time.Second, "a's cards", func() bool { return len(recs[0].Readings()) == 100 })
	})
}

func TestPortDisappearsAndComesBack(t *testing.T) {
	pd := newReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		c.setGone(true)
		until(t, time.Second, "offline", func() bool { return !recs[0].Last().Online })
		time.Sleep(10 * time.Minute)
		c.setGone(false)
		pd.Present(card(t, 26, 1, 2, 3, 0))
		until(t, 2*time.Second, "the card after the return", func() bool { return len(recs[0].Readings()) == 1 })
	})
}

func TestSignalsBecomeLampAndBuzzer(t *testing.T) {
	pd := newReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		time.Sleep(time.Second)
		before := len(pd.seen())
		bus.Readers()[0].Show(drivers.SignalIdle) // replaced before it is sent
		bus.Readers()[0].Show(drivers.SignalDenied)
		time.Sleep(500 * time.Millisecond)
		var lamps, sounds [][]byte
		for _, c := range pd.seen()[before:] {
			switch c.code {
			case 0x69:
				lamps = append(lamps, c.data)
			case 0x6A:
				sounds = append(sounds, c.data)
			}
		}
		// reader 0, lamp 0, set for a while: 0.2 s red, 0.2 s black, for 1.5 s;
		// for good: steady red.
		lamp := []byte{0, 0, 2, 2, 2, 1, 0, 15, 0, 1, 1, 0, 1, 1}
		// reader 0, default tone, 1 s on, 0.1 s off, once.
		sound := []byte{0, 2, 10, 1, 1}
		if len(lamps) != 1 || !slices.Equal(lamps[0], lamp) || len(sounds) != 1 || !slices.Equal(sounds[0], sound) {
			t.Errorf("lamp % X sound % X, want one of each: % X and % X", lamps, sounds, lamp, sound)
		}
	})
}

func TestRefusedCommandsAreLeftOut(t *testing.T) {
	pd := newReader(0)
	pd.refuse = map[byte]byte{0x62: 3, 0x64: 3, 0x69: 3, 0x6A: 3}
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, time.Second, "online", isOnline(recs[0]))
		for range 3 {
			bus.Readers()[0].Show(drivers.SignalDenied)
			time.Sleep(300 * time.Millisecond)
		}
		n := map[byte]int{}
		for _, c := range pd.seen() {
			n[c.code]++
		}
		if n[0x69] != 1 || n[0x6A] != 1 || n[0x61] != 1 || !recs[0].Last().Online {
			t.Errorf("commands seen %v, online %v; want LED and BUZ once each", n, recs[0].Last().Online)
		}
	})
}

func TestReaderThatDemandsSecureChannelIsNotUsed(t *testing.T) {
	pd := newReader(0)
	pd.refuse = map[byte]byte{0x61: 6}
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		time.Sleep(5 * time.Second)
		if h := recs[0].Last(); h.Online || h.Detail != "the reader demands a secure channel" {
			t.Errorf("health %+v", h)
		}
		if n := len(pd.seen()); n > 7 {
			t.Errorf("asked %d times in 5 s, want about one a second", n)
		}
	})
}

func TestConfigFaultsAreAllNamed(t *testing.T) {
	_, err := osdp.NewBus(osdp.Config{Baud: 3, Poll: time.Hour, Readers: []osdp.ReaderConfig{{Reader: "a", Address: 127}, {Reader: "a", Address: 1}}}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"baud 3", "poll 1h", "address 127", `"a" is empty or used twice`} {
		if !contains(err, want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}
