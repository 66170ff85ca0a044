// Package pn532 reads contactless cards through a PN532 on a serial line: the
// reader of a counter, or of a door whose cards can prove who they are.
//
//	bytes ── Scanner ── Frame ── Link (pure) ── Readings, Health
//	            ▲                 │
//	            └──── Reader ─────┘  one goroutine owns the port
//
// Vocabulary: HSU, the chip's high speed UART, 115200 baud as delivered; target,
// a card in the field; UID and IDm, the number a card says of itself, which
// anyone can copy; ISO-DEP, the way cards take commands (ISO 14443-4).
//
//	wake + SAMConfiguration ─▶ GetFirmwareVersion ─▶ RFConfiguration
//	                                                      │
//	  ┌──────────────── nobody ◀── InListPassiveTarget ◀──┤ every Poll
//	  │                                  │ a card          │
//	  │             key set: select, prove, GetCardUID     │ field off, so that
//	  │                                  │                 │ it answers anew
//	  └─▶ gone 400 ms: forgotten      Reading ─▶ rests ────┘
//
// A card that rests on the reader is one Reading, whatever the module or the
// cable does meanwhile. Proof makes a card answer a fresh challenge (package
// ev2); at a reader that demands it, a card that does not is a Reading with a
// Claim and no Card, which no door can take for an entry.
//
// The chip has no lamp, buzzer, keypad or tamper line: Show does nothing, and a
// counter tells the person on its screen. The serial line itself is not
// authenticated, so readings say Authenticated false: whoever is on the wire can
// play back a UID, but not a proof.
//
// Facts: NXP UM0701-02 (user manual), AN10609 (application note); the dialogue
// of libnfc with the chip.
package pn532

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/drivers/pn532/ev2"
)

// DefaultBaud is the chip's speed as delivered.
const DefaultBaud = 115200

// DefaultPoll is the time between two looks for a card. A card is read half of
// it later on average, plus about 10 ms.
const DefaultPoll = 60 * time.Millisecond

// maxPoll keeps a resting card apart from one that has gone.
const maxPoll = goneAfter / 4

// SiteKey is the key from which the keys of the municipality's cards are made.
// It redacts itself.
type SiteKey = ev2.Key

// ParseSiteKey reads 32 hexadecimal digits. Its error quotes none of them.
func ParseSiteKey(text string) (SiteKey, error) { return ev2.ParseKey(text) }

// Config is one reader.
type Config struct {
	Reader string        // ID in readings
	Form   drivers.Form  // how a chip's number becomes a card's bits; zero: all of it, as the chip says it
	Listen []Technology  // in this order; default all
	Poll   time.Duration // between two looks; default DefaultPoll, at most 100 ms
	Proof  Proof         // zero: cards are not asked
}

// Proof is how cards are asked to prove themselves (ISO 14443A cards with AES:
// NTAG 424 DNA, DESFire EV2 and later).
type Proof struct {
	Key         SiteKey // zero: no card is asked
	KeyNumber   byte    // of the application's keys, 0 to 13
	Application []byte  // DESFire AID of 3 bytes, or ISO DF name of 5 to 16; default that of NTAG 424 DNA
	System      []byte  // what the issuer put behind the UID in AN10922's diversification input, at most 21 bytes

	// Undiversified takes Key as every card's own. Cards that make up their UID
	// need it, since their key cannot be known before they have said their
	// number; one such card taken apart gives all of them away.
	Undiversified bool

	// Demand is drivers.ProofCryptographic where a number alone is not enough:
	// then a card that does not prove itself is a Reading with a Claim and no
	// Card. Empty or drivers.ProofUIDOnly: such a card is a Reading with
	// drivers.ProofUIDOnly, and one that proves itself is better.
	Demand drivers.Proof
}

func (p Proof) check() error {
	var faults []error
	if p.KeyNumber > 13 {
		faults = append(faults, fmt.Errorf("key number %d: want 0 to 13", p.KeyNumber))
	}
	if _, err := ev2.SelectCommand(p.application()); err != nil {
		faults = append(faults, err)
	}
	if limit := ev2.MaxInput - 10; len(p.System) > limit {
		faults = append(faults, fmt.Errorf("%d bytes behind the UID: want at most %d", len(p.System), limit))
	}
	switch p.Demand {
	case "", drivers.ProofUIDOnly:
	case drivers.ProofCryptographic:
		if p.Key.IsZero() {
			faults = append(faults, errors.New("proof is demanded and there is no key"))
		}
	default:
		faults = append(faults, fmt.Errorf("proof %q: want %s or %s", p.Demand, drivers.ProofUIDOnly, drivers.ProofCryptographic))
	}
	return errors.Join(faults...)
}

func (p Proof) application() []byte {
	if len(p.Application) == 0 {
		return ev2.NTAG424()
	}
	return p.Application
}

func (c Config) check() error {
	var faults []error
	if c.Reader == "" {
		faults = append(faults, errors.New("the reader has no ID"))
	}
	if _, err := c.Form.Of([]byte{0}); err != nil {
		faults = append(faults, fmt.Errorf("card form: %w", err))
	}
	if c.Poll < 0 || c.Poll > maxPoll {
		faults = append(faults, fmt.Errorf("poll %v: want at most %v", c.Poll, maxPoll))
	}
	for i, t := range c.Listen {
		if !slices.Contains(Technologies(), t) || slices.Contains(c.Listen[:i], t) {
			faults = append(faults, fmt.Errorf("technology %q is unknown or named twice", t))
		}
	}
	return errors.Join(append(faults, c.Proof.check())...)
}

func (c Config) withDefaults() Config {
	if len(c.Listen) == 0 {
		c.Listen = Technologies()
	}
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	return c
}

// outboxRoom is how many readings wait for a slow sink; with a full one the
// field is not looked at.
const outboxRoom = 256

// ErrRunning is returned by Run of a reader that runs already.
var ErrRunning = errors.New("pn532: the reader is running already")

// Reader is one module on one port, a drivers.Reader.
type Reader struct {
	cfg  Config
	open line.Opener

	mu      sync.Mutex
	running bool     // guarded by mu
	about   Firmware // guarded by mu
}

var _ drivers.Reader = (*Reader)(nil)

// New checks the settings; it opens nothing.
func New(cfg Config, open line.Opener) (*Reader, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("pn532: reader %q: %w", cfg.Reader, err)
	}
	return &Reader{cfg: cfg.withDefaults(), open: open}, nil
}

// Show implements drivers.Reader; the chip has nothing to show it with.
func (r *Reader) Show(drivers.Signal) {}

// About is what the chip said of itself when it last came online.
func (r *Reader) About() Firmware {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about
}

// Run implements drivers.Reader.
func (r *Reader) Run(ctx context.Context, sink drivers.Sink) error {
	if !r.begin() {
		return fmt.Errorf("reader %s: %w", r.cfg.Reader, ErrRunning)
	}
	defer r.end()
	ctx, cancel := context.WithCancel(ctx)
	box := drivers.NewOutbox(outboxRoom)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { box.Deliver(ctx, sink) })
	t := &talker{reader: r, box: box, link: NewLink(r.cfg), start: time.Now()}
	box.Health(t.link.Health())
	line.Keep(ctx, r.open, t.serve, func(err error) { t.step(ctx, Lost{err}) })
	return nil
}

func (r *Reader) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.running
	r.running = true
	return !was
}

func (r *Reader) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
}
