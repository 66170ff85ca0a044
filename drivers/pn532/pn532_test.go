package pn532_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/pn532"
)

// unhex is for constants: a mistyped one ends the test binary.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func mustReader(t testing.TB, cfg pn532.Config, open line.Opener) *pn532.Reader {
	t.Helper()
	r, err := pn532.New(cfg, open)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plain() pn532.Config { return pn532.Config{Reader: "C1"} }

func cardOf(t testing.TB, f drivers.Form, number []byte) drivers.Card {
	t.Helper()
	c, err := f.Of(number)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func raw(t testing.TB, number []byte) drivers.Card { return cardOf(t, drivers.Form{}, number) }

var (
	uid4  = unhex("1A2B3C4D")
	uid7  = unhex("04958CAA5C5E80")
	uid10 = unhex("04112233445566778899")
	idm   = unhex("012E4CD5A6F01122")
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Rig {
		m := newModule()
		c := &cable{module: m}
		return drivertest.Rig{
			ID: "C1", Driver: mustReader(t, plain(), c.open), Device: m, Close: c.close,
			Card: raw(t, uid7), Other: raw(t, uid4), NoKeys: true, NoTamper: true,
		}
	})
}

// bubble runs a reader in virtual time until check returns.
func bubble(t *testing.T, cfg pn532.Config, check func(t *testing.T, m *module, c *cable, rec *drivertest.Recorder, r *pn532.Reader)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newModule()
		c := &cable{module: m}
		defer c.close()
		r, rec := mustReader(t, cfg, c.open), &drivertest.Recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			if err := r.Run(ctx, rec); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		until(t, time.Second, "online", func() bool { return rec.Last().Online })
		check(t, m, c, rec, r)
	})
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

func count(rec *drivertest.Recorder, n int) func() bool {
	return func() bool { return len(rec.Readings()) == n }
}

// What the chip hears first is what libnfc says to it, byte for byte.
func TestStartUpDialogue(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, _ *cable, _ *drivertest.Recorder, r *pn532.Reader) {
		time.Sleep(60 * time.Millisecond)
		first := unhex("55 55 00 00 00 00 00 00 00 00 00 00 00 00 00 00" + // wake-up
			"00 00 FF 03 FD D4 14 01 17 00") // SAMConfiguration, normal mode
		m.mu.Lock()
		got := m.first
		m.mu.Unlock()
		if !bytes.HasPrefix(first, got) || len(got) == 0 {
			t.Errorf("the chip was woken with % X, want % X", got, first)
		}
		want := [][]byte{
			{0x14, 0x01},                   // SAMConfiguration
			{0x02},                         // GetFirmwareVersion
			{0x32, 0x05, 0xFF, 0x01, 0x00}, // RFConfiguration: MaxRetries, do not wait for a card
			{0x32, 0x01, 0x00},             // RFConfiguration: field off, any card starts anew
			{0x4A, 0x01, 0x00},             // InListPassiveTarget: one target, 106 kbit/s type A
			{0x4A, 0x01, 0x01, 0x00, 0xFF, 0xFF, 0x00, 0x00}, // FeliCa 212: any system, no request, one slot
			{0x4A, 0x01, 0x02, 0x00, 0xFF, 0xFF, 0x00, 0x00}, // FeliCa 424
		}
		if got := m.commands(); len(got) < len(want) || !slices.EqualFunc(got[:len(want)], want, bytes.Equal) {
			t.Errorf("commands % X, want % X", got, want)
		}
		if got := r.About(); got != (pn532.Firmware{IC: 0x32, Version: 1, Revision: 6, Support: 7}) || got.String() != "PN532 firmware 1.6" {
			t.Errorf("firmware %v", got)
		}
	})
}

func TestNumbersOfAllCards(t *testing.T) {
	for name, c := range map[string]*chip{
		"UID of 4 bytes":  {uid: uid4},
		"UID of 7 bytes":  {uid: uid7},
		"UID of 10 bytes": {uid: uid10},
		"IDm at 212":      {uid: idm, felica: 1},
		"IDm at 424":      {uid: idm, felica: 2},
		"IDm at both":     {uid: idm, felica: 3},
		"with commands":   {uid: uid7, app: newApplet(make([]byte, 16), uid7)},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
				m.hold(c)
				took := until(t, time.Second, "the card", count(rec, 1))
				if took > 150*time.Millisecond {
					t.Errorf("read after %v", took)
				}
				x := rec.Readings()[0]
				if x.Card != raw(t, c.uid) || x.Proof != drivers.ProofUIDOnly || !x.Claim.IsZero() {
					t.Errorf("card %s, claim %s, proof %s", x.Card.Key(), x.Claim.Key(), x.Proof)
				}
			})
		})
	}
}

