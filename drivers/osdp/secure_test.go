package osdp_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/osdp"
)

var (
	ownKey   = osdp.Key{0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xA9, 0xBA, 0xCB, 0xDC, 0xED, 0xFE, 0x0F}
	otherKey = osdp.Key{0xE0, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xA9, 0xBA, 0xCB, 0xDC, 0xED, 0xFE, 0x0F}
)

func secureConfig(addr byte) osdp.Config {
	cfg := oneReader(addr)
	key := ownKey
	cfg.Readers[0].Key = &key
	return cfg
}

func isSecure(r *drivertest.Recorder) func() bool {
	return func() bool { h := r.Last(); return h.Online && h.Secure && !h.Refused }
}

// publicOrKeySet is the commands on the wire that only commissioning may send:
// a handshake with SCBK-D, or KEYSET.
func publicOrKeySet(log [][]byte) (found int) {
	for _, f := range log {
		code := f[5]
		if f[4]&8 != 0 {
			if f[6] <= 0x14 && f[5] == 3 && f[7] == 0 {
				found++
			}
			code = f[5+f[5]]
		}
		if code == 0x75 {
			found++
		}
	}
	return found
}

// clearPolls is the commands without a security block but ID, by which a
// conversation begins.
func clearPolls(log [][]byte) (found int) {
	for _, f := range log {
		if f[4]&8 == 0 && f[5] != 0x61 {
			found++
		}
	}
	return found
}

func TestConformanceUnderTheSecureChannel(t *testing.T) {
	for name, setup := range map[string]func(*reader, *osdp.Config){
		"crc":      func(*reader, *osdp.Config) {},
		"checksum": func(r *reader, c *osdp.Config) { r.checksum, c.Readers[0].Checksum = true, true },
		"slow":     func(r *reader, c *osdp.Config) { r.delay = 100 * time.Millisecond; c.Readers[0].NoMark = true },
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) drivertest.Rig {
				r, cfg := secureReader(3, ownKey[:]), secureConfig(3)
				setup(r, &cfg)
				c := &cable{baud: 9600, readers: []*reader{r}}
				return drivertest.Rig{
					ID: "D21-in", Driver: mustBus(t, cfg, c.open).Readers()[0], Device: r, Close: c.close, Authenticated: true,
					Card: card(t, 26, 0x01, 0xA0, 0x35, 0x40), Other: card(t, 26, 0x00, 0xA0, 0x35, 0x80),
				}
			})
		})
	}
}

func TestSecureStartUpAsksNothingOfWorthInClear(t *testing.T) {
	pd := secureReader(0, ownKey[:])
	bubble(t, secureConfig(0), []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, bus *osdp.Bus) {
		took := until(t, time.Second, "secure", isSecure(recs[0]))
		if took > 700*time.Millisecond {
			t.Errorf("secure after %v", took)
		}
		time.Sleep(400 * time.Millisecond)
		var codes []byte
		for _, c := range pd.seen()[:7] {
			codes = append(codes, c.code)
		}
		// ID in clear, the handshake, and under it CAP, LSTAT, the lamp, polls.
		if want := []byte{0x61, 0x76, 0x77, 0x62, 0x64, 0x69, 0x60}; !slices.Equal(codes, want) {
			t.Errorf("commands % X, want % X", codes, want)
		}
		if log := c.log(); publicOrKeySet(log) != 0 || clearPolls(log) != 0 {
			t.Errorf("%d forbidden, %d clear commands", publicOrKeySet(log), clearPolls(log))
		}
	})
}

