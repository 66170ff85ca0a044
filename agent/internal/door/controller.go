// Package door runs the doors of one controller: it turns readings and edges
// into inputs of package decide, and does what decide says, in order.
//
//	readers ──┐
//	lines   ──┼─▶ inputs ─▶ decide.Step ─▶ effects: write fact ▶ relay ▶ lamp
//	orders  ──┘      one goroutine, so every judgement sees the one before it
package door

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/timekeeper"
	"sekimori/drivers"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Facts makes a fact durable.
type Facts interface {
	Write(ctx context.Context, kind record.Kind, body any, safety bool) error
}

// Clock reads the guarded clock.
type Clock interface{ Now() timekeeper.Reading }

// Memory keeps what a restart must not forget.
type Memory interface {
	Load() (Kept, error)
	Save(Kept) error
}

// Door is one door's wiring.
type Door struct {
	Code    record.DoorCode
	Relay   Output
	Contact Input
	REX     Input
	Fire    Input
	Tamper  Input // Line "" where there is none
	Readers []Reader
}

// Output is a line that the program drives.
type Output struct {
	Line      string
	ActiveLow bool
}

// Input is a line that the program watches.
type Input struct {
	Line      string
	ActiveLow bool
}

// Reader is a reader at a door.
type Reader struct {
	ID        record.ReaderID
	Direction record.Direction
	Driver    drivers.Reader
}

// Controller is one agent in the role door.
type Controller struct {
	Doors  []Door
	Lines  drivers.Lines
	Facts  Facts
	Clock  Clock
	Memory Memory
	Key    record.CredentialKey
	Log    *slog.Logger

	inputs chan decide.Input
	digits chan typed
	looks  chan func(decide.State) // read-only looks at the state, by its owner
	relays map[record.DoorCode]relay
	state  decide.State

	mu     sync.Mutex
	health map[record.ReaderID]drivers.Health // guarded by mu
	names  map[record.DoorCode]string         // guarded by mu
}

type relay struct {
	pin gpio.PinIO
	on  gpio.Level
}

type typed struct {
	door record.DoorCode
	keys drivers.Keys
}

// Init prepares the controller; Send, Status and Run may be called after it.
func (c *Controller) Init() error {
	codes := make([]record.DoorCode, len(c.Doors))
	for i, d := range c.Doors {
		codes[i] = d.Code
	}
	kept, err := c.Memory.Load()
	if err != nil {
		return err
	}
	c.state = kept.restore(decide.New(codes))
	c.inputs, c.digits = make(chan decide.Input, 64), make(chan typed, 16)
	c.looks = make(chan func(decide.State))
	c.relays = map[record.DoorCode]relay{}
	c.health, c.names = map[record.ReaderID]drivers.Health{}, map[record.DoorCode]string{}
	return nil
}

// Send hands an input to the controller: an order, a policy, word of the hub.
func (c *Controller) Send(ctx context.Context, in decide.Input) error {
	select {
	case c.inputs <- in:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Preload puts a policy in force before Run.
func (c *Controller) Preload(p *record.Policy) { c.state.Policy = p }

// Turns tells whether the loop answers within a second or so.
func (c *Controller) Turns(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	select {
	case c.looks <- func(decide.State) {}:
		return true
	case <-ctx.Done():
		return false
	}
}

// Run works until ctx ends and leaves the relays as they rest. It returns when
// every reader and watcher it started has.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.openRelays(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	if err := c.watchLines(ctx, &wg, cancel); err != nil {
		return err
	}
	for _, d := range c.Doors {
		for _, r := range d.Readers {
			wg.Go(func() {
				if err := r.Driver.Run(ctx, &ears{c, ctx, d.Code, r}); err != nil {
					cancel(fmt.Errorf("reader %s: %w", r.ID, err))
				}
			})
		}
	}
	wg.Go(func() { c.checkPINs(ctx) })
	c.loop(ctx)
	c.rest()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// openRelays takes the relay lines at rest. A line is never driven to its
// active level here, so starting never pulses a lock; a door that fire had
// released before a restart is released again by the first judgement.
func (c *Controller) openRelays() error {
	for _, d := range c.Doors {
		pin, err := c.Lines.Pin(d.Relay.Line)
		if err != nil {
			return fmt.Errorf("door %s: relay line %s: %w", d.Code, d.Relay.Line, err)
		}
		r := relay{pin: pin, on: gpio.Level(!d.Relay.ActiveLow)}
		if err := pin.Out(!r.on); err != nil {
			return fmt.Errorf("door %s: relay line %s: %w", d.Code, d.Relay.Line, err)
		}
		c.relays[d.Code] = r
	}
	return nil
}

// rest ends running grants when the program stops. Doors that fire released
// keep their relay: stopping the program must not lock them.
func (c *Controller) rest() {
	for code, r := range c.relays {
		if !c.state.Doors[code].Released {
			if err := r.pin.Out(!r.on); err != nil {
				c.Log.Error("relay not put to rest", "door", code, "err", err)
			}
		}
	}
}

func (c *Controller) loop(ctx context.Context) {
	for code, d := range c.state.Doors {
		if d.Released {
			c.drive(code, true)
		}
	}
	timer := clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if at, ok := c.state.Next(); ok {
			wait = max(0, at-clock.Mono())
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			c.step(ctx, decide.Tick{})
		case in := <-c.inputs:
			c.step(ctx, in)
		case look := <-c.looks:
			look(c.state)
		}
	}
}

