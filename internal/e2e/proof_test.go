//go:build linux && simtime

package e2e_test

import (
	"testing"
	"time"
)

// contactless is D31 with a PN532 for cards that prove a key, and fingerprint
// modules.
var contactless = outfit{
	sim: []string{
		"{id: D31-in, door: D31, kind: pn532, port: nfc0}",
		"{id: D31-in-fp, door: D31, kind: fingerprint, port: fp0}",
		"{id: D31-out-fp, door: D31, kind: fingerprint, port: fp1}",
	},
	agent: []string{
		"{id: D31-in, direction: in, driver: pn532, port: scratch/sim/DC-31.nfc0, proof: cryptographic}",
		"{id: D31-in-fp, direction: in, driver: fingerprint, link: secure, port: scratch/sim/DC-31.fp0}",
		"{id: D31-out-fp, direction: out, driver: fingerprint, link: secure, port: scratch/sim/DC-31.fp1}",
	},
}

// siteKey is what the simulator's card of P07 has its own key from.
const siteKey = "00112233445566778899aabbccddeeff"

// [T-22, 000-7.2-L3] A card that answers a fresh challenge with its own key is
// believed; one with the same number and without the key is refused by name.
func TestCardThatProvesItself(t *testing.T) {
	c := prepareWith(t, baseDay(9, 0, 0), contactless)
	c.startHub()
	for _, id := range []string{"DC-31", "DC-21"} {
		c.enrol(id)
	}
	c.readers(siteKey+"\n", "card-key", "D31-in")
	c.commission()
	for _, a := range c.agents {
		a.start()
	}
	c.waitReady()

	entered := c.at(9, 2, 10)
	c.both("D31-in", cardP07, "P07")
	if !c.ctl.released("D31", time.Second) {
		t.Fatal("a card that proved its key, and the finger: not released")
	}
	c.ctl.walk("D31")
	eventually(t, 5*time.Second, "the stay", func() bool { return len(c.con.stays("R31")) == 1 })
	s := c.con.stays("R31")[0]
	within(t, "入室", s.Entered, entered)
	if s.Name != "𠮷田 誠" || s.Method.Text != "カード+照合情報" {
		t.Errorf("stay: %+v", s)
	}

	c.at(9, 10, 0)
	pulses := c.ctl.door("D31").Pulses
	c.ctl.must("POST", "/v1/readers/D31-in/remove", struct{}{}, nil)
	c.rested("D31-in")
	time.Sleep(time.Second) // a card that comes back sooner may be the one that was there
	c.ctl.must("POST", "/v1/readers/D31-in/card", map[string]any{"number": cardP07, "clone": true, "ms": 800}, nil)
	eventually(t, 8*time.Second, "the clone's refusal", func() bool {
		l := refusals(c.con.denials("room=R31"))
		return len(l) == 1 && l[0].Reason.Text == "真正性未確認" && l[0].Person == "P07"
	})
	if c.ctl.door("D31").Pulses != pulses {
		t.Error("the lock moved for a clone")
	}
	c.sound()
}
