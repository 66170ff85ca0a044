package osdp_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/osdp"
)

// TestLatencyAgainstTheWire measures from the card at the reader to the Reading
// on byte-paced wires, cards coming at random, against what the bytes alone
// take: half a poll cycle and the answer, on average (the reader thinking for no
// time, no pause between frames). Time is virtual, so the figures are those of
// the polling itself; BenchmarkCardToReading adds the machine's.
func TestLatencyAgainstTheWire(t *testing.T) {
	for _, readers := range []int{1, 8} {
		for _, baud := range []int{9600, 115200} {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/%d/%s", readers, baud, map[bool]string{false: "clear", true: "secure"}[secure]), func(t *testing.T) {
					latency(t, readers, baud, secure)
				})
			}
		}
	}
}

func latency(t *testing.T, readers, baud int, secure bool) {
	poll, ack, raw := 9, 8, 16 // bytes; our model sends no mark
	if secure {
		poll, ack, raw = 15, 14, 30
	}
	char := 10 * time.Second / time.Duration(baud)
	cycle := time.Duration((poll+ack)*readers) * char
	limit := cycle/2 + time.Duration(raw)*char
	cfg, pds := osdp.Config{Baud: baud}, []*reader{}
	for i := range readers {
		r := osdp.ReaderConfig{Reader: fmt.Sprint("r", i), Address: byte(i)}
		pd := newReader(byte(i))
		if secure {
			key := ownKey
			r.Key, pd = &key, secureReader(byte(i), ownKey[:])
		}
		cfg.Readers, pds = append(cfg.Readers, r), append(pds, pd)
	}
	bubbleOf(t, func(t *testing.T) {
		c := &cable{baud: baud, readers: pds}
		defer c.close()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		sink := &stamps{at: make(chan time.Time, 1), online: make(chan bool, readers)}
		for _, r := range mustBus(t, cfg, c.open).Readers() {
			wg.Go(func() { r.Run(ctx, sink) })
		}
		for range readers {
			<-sink.online
		}
		// Evenly over many poll cycles, so that the phase is as good as random
		// and the median does not depend on luck.
		reach := 16 * max(cycle, osdp.DefaultPoll)
		var took []time.Duration
		for i := range 400 {
			k := i % readers
			_, part := math.Modf(float64(i) * math.Phi)
			time.Sleep(20*time.Millisecond + time.Duration(part*float64(reach)))
			began := time.Now()
			pds[k].Present(card(t, 26, byte(i), byte(i>>8), 3, 0x40))
			took = append(took, (<-sink.at).Sub(began))
		}
		slices.Sort(took)
		p50, p99 := took[200], took[396]
		t.Logf("%d readers, %d baud: limit %v, p50 %v, p99 %v, poll cycle %v", readers, baud, limit, p50, p99, cycle)
		// Before each command the line rests two characters, and timers round up
		// to a millisecond; of what the other readers' exchanges take in that
		// way, half is before the average card. Its long cycle also makes the
		// median of 400 cards less sure.
		others := time.Duration(readers-1) * (2*char + time.Millisecond + cycle/64) / 2
		if p50 > limit+others+3*time.Millisecond {
			t.Errorf("p50 %v, want within 3 ms of %v", p50, limit)
		}
		if p99 > limit+3*max(cycle, osdp.DefaultPoll) {
			t.Errorf("p99 %v, want within 3 poll cycles", p99)
		}
	})
}

// stamps is a sink that tells when readings came.
type stamps struct {
	at     chan time.Time
	online chan bool
}

func (s *stamps) Reading(drivers.Reading) { s.at <- time.Now() }

func (s *stamps) Health(h drivers.Health) {
	if h.Online {
		select {
		case s.online <- true:
		default:
		}
	}
}

// One answer that is 400 ms late may cost the others on the bus one reply
// time-out and not more.
func TestAStallCostsOneTimeOut(t *testing.T) {
	cfg := oneReader(0)
	cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: "other", Address: 1})
	a, b := newReader(0), newReader(1)
	bubble(t, cfg, []*reader{a, b}, func(t *testing.T, c *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "online", func() bool { return recs[0].Last().Online && recs[1].Last().Online })
		for i := range 20 {
			a.set(func() { a.stall = 400 * time.Millisecond })
			time.Sleep(30 * time.Millisecond)
			b.Present(card(t, 26, byte(i), 1, 1, 0x40))
			// One time-out, the exchange it stood behind, and b's own.
			if took := until(t, time.Second, "b's card", func() bool { return len(recs[1].Readings()) == i+1 }); took > 290*time.Millisecond {
				t.Errorf("b's card took %v behind a stall of a", took)
			}
			time.Sleep(time.Second)
		}
		if h := recs[0].Last(); !h.Online {
			t.Errorf("the stall took a offline: %+v", h)
		}
	})
}

// A burst of a thousand cards: none dropped, in order.
func TestBurstOfAThousandCards(t *testing.T) {
	pd := secureReader(0, ownKey[:])
	cfg := secureConfig(0)
	cfg.Baud = 115200
	bubble(t, cfg, []*reader{pd}, func(t *testing.T, _ *cable, recs []*drivertest.Recorder, _ *osdp.Bus) {
		until(t, time.Second, "secure", isSecure(recs[0]))
		for i := range 1000 {
			pd.Present(card(t, 26, byte(i), byte(i>>8), 3, 0x40))
		}
		took := until(t, 20*time.Second, "all of them", func() bool { return len(recs[0].Readings()) == 1000 })
		for i, r := range recs[0].Readings() {
			if b := r.Card.Bits(); int(b[0])|int(b[1])<<8 != i {
				t.Fatalf("card %d is out of order", i)
			}
		}
		t.Logf("1000 cards in %v", took)
	})
}
