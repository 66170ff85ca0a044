// Package lines is the simulator's side of sekimori-lines/1: the GPIO lines of
// one controller behind a unix socket.
//
//	program ──HELLO, WATCH, OUT, GET──▶ Bank ──Output──▶ physics of the doors
//	program ◀──LINES, EDGE, OK, LEVEL── Bank ◀──Set, Play── contacts, readers
//
// One client at a time owns the outputs. When it goes, however it goes, its
// outputs fall back to their idle level, as pull resistors on a board let them.
package lines

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/mono"
)

// Line is one pin of the controller.
type Line struct {
	Name string // for example "D21.contact"
	Out  bool   // driven by the client
	Idle bool   // the level at the start, and of an output nobody drives
}

// Pulse is a change that comes due After the start of a train.
type Pulse struct {
	Line  string
	Level bool
	After time.Duration
}

type pin struct {
	Line
	level bool
}

type edge struct {
	line  string
	level bool
	at    int64 // CLOCK_MONOTONIC ns
}

// Bank is the lines of one controller. Make it with New.
type Bank struct {
	output func(line string, level bool)
	order  []string

	mu     sync.Mutex
	pins   map[string]*pin // guarded by mu; the map itself is fixed
	future []edge          // guarded by mu; by time
	ends   map[string]int64
	// ends is when the last train on a line is over; guarded by mu
	owner *client       // guarded by mu; nil when nobody is connected
	wake  chan struct{} // future has a new first edge
}

// New makes a bank. output is called, without locks, whenever the level of an
// output changes.
func New(list []Line, output func(line string, level bool)) (*Bank, error) {
	b := &Bank{output: output, pins: map[string]*pin{}, ends: map[string]int64{}, wake: make(chan struct{}, 1)}
	for _, l := range list {
		if _, twice := b.pins[l.Name]; twice || l.Name == "" || strings.ContainsAny(l.Name, " :\n") {
			return nil, fmt.Errorf("line %q is named twice or cannot be named on the wire", l.Name)
		}
		b.pins[l.Name] = &pin{Line: l, level: l.Idle}
		b.order = append(b.order, l.Name)
	}
	return b, nil
}

// Set changes the level of an input now.
func (b *Bank) Set(line string, level bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pins[line]
	if p == nil || p.Out || p.level == level {
		return
	}
	now := mono.Now()
	b.flushLocked(now) // pulses that came before must be told before
	b.applyLocked(edge{line, level, now})
}

// Play lets a train of pulses run over input lines, gap after the last train on
// any of them, and tells when its last edge falls (CLOCK_MONOTONIC ns). The
// edges carry their nominal times; they are told when they are due, so the
// jitter of this machine moves no pulse.
func (b *Bank) Play(train []Pulse, gap time.Duration) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	start := mono.Now()
	for _, p := range train {
		if over, busy := b.ends[p.Line]; busy {
			start = max(start, over+int64(gap))
		}
	}
	end := start
	for _, p := range train {
		e := edge{p.Line, p.Level, start + int64(p.After)}
		i, _ := slices.BinarySearchFunc(b.future, e, func(a, e edge) int {
			if a.at <= e.at {
				return -1
			}
			return 1
		})
		b.future = slices.Insert(b.future, i, e)
		end = max(end, e.at)
	}
	for _, p := range train {
		b.ends[p.Line] = end
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return end
}

// Pulses tells how many edges are still to come.
func (b *Bank) Pulses() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.future)
}

// Level is the level of a line now; an unknown line is low.
func (b *Bank) Level(line string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pins[line]
	return p != nil && p.level
}

// Client names the program that owns the outputs, "" if none does.
func (b *Bank) Client() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner == nil {
		return ""
	}
	return b.owner.name
}

// Outputs lists the outputs and their levels.
func (b *Bank) Outputs() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]bool{}
	for name, p := range b.pins {
		if p.Out {
			out[name] = p.level
		}
	}
	return out
}

// clockwork tells the pulses when they are due, until ctx ends.
func (b *Bank) clockwork(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-b.wake:
		}
		b.mu.Lock()
		b.flushLocked(mono.Now())
		next := time.Hour
		if len(b.future) > 0 {
			next = time.Duration(b.future[0].at - mono.Now())
		}
		b.mu.Unlock()
		timer.Reset(max(next, 0))
	}
}

func (b *Bank) flushLocked(now int64) {
	n := 0
	for n < len(b.future) && b.future[n].at <= now {
		b.applyLocked(b.future[n])
		n++
	}
	b.future = b.future[n:]
}

func (b *Bank) applyLocked(e edge) {
	p := b.pins[e.line]
	if p == nil || p.level == e.level {
		return
	}
	p.level = e.level
	if b.owner != nil {
		b.owner.edge(e)
	}
}
