// Package world is the simulated city at work: it joins readers, lines, doors
// and the people who act on them.
//
//	control ──Card, Keys──▶ readers ──pty, pulses──▶ controller's program
//	control ──Act─────────▶ doors ──contact, rex, fire, tamper──▶ lines ──▶ program
//	                          ▲──────────── relay ◀── lines ◀── program
//
// Every change becomes an Event; every lock release is on its door's timeline
// with the machine's monotonic time and the simulated wall time. What a person
// would find unchanged after a power cut of the simulator (an open leaf, a fire
// alarm) is in state.json; relays are not, they start de-energised [T-40].
package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/lines"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/nfc"
	"sekimori/firmware-sim/internal/place"
	"sekimori/firmware-sim/internal/site"
	"sekimori/internal/clock"
)

// World is the running city. Make it with New, Run it once.
type World struct {
	dir   *place.Dir
	log   *slog.Logger
	cards *cards.Table
	chips map[string]nfc.Chip // by card number and name
	clock *clock.Control
	story *chronicle

	controllers []*controller // fixed after New, as are the maps
	doors       map[string]*doorUnit
	readers     map[string]*reader

	mu   sync.Mutex
	wake chan struct{} // a door has something timed
}

type controller struct {
	id    string
	bank  *lines.Bank
	sock  net.Listener
	buses []*busUnit

	modules []*wired
}

type busUnit struct {
	name string
	port *bus.Pty
	bus  *bus.Bus
}

type doorUnit struct {
	id   string
	ctl  *controller
	spec door.Spec

	state    door.State // guarded by World.mu
	timeline []Event    // guarded by World.mu
	pulses   []Moment   // guarded by World.mu; when the relay was energised, the newest
	pulsed   int        // guarded by World.mu; how often since the start
	releases int        // guarded by World.mu
	opened   int64      // guarded by World.mu; mono ns of the last opening
}

// Moment is a point in both times.
type Moment struct {
	MonoNS int64     `json:"mono_ns"`
	Wall   time.Time `json:"wall"`
}

// New opens every socket and pty of the site in the directory. Close it when
// nobody looks at it any more.
func New(s site.Site, dir *place.Dir, log *slog.Logger) (_ *World, err error) {
	w := &World{dir: dir, log: log, doors: map[string]*doorUnit{}, readers: map[string]*reader{}, wake: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.cards, err = s.Table(); err != nil {
		return nil, err
	}
	w.chips = s.Chips()
	if w.clock, err = clock.NewControl(dir.File("clock")); err != nil {
		return nil, err
	}
	w.story = newChronicle(w.Wall)
	saved := w.load()
	for _, c := range s.Controllers {
		if err := w.addController(c, saved); err != nil {
			return nil, fmt.Errorf("controller %s: %w", c.ID, err)
		}
	}
	w.story.add(Event{Kind: "started"})
	w.greet()
	return w, nil
}

func (w *World) addController(c site.Controller, saved savedState) error {
	ctl := &controller{id: c.ID}
	w.controllers = append(w.controllers, ctl)
	if err := w.keepSkew(c.ID); err != nil {
		return err
	}
	var err error
	if ctl.bank, err = lines.New(linesOf(c), w.output); err != nil {
		return err
	}
	for _, d := range c.Doors {
		unit := &doorUnit{id: d.ID, ctl: ctl, spec: d.Spec(), state: saved.state(d.ID)}
		w.doors[d.ID] = unit
		w.wires(unit)
	}
	stations, speeds := map[string][]*bus.Station{}, map[string]int{}
	for _, b := range c.Buses {
		speeds[b.Name] = b.Baud
	}
	for i, r := range c.Readers {
		unit, err := w.addReader(ctl, r, uint32(i+1), speeds[r.Bus], saved)
		if err != nil {
			return err
		}
		if unit.station != nil {
			saved.restore(unit)
			stations[r.Bus] = append(stations[r.Bus], unit.station)
		}
	}
	for _, b := range c.Buses {
		port, err := bus.OpenPty(w.dir.File(c.ID + "." + b.Name))
		if err != nil {
			return err
		}
		cfg := bus.Config{Baud: b.Baud, Unpaced: !b.Paced, Turnaround: b.Turnaround.D(), Log: w.log}
		ctl.buses = append(ctl.buses, &busUnit{b.Name, port, bus.New(cfg, port, stations[b.Name]...)})
	}
	ctl.sock, err = w.dir.Listen(c.ID + ".lines")
	return err
}

// linesOf lists every pin of a controller. A relay board's input is pulled to
// the level that does not energise it, whichever that is.
func linesOf(c site.Controller) []lines.Line {
	var out []lines.Line
	for _, d := range c.Doors {
		out = append(out, lines.Line{Name: d.ID + ".relay", Out: true, Idle: d.Spec().ActiveLow})
		for _, what := range []string{"contact", "rex", "fire", "tamper"} {
			out = append(out, lines.Line{Name: d.ID + "." + what})
		}
	}
	for _, r := range c.Readers {
		if r.Kind != site.Wiegand {
			continue
		}
		p := r.Prefix()
		out = append(out, lines.Line{Name: p + ".d0", Idle: true}, lines.Line{Name: p + ".d1", Idle: true},
			lines.Line{Name: p + ".led", Out: true}, lines.Line{Name: p + ".buz", Out: true})
	}
	return out
}

// Run serves until ctx ends and returns nil then. It waits for everything it
// started.
func (w *World) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range w.controllers {
		g.Go(func() error { return c.bank.Serve(ctx, c.sock, w.log) })
		for _, m := range c.modules {
			g.Go(func() error {
				if err := m.line.Run(ctx); err != nil {
					return fmt.Errorf("line %s.%s: %w", c.id, m.name, err)
				}
				return nil
			})
		}
		for _, b := range c.buses {
			g.Go(func() error {
				if err := b.bus.Run(ctx); err != nil {
					return fmt.Errorf("line %s.%s: %w", c.id, b.name, err)
				}
				return nil
			})
		}
	}
	g.Go(func() error { w.tick(ctx); return nil })
	return g.Wait()
}

// Close lets go of sockets, ptys and the clock.
func (w *World) Close() error {
	var errs []error
	for _, c := range w.controllers {
		for _, b := range c.buses {
			errs = append(errs, b.port.Close())
		}
		for _, m := range c.modules {
			errs = append(errs, m.port.Close())
		}
		if c.sock != nil {
			if err := c.sock.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if w.clock != nil {
		errs = append(errs, w.clock.Close())
	}
	return errors.Join(errs...)
}

// tick ends timed presses and openings when they are over.
func (w *World) tick(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.wake:
		}
		next := time.Hour
		w.mu.Lock()
		for _, d := range w.doors {
			w.stepLocked(d, door.Input{Kind: door.Tick})
			if due, timed := d.state.Due(); timed {
				next = min(next, due-time.Duration(mono.Now()))
			}
		}
		w.mu.Unlock()
		timer.Reset(max(next, 0))
	}
}

// Wall is the simulated wall clock in JST.
func (w *World) Wall() time.Time { return w.clock.Now().In(clock.JST) }

// Cards is the card table.
func (w *World) Cards() *cards.Table { return w.cards }

// names lists the keys of a map in order.
func names[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
