package osdp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
)

func biometricReader(match func(slot int) []byte) (*reader, osdp.Config) {
	pd, cfg := secureReader(0, ownKey[:]), secureConfig(0)
	pd.caps = []byte{4, 1, 1, 5, 1, 1, 9, 1, 1, 14, 1, 1}
	pd.match = match
	cfg.Readers[0].Biometric = true
	return pd, cfg
}

func TestOnlyBiometricReadersAreMatchers(t *testing.T) {
	cfg := oneReader(0)
	cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: "b", Address: 1, Biometric: true})
	bus := mustBus(t, cfg, nil)
	for i, want := range []bool{false, true} {
		if _, is := bus.Readers()[i].(drivers.Matcher); is != want {
			t.Errorf("reader %d is a matcher: %v", i, is)
		}
	}
}

func TestMatchBecomesAFinger(t *testing.T) {
	var mu sync.Mutex
	result := func(byte) []byte { return nil }
	pd, cfg := biometricReader(nil)
	pd.match = func(slot int) []byte {
		mu.Lock()
		defer mu.Unlock()
		return result(byte(slot))
	}
	bubble(t, cfg, []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, 2*time.Second, "secure", isSecure(recs[0]))
		m := bus.Readers()[0].(drivers.Matcher)
		expect := func(slot uint16, answer []byte) {
			mu.Lock()
			defer mu.Unlock()
			result = func(s byte) []byte {
				if uint16(s) != slot&0xFF {
					t.Errorf("asked for slot %d, want %d", s, slot)
				}
				return answer
			}
		}
		expect(0x0107, []byte{0, 0, 0xF0})
		m.Match(0x0107)
		until(t, time.Second, "a match", func() bool { return len(recs[0].Readings()) == 1 })
		r := recs[0].Readings()[0]
		if slot, ok := r.Finger.Slot(); !ok || slot != 0x0107 || r.Proof != drivers.ProofBiometric || !r.Authenticated || r.Finger.Score() != 0xF0 {
			t.Errorf("%+v", r)
		}
		expect(9, []byte{0, 0, 0x10}) // done, little likeness
		m.Match(9)
		until(t, time.Second, "a mismatch", func() bool { return len(recs[0].Readings()) == 2 })
		if r := recs[0].Readings()[1]; r.Finger != drivers.UnknownFinger() {
			t.Errorf("%+v", r)
		}
		expect(9, []byte{0, 1, 0}) // nobody came
		m.Match(9)
		time.Sleep(3 * time.Second)
		if n := len(recs[0].Readings()); n != 2 || recs[0].Last().Detail != "the reader could not read a finger" {
			t.Errorf("%d readings, %q", n, recs[0].Last().Detail)
		}
		// One that still waits is ended by a newer one: no result of the older may
		// be taken for the newer.
		expect(5, nil)
		m.Match(5)
		time.Sleep(300 * time.Millisecond)
		pd.set(func() { pd.scanned = []byte{0, 0, 0xFF} }) // slot 5 matches as slot 6 is asked for
		expect(6, []byte{0, 0, 0})
		m.Match(6)
		time.Sleep(time.Second)
		// and by any signal but the one that asks for more.
		expect(7, nil)
		m.Match(7)
		m.Show(drivers.SignalAskMore)
		time.Sleep(300 * time.Millisecond)
		m.Show(drivers.SignalDenied)
		time.Sleep(300 * time.Millisecond)
		pd.set(func() { pd.scanned = []byte{0, 0, 0xFF} })
		time.Sleep(time.Second)
		for _, r := range recs[0].Readings()[2:] {
			if slot, ok := r.Finger.Slot(); ok && slot != 5 {
				t.Errorf("a result of another slot was taken for slot %d", slot)
			}
		}
	})
}

func TestAbsentFunctionsAreNotAskedFor(t *testing.T) {
	pd := newReader(0)
	pd.caps = []byte{4, 0, 0, 9, 1, 1} // LED listed as absent, the others not at all
	cfg := oneReader(0)
	cfg.Readers[0].Biometric = true
	bubble(t, cfg, []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, 2*time.Second, "online", isOnline(recs[0]))
		bus.Readers()[0].Show(drivers.SignalDenied)
		bus.Readers()[0].(drivers.Matcher).Match(3)
		r := mustReader(t, bus, "D21-in")
		for _, c := range []osdp.Command{osdp.Out{}, osdp.Text{Text: "x"}, osdp.IStat{}, osdp.OStat{}, osdp.LED{}} {
			if _, err := r.Do(t.Context(), c); !errors.Is(err, osdp.ErrAbsent) {
				t.Errorf("%T: %v", c, err)
			}
		}
		if err := r.Blink(t.Context(), true); !errors.Is(err, osdp.ErrAbsent) {
			t.Errorf("Blink: %v", err)
		}
		time.Sleep(time.Second)
		for _, c := range pd.seen() {
			if !slices.Contains([]byte{0x60, 0x61, 0x62, 0x64}, c.code) {
				t.Errorf("sent %02X to a reader that has no such thing", c.code)
			}
		}
	})
}

