package wiegand

import (
	"context"
	"sync/atomic"
	"time"

	"sekimori/drivers"
	"sekimori/internal/clock"
)

// ear listens to one reader's lines: it feeds the decoder, collects keys and
// judges the lines' health. Run's goroutine owns it.
type ear struct {
	cfg    Config
	lines  drivers.Lines
	counts *atomic.Pointer[Counts] // the reader's, for whoever asks
	hold   func(bool)
	rules  Rules
	box    *drivers.Outbox
	dec    *Decoder
	typing drivers.Typing
	health drivers.Health
	seq    uint64          // of the last edge; 0 at the start of a stream
	seen   map[string]bool // lines whose level is known since the start or a gap
	at     time.Duration   // clock.Mono() when the last edge came
	last   time.Duration   // the source's stamp of that edge
}

// lateEdges is how long part of a frame waits for its rest. On a busy machine
// edges may be handed over late, and their stamps then tell that there was no
// silence between them; half a card would only be rejected and presented again.
const lateEdges = 250 * time.Millisecond

func newEar(r *Reader, box *drivers.Outbox, hold func(bool)) (*ear, error) {
	dec, err := NewDecoder(r.rules)
	if err != nil {
		return nil, err
	}
	return &ear{
		cfg: r.cfg, lines: r.lines, counts: &r.counts, hold: hold, rules: r.rules, box: box, dec: dec,
		typing: drivers.Typing{Gap: r.cfg.KeyGap}, seen: map[string]bool{},
		health: drivers.Health{Reader: r.cfg.Reader},
	}, nil
}

// listen decodes edges until they end. Frames end by silence, so one timer
// stands for whatever comes first: the end of a frame, the end of a PIN, or the
// moment a low line counts as stuck.
func (e *ear) listen(ctx context.Context, edges <-chan drivers.Edge) {
	e.seq = 0
	clear(e.seen)
	timer := time.NewTimer(lookAtBank)
	defer timer.Stop()
	var came time.Time // when the last edge was received
	for {
		select {
		case <-ctx.Done():
			return
		case edge, ok := <-edges:
			if !ok {
				return
			}
			e.last, came = edge.At, time.Now()
			e.edge(ctx, edge)
		case <-timer.C:
			if len(edges) > 0 {
				continue // edges that wait decide whether there was silence
			}
		}
		now := e.last // the source's clock
		if !came.IsZero() {
			now += time.Since(came)
		}
		e.settle(ctx, now)
		timer.Reset(e.next(now))
	}
}

func (e *ear) edge(ctx context.Context, edge drivers.Edge) {
	e.at = clock.Mono()
	if e.seq != 0 && edge.Seq != e.seq+1 {
		e.dec.Gap(edge.At)
		clear(e.seen)
	}
	e.seq = edge.Seq
	if edge.Line == e.cfg.Tamper {
		e.health.Tamper = bool(edge.Level) != e.cfg.TamperActiveLow
		e.tell()
		return
	}
	data := 0
	if edge.Line == e.cfg.D1 {
		data = 1
	}
	if !e.seen[edge.Line] {
		e.seen[edge.Line] = true
		e.dec.Present(data, bool(edge.Level), edge.At)
		return
	}
	if f, ok := e.dec.Edge(data, bool(edge.Level), edge.At); ok {
		e.take(ctx, f)
	}
}

// settle does what is due at the source's time now.
func (e *ear) settle(ctx context.Context, now time.Duration) {
	if !e.dec.Partial() || now-e.last >= lateEdges {
		if f, ok := e.dec.Silence(now); ok {
			e.take(ctx, f)
		}
	}
	e.emitKeys(ctx, e.typing.Expire(now))
	fault := ""
	if err := e.lines.Err(); err != nil {
		fault = err.Error()
	} else if e.dec.Low(now) >= stuckAfter {
		fault = "a data line is stuck low: cable cut, or reader without power"
	}
	if e.health.Online != (fault == "") {
		e.health.Online, e.health.Detail = fault == "", fault
	}
	if !e.dec.Busy() {
		// A reader that holds its card is better than one whose frames pile
		// up unread: half of the room is left for what is on its way.
		e.hold(!e.box.Room(outboxRoom / 2))
		e.tell()
	}
}

// next is how long the timer may sleep.
func (e *ear) next(now time.Duration) time.Duration {
	wait := lookAtBank
	if e.dec.Busy() {
		wait = e.rules.Silence
	}
	if due, ok := e.typing.Due(); ok {
		wait = min(wait, due-now)
	}
	if low := e.dec.Low(now); low < stuckAfter {
		wait = min(wait, stuckAfter-low)
	}
	return max(wait, 0)
}

func (e *ear) take(ctx context.Context, f Frame) {
	switch {
	case !f.Card.IsZero():
		e.emit(ctx, drivers.Reading{Proof: drivers.ProofUIDOnly, Card: f.Card})
	case !f.Keys.IsZero():
		e.emitKeys(ctx, f.Keys)
	default:
		keys, err := e.typing.Press(f.Key, f.At)
		if err != nil {
			e.health.Detail = err.Error()
		}
		e.emitKeys(ctx, keys)
	}
}

func (e *ear) emitKeys(ctx context.Context, keys drivers.Keys) {
	if !keys.IsZero() {
		e.emit(ctx, drivers.Reading{Proof: drivers.ProofPIN, Keys: keys})
	}
}

func (e *ear) emit(ctx context.Context, r drivers.Reading) {
	r.Reader, r.At = e.cfg.Reader, e.at
	// It fails only when ctx has ended, and listen looks at that next.
	_ = e.box.Reading(ctx, r)
}

func (e *ear) tell() {
	c := e.dec.Counts()
	e.counts.Store(&c)
	if noise := c.Noise(); noise != e.health.Noise {
		e.health.Noise, e.health.Detail = noise, e.dec.Reason()
	}
	e.health.Frames = c.Frames
	e.box.Health(e.health)
}
