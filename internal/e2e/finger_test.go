//go:build linux && simtime

package e2e_test

import (
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sides are two ways to fit D31 with a card reader and a fingerprint module each
// way [000-7.2-L3].
var sides = map[string]outfit{
	"OSDP secure channel": {
		sim: []string{
			"{id: D31-in, door: D31, kind: osdp, bus: bus0, address: 0, secure: install}",
			"{id: D31-out, door: D31, kind: osdp, bus: bus0, address: 1, secure: install}",
			"{id: D31-in-fp, door: D31, kind: fingerprint, port: fp0}",
			"{id: D31-out-fp, door: D31, kind: fingerprint, port: fp1}",
		},
		agent: []string{
			"{id: D31-in, direction: in, driver: osdp, link: secure, bus: bus0, address: 0}",
			"{id: D31-out, direction: out, driver: osdp, link: secure, bus: bus0, address: 1}",
			"{id: D31-in-fp, direction: in, driver: fingerprint, link: secure, port: scratch/sim/DC-31.fp0}",
			"{id: D31-out-fp, direction: out, driver: fingerprint, link: secure, port: scratch/sim/DC-31.fp1}",
		},
	},
	"Wiegand": {
		sim: []string{
			"{id: D31-in, door: D31, kind: wiegand, lines: D31i}",
			"{id: D31-out, door: D31, kind: wiegand, lines: D31o}",
			"{id: D31-in-fp, door: D31, kind: fingerprint, port: fp0}",
			"{id: D31-out-fp, door: D31, kind: fingerprint, port: fp1}",
		},
		agent: []string{
			"{id: D31-in, direction: in, driver: wiegand, d0: D31i.d0, d1: D31i.d1, led: D31i.led, buzzer: D31i.buz, keypad: false}",
			"{id: D31-out, direction: out, driver: wiegand, d0: D31o.d0, d1: D31o.d1, led: D31o.led, buzzer: D31o.buz, keypad: false}",
			"{id: D31-in-fp, direction: in, driver: fingerprint, link: secure, port: scratch/sim/DC-31.fp0}",
			"{id: D31-out-fp, direction: out, driver: fingerprint, link: secure, port: scratch/sim/DC-31.fp1}",
		},
	},
}

// finger lays a finger on a fingerprint module for as long as people do.
func (s *simulator) finger(reader, name string) {
	s.t.Helper()
	s.must(http.MethodPost, "/v1/readers/"+reader+"/finger", map[string]string{"finger": name}, nil)
}

// readers runs an installer's command at DC-31, whose service stands still.
func (c *city) readers(stdin string, args ...string) string {
	c.t.Helper()
	return once(c.t, c.env("DC-31"), stdin, filepath.Join(bin, "sekimori-agent"),
		append(append([]string{"readers"}, args...), "--settings", c.path("DC-31.yaml"))...)
}

// commission gives every reader that proves its link a key of its own, and
// enrols fingers, each laid on the sensor and lifted again until the module has
// it.
func (c *city) commission() {
	c.t.Helper()
	for _, line := range c.outfit.agent {
		if id, _, ok := strings.Cut(strings.TrimPrefix(line, "{id: "), ", "); ok && strings.Contains(line, "link: secure") {
			c.readers("", "commission", id)
		}
	}
	for _, reader := range []string{"D31-in-fp", "D31-out-fp"} {
		for slot, finger := range map[string]string{"1": "P01", "7": "P07"} {
			done := make(chan struct{})
			go func() {
				for {
					select {
					case <-done:
						return
					case <-time.After(1200 * time.Millisecond):
						_ = c.ctl.call("POST", "/v1/readers/"+reader+"/finger", map[string]any{"finger": finger, "ms": 600}, nil)
					}
				}
			}()
			c.readers("", "enrol", reader, slot)
			close(done)
		}
	}
}

// both gives a card and then a finger at one side of D31.
func (c *city) both(side, card, finger string) {
	c.t.Helper()
	c.rested(side)
	c.present(side, card, func() bool { return c.asked(side) })
	c.ctl.finger(side+"-fp", finger)
}

// rested waits until nobody is asked at a side, the last finger is lifted, and the
// driver has had the time to see so.
func (c *city) rested(side string) {
	c.t.Helper()
	eventually(c.t, 5*time.Second, "nobody at "+side, func() bool {
		r := c.ctl.state().Readers[side+"-fp"]
		return !c.asked(side) && !r.Fingerprint.Touched
	})
	time.Sleep(500 * time.Millisecond)
}

// asked tells whether the ring of the module asks for a finger.
func (c *city) asked(side string) bool {
	led := c.ctl.state().Readers[side+"-fp"].LED
	return led == askLight
}

// askLight is what an R503 shows for "a second factor is wanted".
const askLight = "purple"

// [AS-01, 000-7.2-L3, 000-10.1, T-22, T-23] Level 3 with card and finger: over
// OSDP secure channel with a fingerprint module, and over Wiegand with one. Keys
// and templates are made by the installer's commands.
func TestAS01CardAndFinger(t *testing.T) {
	for name, o := range sides {
		t.Run(name, func(t *testing.T) { cardAndFinger(t, o) })
	}
}

func cardAndFinger(t *testing.T, o outfit) {
	c := prepareWith(t, baseDay(9, 0, 0), o)
	c.startHub()
	for _, id := range []string{"DC-31", "DC-21"} {
		c.enrol(id)
	}
	c.commission()
	for _, a := range c.agents {
		a.start()
	}
	c.waitReady()
	before := c.ctl.door("D31")

	entered := c.at(9, 2, 10)
	c.both("D31-in", cardP07, "P07")
	if !c.ctl.released("D31", time.Second) {
		t.Fatal("not released within 1 s of the finger")
	}
	c.ctl.walk("D31")
	eventually(t, 5*time.Second, "one inside", func() bool { return reflect.DeepEqual(c.con.occupants("R31"), []string{"𠮷田 誠"}) })
	left := c.at(9, 31, 5)
	c.both("D31-out", cardP07, "P07")
	if !c.ctl.released("D31", time.Second) {
		t.Fatal("not released within 1 s of the finger, on the way out")
	}
	c.ctl.walk("D31")
	eventually(t, 5*time.Second, "nobody inside", func() bool { return len(c.con.occupants("R31")) == 0 })
	if n := c.ctl.door("D31").Pulses - before.Pulses; n != 2 {
		t.Errorf("the relay was energised %d times, want once per direction", n)
	}
	list := c.con.stays("R31")
	if len(list) != 1 {
		t.Fatalf("stays: %+v", list)
	}
	s := list[0]
	within(t, "入室", s.Entered, entered)
	within(t, "退室", s.Exited, left)
	if s.Level != 3 || s.Name != "𠮷田 誠" || s.Section != "総務課情報係" || s.Result.Text != "許可" || s.Method.Text != "カード+照合情報" || s.Open {
		t.Errorf("stay: %+v", s)
	}

	refuse := func(what, reason, person string, present func()) {
		t.Helper()
		n, pulses := len(refusals(c.con.denials("room=R31"))), c.ctl.door("D31").Pulses
		present()
		eventually(t, 8*time.Second, what, func() bool { return len(refusals(c.con.denials("room=R31"))) == n+1 })
		l := refusals(c.con.denials("room=R31"))
		if l[n].Reason.Text != reason || l[n].Person != person {
			t.Errorf("%s: %s, %s; want %s, %s", what, l[n].Reason.Text, l[n].Person, reason, person)
		}
		if c.ctl.door("D31").Pulses != pulses {
			t.Errorf("%s: the lock moved", what)
		}
	}
	c.at(9, 40, 0)
	refuse("card only", "第二要素なし", "P07", func() {
		c.rested("D31-in")
		c.present("D31-in", cardP07, func() bool { return c.asked("D31-in") })
		c.at(9, 40, 10)
	})
	c.at(9, 50, 0)
	refuse("P07's finger with P01's card", "照合不一致", "P01", func() { c.both("D31-in", cardP01, "P07") })
	c.at(9, 55, 0)
	refuse("a stranger's finger", "照合不一致", "P01", func() { c.both("D31-in", cardP01, "stranger") })
	c.at(9, 58, 0)
	refuse("P05's card, refused before a finger is asked for", "許可なし", "P05", func() { c.ctl.card("D31-in", cardP05) })
	c.rested("D31-in")
	refuse("P07's finger after it", "第二要素なし", "P07", func() { c.ctl.finger("D31-in-fp", "P07") })
	c.sound()
}
