package pn532_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/pn532"
)

// wanderer drives a Link with whatever bytes say and watches what must hold.
type wanderer struct {
	t       *testing.T
	link    pn532.Link
	demand  drivers.Proof
	now     time.Duration
	command []byte // last sent
}

func (w *wanderer) step(in pn532.Input) {
	before := w.link
	var e pn532.Effects
	w.link, e = w.link.Step(in, w.now)
	for _, x := range e.Readings {
		if x.Card.IsZero() == x.Claim.IsZero() {
			w.t.Errorf("card %v and claim %v", x.Card, x.Claim)
		}
		if w.demand == drivers.ProofCryptographic && !x.Card.IsZero() && x.Proof != drivers.ProofCryptographic {
			w.t.Errorf("a card without proof where it is demanded: %+v", x)
		}
	}
	if _, isTick := in.(pn532.Tick); isTick && w.now >= before.Due() && len(e.Send) == 0 && w.link.Due() <= w.now {
		w.t.Errorf("a tick changed nothing: it would come again at once")
	}
	var s pn532.Scanner
	s.Feed(e.Send)
	for f, ok := s.Next(); ok; f, ok = s.Next() {
		if f.Kind == pn532.KindInfo {
			w.command = f.Data
		}
	}
}

// move is one thing that happens: what kind of thing, and a byte for its data.
func (w *wanderer) move(kind byte, data []byte) {
	answer := func(data ...byte) pn532.Heard {
		code := byte(0)
		if len(w.command) > 0 {
			code = w.command[0]
		}
		return pn532.Heard{Frame: pn532.Frame{TFI: 0xD5, Data: append([]byte{code + 1}, data...)}}
	}
	switch kind % 12 {
	case 0, 1, 2:
		w.now = max(w.now, w.link.Due())
		w.step(pn532.Tick{Random: [16]byte{kind}})
	case 3:
		w.now += time.Duration(kind) * time.Millisecond
		w.step(pn532.Tick{})
	case 4, 5:
		w.step(pn532.Heard{Frame: pn532.Frame{Kind: pn532.KindACK}})
	case 6:
		w.step(answer(data...))
	case 7: // an answer that fits
		w.step(pn532.Heard{Frame: pn532.Frame{Kind: pn532.KindACK}})
		w.step(answer(fitting(w.command, data)...))
	case 8:
		w.step(pn532.Heard{Frame: pn532.Frame{Kind: pn532.KindNACK}})
	case 9:
		w.step(pn532.Garbled{Noise: 1})
	case 10:
		w.step(pn532.Heard{Frame: pn532.Frame{TFI: 0x7F}})
	case 11:
		switch {
		case len(data) > 2 && data[0] == 1:
			w.step(pn532.Lost{Err: errors.New("gone")})
		case len(data) > 2 && data[0] == 2:
			w.step(pn532.Opened{})
		default:
			w.step(pn532.Heard{Frame: pn532.Frame{TFI: 0xD5, Data: data}})
		}
	}
}

// fitting is what a chip could answer.
func fitting(command, data []byte) []byte {
	if len(command) == 0 {
		return nil
	}
	switch command[0] {
	case 0x02:
		return []byte{0x32, 1, 6, 7}
	case 0x4A:
		if len(data) > 0 && data[0]&1 == 0 {
			return []byte{0}
		}
		return append([]byte{1, 1, 3, 0x44, 0x20, 7, 4}, 1, 2, 3, 4, 5, 6)
	case 0x40:
		return append([]byte{0}, data...)
	}
	return nil
}

