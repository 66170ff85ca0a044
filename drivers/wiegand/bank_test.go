package wiegand_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"sekimori/drivers"
)

// bank models lines and the reader soldered to them, from the reader's side: it
// pulls D0 and D1 low in the rhythm of its maker. Time is the bubble's.
type bank struct {
	width, interval time.Duration
	queue           chan func()
	done            chan struct{}

	mu      sync.Mutex
	out     chan drivers.Edge // guarded by mu; of the one Edges call
	release func() bool
	level   map[string]gpio.Level
	seq     uint64
	err     error
	pins    map[string]*gpiotest.Pin
	start   time.Time
	behind  time.Duration // guarded by mu; how late edges are handed over
}

func newBank(width, interval time.Duration) *bank {
	b := &bank{
		width: width, interval: interval, queue: make(chan func(), 1000), done: make(chan struct{}), start: time.Now(),
		level: map[string]gpio.Level{"d0": true, "d1": true, "tamper": false},
		pins:  map[string]*gpiotest.Pin{"led": {N: "led"}, "buz": {N: "buz"}, "hold": {N: "hold"}},
	}
	go func() {
		defer close(b.done)
		for f := range b.queue {
			f()
		}
	}()
	return b
}

func (b *bank) close() { close(b.queue); <-b.done }

func (b *bank) now() time.Duration { return time.Since(b.start) }

func (b *bank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out, b.seq = make(chan drivers.Edge, 8192), 0
	for _, l := range lines {
		if _, ok := b.level[l]; !ok {
			return nil, errors.New("no line " + l)
		}
		b.tellLocked(l)
	}
	out := b.out
	b.release = context.AfterFunc(ctx, func() { b.lose(out, nil) })
	return out, nil
}

// lose ends the stream out; err is why.
func (b *bank) lose(out chan drivers.Edge, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	if out == b.out && out != nil {
		close(out)
		b.out = nil
	}
}

func (b *bank) tellLocked(line string) {
	if b.out != nil {
		b.seq++
		b.out <- drivers.Edge{Line: line, Level: b.level[line], At: b.now() - b.behind, Seq: b.seq}
	}
}

func (b *bank) set(line string, l gpio.Level) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.level[line] != l {
		b.level[line] = l
		b.tellLocked(line)
	}
}

func (b *bank) Pin(line string) (gpio.PinIO, error) {
	if p, ok := b.pins[line]; ok {
		return p, nil
	}
	return nil, errors.New("no line " + line)
}

func (b *bank) Err() error   { b.mu.Lock(); defer b.mu.Unlock(); return b.err }
func (b *bank) Close() error { return nil }

// stall hands everything from now on over late by d more.
func (b *bank) stall(d time.Duration) {
	time.Sleep(d)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.behind += d
}

// pulse is one bit on the wire.
func (b *bank) pulse(line string) {
	b.set(line, false)
	time.Sleep(b.width)
	b.set(line, true)
	time.Sleep(b.interval - b.width)
}

func (b *bank) frame(bits []byte) {
	for _, x := range bits {
		b.pulse([]string{"d0", "d1"}[x])
	}
	time.Sleep(60 * time.Millisecond)
}

func (b *bank) Present(c drivers.Card) {
	b.queue <- func() { b.frame(bitsOf(c)) }
}

func (b *bank) Press(keys string) {
	for _, k := range []byte(keys) {
		v := map[byte]byte{'*': 10, '#': 11}[k]
		if k >= '0' && k <= '9' {
			v = k - '0'
		}
		bits := []byte{v >> 3 & 1, v >> 2 & 1, v >> 1 & 1, v & 1}
		if v%2 == 0 { // some readers send 8 bits, the first half inverted
			bits = append([]byte{1 - bits[0], 1 - bits[1], 1 - bits[2], 1 - bits[3]}, bits...)
		}
		b.queue <- func() { b.frame(bits) }
	}
}

func (b *bank) SetTamper(open bool) { b.set("tamper", gpio.Level(open)) }

// Plug: without its supply this reader pulls both data lines low.
func (b *bank) Plug(in bool) {
	b.set("d0", gpio.Level(in))
	b.set("d1", gpio.Level(in))
}

func bitsOf(c drivers.Card) []byte {
	var out []byte
	for i := range c.Len() {
		out = append(out, c.Bits()[i/8]>>(7-i%8)&1)
	}
	return out
}
