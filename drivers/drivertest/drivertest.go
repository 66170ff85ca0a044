// Package drivertest is the conformance suite every drivers.Reader passes: what
// the program above a driver relies on, whatever the protocol below.
//
//	suite ──▶ Device (a model of the hardware, written from its side)
//	  ▲           │ wire
//	  └── Sink ◀── drivers.Reader
//
// Each check runs in a bubble of testing/synctest, so time is virtual and a
// goroutine that Run leaves behind fails the check.
package drivertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers"
)

// Device is the hardware at the other end of the wire. Its methods are called
// while the driver runs, and return when the act has begun, not when the driver
// has noticed.
type Device interface {
	Present(c drivers.Card) // hold a card before the reader; several queue up
	Press(keys string)      // '0'-'9', '*', '#'
	SetTamper(open bool)
	Plug(in bool) // pull the cable or the supply, and put it back
}

// Rig is a driver and the device it talks to. Reader is its ID. Close ends the
// device's goroutines and waits for them.
type Rig struct {
	ID     string
	Driver drivers.Reader
	Device Device
	Close  func()
	Card   drivers.Card // a card the device can read, with leading zero bits
	Other  drivers.Card // a different one

	Authenticated bool // readings must say that the link is authenticated, or that it is not
	NoKeys        bool // the hardware has no keypad: Press is not called
	NoTamper      bool // the hardware has no tamper contact: SetTamper is not called

	// A fingerprint reader: Device is a Toucher too, fingers are presented instead
	// of cards, and Present is not called. Stranger is nobody's.
	Finger, Stranger drivers.Finger
}

// Toucher is a Device with a sensor for fingers. Several touches queue up, and
// each finger is lifted before the next.
type Toucher interface{ Touch(drivers.Finger) }

// shown is what was presented, or read: a card, or a finger without its score.
type shown struct {
	card drivers.Card
	read bool   // a finger was read
	slot uint16 // where it is enrolled
}

func shownBy(c drivers.Card, f drivers.Finger) shown {
	slot, _ := f.Slot()
	return shown{c, !f.IsZero(), slot}
}

// present holds the rig's card or finger before the reader, or the other one.
func (r Rig) present(other bool) shown {
	card, finger := r.Card, r.Finger
	if other {
		card, finger = r.Other, r.Stranger
	}
	if finger.IsZero() {
		r.Device.Present(card)
		return shownBy(card, finger)
	}
	r.Device.(Toucher).Touch(finger)
	return shownBy(drivers.Card{}, finger)
}

func (r Rig) proof() drivers.Proof {
	if r.Finger.IsZero() {
		return drivers.ProofUIDOnly
	}
	return drivers.ProofBiometric
}

// Run runs the suite; rig makes a fresh one for each check, inside its bubble.
func Run(t *testing.T, rig func(t *testing.T) Rig) {
	checks := []struct {
		name  string
		check func(*testing.T, Rig)
	}{
		{"readings arrive in order", inOrder},
		{"a slow sink loses nothing", slowSink},
		{"Run returns promptly", promptStop},
		{"Run can be called again", runAgain},
		{"health tells online and offline", online},
		{"health tells tamper", tamper},
		{"feedback never blocks", feedback},
		{"card bits are exact", exactBits},
		{"keys are collected", keys},
		{"numbers do not leak", leaks},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rig(t)
				defer r.Close()
				c.check(t, r)
			})
		})
	}
}

// Recorder is a sink that keeps what it is told.
type Recorder struct {
	Delay time.Duration // each Reading takes this long

	mu       sync.Mutex
	readings []drivers.Reading // guarded by mu
	healths  []drivers.Health  // guarded by mu
}

// Reading implements drivers.Sink.
func (r *Recorder) Reading(x drivers.Reading) {
	time.Sleep(r.Delay)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readings = append(r.readings, x)
}

// Health implements drivers.Sink.
func (r *Recorder) Health(h drivers.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.healths = append(r.healths, h)
}

// Readings is a copy of the readings so far.
func (r *Recorder) Readings() []drivers.Reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.readings)
}

// Healths is a copy of the states so far.
func (r *Recorder) Healths() []drivers.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.healths)
}

// Last is the newest state.
func (r *Recorder) Last() drivers.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.healths) == 0 {
		return drivers.Health{}
	}
	return r.healths[len(r.healths)-1]
}

// start runs the driver with sink and returns a stop that reports how long Run
// took to return.
func start(t *testing.T, r Rig, sink drivers.Sink) (stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Driver.Run(ctx, sink) }()
	return func() time.Duration {
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v after its context ended, want nil", err)
		}
		return time.Since(began)
	}
}

// until waits up to limit of virtual time for ok.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Fatalf("waited %v for: %s", limit, what)
		}
	}
}

func ready(t *testing.T, rec *Recorder) {
	t.Helper()
	until(t, 3*time.Second, "the reader to be online", func() bool { return rec.Last().Online })
}

func readOf(rs []drivers.Reading) []shown {
	var out []shown
	for _, r := range rs {
		if !r.Card.IsZero() || !r.Finger.IsZero() {
			out = append(out, shownBy(r.Card, r.Finger))
		}
	}
	return out
}

func inOrder(t *testing.T, r Rig) {
	rec := &Recorder{}
	defer start(t, r, rec)()
	ready(t, rec)
	want := presentMany(r, 20)
	until(t, 20*time.Second, "20 readings", func() bool { return len(rec.Readings()) >= len(want) })
	time.Sleep(time.Second)
	if got := readOf(rec.Readings()); !slices.Equal(got, want) {
		t.Errorf("%d presentations came out of order or twice", len(got))
	}
	for i, x := range rec.Readings() {
		if x.Reader != r.ID || x.Proof != r.proof() || x.Authenticated != r.Authenticated || !x.Keys.IsZero() || x.At <= 0 {
			t.Errorf("reading %d is %+v of reader %q", i, x, r.ID)
		}
	}
}

