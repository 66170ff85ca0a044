// Package osdp talks OSDP 2.x, as the controller, to the readers of one RS-485
// bus: in clear text, or with a key under the secure channel and nothing else.
//
//	bytes ── Scanner ── Frame ── Link (one per address, pure) ── Readings, Health
//	            ▲                  │
//	            └──── Bus ─────────┘  one goroutine owns the port and all links
//
// Vocabulary: ACU, the controller (this program); PD, the reader; POLL, the
// question "anything to report?" that a reader needs to say anything at all;
// SCBK, a reader's own key; SCBK-D, the published key of new readers.
//
// The bus gives each turn to the link that has waited longest beyond its due
// time. While people are about (an event within half a minute) a reader is
// polled back-to-back; at rest now and then. Absent readers are probed in turn,
// one a second on the whole bus.
//
// Whether a reader is secure is settled by its settings: one with a Key is
// never polled in clear text, never offered SCBK-D and never sent a key. If it
// cannot prove its key, or a message is forged, Health says Refused and the same
// handshake is tried again with growing pauses. Keys are given to readers by
// Bus.Commission alone. In clear text a card number can be copied by anybody who
// reaches the wires, so such readings say Authenticated false.
package osdp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
)

// Bauds are the speeds of the standard.
var Bauds = []int{9600, 19200, 38400, 57600, 115200, 230400}

// Times between two polls of one reader. Half of it, on average, is how long a
// card waits to be asked for; all of it is processor time, since every poll is
// two or three wake-ups of a sleeping machine.
const (
	// DefaultPoll is for while people are about. Below 57600 baud an exchange
	// takes longer than that, so polls follow each other without a pause.
	DefaultPoll = 4 * time.Millisecond
	// DefaultRest is for when nobody is.
	DefaultRest = 120 * time.Millisecond
)

// defaultInterChar ends a frame that stopped in the middle. The specification's
// 20 ms would cut frames in two behind USB adapters, which deliver in portions.
const defaultInterChar = 150 * time.Millisecond

// Config is one bus.
type Config struct {
	Baud      int            // the port's, one of Bauds
	Poll      time.Duration  // between polls of a reader while people are about; default DefaultPoll
	Rest      time.Duration  // the same when nobody is; default DefaultRest
	InterChar time.Duration  // longest pause inside an answer; default 150 ms
	Readers   []ReaderConfig // at least one
	Log       *slog.Logger   // told of commissioning; default slog.Default()
}

// ReaderConfig is one address of a bus.
type ReaderConfig struct {
	Reader    string // ID in readings
	Address   byte   // 0 to 126
	Checksum  bool   // use the one-byte checksum for readers that have no CRC
	NoMark    bool   // send no idle byte before commands
	Key       *Key   // its own key: secure channel only; nil: clear text
	Biometric bool   // it compares fingers: its driver is a drivers.Matcher
}

func (c Config) check() error {
	var faults []error
	if !slices.Contains(Bauds, c.Baud) {
		faults = append(faults, fmt.Errorf("baud %d: want one of %v", c.Baud, Bauds))
	}
	if c.Poll < 0 || c.Poll > goneAfter/4 {
		faults = append(faults, fmt.Errorf("poll %v: want at most %v", c.Poll, goneAfter/4))
	}
	if c.Rest < 0 || c.Rest > goneAfter/4 {
		faults = append(faults, fmt.Errorf("rest %v: want at most %v", c.Rest, goneAfter/4))
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
		if r.Key != nil {
			if err := r.Key.Check(); err != nil {
				faults = append(faults, fmt.Errorf("reader %q: %w", r.Reader, err))
			}
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
	lastID  atomic.Uint64 // of acts
	taps    taps

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
	if cfg.Rest == 0 {
		cfg.Rest = max(DefaultRest, cfg.Poll)
	}
	if cfg.InterChar == 0 {
		cfg.InterChar = defaultInterChar
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	b := &Bus{cfg: cfg, open: open, wake: make(chan struct{}, 1)}
	for _, r := range cfg.Readers {
		b.readers = append(b.readers, &Reader{bus: b, cfg: r, turnstile: make(chan struct{}, 1)})
	}
	return b, nil
}

// Readers are the bus's drivers, in the order of the settings. Those with
// Biometric, and only those, are drivers.Matchers.
func (b *Bus) Readers() []drivers.Reader {
	var out []drivers.Reader
	for _, r := range b.readers {
		if r.cfg.Biometric {
			out = append(out, matcher{r})
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Reader is the reader of that ID, for an installer's acts.
func (b *Bus) Reader(id string) (*Reader, error) {
	for _, r := range b.readers {
		if r.cfg.Reader == id {
			return r, nil
		}
	}
	return nil, &ReaderError{id, ErrUnknownReader}
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
