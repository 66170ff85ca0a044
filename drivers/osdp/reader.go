package osdp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sekimori/drivers"
)

// Reader is one address, a drivers.Reader.
type Reader struct {
	bus       *Bus
	turnstile chan struct{} // one slot: held by the one act under way

	mu      sync.Mutex
	cfg     ReaderConfig           // guarded by mu: Key and Address change by acts
	box     *drivers.Outbox        // guarded by mu; nil while Run is not running
	signal  *drivers.Signal        // guarded by mu; not yet taken by the bus
	slot    uint16                 // guarded by mu; a Match not yet taken, 0 none
	asked   []asked                // guarded by mu; not yet taken
	waiting map[uint64]chan Answer // guarded by mu; each takes one Answer without waiting
	about   About                  // guarded by mu
	quality Quality                // guarded by mu
}

// asked makes an input of a Link when the bus takes it.
type asked func(now time.Duration) Input

// outboxRoom is how many readings wait for a slow sink; a reader whose box is
// nearly full is not polled, so it keeps the rest.
const outboxRoom = 256

// ErrRunning is returned by Run of a reader that runs already.
var ErrRunning = errors.New("osdp: the reader is running already")

// Run implements drivers.Reader.
func (r *Reader) Run(ctx context.Context, sink drivers.Sink) error {
	box := drivers.NewOutbox(outboxRoom)
	r.mu.Lock()
	if r.box != nil {
		r.mu.Unlock()
		return fmt.Errorf("reader %s: %w", r.cfg.Reader, ErrRunning)
	}
	r.box = box
	r.mu.Unlock()
	r.bus.join()
	box.Deliver(ctx, sink)
	r.mu.Lock()
	r.box, r.asked = nil, nil
	for id, done := range r.waiting {
		done <- Answer{ID: id, Err: ErrNotRunning}
	}
	r.waiting = nil
	r.mu.Unlock()
	r.bus.leave()
	return nil
}

// Show implements drivers.Reader.
func (r *Reader) Show(s drivers.Signal) {
	r.mu.Lock()
	r.signal = &s
	if s != drivers.SignalAskMore {
		r.slot = 0
	}
	r.mu.Unlock()
	r.bus.nudge()
}

// matcher is a reader that compares fingers, a drivers.Matcher.
type matcher struct{ *Reader }

// Match implements drivers.Matcher: slot is the template's place in the reader.
func (m matcher) Match(slot uint16) {
	m.mu.Lock()
	m.slot = slot
	m.mu.Unlock()
	m.bus.nudge()
}

// About is what the reader said of itself when it last came online.
func (r *Reader) About() About {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about
}

// config is the settings as they are now.
func (r *Reader) config() ReaderConfig {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cfg
}

func (r *Reader) outbox() *drivers.Outbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.box
}

// takeInputs is what people and the program above asked for since the last call.
func (r *Reader) takeInputs(now time.Duration) []Input {
	r.mu.Lock()
	defer r.mu.Unlock()
	var in []Input
	if r.signal != nil {
		in = append(in, Show{*r.signal})
		r.signal = nil
	}
	if r.slot != 0 {
		in = append(in, Match{r.slot})
		r.slot = 0
	}
	for _, a := range r.asked {
		in = append(in, a(now))
	}
	r.asked = nil
	return in
}

// deliver hands an answer to who waits for it, if anybody still does.
func (r *Reader) deliver(a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done, ok := r.waiting[a.ID]; ok {
		delete(r.waiting, a.ID)
		done <- a
	}
}

// act has the bus do something and waits for its end. Acts of one reader wait
// for each other.
func (r *Reader) act(ctx context.Context, input func(id uint64, now time.Duration) Input) (Reply, error) {
	select {
	case r.turnstile <- struct{}{}:
		defer func() { <-r.turnstile }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	id, done := r.bus.lastID.Add(1), make(chan Answer, 1)
	r.mu.Lock()
	if r.box == nil {
		r.mu.Unlock()
		return nil, ErrNotRunning
	}
	if r.waiting == nil {
		r.waiting = map[uint64]chan Answer{}
	}
	r.waiting[id] = done
	r.asked = append(r.asked, func(now time.Duration) Input { return input(id, now) })
	r.mu.Unlock()
	r.bus.nudge()
	select {
	case a := <-done:
		return a.Reply, a.Err
	case <-ctx.Done():
		r.mu.Lock()
		delete(r.waiting, id)
		r.asked = append(r.asked, func(time.Duration) Input { return Forget{id} })
		r.mu.Unlock()
		r.bus.nudge()
		return nil, ctx.Err()
	}
}
