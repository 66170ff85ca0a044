package drivers_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
)

func TestCardKeepsItsLength(t *testing.T) {
	long, _ := drivers.NewCard([]byte{0x00, 0x01}, 16)
	short, _ := drivers.NewCard([]byte{0x00, 0x01}, 15)
	if long == short || long.Key() == short.Key() {
		t.Error("two lengths are one card")
	}
	padded, _ := drivers.NewCard([]byte{0xA0, 0xFF}, 9)
	clean, _ := drivers.NewCard([]byte{0xA0, 0x80}, 9)
	if padded != clean {
		t.Error("bits behind the end make a different card")
	}
	for _, n := range []int{0, -1, 17} {
		if _, err := drivers.NewCard([]byte{1, 2}, n); err == nil {
			t.Errorf("a card of %d bits in 2 bytes", n)
		}
	}
}

func TestTyping(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		keys string // a space is 4 s of pause
		want []string
		errs int
	}{
		"ended":         {"1234#", []string{"1234"}, 0},
		"cleared":       {"12*34#", []string{"34"}, 0},
		"paused":        {"12 34#", []string{"12", "34"}, 0},
		"nothing":       {"## *#", nil, 0},
		"too long":      {"123456789012345678901234567890123456#77#", []string{"77"}, 1},
		"long, cleared": {"123456789012345678901234567890123456*8#", []string{"8"}, 1},
		"long, paused":  {"123456789012345678901234567890123456 9#", []string{"9"}, 1},
		"unknown":       {"1A2#", []string{"12"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var typing drivers.Typing
			var got []string
			var now time.Duration
			errs := 0
			take := func(k drivers.Keys) {
				if !k.IsZero() {
					got = append(got, k.Typed())
				}
			}
			for _, k := range []byte(c.keys) {
				if k == ' ' {
					now += 4 * s
					take(typing.Expire(now))
					continue
				}
				now += s
				take(typing.Expire(now))
				entry, err := typing.Press(k, now)
				if err != nil {
					errs++
				}
				take(entry)
			}
			if !slices.Equal(got, c.want) || errs != c.errs {
				t.Errorf("got %q and %d errors, want %q and %d", got, errs, c.want, c.errs)
			}
			if _, due := typing.Due(); due {
				t.Error("something is left")
			}
		})
	}
}

func TestOutboxKeepsStateChangesAndTellsFiguresSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		box, rec := drivers.NewOutbox(16), &drivertest.Recorder{}
		wg.Go(func() { box.Deliver(ctx, rec) })
		h := drivers.Health{Reader: "r"}
		for range 3 { // short openings of the case must not be lost
			h.Tamper = true
			box.Health(h)
			h.Tamper = false
			box.Health(h)
		}
		synctest.Wait()
		if n := len(rec.Healths()); n != 6 {
			t.Errorf("%d changes told, want 6", n)
		}
		for range 5000 {
			h.Noise++
			box.Health(h)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if n := len(rec.Healths()) - 6; n < 4 || n > 6 {
			t.Errorf("5 s of noise were told %d times", n)
		}
		if rec.Last().Noise != 5000 {
			t.Errorf("the last figure is %d", rec.Last().Noise)
		}
	})
}

func TestFullOutboxWaitsAndNewestHealthArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := drivers.NewOutbox(2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for i := range 2 {
			if err := box.Reading(ctx, drivers.Reading{At: time.Duration(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if box.Room(1) {
			t.Error("a full outbox has room")
		}
		if err := box.Reading(ctx, drivers.Reading{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third reading: %v", err)
		}
		box.Health(drivers.Health{Online: true})
		box.Health(drivers.Health{Online: false, Detail: "newest"})
		run, stop := context.WithCancel(t.Context())
		rec := &drivertest.Recorder{}
		var wg sync.WaitGroup
		wg.Go(func() { box.Deliver(run, rec) })
		time.Sleep(3 * time.Second)
		if len(rec.Readings()) != 2 || rec.Last().Detail != "newest" {
			t.Errorf("%d readings, health %+v", len(rec.Readings()), rec.Last())
		}
		stop()
		wg.Wait()
	})
}
