package uplink

import (
	"context"
	"sync"
	"time"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Entry is one durable event as the journal gives it.
type Entry struct {
	Epoch record.Epoch
	Seq   uint64
	Event []byte
	Salt  record.Salt
}

// Outbox is the journal as the sender sees it.
type Outbox interface {
	// After lists durable entries that follow (epoch, seq) without a gap, of
	// one epoch, at most n and about bytes. The zero epoch means the oldest
	// held entry that is not acknowledged. When an epoch is exhausted the next
	// one follows; an empty list means there is nothing more yet. What the
	// journal can no longer read is passed over: the hub sees it in the numbers.
	After(epoch record.Epoch, seq uint64, n, bytes int) ([]Entry, error)
	// Held notes what the hub holds. Less than it once acknowledged means that
	// the hub was restored: what follows is offered again.
	Held([]record.Held) error
	// Changed signals that After may have more.
	Changed() <-chan struct{}
}

const (
	window     = 2048             // events sent and not yet acknowledged
	goBackWait = 10 * time.Second // without progress, send again from the last receipt
)

type position struct {
	epoch record.Epoch
	seq   uint64
}

// sender keeps a window of events under way.
type sender struct {
	*Config
	link *link
	wake chan struct{} // one slot

	mu       sync.Mutex
	opened   bool      // guarded by mu; the hub has said what it holds
	acked    position  // guarded by mu; of the newest receipt
	sent     position  // guarded by mu; the newest handed to the socket
	inFlight int       // guarded by mu
	moved    time.Time // guarded by mu; the last progress
	lastSent uint64    // BatchHead.Sent
}

func newSender(c *Config, l *link) *sender {
	return &sender{Config: c, link: l, wake: make(chan struct{}, 1)}
}

func (s *sender) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// held takes the hub's cumulative word.
func (s *sender) held(list []record.Held) error {
	if err := s.Outbox.Held(list); err != nil {
		return err
	}
	s.mu.Lock()
	if !s.opened {
		s.opened, s.moved = true, time.Now()
	}
	for _, h := range list {
		p := position{h.Epoch, h.Seq}
		if p.epoch == s.sent.epoch && p != s.acked {
			s.acked, s.moved = p, time.Now()
			s.inFlight = int(s.sent.seq - min(p.seq, s.sent.seq))
		}
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// run sends until ctx ends. It waits for the hub's first word, because events
// are dated by it and because it says where to begin.
func (s *sender) run(ctx context.Context) error {
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		if err := s.fill(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-s.Outbox.Changed():
		case <-check.C:
			s.goBack()
		}
	}
}

// goBack forgets what was sent after the last receipt when nothing has moved.
func (s *sender) goBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight > 0 && time.Since(s.moved) > goBackWait {
		s.sent, s.inFlight, s.moved = position{}, 0, time.Now()
	}
}

// fill sends batches while the window has room and the journal has events.
func (s *sender) fill(ctx context.Context) error {
	for {
		s.mu.Lock()
		room, from, ready := window-s.inFlight, s.sent, s.opened
		s.mu.Unlock()
		if !ready || room <= 0 {
			return nil
		}
		entries, err := s.Outbox.After(from.epoch, from.seq, min(room, record.MaxBatchEvents), record.MaxBatchBytes/2)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := s.send(ctx, entries); err != nil {
			return err
		}
	}
}

func (s *sender) send(ctx context.Context, entries []Entry) error {
	events, salts := make([][]byte, len(entries)), make([]record.Salt, len(entries))
	for i, e := range entries {
		events[i], salts[i] = e.Event, e.Salt
	}
	// Sent rises over restarts within a boot because boot time does.
	s.lastSent = max(s.lastSent+1, uint64(clock.Mono()))
	head := record.BatchHead{Device: s.Device, Epoch: entries[0].Epoch, First: entries[0].Seq, Boot: s.Boot, Sent: s.lastSent}
	if zero, known := s.Clock.Zero(); known {
		head.Dating = []record.BootClock{{Boot: s.Boot, Zero: zero}}
	}
	batch, err := record.SealBatch(s.Signer, head, events, salts)
	if err != nil {
		return err
	}
	last := entries[len(entries)-1]
	s.mu.Lock()
	if s.inFlight == 0 {
		s.moved = time.Now()
	}
	s.sent = position{last.Epoch, last.Seq}
	s.inFlight += len(entries)
	s.mu.Unlock()
	return s.link.publish(ctx, record.ChannelUp, batch.Encode())
}
