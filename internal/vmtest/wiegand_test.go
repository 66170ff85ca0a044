//go:build vmtest && linux

package vmtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/drivers"
	"sekimori/drivers/wiegand"
)

// pulser is a Wiegand reader: it pulls D0 and D1 low for pulse, one bit every
// interval, by a clock of its own.
type pulser struct {
	d               [2]wire
	pulse, interval time.Duration
	pulses          []time.Duration // of all frames: how long a line was low
	intervals       []time.Duration // of all frames: from one fall to the next
}

func newPulser(t *testing.T, c *chip, pulse, interval time.Duration) *pulser {
	p := &pulser{d: [2]wire{c.wire(t, "D0"), c.wire(t, "D1")}, pulse: pulse, interval: interval}
	for _, w := range p.d {
		if err := w.set(true); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// A reader's timing by the standard, and what cheap ones do (drivers/wiegand).
const (
	longestPulse    = 2 * time.Millisecond
	longestInterval = 20 * time.Millisecond
)

// send sends a card and tells whether it kept a reader's timing: a machine in a
// busy machine may stop in the middle of a bit, and then it is the frame that is
// wrong, not who reads it.
func (p *pulser) send(t *testing.T, c drivers.Card) bool {
	t.Helper()
	ok := true
	var last time.Duration
	for n := range c.Len() {
		waitUntil(last + p.interval)
		w := p.d[c.Bits()[n/8]>>(7-n%8)&1]
		fell := monotonic(t)
		err := w.set(false)
		waitUntil(fell + p.pulse)
		err2 := w.set(true)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		low := monotonic(t) - fell
		p.pulses = append(p.pulses, low)
		ok = ok && low < longestPulse
		if last > 0 {
			p.intervals = append(p.intervals, fell-last)
			ok = ok && fell+low-last < longestInterval
		}
		last = fell
	}
	return ok
}

// waitUntil sleeps in the kernel and not in Go's scheduler, which wakes later.
func waitUntil(at time.Duration) {
	ts := unix.NsecToTimespec(int64(at))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}

// punctual ranks the calling goroutine above the kernel's interrupt threads
// until the test ends: hardware that sends does not wait for who receives.
func punctual(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := rank(unix.SCHED_FIFO, 80); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rank(unix.SCHED_NORMAL, 0); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}

func rank(policy, priority uint32) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0)
}

// card26 is a 26-bit card with its parity bits: even over the first 13 bits,
// odd over the last 13.
func card26(t *testing.T, number uint32) drivers.Card {
	t.Helper()
	parity := func(x uint32) (p uint32) {
		for ; x > 0; x >>= 1 {
			p ^= x & 1
		}
		return p
	}
	word := parity(number>>12)<<25 | number<<1 | 1 ^ parity(number&0xFFF)
	c, err := drivers.NewCard([]byte{byte(word >> 18), byte(word >> 10), byte(word >> 2), byte(word << 6)}, 26)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type sink struct {
	readings chan drivers.Reading
	health   chan drivers.Health
}

func newSink() sink {
	return sink{make(chan drivers.Reading, 100), make(chan drivers.Health, 10000)}
}

func (s sink) Reading(r drivers.Reading) { s.readings <- r }
func (s sink) Health(h drivers.Health)   { s.health <- h }

// Cards are read bit by bit at every timing a reader may have. Every frame that
// was sent as a reader sends it must be read, exactly and once.
func TestWiegand(t *testing.T) {
	for _, timing := range []struct{ pulse, interval time.Duration }{
		{20 * time.Microsecond, 250 * time.Microsecond}, // the shortest of the standard; a write to gpio-sim takes some of it
		{50 * time.Microsecond, time.Millisecond},
		{50 * time.Microsecond, 2 * time.Millisecond}, // most readers
		{100 * time.Microsecond, 2 * time.Millisecond},
		{1 * time.Millisecond, 3 * time.Millisecond}, // cheap readers
		{100 * time.Microsecond, 18 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%v every %v", timing.pulse, timing.interval), func(t *testing.T) {
			bank := open(t, board)
			p := newPulser(t, board, timing.pulse, timing.interval)
			r, err := wiegand.New(wiegand.Config{Reader: "VM", D0: "D0", D1: "D1"}, bank)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			s := newSink()
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx, s) }()
			<-s.health // it watches
			punctual(t)
			cards := 100
			if timing.interval > 10*time.Millisecond {
				cards = 20
			}
			tally(t, p, s, cards)
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func tally(t *testing.T, p *pulser, s sink, cards int) {
	t.Helper()
	var good, read, wrong, stalled int
	var delays []time.Duration
	var noise drivers.Health
	for range cards {
		want := card26(t, rand.Uint32N(1<<24))
		ok := p.send(t, want)
		end := time.Now()
		if ok {
			good++
		} else {
			stalled++
		}
		select {
		case r := <-s.readings:
			switch {
			case r.Card.Key() != want.Key():
				wrong++
			case ok:
				read++
				delays = append(delays, time.Since(end))
			}
		case <-time.After(400 * time.Millisecond):
		}
		for more := true; more; {
			select {
			case noise = <-s.health:
			default:
				more = false
			}
		}
	}
	t.Logf("%d cards kept the timing, %d read exactly, %d wrong, %d the sender was too late for; noise %d (%s)", good, read, wrong, stalled, noise.Noise, noise.Detail)
	figures(t, "low", p.pulses)
	figures(t, "fall → fall", p.intervals)
	if len(delays) > 0 {
		figures(t, "last bit → reading", delays)
	}
	if wrong > 0 || read < good || good < cards/2 {
		t.Errorf("of %d well-timed cards %d were read, %d wrongly", good, read, wrong)
	}
}
