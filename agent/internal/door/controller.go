// Package door runs the doors of one controller: it turns readings and edges
// into inputs of package decide, and does what decide says, in order.
//
//	readers ──┐
//	lines   ──┼─▶ inputs ─▶ decide.Step ─▶ effects: write fact ▶ relay ▶ lamp
//	orders  ──┘      one goroutine, so every judgement sees the one before it
package door

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/timekeeper"
	"sekimori/drivers"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Facts makes a fact durable, and is told which policy facts are made under.
type Facts interface {
	Write(ctx context.Context, kind record.Kind, body any, safety bool) error
	UnderPolicy(version uint64, pack string)
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

// Reader is a reader at a door. A side of a door may have several.
type Reader struct {
	ID        record.ReaderID
	Direction record.Direction
	Secure    bool          // its link proves both ends: a reading without that proof is not believed
	Form      *drivers.Form // how its numbers are written before they are looked up; nil: as they are
	Driver    drivers.Reader
}

// Controller is one agent in the role door.
type Controller struct {
	Doors    []Door
	Lines    drivers.Lines
	Facts    Facts
	Clock    Clock
	Memory   Memory
	Key      record.CredentialKey
	CheckPIN func(v *record.PINVerifier, pin string) bool // nil: v.Check under Key; it may take long
	Log      *slog.Logger

	inputs chan job
	digits map[record.DoorCode]chan typed
	looks  chan func(decide.State) // read-only looks at the state, by its owner
	relays map[record.DoorCode]*relay
	state  decide.State
	judged timekeeper.Reading // the time of the last input

	mu     sync.Mutex
	health map[record.ReaderID]drivers.Health // guarded by mu
	names  map[record.DoorCode]string         // guarded by mu
}

// job is an input, and where to tell what came of it, which may be nil.
type job struct {
	in   decide.Input
	at   timekeeper.Reading // when it was handed over: a disk that stalls must not make a person late
	done chan<- error       // one slot
}

// Init prepares the controller; Send, Do, Preload, Status and Run may be called
// after it. A memory that cannot be read is an empty one: doors are served all
// the same, and what people must know of was written down as facts.
func (c *Controller) Init() {
	codes := make([]record.DoorCode, len(c.Doors))
	for i, d := range c.Doors {
		codes[i] = d.Code
	}
	kept, err := c.Memory.Load()
	if err != nil {
		c.Log.Error("door memory lost: who is locked out or inside, and which doors fire released, is not known", "err", err)
		kept = Kept{}
	}
	if c.CheckPIN == nil {
		c.CheckPIN = func(v *record.PINVerifier, pin string) bool { return v.Check(c.Key, pin) }
	}
	c.state = kept.restore(decide.New(codes))
	c.inputs, c.looks = make(chan job, 64), make(chan func(decide.State))
	c.relays, c.digits = map[record.DoorCode]*relay{}, map[record.DoorCode]chan typed{}
	c.health, c.names = map[record.ReaderID]drivers.Health{}, map[record.DoorCode]string{}
	for _, code := range codes {
		c.digits[code] = make(chan typed, 16)
	}
	c.publishNames()
}

// Send hands an input to the controller without waiting for what comes of it.
func (c *Controller) Send(ctx context.Context, in decide.Input) error {
	select {
	case c.inputs <- job{in: in, at: c.Clock.Now()}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do hands an input over and returns when it has been judged and carried out;
// the error tells why an order was not obeyed. Neither the controller nor what
// it calls ever calls Do.
func (c *Controller) Do(ctx context.Context, in decide.Input) error {
	done := make(chan error, 1)
	select {
	case c.inputs <- job{in, c.Clock.Now(), done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Preload puts a policy in force before Run.
func (c *Controller) Preload(p *record.Policy) {
	c.state.Policy = p
	c.Facts.UnderPolicy(p.Version, p.Pack)
}

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
// every reader and watcher it started has, with the error that ended it if it
// was not ctx.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.openRelays(); err != nil {
		return err
	}
	running, fail := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer fail(nil)
	if err := c.watchLines(running, &wg, fail); err != nil {
		return err
	}
	for _, d := range c.Doors {
		for _, r := range d.Readers {
			wg.Go(func() {
				if err := r.Driver.Run(running, newEars(running, c, d.Code, r)); err != nil {
					fail(fmt.Errorf("reader %s: %w", r.ID, err))
				}
			})
		}
		wg.Go(func() { c.checkPINs(running, d.Code) })
	}
	c.loop(running)
	c.rest()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(running)
}

// loop judges one input after the other.
func (c *Controller) loop(ctx context.Context) {
	c.greet()
	timer := clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(c.untilNext())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			// What was handed over before the time ran out comes first.
			select {
			case j := <-c.inputs:
				c.step(ctx, j)
			default:
				c.step(ctx, job{in: decide.Tick{}, at: c.Clock.Now()})
			}
		case j := <-c.inputs:
			c.step(ctx, j)
		case look := <-c.looks:
			look(c.state)
		}
		c.settle()
	}
}

// greet clears what an earlier run may have left shown at the readers.
func (c *Controller) greet() {
	for _, d := range c.Doors {
		for _, r := range d.Readers {
			r.Driver.Show(drivers.SignalIdle)
		}
	}
}

func (c *Controller) untilNext() time.Duration {
	wait := time.Hour
	if at, ok := c.state.Next(); ok {
		wait = max(0, at-c.Clock.Now().Mono)
	}
	for _, r := range c.relays {
		if r.failed {
			wait = min(wait, relayRetry)
		}
	}
	return wait
}

func (c *Controller) step(ctx context.Context, j job) {
	if j.at.Mono > c.judged.Mono { // senders race: time here never goes back
		c.judged = j.at
	}
	r := c.judged
	next, effects := decide.Step(c.state, j.in, decide.Now{Wall: r.Wall, Mono: r.Mono, Quality: r.Quality})
	next, refused := c.perform(ctx, next, effects)
	if in, ok := j.in.(decide.PolicyIn); ok {
		c.Facts.UnderPolicy(in.Policy.Version, in.Policy.Pack)
	}
	if keep := keptOf(next); !keep.equal(keptOf(c.state)) {
		if err := c.Memory.Save(keep); err != nil {
			c.Log.Error("door state not saved", "err", err)
		}
	}
	c.state = next
	c.publishNames()
	if j.done != nil {
		j.done <- refused
	}
}

// perform does effects in order. When a fact cannot be written down, what it
// would have explained is not done: entry fails closed. Locks are always done,
// whatever came before them. refused is why an order was not obeyed.
func (c *Controller) perform(ctx context.Context, s decide.State, effects []decide.Effect) (after decide.State, refused error) {
	var unwritten record.Passage // of the newest fact, when it could not be written
	for _, e := range effects {
		switch e := e.(type) {
		case decide.Record:
			unwritten = record.Passage{}
			if !c.write(ctx, e) && !e.Safety {
				unwritten, _ = e.Body.(record.Passage)
				c.withdraw(s, unwritten)
			}
		case decide.Unlock:
			if unwritten.Door != e.Door {
				c.drive(e.Door, true)
			}
		case decide.Lock:
			c.drive(e.Door, false)
		case decide.Show:
			if unwritten.Door != e.Door || unwritten.Direction != e.Side {
				c.show(e.Door, e.Side, signals[e.Signal])
			}
		case decide.Compare:
			c.compare(e)
		case decide.Refuse:
			refused = record.Fail(record.CodeOrderUnknown, e.Why)
		}
	}
	return s, refused
}

// write makes a fact durable. It outlives ctx: a passage under way when the
// program is told to stop is still a passage.
func (c *Controller) write(ctx context.Context, e decide.Record) bool {
	err := c.Facts.Write(context.WithoutCancel(ctx), e.Kind, e.Body, e.Safety)
	if err != nil {
		c.Log.Error("fact not written down", "kind", e.Kind, "err", err)
	}
	return err == nil
}

// withdraw shows a refusal where an entry could not be written down, and takes
// the grant back if it was one. The lock goes back too, because the grant may
// have replaced one that was running.
func (c *Controller) withdraw(s decide.State, p record.Passage) {
	c.show(p.Door, p.Direction, drivers.SignalDenied)
	d := s.Doors[p.Door]
	if d.Grant == nil || d.Grant.Passage.Grant != p.Grant {
		return
	}
	d.Grant = nil
	s.Doors[p.Door] = d
	if !d.Released {
		c.drive(p.Door, false)
	}
}

func (c *Controller) show(door record.DoorCode, side record.Direction, s drivers.Signal) {
	for r := range c.readersAt(door, side) {
		r.Driver.Show(s)
	}
}

// compare asks the readers that compare a finger with one template. Those that
// search all they hold need no asking.
func (c *Controller) compare(e decide.Compare) {
	for r := range c.readersAt(e.Door, e.Side) {
		if m, ok := r.Driver.(drivers.Matcher); ok {
			m.Match(e.Slot)
		}
	}
}

func (c *Controller) readersAt(door record.DoorCode, side record.Direction) iter.Seq[Reader] {
	return func(yield func(Reader) bool) {
		for _, d := range c.Doors {
			for _, r := range d.Readers {
				if d.Code == door && r.Direction == side && !yield(r) {
					return
				}
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