// What goes wrong at the other end must end in an alarm or in the same
// handshake again, and in nothing else: no reading that was not authentic, no
// clear poll, no SCBK-D, no key.
func TestHostileReadersGetNothing(t *testing.T) {
	forge := card(t, 26, 0xFF, 0xFF, 0xFF, 0xC0)
	raw := append([]byte{0, 0, 26, 0}, forge.Bits()...)
	replayed := func() func([]byte, []byte) []byte {
		var seen [][]byte
		return func(_, out []byte) []byte {
			seen = append(seen, out)
			if len(seen) > 40 && len(seen)%3 == 1 {
				return seen[len(seen)-4] // right number, right form, three commands old
			}
			return out
		}
	}
	for name, c := range map[string]struct {
		key     []byte
		install bool
		tamper  func(pd *reader) func(command, out []byte) []byte
		refused bool // an alarm is due
		up      bool // the channel stands again at the end
	}{
		"another key":                {otherKey[:], true, nil, true, false},
		"factory state":              {nil, true, nil, true, false},
		"factory key as own":         {factoryKey, true, nil, true, false},
		"no secure channel":          {nil, false, nil, true, false},
		"answers CCRYPT for SCBK-D":  {ownKey[:], true, rewrite(0x12, func(f []byte) { f[7] = 0 }), true, false},
		"one bit of the proof wrong": {ownKey[:], false, rewrite(0x12, func(f []byte) { f[30] ^= 4 }), true, false},
		"RMAC_I wrong":               {ownKey[:], false, rewrite(0x14, func(f []byte) { f[20] ^= 1 }), true, false},
		"wrong MAC once":             {ownKey[:], false, after(200, 1, func(pd *reader, _ []byte) []byte { return nil }, func(pd *reader) { pd.hidden.wrongMAC = 1 }), true, true},
		"clear card in a session": {ownKey[:], false, after(60, 1, func(pd *reader, f []byte) []byte {
			return pd.frame(int(f[4]&3), answer{0x50, raw})
		}, nil), true, true},
		"card with a made-up MAC": {ownKey[:], false, after(60, 1, func(pd *reader, f []byte) []byte {
			return pd.checked(append(pd.body(int(f[4]&3), []byte{2, 0x16}, answer{0x50, raw}, 4), 1, 2, 3, 4))
		}, nil), true, true},
		"MAC too short": {ownKey[:], false, after(60, 1, func(pd *reader, f []byte) []byte {
			return pd.checked(append(pd.body(int(f[4]&3), []byte{2, 0x16}, answer{0x40, nil}, 2), 1, 2))
		}, nil), true, true},
		"wants clear text after the session": {ownKey[:], false, after(60, 1, func(pd *reader, f []byte) []byte {
			return pd.frame(int(f[4]&3), answer{0x41, []byte{5}})
		}, nil), false, true},
		"storm of NAK 4": {ownKey[:], false, after(60, 1000, func(pd *reader, f []byte) []byte {
			return pd.frame(int(f[4]&3), answer{0x41, []byte{4}})
		}, nil), false, false},
		"storm of NAK 6": {ownKey[:], false, after(60, 1000, func(pd *reader, f []byte) []byte {
			return pd.frame(int(f[4]&3), answer{0x41, []byte{6}})
		}, nil), true, false}, // also to the handshake
		"BUSY for ever": {ownKey[:], false, after(60, 100000, func(pd *reader, f []byte) []byte {
			return pd.frame(0, answer{0x79, nil})
		}, nil), false, false},
		"cut in the middle": {ownKey[:], false, after(60, 3, func(pd *reader, f []byte) []byte { return []byte{0x53, 0x80, 14, 0, 0x0D, 2} }, nil), false, true},
		"lies about its length": {ownKey[:], false, after(60, 3, func(pd *reader, f []byte) []byte {
			return []byte{0x53, 0x80, 0xA0, 5, 0x0D, 2, 0x16, 0x40, 1, 2, 3, 4, 5, 6}
		}, nil), false, true},
		"replays its own answers": {ownKey[:], false, func(*reader) func([]byte, []byte) []byte { return replayed() }, true, false},
		"sends noise":             {ownKey[:], false, after(60, 4, func(*reader, []byte) []byte { return bytes.Repeat([]byte{0x53, 0xFF, 0x00}, 60) }, nil), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			pd := secureReader(0, c.key)
			pd.hidden.install = c.install
			pd.hidden.only = c.key != nil
			bubble(t, secureConfig(0), []*reader{pd}, func(t *testing.T, cb *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
				if c.tamper != nil {
					cb.interpose(c.tamper(pd))
				}
				time.Sleep(40 * time.Second)
				refused := false
				for _, h := range recs[0].Healths() {
					refused = refused || h.Refused
					if h.Refused && (h.Secure || h.Online) {
						t.Errorf("refused and yet %+v", h)
					}
				}
				if refused != c.refused {
					t.Errorf("refused %v, want %v: %+v", refused, c.refused, recs[0].Last())
				}
				if c.up != isSecure(recs[0])() && name != "replays its own answers" {
					t.Errorf("secure at the end: %v: %+v", !c.up, recs[0].Last())
				}
				for _, r := range recs[0].Readings() {
					t.Errorf("a reading came of it: %+v", r)
				}
				if log := cb.log(); publicOrKeySet(log) != 0 || clearPolls(log) != 0 {
					t.Errorf("%d forbidden, %d clear commands", publicOrKeySet(log), clearPolls(log))
				}
				if n := len(cb.log()); strings.HasPrefix(name, "storm") && n > 4000 || !c.up && c.refused && n > 4000 {
					t.Errorf("%d commands in 40 s at somebody who refuses", n)
				}
			})
		})
	}
}