func TestDoSendsWhatPeopleMaySend(t *testing.T) {
	pd := secureReader(0, ownKey[:])
	pd.caps = []byte{1, 1, 1, 2, 1, 1, 4, 1, 1, 5, 1, 1, 6, 1, 1, 10, 0x40, 0, 14, 1, 1}
	bubble(t, secureConfig(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, 2*time.Second, "secure", isSecure(recs[0]))
		r := mustReader(t, bus, "D21-in")
		for _, c := range []osdp.Command{osdp.KeySet{Key: ownKey}, osdp.Chlng{}, osdp.SCrypt{}, osdp.BioRead{}, osdp.BioMatch{}, osdp.ComSet{}} {
			if _, err := r.Do(t.Context(), c); !errors.Is(err, osdp.ErrNotAllowed) {
				t.Errorf("%T: %v", c, err)
			}
		}
		reply, err := r.Do(t.Context(), osdp.FileTransfer{Type: 1, Size: 3, Part: osdp.Blob("abc")})
		if _, ok := reply.(osdp.FTStat); !ok || err != nil || string(pd.file) != "abc" {
			t.Errorf("file: %v %v, %q", reply, err, pd.file)
		}
		if _, err := r.Do(t.Context(), osdp.FileTransfer{Part: make(osdp.Blob, 80)}); !errors.Is(err, osdp.ErrTooLong) {
			t.Errorf("longer than the reader takes: %v", err)
		}
		if _, err := r.Do(t.Context(), osdp.FileTransfer{Part: make(osdp.Blob, 1500)}); !errors.Is(err, osdp.ErrLength) {
			t.Errorf("longer than any frame: %v", err)
		}
		var refused *osdp.RefusedError
		if _, err := r.Do(t.Context(), osdp.Mfg{}); !errors.As(err, &refused) || refused.Reason != osdp.NakUnknown || !strings.Contains(err.Error(), "D21-in") {
			t.Errorf("%v", err)
		}
		if err := r.Blink(t.Context(), true); err != nil {
			t.Error(err)
		}
		pd.Plug(false)
		time.Sleep(5 * time.Second)
		if _, err := r.Do(t.Context(), osdp.LStat{}); !errors.Is(err, osdp.ErrOffline) {
			t.Errorf("unplugged: %v", err)
		}
	})
}

func TestSetAddressGoesOnAtTheNewOne(t *testing.T) {
	pd := newReader(5)
	cfg := oneReader(5)
	cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: "other", Address: 7})
	bubble(t, cfg, []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, 2*time.Second, "online", isOnline(recs[0]))
		r := mustReader(t, bus, "D21-in")
		if _, err := r.SetAddress(t.Context(), 7, 9600); err == nil {
			t.Error("took an address that is another reader's")
		}
		if _, err := r.SetAddress(t.Context(), 6, 9601); err == nil {
			t.Error("took a baud that is none")
		}
		com, err := r.SetAddress(t.Context(), 6, 9600)
		if err != nil || com.Address != 6 || com.Baud != 9600 {
			t.Fatalf("%+v %v", com, err)
		}
		pd.set(func() { pd.addr, pd.seq = 6, -1 })
		pd.Present(card(t, 26, 1, 2, 3, 0))
		until(t, 3*time.Second, "a card at the new address", func() bool { return len(recs[0].Readings()) == 1 })
	})
}

