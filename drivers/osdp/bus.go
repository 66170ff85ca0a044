// Package osdp talks OSDP 2.x in clear text, as the controller, to the readers
// of one RS-485 bus.
//
//	bytes ── Scanner ── Frame ── Link (one per address, pure) ── Readings, Health
//	            ▲                  │
//	            └──── Bus ─────────┘  one goroutine owns the port and all links
//
// Vocabulary: ACU, the controller (this program); PD, the reader; POLL, the
// question "anything to report?" that a reader needs to say anything at all.
//
// The bus gives each turn to the link that has waited longest beyond its due
// time. After an event a reader is due at once, until its queue is empty; then
// every Poll for a minute, and less often when nobody is about. An absent reader costs little: it is probed once a
// second at most, and while others wait mostly with a short window.
//
// Secure channel is not spoken: an answer that has a security block is rejected
// and counted. A card number on a clear-text bus can be copied by anybody who
// reaches the wires, so every reading says Authenticated false.
package osdp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
)

// DefaultPoll is the time between two polls of a reader in the minute after an
// event; a bus at rest takes two and a half
// times that. Half of it, on average, is how long a
// card waits to be asked for; all of it is processor time, since every poll is
// two wake-ups of a sleeping machine.
const DefaultPoll = 25 * time.Millisecond

// defaultInterChar ends a frame that stopped in the middle. The specification's
// 20 ms would cut frames in two behind USB adapters, which deliver in portions.
const defaultInterChar = 150 * time.Millisecond

// Config is one bus.
type Config struct {
	Baud      int            // the port's, for the time bytes take: 9600 to 230400
	Poll      time.Duration  // time between polls in the minute after an event, less often at rest; default DefaultPoll
	InterChar time.Duration  // longest pause inside an answer; default 150 ms
	Readers   []ReaderConfig // at least one
}

// ReaderConfig is one address of a bus.
type ReaderConfig struct {
	Reader   string // ID in readings
	Address  byte   // 0 to 126
	Checksum bool   // use the one-byte checksum for readers that have no CRC
	NoMark   bool   // send no idle byte before commands
}

func (c Config) check() error {
	var faults []error
	if c.Baud < 1200 || c.Baud > 1000000 {
		faults = append(faults, fmt.Errorf("baud %d", c.Baud))
	}
	if c.Poll < 0 || c.Poll > offlineAfter/4 {
		faults = append(faults, fmt.Errorf("poll %v: want at most %v", c.Poll, offlineAfter/4))
	}
	if c.InterChar < 0 {
		faults = append(faults, fmt.Errorf("inter-character time %v", c.InterChar))
	}
	if len(c.Readers) == 0 {
		faults = append(faults, errors.New("no readers"))
	}
	ids, addrs := map[string]bool{}, map[byte]bool{}
	for _, r := range c.Readers {
		if r.Reader == "" || ids[r.Reader] {
			faults = append(faults, fmt.Errorf("reader ID %q is empty or used twice", r.Reader))
		}
		if r.Address > maxAddress || addrs[r.Address] {
			faults = append(faults, fmt.Errorf("reader %q: address %d is above %d or used twice", r.Reader, r.Address, maxAddress))
		}
		ids[r.Reader], addrs[r.Address] = true, true
	}
	return errors.Join(faults...)
}

// Bus is one RS-485 bus. Its goroutine runs while at least one of its readers
// does.
type Bus struct {
	cfg     Config
	open    line.Opener
	readers []*Reader
	wake    chan struct{} // one slot: something was asked of an idle bus

	life sync.Mutex // held to start and to stop the goroutine
	runs int        // guarded by life: readers that run
	stop context.CancelFunc
	done chan struct{}
}

// NewBus checks the settings; it opens nothing.
func NewBus(cfg Config, open line.Opener) (*Bus, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("osdp: %w", err)
	}
	if cfg.Poll == 0 {
		cfg.Poll = DefaultPoll
	}
	if cfg.InterChar == 0 {
		cfg.InterChar = defaultInterChar
	}
	b := &Bus{cfg: cfg, open: open, wake: make(chan struct{}, 1)}
	for _, r := range cfg.Readers {
		b.readers = append(b.readers, &Reader{bus: b, cfg: r})
	}
	return b, nil
}

// Readers are the bus's readers, in the order of the settings.
func (b *Bus) Readers() []*Reader { return append([]*Reader(nil), b.readers...) }

// Reader is one address, a drivers.Reader.
type Reader struct {
	bus *Bus
	cfg ReaderConfig

	mu     sync.Mutex
	box    *drivers.Outbox // guarded by mu; nil while Run is not running
	signal *drivers.Signal // guarded by mu; not yet taken by the bus
	about  About           // guarded by mu
}

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
	r.box = nil
	r.mu.Unlock()
	r.bus.leave()
	return nil
}

// Show implements drivers.Reader.
func (r *Reader) Show(s drivers.Signal) {
	r.mu.Lock()
	r.signal = &s
	r.mu.Unlock()
	r.bus.nudge()
}

// About is what the reader said of itself when it last came online.
func (r *Reader) About() About {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about
}

func (r *Reader) outbox() *drivers.Outbox {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.box
}

func (r *Reader) takeSignal() (drivers.Signal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.signal
	r.signal = nil
	if s == nil {
		return 0, false
	}
	return *s, true
}

func (b *Bus) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Bus) join() {
	b.life.Lock()
	defer b.life.Unlock()
	b.runs++
	if b.runs > 1 {
		b.nudge()
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	b.stop, b.done = stop, done
	go func() {
		defer close(done)
		newTalker(b).run(ctx)
	}()
}

// leave stops the goroutine with the last reader and waits for it.
func (b *Bus) leave() {
	b.life.Lock()
	defer b.life.Unlock()
	b.runs--
	if b.runs == 0 {
		b.stop()
		<-b.done
	}
}
