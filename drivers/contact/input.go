package contact

import (
	"context"
	"fmt"
	"time"

	"sekimori/drivers"
	"sekimori/internal/clock"
)

const (
	lookAtBank = time.Second // how soon a lost bank is noticed, which sends no edge to say so
	retryEdges = time.Second // between tries to watch lines that were lost
)

// Input is one contact on a bank of lines.
type Input struct {
	cfg   Config
	lines drivers.Lines
}

// New makes an input on lines; it refuses settings that cannot work.
func New(cfg Config, lines drivers.Lines) (*Input, error) {
	if _, err := NewMachine(cfg); err != nil {
		return nil, err
	}
	return &Input{cfg: cfg, lines: lines}, nil
}

// ID of the input's Config.
func (i *Input) ID() string { return i.cfg.ID }

// Run reports every change of state to tell, in order, until ctx ends, and
// returns nil then. tell may block; no edge is lost for that while the bank has
// room for them. Lines that are lost are the state Unknown, not an error, and
// are watched again as soon as they can be; an error means that a line of the
// settings does not exist.
func (i *Input) Run(ctx context.Context, tell func(Change)) error {
	m, err := NewMachine(i.cfg)
	if err != nil {
		return err
	}
	watch := watch{Input: i, machine: m, tell: tell}
	edges, stop, err := watch.open(ctx)
	if err != nil {
		return fmt.Errorf("contact %s: %w", i.cfg.ID, err)
	}
	for {
		why := watch.listen(ctx, edges)
		stop()
		for range edges { // its end gives the lines back to the bank
		}
		if ctx.Err() != nil {
			return nil
		}
		if why != "" {
			watch.lost(why)
		}
		// If edges were lost on the way, the levels told at the beginning of a
		// new stream are the remedy; what stood before stands until then.
		if edges, stop = watch.openAgain(ctx); edges == nil {
			return nil
		}
	}
}

// watch is one Run; its goroutine owns it.
type watch struct {
	*Input
	machine *Machine
	tell    func(Change)
	last    time.Duration // the source's stamp of the newest edge
	came    time.Time     // when that edge was received
}

func (w *watch) open(ctx context.Context) (<-chan drivers.Edge, context.CancelFunc, error) {
	names := []string{w.cfg.Line}
	if w.cfg.Second != "" {
		names = append(names, w.cfg.Second)
	}
	ctx, stop := context.WithCancel(ctx)
	edges, err := w.lines.Edges(ctx, names...)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return edges, stop, nil
}

// openAgain opens a stream as soon as one can be had; nil when ctx has ended.
func (w *watch) openAgain(ctx context.Context) (<-chan drivers.Edge, context.CancelFunc) {
	for {
		edges, stop, err := w.open(ctx)
		if err == nil {
			return edges, stop
		}
		if ctx.Err() == nil {
			w.lost(err.Error())
		}
		select {
		case <-ctx.Done():
			return nil, func() {}
		case <-time.After(retryEdges):
		}
	}
}

// listen feeds the machine until the stream ends, and says why it did; "" means
// that ctx has ended or that a gap in the numbers asks for a new stream.
func (w *watch) listen(ctx context.Context, edges <-chan drivers.Edge) string {
	timer := time.NewTimer(lookAtBank)
	defer timer.Stop()
	seq := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return ""
		case edge, ok := <-edges:
			if !ok {
				return fmt.Sprintf("lines lost: %v", w.lines.Err())
			}
			gap := seq != 0 && edge.Seq != seq+1
			seq = edge.Seq
			w.last, w.came = edge.At, time.Now()
			if gap {
				return ""
			}
			w.step(Event{Edge: edge}, edge.At)
		case <-timer.C:
			if len(edges) > 0 {
				continue // edges that wait decide what has lasted
			}
			if err := w.lines.Err(); err != nil {
				w.lost(err.Error())
			}
			w.step(Event{}, w.now())
		}
		timer.Reset(w.next())
	}
}

// now is the source's clock, which stands still before the first edge.
func (w *watch) now() time.Duration {
	if w.came.IsZero() {
		return w.last
	}
	return w.last + time.Since(w.came)
}

func (w *watch) next() time.Duration {
	wait := lookAtBank
	if due, ok := w.machine.Due(); ok {
		wait = min(wait, due-w.now())
	}
	return max(wait, 0)
}

func (w *watch) lost(why string) { w.step(Event{Lost: why}, w.now()) }

func (w *watch) step(e Event, now time.Duration) {
	c, ok := w.machine.Step(e, now)
	if !ok {
		return
	}
	c.At = clock.Mono() - max(w.now()-c.At, 0)
	w.tell(c)
}