func TestRestingCardIsOneReading(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, c *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		for name, card := range map[string]*chip{"plain": {uid: uid7}, "FeliCa": {uid: idm, felica: 3}, "random UID": {random: true}} {
			was := len(rec.Readings())
			m.hold(card)
			until(t, time.Second, "the card", count(rec, was+1))
			time.Sleep(time.Minute)
			for range 10 { // at the edge of the field it is missed now and then
				m.set(func() { m.cards = nil })
				time.Sleep(200 * time.Millisecond)
				m.hold(card)
				time.Sleep(300 * time.Millisecond)
			}
			m.reset()
			time.Sleep(3 * time.Second)
			c.setGone(true)
			time.Sleep(3 * time.Second)
			c.setGone(false)
			time.Sleep(3 * time.Second)
			if n := len(rec.Readings()) - was; n != 1 {
				t.Errorf("%s: a resting card was read %d times", name, n)
			}
			m.hold()
			time.Sleep(time.Second)
		}
		m.hold(&chip{uid: uid7})
		until(t, time.Second, "the card again", count(rec, 4))
	})
}

func TestNextPersonIsHeardAtOnce(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		m.hold(&chip{uid: uid7})
		until(t, time.Second, "the first", count(rec, 1))
		time.Sleep(time.Second)
		m.hold(&chip{uid: uid4})
		if took := until(t, time.Second, "the second", count(rec, 2)); took > 400*time.Millisecond {
			t.Errorf("the second card took %v", took)
		}
	})
}

// Two cards in one purse: the nearer one is read, and they do not take turns.
func TestTwoCardsInAPurse(t *testing.T) {
	bubble(t, plain(), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		a, b := &chip{uid: uid7}, &chip{uid: idm, felica: 3}
		for range 40 {
			m.hold(a, b)
			time.Sleep(170 * time.Millisecond)
			m.hold(b) // a is missed for one look
			time.Sleep(70 * time.Millisecond)
		}
		if n := len(rec.Readings()); n != 1 {
			t.Errorf("%d readings of two cards that stayed", n)
		}
	})
}

func TestSomethingElseAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newModule()
		m.ic = 0x33
		c := &cable{module: m}
		defer c.close()
		r, rec := mustReader(t, plain(), c.open), &drivertest.Recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { r.Run(ctx, rec) })
		time.Sleep(10 * time.Second)
		if h := rec.Last(); h.Online || h.Detail != "the chip is not a PN532: PN533 firmware 1.6" {
			t.Errorf("health %+v", h)
		}
		if err := r.Run(ctx, rec); err == nil {
			t.Error("a reader ran twice")
		}
	})
}

func TestFormOfTheCard(t *testing.T) {
	cfg := plain()
	cfg.Form = drivers.Form{Keep: 24, Parity: true, Reversed: true}
	bubble(t, cfg, func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		m.hold(&chip{uid: uid4})
		until(t, time.Second, "the card", count(rec, 1))
		// UID 1A2B3C4D reversed is 4D3C2B1A, of which 24 bits are 3C2B1A: 5 ones
		// in 001111000010, even with 1; 6 ones in 101100011010, odd with 1.
		// 1 0011 1100 0010 1011 0001 1010 1, left-aligned: 9E158D 40.
		if got := rec.Readings()[0].Card.Key(); got != "26:9e158d40" {
			t.Errorf("card %s", got)
		}
	})
}

func TestConfigFaultsAreAllNamed(t *testing.T) {
	_, err := pn532.New(pn532.Config{
		Form: drivers.Form{Parity: true}, Poll: time.Hour, Listen: []pn532.Technology{"rfid", pn532.FeliCa212, pn532.FeliCa212},
		Proof: pn532.Proof{KeyNumber: 14, Application: []byte{1}, System: make([]byte, 22), Demand: drivers.ProofBiometric},
	}, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"no ID", "card form", "poll 1h", `"rfid"`, `"felica212"`, "key number 14", "name of 1 bytes", "22 bytes", `"biometric"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
	if _, err := pn532.New(pn532.Config{Reader: "C1", Proof: pn532.Proof{Demand: drivers.ProofCryptographic}}, nil); err == nil {
		t.Error("proof was demanded without a key")
	}
}
