package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sekimori/drivers/wiegand"
	"sekimori/internal/bench/measure"
)

const card = "0000012345" // of P07, who may enter everywhere

// done is the simulator's answer to an act.
type done struct {
	MonoNS int64  `json:"mono_ns"`
	Event  uint64 `json:"event"`
}

// found starts the city and waits until a card opens each door.
func (b *bench) found(ctx context.Context) error {
	if err := b.town.found(ctx); err != nil {
		return err
	}
	for _, d := range []string{"D21", "D31"} {
		err := eventually(ctx, time.Minute, "a card opens "+d, func() (bool, error) {
			_, err := b.pass(ctx, d)
			return err == nil, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sim() *client { return newSimulator(b.town.path("sim/sim.sock")) }

// pass presents the card at a door, walks through and waits for the lock. It
// returns when the reader had the whole card.
func (b *bench) pass(ctx context.Context, door string) (at time.Duration, err error) {
	s := b.sim()
	defer s.http.CloseIdleConnections()
	var d done
	if err := s.call(ctx, http.MethodPost, "/v1/readers/"+door+"-in/card", map[string]string{"number": card}, &d); err != nil {
		return 0, err
	}
	for _, step := range []struct{ method, path string }{
		{http.MethodGet, fmt.Sprintf("/v1/wait?door=%s&lock=released&since=%d&timeout=2s", door, d.Event)},
		{http.MethodPost, "/v1/doors/" + door + "/open"},
		{http.MethodPost, "/v1/doors/" + door + "/close"},
		{http.MethodGet, "/v1/wait?door=" + door + "&lock=locked&timeout=10s"},
	} {
		if err := s.call(ctx, step.method, step.path, struct{}{}, nil); err != nil {
			return 0, err
		}
	}
	return time.Duration(d.MonoNS), nil
}

// pulses is when the relay of a door was energised.
func (b *bench) pulses(ctx context.Context, door string) (list []time.Duration, err error) {
	var t struct {
		PulseTimes []struct {
			MonoNS int64 `json:"mono_ns"`
		} `json:"pulse_times"`
	}
	if err := b.sim().call(ctx, http.MethodGet, "/v1/doors/"+door+"/timeline?after=0", nil, &t); err != nil {
		return nil, err
	}
	for _, p := range t.PulseTimes {
		list = append(list, time.Duration(p.MonoNS))
	}
	return list, nil
}

// toLock passes a door many times, a bare sync after each, and pairs each card
// with the relay's next pulse.
func (b *bench) toLock(ctx context.Context, door string) (lock, sync measure.Quantiles, err error) {
	var cards []time.Duration
	var bare, took measure.Times
	for range b.cards {
		at, err := b.pass(ctx, door)
		if err != nil {
			return lock, sync, err
		}
		once, err := b.ruler.Once()
		if err != nil {
			return lock, sync, err
		}
		cards, bare = append(cards, at), append(bare, once)
	}
	pulses, err := b.pulses(ctx, door)
	if err != nil {
		return lock, sync, err
	}
	if len(pulses) < len(cards) {
		return lock, sync, fmt.Errorf("%s: %d cards, %d pulses", door, len(cards), len(pulses))
	}
	for i, p := range pulses[len(pulses)-len(cards):] {
		if p < cards[i] {
			return lock, sync, fmt.Errorf("%s: pulse %d was before its card", door, i)
		}
		took = append(took, p-cards[i])
	}
	return took.Quantiles(), bare.Quantiles(), nil
}

// goalOverSync is what a card may take beyond the disk's own sync.
const goalOverSync = "p99 ≤ 5 ms above the sync"

// doors is the way of a card to the lock, through processes and wires.
func (b *bench) doors(ctx context.Context) error {
	b.head("Last bit or byte of a card → lock command, the durable row inside")
	lock, sync, err := b.toLock(ctx, "D21")
	if err != nil {
		return err
	}
	after := lock.Minus(wiegand.DefaultSilence)
	b.line("Wiegand, D21", points(lock), "")
	b.line(fmt.Sprintf("  less the silence that ends a frame (%v)", wiegand.DefaultSilence), points(after), "")
	b.line("  the disk's own write and sync, between cards", points(sync), "")
	b.line("  above the sync, p99 − p99", ms(after.P99-sync.P99)+" ms", goalOverSync)
	if lock, sync, err = b.toLock(ctx, "D31"); err != nil {
		return err
	}
	b.line("OSDP, D31: card held to the reader → lock", points(lock), "")
	b.line("  waiting for the poll and 38400 baud are part of it", "", "")
	b.line("  the disk's own write and sync, between cards", points(sync), "")
	return nil
}

// inProcess is the same way without wires: from the reading to the relay, in one
// process, the journal on the same disk.
func (b *bench) inProcess(ctx context.Context) error {
	code, err := b.town.code(ctx, "DC-B1")
	if err != nil {
		return err
	}
	var got struct{ Card, Sync measure.Quantiles }
	g, err := b.startLoadgen(ctx, "DC-B1 "+code+"\n", "door", "-door", "DB1", "-cards", fmt.Sprint(2*b.cards))
	if err != nil {
		return err
	}
	if err := errors.Join(g.next(&got), g.end()); err != nil {
		return err
	}
	b.head("The same without wires: reading in memory → decide, journal → relay call")
	b.line("card", points(got.Card), "")
	b.line("the disk's own write and sync, between cards", points(got.Sync), "")
	b.line("above the sync, p99 − p99", ms(got.Card.P99-got.Sync.P99)+" ms", goalOverSync)
	return nil
}

// rows is the way of a card to the console.
func (b *bench) rows(ctx context.Context) error {
	console, err := b.town.newConsole(ctx)
	if err != nil {
		return err
	}
	unknown, err := b.rowsOf(ctx, console, "denials", func() (time.Duration, error) {
		var d done
		err := b.sim().call(ctx, http.MethodPost, "/v1/readers/D21-in/card", map[string]string{"number": "0000099999"}, &d)
		return time.Duration(d.MonoNS), err
	})
	if err != nil {
		return err
	}
	entered, err := b.rowsOf(ctx, console, "entry", func() (time.Duration, error) { return b.pass(ctx, "D21") })
	if err != nil {
		return err
	}
	b.head("Card at the simulator → row visible over HTTP")
	b.line("unknown card, last bit → 不許可・異常一覧", points(unknown), "p95 ≤ 250 ms")
	b.line("entry, last bit → 入退室管理簿, the walk included", points(entered), "")
	return nil
}

// rowsOf does something at the simulator and reads the register until it shows
// one row more.
func (b *bench) rowsOf(ctx context.Context, c *client, register string, act func() (time.Duration, error)) (measure.Quantiles, error) {
	var took measure.Times
	if err := pause(ctx, time.Second); err != nil { // what happened before has arrived
		return measure.Quantiles{}, err
	}
	first, err := c.lastPage(ctx, register, 1)
	if err != nil {
		return measure.Quantiles{}, err
	}
	for n := first.Total + 1; n <= first.Total+b.options.rows; n++ {
		at, err := act()
		if err != nil {
			return measure.Quantiles{}, err
		}
		if err := b.visible(ctx, c, register, n); err != nil {
			return measure.Quantiles{}, err
		}
		took = append(took, measure.Mono()-at)
	}
	return took.Quantiles(), nil
}

// visible reads until the n-th row is there.
func (b *bench) visible(ctx context.Context, c *client, register string, n int) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		p, err := c.lastPage(ctx, register, n)
		if err != nil {
			return err
		}
		if len(p.Rows) > (n-1)%pageRows {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("row %d of %s never showed", n, register)
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}
