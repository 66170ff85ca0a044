package pn532_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/pn532"
)

const siteKey = "00112233445566778899AABBCCDDEEFF"

func proving(t testing.TB, demand drivers.Proof) pn532.Config {
	t.Helper()
	key, err := pn532.ParseSiteKey(siteKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := plain()
	cfg.Proof = pn532.Proof{Key: key, Demand: demand}
	return cfg
}

// replaying is a clone with a recording of a talk the true card had.
func replaying(uid []byte) *chip {
	tape := [][]byte{{0x90, 0x00},
		append(unhex("A04C124213C186F22399D33AC2A30215"), 0x91, 0xAF),
		append(unhex("3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F08120663"), 0x91, 0x00),
		append(unhex("70756055688505B52A5E26E59E329CD6595F672298EA41B7"), 0x91, 0x00)}
	return &chip{uid: uid, app: &applet{tape: tape}}
}

func saying(uid []byte, answers ...string) *chip {
	c := &chip{uid: uid, app: &applet{}}
	for _, a := range answers {
		c.app.tape = append(c.app.tape, unhex(a))
	}
	return c
}

// relabelled is a card of ours that says another card's number.
func relabelled(says, holds []byte) *chip {
	c := issued(siteKey, holds)
	c.uid = says
	return c
}

// keyOfAnother is a card that holds the key that belongs to the number it says,
// and says another one under the session.
func twoNumbers(says, holds []byte) *chip {
	c := issued(siteKey, says)
	c.app.uid = holds
	return c
}

// At a reader that demands proof a card that does not give it is a claim, which
// no door takes for an entry; elsewhere it is what it is, a number [T-22].
func TestOnlyProofIsACard(t *testing.T) {
	other := unhex("04AABBCCDDEE80")
	for name, c := range map[string]struct {
		card   *chip
		proven bool
	}{
		"issued card":              {issued(siteKey, uid7), true},
		"other site's key":         {issued("FF112233445566778899AABBCCDDEEFF", uid7), false},
		"factory key":              {&chip{uid: uid7, app: newApplet(make([]byte, 16), uid7)}, false},
		"site key itself":          {&chip{uid: uid7, app: newApplet(unhex(siteKey), uid7)}, false},
		"relabelled":               {relabelled(uid7, other), false},
		"says two numbers":         {twoNumbers(uid7, other), false},
		"replayed talk":            {replaying(uid7), false},
		"takes no commands":        {&chip{uid: uid7}, false},
		"FeliCa":                   {&chip{uid: idm, felica: 3}, false},
		"makes up its number":      {&chip{random: true, app: newApplet(unhex(siteKey), uid7)}, false},
		"no such application":      {saying(uid7, "6A82"), false},
		"empty answers":            {saying(uid7, "", "", "", ""), false},
		"one byte":                 {saying(uid7, "90"), false},
		"success without a proof":  {saying(uid7, "9000", "9100", "9100", "9100"), false},
		"short challenge":          {saying(uid7, "9000", "A04C124213C186F22399D33AC2A302 91AF"), false},
		"long answer":              {saying(uid7, "9000", strings.Repeat("5A", 200)+"91AF"), false},
		"authentication forbidden": {saying(uid7, "9000", "91AE"), false},
	} {
		for _, demand := range []drivers.Proof{drivers.ProofCryptographic, drivers.ProofUIDOnly, ""} {
			t.Run(fmt.Sprintf("%s, demand %q", name, demand), func(t *testing.T) {
				bubble(t, proving(t, demand), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
					m.hold(c.card)
					until(t, 2*time.Second, "the reading", count(rec, 1))
					time.Sleep(5 * time.Second)
					m.hold()
					time.Sleep(2 * time.Second)
					if n := len(rec.Readings()); n != 1 {
						t.Fatalf("%d readings of one presentation", n)
					}
					judge(t, rec.Readings()[0], c.proven, demand)
				})
			})
		}
	}
}

func judge(t *testing.T, x drivers.Reading, proven bool, demand drivers.Proof) {
	t.Helper()
	want := drivers.ProofUIDOnly
	if proven {
		want = drivers.ProofCryptographic
	}
	claimed := !proven && demand == drivers.ProofCryptographic
	if x.Proof != want || x.Card.IsZero() != claimed || x.Claim.IsZero() == claimed || x.Authenticated {
		t.Errorf("card %v, claim %v, proof %s; want proof %s, claimed %v", x.Card, x.Claim, x.Proof, want, claimed)
	}
}

func TestCardThatMakesUpItsNumber(t *testing.T) {
	cfg := proving(t, drivers.ProofCryptographic)
	cfg.Proof.Undiversified = true
	bubble(t, cfg, func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		m.hold(&chip{random: true, app: newApplet(unhex(siteKey), uid7)})
		until(t, time.Second, "the card", count(rec, 1))
		time.Sleep(time.Minute)
		if x := rec.Readings(); len(x) != 1 || x[0].Card != raw(t, uid7) || x[0].Proof != drivers.ProofCryptographic {
			t.Errorf("%d readings, want one of the true number", len(x))
		}
	})
}

