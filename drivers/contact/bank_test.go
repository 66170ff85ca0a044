package contact_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"sekimori/drivers"
)

// bank models a bank of lines: inputs that a test moves, outputs it looks at.
type bank struct {
	start time.Time
	pins  map[string]*pin

	mu      sync.Mutex
	out     chan drivers.Edge     // guarded by mu; the newest Edges call's
	level   map[string]gpio.Level // guarded by mu
	seq     uint64                // guarded by mu
	err     error                 // guarded by mu
	streams int                   // guarded by mu: Edges calls so far
	behind  time.Duration         // guarded by mu: how late edges are handed over
}

// pin is an output that can refuse to be driven and keeps what it was told.
type pin struct {
	gpiotest.Pin
	mu   sync.Mutex
	deaf error // guarded by mu
	took []gpio.Level
}

func (p *pin) Out(l gpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf != nil {
		return p.deaf
	}
	p.took = append(p.took, l)
	return p.Pin.Out(l)
}

func (p *pin) deafen(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = err
}

func newBank() *bank {
	return &bank{
		start: time.Now(), level: map[string]gpio.Level{"a": false, "b": false},
		pins: map[string]*pin{"lamp": {Pin: gpiotest.Pin{N: "lamp"}}},
	}
}

func (b *bank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	if b.out != nil {
		return nil, errors.New("a kernel gives its lines to one stream at a time")
	}
	b.out, b.seq, b.streams = make(chan drivers.Edge, 4096), 0, b.streams+1
	for _, l := range lines {
		if _, ok := b.level[l]; !ok {
			b.out = nil
			return nil, errors.New("no line " + l)
		}
		b.tellLocked(l)
	}
	out := b.out
	context.AfterFunc(ctx, func() { b.end(out) })
	return out, nil
}

func (b *bank) end(out chan drivers.Edge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if out == b.out {
		close(out)
		b.out = nil
	}
}

// lose ends the stream with a cause; restore lets the next one begin.
func (b *bank) lose(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	close(b.out)
	b.out = nil
}

func (b *bank) trouble(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *bank) tellLocked(line string) {
	if b.out != nil {
		b.seq++
		b.out <- drivers.Edge{Line: line, Level: b.level[line], At: time.Since(b.start) - b.behind, Seq: b.seq}
	}
}

func (b *bank) set(line string, l gpio.Level) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level[line] = l
	b.tellLocked(line)
}

// miss changes a level without an edge, as a full buffer does; the next edge
// shows it by its number.
func (b *bank) miss(line string, l gpio.Level) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.level[line] = l
	b.seq++
}

func (b *bank) opened() int { b.mu.Lock(); defer b.mu.Unlock(); return b.streams }

func (b *bank) Pin(line string) (gpio.PinIO, error) {
	if p, ok := b.pins[line]; ok {
		return p, nil
	}
	return nil, errors.New("no line " + line)
}

func (b *bank) Err() error   { b.mu.Lock(); defer b.mu.Unlock(); return b.err }
func (b *bank) Close() error { return nil }
