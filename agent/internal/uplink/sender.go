package uplink

import (
	"context"
	"slices"
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

// flight is one batch that was sent and that the hub has not confirmed.
type flight struct {
	last position
	n    int
}

// sender keeps a window of events under way.
type sender struct {
	*Config
	link *link
	wake chan struct{} // one slot

	mu       sync.Mutex
	opened   bool                    // guarded by mu; the hub has said what it holds
	known    map[record.Epoch]uint64 // guarded by mu; what it holds
	sent     position                // guarded by mu; the newest handed to the socket
	flights  []flight                // guarded by mu
	moved    time.Time               // guarded by mu; the last progress
	lastSent uint64                  // BatchHead.Sent; of run's goroutine
}

func newSender(c *Config, l *link) *sender {
	return &sender{Config: c, link: l, wake: make(chan struct{}, 1), known: map[record.Epoch]uint64{}}
}

func (s *sender) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// held takes the hub's cumulative word. A hub that holds less than it said
// before was restored: sending begins again from what it has.
func (s *sender) held(list []record.Held) error {
	if err := s.Outbox.Held(list); err != nil {
		return err
	}
	s.mu.Lock()
	restored := false
	for _, h := range list {
		restored = restored || h.Seq < s.known[h.Epoch]
		s.known[h.Epoch] = h.Seq
	}
	before := len(s.flights)
	s.flights = slices.DeleteFunc(s.flights, func(f flight) bool { return f.last.seq <= s.known[f.last.epoch] })
	if restored {
		s.restartLocked()
	}
	if !s.opened || len(s.flights) != before {
		s.opened, s.moved = true, time.Now()
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// restartLocked forgets what was sent, so that it is sent again from the oldest
// event that the journal does not know to be held.
func (s *sender) restartLocked() {
	s.sent, s.flights, s.moved = position{}, nil, time.Now()
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
	if len(s.flights) > 0 && time.Since(s.moved) > goBackWait {
		s.restartLocked()
	}
}

// room is how many more events may be sent, and after which one.
func (s *sender) room() (n int, from position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		return 0, s.sent
	}
	n = window
	for _, f := range s.flights {
		n -= f.n
	}
	return n, s.sent
}

// fill sends batches while the window has room and the journal has events.
func (s *sender) fill(ctx context.Context) error {
	for {
		room, from := s.room()
		if room <= 0 {
			return nil
		}
		entries, err := s.Outbox.After(from.epoch, from.seq, min(room, record.MaxBatchEvents), record.MaxBatchBytes/2)
		if err != nil || len(entries) == 0 {
			return err
		}
		if err := s.send(ctx, from, entries); err != nil {
			return err
		}
	}
}

// send sends one batch, which follows from.
func (s *sender) send(ctx context.Context, from position, entries []Entry) error {
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
	if !s.depart(from, flight{position{last.Epoch, last.Seq}, len(entries)}) {
		return nil // the hub has said meanwhile where to begin again
	}
	return s.link.publish(ctx, record.ChannelUp, batch.Encode())
}

// depart notes a batch as sent after from.
func (s *sender) depart(from position, f flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent != from {
		return false
	}
	if len(s.flights) == 0 {
		s.moved = time.Now()
	}
	s.sent, s.flights = f.last, append(s.flights, f)
	return true
}