func TestTapShowsTheLineInWordsAndNoSecret(t *testing.T) {
	pd := factoryReader(0)
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		var mu sync.Mutex
		var lines []string
		stop := bus.Tap(func(x osdp.Trace) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, x.String()+fmt.Sprintf("%v %+v", x.Frame, x))
		})
		until(t, 2*time.Second, "online", isOnline(recs[0]))
		if err := bus.Commission(t.Context(), "D21-in", ownKey, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		until(t, 2*time.Second, "secure", isSecure(recs[0]))
		pd.Present(card(t, 26, 0xAB, 0xCD, 0xEF, 0x40))
		pd.Press("4711#")
		until(t, 2*time.Second, "card and keys", func() bool { return len(recs[0].Readings()) == 2 })
		stop()
		time.Sleep(100 * time.Millisecond)
		mu.Lock()
		n, all := len(lines), strings.Join(lines, "\n")
		mu.Unlock()
		time.Sleep(time.Second)
		if len(lines) != n {
			t.Error("told after stop")
		}
		for _, want := range []string{"ID 名乗れ", "PDID 名乗り vendor A0B1C2", "KEYSET 鍵の書込み", "CHLNG", "RAW カード 26 bits [redacted]", "KEYPAD キー 1 keys [redacted]", "🔒 POLL", "ACK 承知"} {
			if !strings.Contains(all, want) {
				t.Errorf("nothing says %q", want)
			}
		}
		for _, secret := range []string{"abcdef", "ABCDEF", "171 205", "10213243", "16 33 50", "4711", "52 55"} {
			if strings.Contains(all, secret) {
				t.Errorf("the words show %q", secret)
			}
		}
	})
}

func TestQualityTellsSilenceFromDamage(t *testing.T) {
	pd := newReader(0)
	pd.delay = 7 * time.Millisecond
	bubble(t, oneReader(0), []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, 2*time.Second, "online", isOnline(recs[0]))
		r := mustReader(t, bus, "D21-in")
		r.ResetQuality()
		time.Sleep(10 * time.Second)
		pd.set(func() { pd.deaf, pd.damage = 2, 3 })
		time.Sleep(10 * time.Second)
		q := r.Quality()
		if q.Silent != 2 || q.Damaged != 3 || q.Polls < 300 || q.PerThousand() != 5000/float64(q.Polls) {
			t.Errorf("%v", q)
		}
		// 9 bytes of ACK take 8.3 ms at 9600, after 7 ms of thought.
		if p50 := q.ReplyTime(0.5); p50 < 15*time.Millisecond || p50 > 18*time.Millisecond {
			t.Errorf("p50 %v", p50)
		}
		if p := q.ReplyTime(1); p < q.ReplyTime(0.5) {
			t.Errorf("p100 %v below p50", p)
		}
	})
}

func TestProbeFindsBaudAndAddress(t *testing.T) {
	pd := newReader(42)
	sum := newReader(3)
	sum.checksum = true
	for _, c := range []struct {
		pd   *reader
		baud int
	}{{pd, 38400}, {sum, 9600}} {
		bubbleOf(t, func(t *testing.T) {
			var wires []*wire
			open := func(baud int) line.Opener {
				return func() (line.Port, error) {
					ours, theirs := line.PairAt(baud)
					if baud == c.baud {
						wires = append(wires, newWire(theirs, c.pd))
					}
					return ours, nil
				}
			}
			var told []osdp.Found
			found, err := osdp.Probe(t.Context(), open, osdp.Bauds, nil, func(f osdp.Found) { told = append(told, f) })
			if err != nil || len(found) != 1 || len(told) != 1 || found[0].Baud != c.baud || found[0].Address != c.pd.addr || found[0].Checksum != c.pd.checksum || found[0].Identity.Serial != 0x12345678 {
				t.Errorf("found %+v, %v", found, err)
			}
			for _, w := range wires {
				w.Close()
			}
		})
	}
}

// A reader that cannot abort goes on with the old slot; what it finds then must
// not pass for the new one.
func TestResultOfAnOlderMatchIsDropped(t *testing.T) {
	pd, cfg := biometricReader(nil)
	pd.refuse[0xA2] = 3
	bubble(t, cfg, []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		until(t, 2*time.Second, "secure", isSecure(recs[0]))
		m := bus.Readers()[0].(drivers.Matcher)
		m.Match(5)
		time.Sleep(300 * time.Millisecond)
		m.Match(6)
		time.Sleep(300 * time.Millisecond)
		pd.set(func() { pd.scanned = []byte{0, 0, 0xFF} }) // finger 5, on which it still was
		time.Sleep(300 * time.Millisecond)
		if n := len(recs[0].Readings()); n != 0 {
			t.Fatalf("%d readings: %v", n, recs[0].Readings()[0].Finger)
		}
		pd.set(func() { pd.scanned = []byte{0, 0, 0xFE} }) // finger 6
		until(t, time.Second, "the newer", func() bool { return len(recs[0].Readings()) == 1 })
		if slot, _ := recs[0].Readings()[0].Finger.Slot(); slot != 6 {
			t.Errorf("slot %d", slot)
		}
		var slots []byte
		for _, c := range pd.seen() {
			if c.code == 0x74 {
				slots = append(slots, c.data[7])
			}
		}
		if !slices.Equal(slots, []byte{5, 6}) {
			t.Errorf("asked for %v", slots)
		}
	})
}
