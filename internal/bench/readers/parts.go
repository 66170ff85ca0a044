package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"sekimori/internal/bench/measure"
)

// times holds cards to readers in turn, each at a random moment of a poll cycle,
// and measures until this process has them.
func (b *bench) times(ctx context.Context, r *rig, ears []*ear, cards int) (all measure.Times, err error) {
	for i := range cards {
		e := ears[i%len(ears)]
		time.Sleep(rand.N(2*r.cycle(len(r.ears)) + time.Millisecond))
		at, err := r.card(ctx, e, i+1)
		if err != nil {
			return nil, err
		}
		got, err := e.next(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, got.at-at)
	}
	return all, nil
}

// quantiles prints latencies beside what the wire allows.
func (b *bench) quantiles(what string, q measure.Quantiles, w wire, n int) {
	limit, cycle := w.limit(n), w.cycle(n)
	b.line(what, fmt.Sprintf("p50 %s  p99 %s ms", ms(q.P50), ms(q.P99)),
		fmt.Sprintf("%s mean, %s a cycle", ms(limit), ms(cycle)),
		fmt.Sprintf("p50 ≤ %s, p99 ≤ %s", ms(limit+3*time.Millisecond), ms(limit+3*cycle)))
}

func (b *bench) latency(ctx context.Context, w wire) error {
	return b.with(ctx, w, 1, 0, func(ctx context.Context, r *rig) error {
		all, err := b.times(ctx, r, r.ears, b.cards)
		b.quantiles("card → reading, 1 reader", all.Quantiles(), w, 1)
		return err
	})
}

func (b *bench) eight(ctx context.Context, w wire) error {
	return b.with(ctx, w, 8, 0, func(ctx context.Context, r *rig) error {
		all, err := b.times(ctx, r, r.ears, b.cards)
		b.quantiles("card → reading, 8 readers", all.Quantiles(), w, 8)
		return err
	})
}

// absent is a reader beside three whose cables are cut, and the same alone.
func (b *bench) absent(ctx context.Context, w wire) error {
	var alone, beside measure.Quantiles
	for _, missing := range []int{0, 3} {
		err := b.with(ctx, w, 1+missing, missing, func(ctx context.Context, r *rig) error {
			all, err := b.times(ctx, r, r.ears[:1], b.cards)
			alone, beside = beside, all.Quantiles()
			return err
		})
		if err != nil {
			return err
		}
	}
	b.line("beside 3 absent readers", fmt.Sprintf("p50 %s  p99 %s ms, alone p99 %s ms", ms(beside.P50), ms(beside.P99), ms(alone.P99)), "",
		fmt.Sprintf("p99 ≤ alone + %s", ms(replyTimeout)))
	return nil
}

// replyTimeout is OSDP's: a reader answers within 200 ms of a command's last byte.
const replyTimeout = 200 * time.Millisecond

// stall lets one reply be 400 ms late with a card at that reader and one at its
// neighbour.
func (b *bench) stall(ctx context.Context, w wire) error {
	const late, tries = 400 * time.Millisecond, 20
	return b.with(ctx, w, 2, 0, func(ctx context.Context, r *rig) error {
		var own, neighbour measure.Times
		for i := range tries {
			time.Sleep(200 * time.Millisecond)
			if err := r.call(ctx, http.MethodPost, "/v1/readers/R0/stall", map[string]int{"ms": int(late.Milliseconds()), "count": 1}, nil); err != nil {
				return err
			}
			time.Sleep(r.cycle(2)) // the reply that is late is under way
			for n, into := range []*measure.Times{&own, &neighbour} {
				at, err := r.card(ctx, r.ears[n], i+1)
				if err != nil {
					return err
				}
				got, err := r.ears[n].next(ctx)
				if err != nil {
					return err
				}
				*into = append(*into, got.at-at)
			}
		}
		b.line("a reply 400 ms late, card at that reader", "p99 "+ms(own.Quantiles().P99)+" ms", "", "≤ "+ms(late+replyTimeout+w.limit(2)+3*w.cycle(2)))
		b.line("  and at its neighbour", "p99 "+ms(neighbour.Quantiles().P99)+" ms", "", "≤ "+ms(replyTimeout+w.limit(2)+3*w.cycle(2)))
		return nil
	})
}