// A command that was sent twice is answered twice. The second answer comes while
// nothing is asked, and is not taken for the answer to what comes next.
func TestLateSecondAnswerIsNotTheNextOne(t *testing.T) {
	w := &wanderer{t: t, link: pn532.NewLink(plain())}
	w.step(pn532.Opened{})
	ack := pn532.Heard{Frame: pn532.Frame{Kind: pn532.KindACK}}
	for len(w.command) == 0 || w.command[0] != 0x4A { // until it looks for type A
		w.now = w.link.Due()
		w.step(pn532.Tick{})
		if w.command[0] != 0x4A {
			w.step(ack)
			w.step(pn532.Heard{Frame: pn532.Frame{TFI: 0xD5, Data: append([]byte{w.command[0] + 1}, fitting(w.command, nil)...)}})
		}
	}
	w.now = w.link.Due() // no ACK: it asks again
	w.step(pn532.Tick{})
	nobody := pn532.Heard{Frame: pn532.Frame{TFI: 0xD5, Data: []byte{0x4B, 0}}}
	w.step(ack)
	w.step(nobody)
	before := w.link.Health().Noise
	w.now += 20 * time.Millisecond
	if w.link.Due() <= w.now {
		t.Fatal("the next question does not wait for the second answer")
	}
	w.step(ack)
	w.step(nobody)
	if w.command[2] != 0x00 || w.link.Health().Noise != before+2 {
		t.Errorf("the second answer was taken: noise %d", w.link.Health().Noise-before)
	}
	w.now = w.link.Due()
	w.step(pn532.Tick{})
	if w.command[0] != 0x4A || w.command[2] != 0x01 {
		t.Errorf("next is % X, want a look for FeliCa 212", w.command)
	}
}

func FuzzLink(f *testing.F) {
	f.Add([]byte{0, 4, 7, 0, 7, 0, 7, 0, 7, 0, 7, 0, 7, 9, 3, 0, 6, 1, 2, 3, 11, 1, 1, 1}, true)
	f.Add([]byte{0, 7, 0, 7, 0, 7, 0, 7, 1, 0, 7, 0x90, 0, 0, 7, 0x91, 0xAF, 0, 0, 0, 0, 10, 10, 10}, false)
	f.Fuzz(func(t *testing.T, script []byte, demanding bool) {
		demand := drivers.ProofUIDOnly
		if demanding {
			demand = drivers.ProofCryptographic
		}
		w := &wanderer{t: t, link: pn532.NewLink(proving(t, demand)), demand: demand}
		w.step(pn532.Opened{})
		for len(script) > 0 {
			kind := script[0]
			n := min(len(script)-1, int(kind>>4))
			w.move(kind, script[1:1+n])
			script = script[1+n:]
		}
	})
}

func TestRandomWalks(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 32))
	for range 300 {
		w := &wanderer{t: t, link: pn532.NewLink(proving(t, drivers.ProofCryptographic)), demand: drivers.ProofCryptographic}
		w.step(pn532.Opened{})
		for range 500 {
			data := make([]byte, rng.IntN(40))
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			w.move(byte(rng.Uint32()), data)
		}
	}
}

// Half an hour of faults: whatever happened, the reader comes back by itself, reads
// each card once and leaves nothing behind (the bubble finds a lost goroutine).
func TestManyFaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	bubble(t, plain(), func(t *testing.T, m *module, c *cable, rec *drivertest.Recorder, _ *pn532.Reader) {
		faults := []func(){
			func() { m.set(func() { m.loseACK = rng.IntN(20) }) },
			func() { m.set(func() { m.lose = rng.IntN(20) }) },
			func() { m.set(func() { m.damage = rng.IntN(20) }) },
			func() { m.set(func() { m.twice = rng.IntN(20) }) },
			func() { m.set(func() { m.refuse = rng.IntN(20) }) },
			func() { m.set(func() { m.noise = rng.IntN(20) }) },
			func() { m.set(func() { m.delay = time.Duration(rng.IntN(900)) * time.Millisecond }) },
			m.reset,
			func() { m.Plug(false) },
			func() { c.setGone(true) },
		}
		const rounds = 150
		for i := range rounds {
			for range 1 + rng.IntN(3) {
				faults[rng.IntN(len(faults))]()
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			}
			m.set(func() {
				m.unplugged, m.delay = false, 0
				m.loseACK, m.lose, m.damage, m.twice, m.refuse, m.noise = 0, 0, 0, 0, 0, 0
			})
			c.setGone(false)
			m.hold(&chip{uid: []byte{4, byte(i >> 8), byte(i), 4, 5, 6, 7}})
			until(t, 4*time.Second, "a card after the faults", count(rec, i+1))
			time.Sleep(3 * time.Second)
			m.hold()
			time.Sleep(time.Second)
		}
		if n := len(rec.Readings()); n != rounds {
			t.Errorf("%d readings of %d cards", n, rounds)
		}
	})
}
