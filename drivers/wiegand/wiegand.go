// Package wiegand reads card readers and keypads on two data lines.
//
//	lines ── Edges ──▶ Decoder ──▶ Outbox ──▶ Sink
//	  ▲                               │ full
//	  ├── hold ◀──────────────────────┘
//	  └── LED, buzzer ◀── feedback ◀── Show
//
// Facts used (SIA 26-bit figures as reader manuals quote them): pulses of 20 to
// 100 µs, intervals of 200 µs to 20 ms, the two lines never low together, idle
// high. A frame has no address, no length and a parity bit at most, so the
// decoder rejects whatever is not exactly a known format and counts it: a
// person presents the card again, which is better than a wrong number.
//
// The line is one-way: nothing tells a reader that is silent from a reader that
// is gone, unless its absence pulls a line low.
package wiegand

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/drivers"
)

// Config is one reader. Lines are as the reader's terminals are: the usual
// reader takes its LED and buzzer terminals pulled to ground for on, which
// without an inverting transistor between is ActiveLow.
type Config struct {
	Reader string // ID in readings
	D0, D1 string // data lines
	Tamper string // optional input, 1 = the reader's case is open
	LED    string // optional output, 1 = green
	Buzzer string // optional output, 1 = sounds
	Hold   string // optional output, 1 = the reader keeps its next card to itself

	TamperActiveLow bool // 0 = open
	LEDActiveLow    bool
	BuzzerActiveLow bool
	HoldActiveLow   bool

	KeyGap time.Duration // pause that ends a keypad entry; default drivers.KeyGap
	Rules  Rules
}

const (
	outboxRoom = 1024        // readings while the sink is busy; 30 s of one card after the other
	stuckAfter = time.Second // a data line low for so long is a fault of the cable
	lookAtBank = time.Second // how soon a lost bank is noticed, which sends no edge to say so
	retryEdges = time.Second // between tries to watch a bank that was lost
	maxKeyGap  = time.Minute // longer, and the next person's digits would join
)

// Reader is a drivers.Reader.
type Reader struct {
	cfg   Config
	lines drivers.Lines
	rules Rules
	lamp  feedback

	counts atomic.Pointer[Counts] // the newest of the present Run
}

// New makes a reader on lines. Where the bank says that it stamps edges on
// receipt (StampsAtPin false) pulse widths mean nothing and are not judged.
func New(cfg Config, lines drivers.Lines) (*Reader, error) {
	if cfg.Reader == "" || cfg.D0 == "" || cfg.D1 == "" || cfg.D0 == cfg.D1 {
		return nil, errors.New("wiegand: a reader needs an ID and two data lines")
	}
	if cfg.KeyGap < 0 || cfg.KeyGap > maxKeyGap {
		return nil, fmt.Errorf("reader %s: a pause of %v ends a keypad entry, want up to %v", cfg.Reader, cfg.KeyGap, maxKeyGap)
	}
	rules := cfg.Rules.withDefaults()
	if b, ok := lines.(interface{ StampsAtPin() bool }); ok && !b.StampsAtPin() {
		rules.MinPulse = -1
	}
	if _, err := NewDecoder(rules); err != nil {
		return nil, fmt.Errorf("reader %s: %w", cfg.Reader, err)
	}
	r := &Reader{cfg: cfg, lines: lines, rules: rules}
	r.lamp.wake = make(chan struct{}, 1)
	return r, nil
}

// Counts is what the present Run, or the last one, has taken and rejected so
// far: the line's quality, for the person who installs it.
func (r *Reader) Counts() Counts {
	if c := r.counts.Load(); c != nil {
		return *c
	}
	return Counts{}
}

// Show implements drivers.Reader.
func (r *Reader) Show(s drivers.Signal) { r.lamp.show(s) }

// Run implements drivers.Reader. It returns an error when a line of the
// settings does not exist.
func (r *Reader) Run(ctx context.Context, sink drivers.Sink) error {
	led, err1 := r.output(r.cfg.LED, r.cfg.LEDActiveLow)
	buzzer, err2 := r.output(r.cfg.Buzzer, r.cfg.BuzzerActiveLow)
	hold, err3 := r.output(r.cfg.Hold, r.cfg.HoldActiveLow)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	edges, err := r.watch(ctx)
	if err != nil {
		return fmt.Errorf("reader %s: %w", r.cfg.Reader, err)
	}
	box := drivers.NewOutbox(outboxRoom)
	e, err := newEar(r, box, hold)
	if err != nil {
		return err
	}
	defer hold(false)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { box.Deliver(ctx, sink) })
	wg.Go(func() { r.lamp.run(ctx, led, buzzer) })
	for ctx.Err() == nil {
		e.health.Online, e.health.Detail = true, ""
		e.tell()
		e.listen(ctx, edges)
		if ctx.Err() != nil {
			break
		}
		e.health.Online = false
		e.health.Detail = fmt.Sprintf("lines lost: %v", r.lines.Err())
		e.tell()
		edges = r.watchAgain(ctx)
	}
	return nil
}

// output is a function that turns a line on and off; it does nothing for "".
func (r *Reader) output(line string, low bool) (func(bool), error) {
	if line == "" {
		return func(bool) {}, nil
	}
	p, err := r.lines.Pin(line)
	if err != nil {
		return nil, fmt.Errorf("reader %s: %w", r.cfg.Reader, err)
	}
	return driver(p, low), nil
}

func (r *Reader) watch(ctx context.Context) (<-chan drivers.Edge, error) {
	data, levels := []string{r.cfg.D0, r.cfg.D1}, []string{}
	if r.cfg.Tamper != "" {
		levels = append(levels, r.cfg.Tamper)
	}
	if b, ok := r.lines.(drivers.Pulser); ok {
		return b.Pulses(ctx, data, levels...)
	}
	return r.lines.Edges(ctx, append(data, levels...)...)
}

func (r *Reader) watchAgain(ctx context.Context) <-chan drivers.Edge {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryEdges):
		}
		if edges, err := r.watch(ctx); err == nil {
			return edges
		}
	}
}