func (c *Controller) step(ctx context.Context, in decide.Input) {
	r := c.Clock.Now()
	next, effects := decide.Step(c.state, in, decide.Now{Wall: r.Wall, Mono: r.Mono, Quality: r.Quality})
	if failed := c.perform(ctx, effects); failed != nil {
		next = c.withdraw(next, failed)
	}
	if keep := keptOf(next); !keep.equal(keptOf(c.state)) {
		if err := c.Memory.Save(keep); err != nil {
			c.Log.Error("door state not saved", "err", err)
		}
	}
	c.state = next
	c.publishNames()
}

// perform does effects in order. When a fact cannot be written down, what it
// would have explained is not done: entry fails closed. It returns that fact.
func (c *Controller) perform(ctx context.Context, effects []decide.Effect) *decide.Record {
	for _, e := range effects {
		switch e := e.(type) {
		case decide.Record:
			// The write outlives ctx: a passage under way when the program is
			// told to stop is still a passage.
			if err := c.Facts.Write(context.WithoutCancel(ctx), e.Kind, e.Body, e.Safety); err != nil {
				c.Log.Error("fact not written down", "kind", e.Kind, "err", err)
				if !e.Safety {
					return &e
				}
			}
		case decide.Unlock:
			c.drive(e.Door, true)
		case decide.Lock:
			c.drive(e.Door, false)
		case decide.Show:
			c.show(e.Reader, e.Signal)
		}
	}
	return nil
}

// withdraw takes back a grant that could not be written down. An exit reader's
// card then finds the door locked, and the exit button and handle open it as
// always.
func (c *Controller) withdraw(s decide.State, fact *decide.Record) decide.State {
	p, ok := fact.Body.(record.Passage)
	if !ok {
		return s
	}
	d := s.Doors[p.Door]
	d.Grant = nil
	s.Doors[p.Door] = d
	c.show(p.Reader, decide.SignalDenied)
	return s
}

func (c *Controller) drive(door record.DoorCode, release bool) {
	r := c.relays[door]
	level := !r.on
	if release {
		level = r.on
	}
	if err := r.pin.Out(level); err != nil {
		c.Log.Error("relay not driven", "door", door, "release", release, "err", err)
	}
}

func (c *Controller) show(id record.ReaderID, s decide.Signal) {
	for _, d := range c.Doors {
		for _, r := range d.Readers {
			if r.ID == id {
				r.Driver.Show(signals[s])
			}
		}
	}
}

var signals = map[decide.Signal]drivers.Signal{
	decide.SignalIdle:    drivers.SignalIdle,
	decide.SignalGranted: drivers.SignalGranted,
	decide.SignalDenied:  drivers.SignalDenied,
	decide.SignalAskMore: drivers.SignalAskMore,
}

// attemptID joins the facts of one attempt.
func attemptID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// checkPINs works beside the loop, because checking takes tens of milliseconds
// on purpose and another door must not wait for it.
func (c *Controller) checkPINs(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-c.digits:
			c.checkPIN(ctx, t)
		}
	}
}

func (c *Controller) checkPIN(ctx context.Context, t typed) {
	type asked struct {
		pin *record.PINVerifier
		id  string
		ok  bool
	}
	got := make(chan asked, 1)
	look := func(s decide.State) {
		pin, id, ok := s.PendingPIN(t.door)
		got <- asked{pin, id, ok}
	}
	select {
	case c.looks <- look:
	case <-ctx.Done():
		return
	}
	select {
	case <-ctx.Done():
	case a := <-got:
		if !a.ok {
			return // digits that nobody asked for are not a failure and not a fact
		}
		right := a.pin != nil && a.pin.Check(c.Key, strings.TrimSuffix(t.keys.Typed(), "#"))
		_ = c.Send(ctx, decide.PINChecked{Door: t.door, ID: a.id, OK: right})
	}
}