func presentMany(r Rig, n int) []shown {
	var want []shown
	for i := range n {
		want = append(want, r.present(i%3 == 1))
	}
	return want
}

func slowSink(t *testing.T, r Rig) {
	rec := &Recorder{Delay: 700 * time.Millisecond}
	defer start(t, r, rec)()
	ready(t, rec)
	want := presentMany(r, 40)
	until(t, 2*time.Minute, "40 readings", func() bool { return len(rec.Readings()) >= len(want) })
	if got := readOf(rec.Readings()); !slices.Equal(got, want) {
		t.Errorf("%d presentations came out of order or twice", len(got))
	}
	for _, h := range rec.Healths()[1:] {
		if !h.Online && rec.Healths()[0].Online {
			t.Errorf("a slow sink took the reader offline: %q", h.Detail)
		}
	}
}

func promptStop(t *testing.T, r Rig) {
	rec := &Recorder{}
	stop := start(t, r, rec)
	ready(t, rec)
	r.Device.Plug(false)
	time.Sleep(337 * time.Millisecond)
	if took := stop(); took > 250*time.Millisecond {
		t.Errorf("Run took %v to return", took)
	}
	n := len(rec.Readings())
	r.Device.Plug(true)
	r.present(false)
	time.Sleep(5 * time.Second)
	if len(rec.Readings()) != n {
		t.Error("a reading came after Run had returned")
	}
}

func runAgain(t *testing.T, r Rig) {
	for range 3 {
		rec := &Recorder{}
		stop := start(t, r, rec)
		ready(t, rec)
		r.present(false)
		until(t, 5*time.Second, "a reading", func() bool { return len(rec.Readings()) == 1 })
		stop()
	}
}

func online(t *testing.T, r Rig) {
	rec := &Recorder{}
	defer start(t, r, rec)()
	ready(t, rec)
	r.Device.Plug(false)
	until(t, 10*time.Second, "the reader to be offline", func() bool { return !rec.Last().Online })
	if rec.Last().Detail == "" {
		t.Error("no word to the operator about why the reader is offline")
	}
	r.Device.Plug(true)
	until(t, 3*time.Second, "the reader to be online again", func() bool { return rec.Last().Online })
	want := []shown{r.present(false)}
	until(t, 3*time.Second, "a reading after the return", func() bool { return slices.Equal(readOf(rec.Readings()), want) })
	for _, h := range rec.Healths() {
		if h.Reader != r.ID {
			t.Errorf("health of reader %q, want %q", h.Reader, r.ID)
		}
	}
}

func tamper(t *testing.T, r Rig) {
	if r.NoTamper {
		return
	}
	rec := &Recorder{}
	defer start(t, r, rec)()
	ready(t, rec)
	for _, open := range []bool{true, false, true} {
		r.Device.SetTamper(open)
		until(t, 3*time.Second, fmt.Sprintf("tamper %v", open), func() bool { return rec.Last().Tamper == open })
	}
}

func feedback(t *testing.T, r Rig) {
	instant := func(when string) {
		began := time.Now()
		for i := range 1000 {
			r.Driver.Show(drivers.Signal(i % 4))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("Show blocked for %v %s", took, when)
		}
	}
	instant("before Run")
	rec := &Recorder{}
	stop := start(t, r, rec)
	ready(t, rec)
	instant("while running")
	r.Device.Plug(false)
	time.Sleep(time.Second)
	instant("with the cable pulled")
	stop()
	instant("after Run")
}

func exactBits(t *testing.T, r Rig) {
	if !r.Finger.IsZero() {
		return // a finger has no bits; its slot is compared in every check
	}
	if r.Card.Bits()[0]&0x80 != 0 {
		t.Fatal("the rig's card has no leading zero bit, so this check would prove nothing")
	}
	rec := &Recorder{}
	defer start(t, r, rec)()
	ready(t, rec)
	r.Device.Present(r.Card)
	until(t, 5*time.Second, "a reading", func() bool { return len(rec.Readings()) == 1 })
	if got := rec.Readings()[0].Card; got.Key() != r.Card.Key() {
		t.Errorf("card %s came as %s", r.Card.Key(), got.Key())
	}
}

func keys(t *testing.T, r Rig) {
	if r.NoKeys {
		return
	}
	rec := &Recorder{}
	defer start(t, r, rec)()
	ready(t, rec)
	typed := func(n int) string {
		until(t, 10*time.Second, "typed keys", func() bool { return len(rec.Readings()) >= n })
		x := rec.Readings()[n-1]
		if x.Proof != drivers.ProofPIN || !x.Card.IsZero() {
			t.Errorf("typed keys came as %+v", x)
		}
		return x.Keys.Typed()
	}
	r.Device.Press("0042#")
	if got := typed(1); got != "0042" {
		t.Errorf("0042# came as %d keys %q", len(got), got)
	}
	r.Device.Press("99*17#")
	if got := typed(2); got != "17" {
		t.Errorf("99*17# came as %q: '*' must clear", got)
	}
	r.Device.Press("5")
	time.Sleep(drivers.KeyGap / 2)
	if n := len(rec.Readings()); n != 2 {
		t.Fatalf("%d readings before the pause was over", n)
	}
	if got := typed(3); got != "5" {
		t.Errorf("5 and a pause came as %q", got)
	}
}