// rewrite damages each answer with that security block, its check made right.
func rewrite(block byte, change func(f []byte)) func(*reader) func(_, out []byte) []byte {
	return func(pd *reader) func(_, out []byte) []byte {
		return func(_, out []byte) []byte {
			if len(out) > 8 && out[4]&8 != 0 && out[6] == block {
				out = slices.Clone(out)
				change(out)
				out = pd.checked(out[:len(out)-2])
			}
			return out
		}
	}
}

// after puts n answers of somebody else in place of the reader's, from the
// first-th on; one that is nil leaves the reader's.
func after(first, n int, instead func(pd *reader, command []byte) []byte, once func(pd *reader)) func(*reader) func(_, out []byte) []byte {
	return func(pd *reader) func(_, out []byte) []byte {
		count := 0
		return func(command, out []byte) []byte {
			count++
			if count < first || count >= first+n {
				return out
			}
			if once != nil {
				pd.set(func() { once(pd) })
			}
			if lie := instead(pd, command); lie != nil {
				return lie
			}
			return out
		}
	}
}

func TestSessionSurvivesLossesAndLateAnswers(t *testing.T) {
	pd := secureReader(0, ownKey[:])
	bubble(t, secureConfig(0), []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "secure", isSecure(recs[0]))
		faults := []func(){
			func() { pd.deaf = 2 }, func() { pd.damage = 2 }, func() { pd.twice = 3 },
			func() { pd.busy = 5 }, func() { pd.deaf = 1 }, func() { pd.damage = 1 },
		}
		for i, fault := range faults {
			pd.Present(card(t, 26, byte(i), 9, 9, 0x40))
			pd.set(fault)
			until(t, 3*time.Second, "the card after the fault", func() bool { return len(recs[0].Readings()) == i+1 })
			time.Sleep(2 * time.Second)
		}
		handshakes := 0
		for _, cmd := range pd.seen() {
			handshakes += btoi(cmd.code == 0x76)
		}
		if handshakes != 1 || len(recs[0].Readings()) != len(faults) {
			t.Errorf("%d handshakes, %d readings of %d cards", handshakes, len(recs[0].Readings()), len(faults))
		}
		for _, r := range recs[0].Readings() {
			if !r.Authenticated || r.Proof != drivers.ProofUIDOnly {
				t.Errorf("%+v", r)
			}
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A reader that was without supply has lost its session; it must be back within
// a second of its first answer, and secure.
func TestPowerCycledReaderIsSecureAgainWithinASecond(t *testing.T) {
	for _, away := range []time.Duration{300 * time.Millisecond, time.Second, 3 * time.Second, 20 * time.Second} {
		pd := secureReader(0, ownKey[:])
		bubble(t, secureConfig(0), []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
			until(t, time.Second, "secure", isSecure(recs[0]))
			pd.Plug(false)
			time.Sleep(away)
			pd.Plug(true)
			before := len(pd.seen())
			until(t, 2*time.Second, "its first answer", func() bool { return len(pd.seen()) > before })
			pd.Present(card(t, 26, 1, 2, 3, 0))
			if took := until(t, 2*time.Second, "a card", func() bool { return len(recs[0].Readings()) == 1 }); took > time.Second {
				t.Errorf("away %v: usable %v after its first answer", away, took)
			}
			if publicOrKeySet(c.log()) != 0 || clearPolls(c.log()) != 0 {
				t.Error("forbidden commands")
			}
		})
	}
}

func TestHandshakesThatFailBackOff(t *testing.T) {
	pd := secureReader(0, otherKey[:])
	bubble(t, secureConfig(0), []*reader{pd}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		time.Sleep(2 * time.Minute)
		var at []time.Time
		for _, cmd := range pd.seen() {
			if cmd.code == 0x76 {
				at = append(at, cmd.at)
			}
		}
		if n := len(at); n < 14 || n > 20 || at[1].Sub(at[0]) > 1200*time.Millisecond || at[n-1].Sub(at[n-2]) < 7*time.Second {
			t.Errorf("%d handshakes in 2 min", n)
		}
		pd.set(func() { pd.hidden.key = ownKey[:] })
		until(t, 9*time.Second, "secure once the key is right", isSecure(recs[0]))
	})
}

func TestKeysOfSettingsMustBeKeys(t *testing.T) {
	cfg := oneReader(0)
	cfg.Readers[0].Key = (*osdp.Key)(factoryKey)
	if _, err := osdp.NewBus(cfg, nil); err == nil || !strings.Contains(err.Error(), "公開鍵") {
		t.Errorf("SCBK-D as a reader's key: %v", err)
	}
	if _, err := osdp.ParseKey("0"); err == nil || errors.Is(err, osdp.ErrOtherKey) {
		t.Errorf("%v", err)
	}
}
