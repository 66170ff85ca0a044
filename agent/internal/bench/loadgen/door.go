package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"sekimori/agent"
	"sekimori/drivers"
	"sekimori/internal/bench/measure"
	"sekimori/internal/clock"
)

// Door is what door prints: one card after the other at one door, and after
// each a bare sync in the same folder.
type Door struct {
	Card measure.Quantiles // from the reading to the command to the lock
	Sync measure.Quantiles
}

// door runs a whole agent whose reader and lines are in memory.
func door(ctx context.Context, o options, codes []issued) (*Door, error) {
	bank := newBank(o.door)
	dir := filepath.Join(o.dir, string(codes[0].device))
	c := agent.Config{
		Device: string(codes[0].device), StateDir: dir, Hub: agent.Hub{MQTT: o.mqtt, HTTPS: o.https}, Lines: bank,
		Doors: []agent.Door{{Code: o.door, Relay: bank.line("relay"), Contact: bank.line("contact"), REX: bank.line("rex"), Fire: bank.line("fire"),
			Readers: []agent.Reader{{ID: o.door + "-in", Driver: bank.reader}}}},
		Log: slog.New(slog.DiscardHandler),
	}
	if err := agent.Enrol(ctx, c, codes[0].code); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx, c) }()
	out, err := present(ctx, o, bank)
	cancel()
	return out, errors.Join(err, <-ended)
}

func present(ctx context.Context, o options, b *bank) (*Door, error) {
	// The first card that opens tells that the policy has come.
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, err := b.card(ctx, time.Second); err == nil {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, errors.New("the door never opened: no policy, or the hub is away")
		}
	}
	ruler, err := measure.NewRuler(o.dir)
	if err != nil {
		return nil, err
	}
	var cards, syncs measure.Times
	for range o.cards {
		took, err := b.card(ctx, 5*time.Second)
		if err != nil {
			return nil, err
		}
		bare, err := ruler.Once()
		if err != nil {
			return nil, err
		}
		cards, syncs = append(cards, took), append(syncs, bare)
	}
	return &Door{Card: cards.Quantiles(), Sync: syncs.Quantiles()}, ruler.Close()
}

// bank is the lines and the reader of one door, in memory.
type bank struct {
	door   string
	reader *reader
	edges  chan drivers.Edge
	relay  chan relayed // the relay's changes

	mu  sync.Mutex
	seq uint64 // guarded by mu
}

type relayed struct {
	on bool
	at time.Time
}

func newBank(door string) *bank {
	return &bank{door: door, reader: &reader{id: door + "-in", cards: make(chan drivers.Reading)},
		edges: make(chan drivers.Edge, 16), relay: make(chan relayed, 16)}
}

func (b *bank) line(name string) agent.Line { return agent.Line{Name: b.door + "." + name} }

// card presents the card, takes the time to the relay, walks through the door
// and waits for the lock.
func (b *bank) card(ctx context.Context, within time.Duration) (time.Duration, error) {
	start := time.Now()
	select {
	case b.reader.cards <- b.reader.reading():
	case <-time.After(within):
		return 0, errors.New("nobody listens to the reader")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	at, err := b.await(ctx, true, within)
	if err != nil {
		return 0, err
	}
	b.contact(gpio.High)
	b.contact(gpio.Low)
	_, err = b.await(ctx, false, within)
	return at.Sub(start), err
}

func (b *bank) await(ctx context.Context, on bool, within time.Duration) (time.Time, error) {
	timeout := time.After(within)
	for {
		select {
		case r := <-b.relay:
			if r.on == on {
				return r.at, nil
			}
		case <-timeout:
			return time.Time{}, fmt.Errorf("relay not %v within %v", on, within)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func (b *bank) contact(l gpio.Level) { b.edges <- b.edge(b.line("contact").Name, l) }

func (b *bank) edge(line string, l gpio.Level) drivers.Edge {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	return drivers.Edge{Line: line, Level: l, At: clock.Mono(), Seq: b.seq}
}

// Edges passes on what contact says. The agent watches all inputs in one call.
func (b *bank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	out := make(chan drivers.Edge, len(lines))
	for _, l := range lines {
		out <- b.edge(l, gpio.Low)
	}
	go func() {
		defer close(out)
		for {
			select {
			case e := <-b.edges:
				out <- e
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func (b *bank) Pin(line string) (gpio.PinIO, error) {
	return &pin{Pin: gpiotest.Pin{N: line}, told: b.relay, is: line == b.line("relay").Name}, nil
}

func (b *bank) Err() error   { return nil }
func (b *bank) Close() error { return nil }

// pin tells when the relay is driven.
type pin struct {
	gpiotest.Pin
	told chan relayed
	is   bool
}

func (p *pin) Out(l gpio.Level) error {
	if p.is {
		p.told <- relayed{bool(l), time.Now()}
	}
	return nil
}

// reader hands on cards of memory.
type reader struct {
	id    string
	cards chan drivers.Reading
}

// reading is the card of P07 in the fixture city: H10301, facility 12, 12345.
func (r *reader) reading() drivers.Reading {
	card, err := drivers.NewCard([]byte{0x06, 0x18, 0x1c, 0xc0}, 26)
	if err != nil {
		panic(err) // 26 bits are in four bytes
	}
	return drivers.Reading{Reader: r.id, Proof: drivers.ProofUIDOnly, Card: card, At: clock.Mono()}
}

func (r *reader) Run(ctx context.Context, sink drivers.Sink) error {
	sink.Health(drivers.Health{Reader: r.id, Online: true})
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-r.cards:
			sink.Reading(c)
		}
	}
}

func (r *reader) Show(drivers.Signal) {}