func TestSystemIdentifierAndApplication(t *testing.T) {
	cfg := proving(t, drivers.ProofCryptographic)
	cfg.Proof.System = unhex("3042F5 4E585020416275")
	cfg.Proof.Application = unhex("A00000039656434103F58842")
	cfg.Proof.KeyNumber = 3
	bubble(t, cfg, func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		c := issued(siteKey, uid7, cfg.Proof.System...)
		c.app.name = cfg.Proof.Application
		m.hold(c)
		until(t, time.Second, "the card", count(rec, 1))
		if x := rec.Readings()[0]; x.Proof != drivers.ProofCryptographic {
			t.Errorf("proof %s", x.Proof)
		}
		first := []byte{0x40, 0x01, 0x90, 0x71, 0x00, 0x00, 0x02, 0x03, 0x00, 0x00} // InDataExchange, target 1, AuthenticateEV2First, key 3
		found := false
		for _, c := range m.commands() {
			found = found || bytes.Equal(c, first)
		}
		if !found {
			t.Error("key 3 was not asked for")
		}
	})
}

// A card torn away in the middle of its proof, at each of the four commands,
// and put back is read once and proved; one that stays away, or is torn away
// again and again, is refused once.
func TestTornAway(t *testing.T) {
	for step := 1; step <= 4; step++ {
		t.Run(fmt.Sprint("command ", step), func(t *testing.T) {
			bubble(t, proving(t, drivers.ProofCryptographic), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
				c := issued(siteKey, uid7)
				c.app.tear = step
				m.hold(c)
				until(t, time.Second, "the torn command", func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return c.app.step >= step
				})
				m.set(func() { c.app.tear = 0 })
				until(t, 2*time.Second, "the card", count(rec, 1))
				time.Sleep(2 * time.Second)
				if x := rec.Readings(); len(x) != 1 || x[0].Proof != drivers.ProofCryptographic {
					t.Errorf("put back: %d readings, proof %s", len(x), x[0].Proof)
				}
				m.hold()
				time.Sleep(2 * time.Second)
				m.set(func() { c.app.tear = step })
				m.hold(c)
				until(t, 5*time.Second, "the refusal", count(rec, 2))
				time.Sleep(2 * time.Second)
				if x := rec.Readings(); len(x) != 2 || x[1].Claim != raw(t, uid7) {
					t.Errorf("torn for good: %d readings", len(x))
				}
			})
		})
	}
}

// An answer that is damaged on the line is asked for again with a NACK: a card
// must not hear a command twice, or its proof would have to begin anew.
func TestDamagedProofIsHeardAgain(t *testing.T) {
	bubble(t, proving(t, drivers.ProofCryptographic), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		for i := range 4 {
			c := issued(siteKey, append([]byte{4, byte(i)}, uid7[2:]...))
			m.set(func() { m.seen, m.garble = nil, 2 })
			m.hold(c)
			until(t, time.Second, "the card", count(rec, i+1))
			n := 0
			for _, command := range m.commands() {
				if command[0] == 0x40 {
					n++
				}
			}
			if x := rec.Readings()[i]; x.Proof != drivers.ProofCryptographic || n != 4 {
				t.Errorf("proof %s after %d commands to the card, want 4", x.Proof, n)
			}
			m.hold()
			time.Sleep(time.Second)
		}
	})
}

func TestTakenAwayBeforeTheProof(t *testing.T) {
	bubble(t, proving(t, drivers.ProofCryptographic), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		c := issued(siteKey, uid7)
		c.app.tear = 2
		m.hold(c)
		until(t, time.Second, "the torn command", func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return c.app.step >= 2
		})
		m.hold()
		until(t, 2*time.Second, "the refusal", count(rec, 1))
		time.Sleep(2 * time.Second)
		if x := rec.Readings(); len(x) != 1 || x[0].Claim != raw(t, uid7) || !x[0].Card.IsZero() {
			t.Errorf("%d readings, want one claim", len(x))
		}
	})
}

// A module that is lost in the middle of a proof must not tell the card when it
// is back: by then nobody stands there.
func TestModuleLostInTheMiddleOfAProof(t *testing.T) {
	for _, demand := range []drivers.Proof{drivers.ProofCryptographic, drivers.ProofUIDOnly} {
		bubble(t, proving(t, demand), func(t *testing.T, m *module, _ *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
			c := issued(siteKey, uid7)
			c.app.tear = 3
			m.hold(c)
			until(t, time.Second, "the torn command", func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return c.app.step >= 3
			})
			m.Plug(false)
			until(t, 5*time.Second, "offline", func() bool { return !rec.Last().Online })
			m.hold()
			time.Sleep(5 * time.Minute)
			m.Plug(true)
			time.Sleep(10 * time.Second)
			if n := len(rec.Readings()); n != 0 {
				t.Errorf("%d readings of a card that went away long ago", n)
			}
		})
	}
}

func TestKeyAndClaimDoNotLeak(t *testing.T) {
	cfg := proving(t, drivers.ProofCryptographic)
	link := pn532.NewLink(cfg)
	claim := drivers.Reading{Reader: "C1", Claim: raw(t, uid7), Proof: drivers.ProofUIDOnly}
	for _, v := range []any{cfg, &cfg, link, claim, []drivers.Reading{claim}} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		enc, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		texts := []string{log.String(), string(enc)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		for _, text := range texts {
			for _, secret := range []string{"00112233", "17 34 51", "0x11, 0x22", "04958caa", "4 149 140", "0x95, 0x8c"} {
				if strings.Contains(strings.ToLower(text), secret) {
					t.Errorf("%.200s shows %s", text, secret)
				}
			}
		}
	}
}