// cable pulls a cable and plugs it in again.
func (b *bench) cable(ctx context.Context, w wire) error {
	const tries = 10
	return b.with(ctx, w, 2, 0, func(ctx context.Context, r *rig) error {
		var noticed, usable measure.Times
		e := r.ears[0]
		for i := range tries {
			time.Sleep(rand.N(500 * time.Millisecond))
			pulled := measure.Mono()
			if err := r.cable(ctx, e, false); err != nil {
				return err
			}
			off, err := e.until(ctx, 20*time.Second, false)
			if err != nil {
				return err
			}
			time.Sleep(rand.N(2 * time.Second))
			plugged := measure.Mono()
			if err := r.cable(ctx, e, true); err != nil {
				return err
			}
			if _, err := r.card(ctx, e, i+1); err != nil {
				return err
			}
			got, err := e.next(ctx)
			if err != nil {
				return err
			}
			noticed, usable = append(noticed, off-pulled), append(usable, got.at-plugged)
		}
		b.line("cable pulled → known", "worst "+ms(noticed.Quantiles().P99)+" ms", "", "≤ 2000")
		b.line("cable back → a card is read", "worst "+ms(usable.Quantiles().P99)+" ms", "", "≤ 1000 after the first answered probe")
		return nil
	})
}

// flood is many cards without a pause: what one reader's own queue can hold is
// held to it at a time, and every one must arrive, in order.
func (b *bench) flood(ctx context.Context, w wire) error {
	return b.with(ctx, w, 1, 0, func(ctx context.Context, r *rig) error {
		e := r.ears[0]
		const queue = 8
		var first, last time.Duration
		lost, disorder := 0, 0
		want := []string{}
		var before string
		for i := range b.burst {
			at, err := r.card(ctx, e, i+1)
			if err != nil {
				return err
			}
			if i == 0 {
				first = at
			}
			if i+1 < queue {
				continue
			}
			got, err := e.next(ctx)
			if err != nil {
				return fmt.Errorf("after %d of %d cards: %w", len(want), b.burst, err)
			}
			want = append(want, got.card)
			if got.card <= before {
				disorder++
			}
			before, last = got.card, got.at
		}
		for range queue - 1 {
			got, err := e.next(ctx)
			if err != nil {
				lost++
				continue
			}
			if got.card <= before {
				disorder++
			}
			before, last = got.card, got.at
		}
		b.line(fmt.Sprintf("%d cards in a burst", b.burst), fmt.Sprintf("%d lost, %d out of order, %s ms each", lost, disorder, ms((last-first)/time.Duration(b.burst))),
			ms(w.limit(1)-w.cycle(1)/2+w.bytes(clearPoll)), "0, 0")
		return nil
	})
}

// cpu counts this process's time while a bus of one and of eight readers is
// polled with people about, and at rest.
func (b *bench) cpu(ctx context.Context, w wire) error {
	for _, n := range []int{1, 8} {
		err := b.with(ctx, w, n, 0, func(ctx context.Context, r *rig) error {
			if _, err := b.times(ctx, r, r.ears, n); err != nil {
				return err
			}
			before := measure.CPU()
			time.Sleep(b.idle)
			share := 100 * (measure.CPU() - before).Seconds() / b.idle.Seconds()
			b.line(fmt.Sprintf("processor, %d readers, people about", n), fmt.Sprintf("%.2f %% of a core", share), "", goalCPU(w))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func goalCPU(w wire) string {
	if w.baud == 115200 {
		return "≤ 2 %"
	}
	return ""
}
