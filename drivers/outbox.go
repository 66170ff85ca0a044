package drivers

import (
	"context"
	"sync"
	"time"
)

// figuresPace is how often rising counters alone are told to the sink. A noisy
// cable makes thousands of glitches a second; nobody needs to hear each of them.
const figuresPace = time.Second

// Outbox stands between a driver's talker, which must keep time with its
// hardware, and a sink, which may block (the journal is on a disk).
//
//	talker ── Reading, Health ──▶ [ queue ] ── Deliver ──▶ Sink
//
// Readings and changes of state (online, secure, refused, tamper, power) keep
// their order and are never dropped while the outbox has room; counters alone
// are told at most once a second.
type Outbox struct {
	items chan item
	stir  chan struct{} // one slot: last changed and is not queued

	mu    sync.Mutex
	told  bool   // guarded by mu: a first Health has been accepted
	last  Health // guarded by mu: the newest Health
	stale bool   // guarded by mu: last is not in the queue
}

type item struct {
	reading  *Reading
	health   Health
	isHealth bool
}

// NewOutbox makes an outbox for size readings and changes.
func NewOutbox(size int) *Outbox {
	return &Outbox{items: make(chan item, size), stir: make(chan struct{}, 1)}
}

// Room tells whether n more items fit. Only the one talker adds items, so the
// answer stays true until it does.
func (o *Outbox) Room(n int) bool { return cap(o.items)-len(o.items) >= n }

// Reading queues r and waits for room until ctx ends; it returns ctx's error
// when r could not be queued.
func (o *Outbox) Reading(ctx context.Context, r Reading) error {
	select {
	case o.items <- item{reading: &r}:
		return nil
	default:
	}
	select {
	case o.items <- item{reading: &r}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Health tells the newest state; it never blocks. With a full queue the state
// is kept and told later, so that a sink always ends up with the newest one.
func (o *Outbox) Health(h Health) {
	o.mu.Lock()
	defer o.mu.Unlock()
	moved := !o.told || h.Online != o.last.Online || h.Secure != o.last.Secure || h.Refused != o.last.Refused ||
		h.Tamper != o.last.Tamper || h.PowerFail != o.last.PowerFail
	figures := h.Noise != o.last.Noise || h.Retries != o.last.Retries || h.Detail != o.last.Detail
	o.told, o.last = true, h
	if moved {
		select {
		case o.items <- item{health: h, isHealth: true}:
			o.stale = false
			return
		default:
		}
	}
	if moved || figures {
		o.stale = true
		select {
		case o.stir <- struct{}{}:
		default:
		}
	}
}

func (o *Outbox) takeStale() (Health, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.stale
	o.stale = false
	return o.last, was
}

// Deliver hands everything to sink, in order, until ctx ends. What is still
// queued then is given up: nobody is left to decide about it.
func (o *Outbox) Deliver(ctx context.Context, sink Sink) {
	pace := time.NewTimer(figuresPace)
	pace.Stop()
	defer pace.Stop()
	for armed := false; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case it := <-o.items:
			if it.isHealth {
				sink.Health(it.health)
			} else {
				sink.Reading(*it.reading)
			}
		case <-o.stir:
			if !armed {
				armed = true
				pace.Reset(figuresPace)
			}
		case <-pace.C:
			armed = false
			if h, ok := o.takeStale(); ok {
				sink.Health(h)
			}
		}
	}
}
