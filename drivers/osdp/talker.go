package osdp

import (
	"context"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/internal/clock"
)

const (
	// probeSpacing keeps absent readers from eating the bus: at most two of
	// them are probed in a second while another reader is online.
	probeSpacing = 500 * time.Millisecond
	// idleLook is how often a bus without work looks for new readers.
	idleLook = time.Second
)

// member is one address as the talker sees it.
type member struct {
	*Reader
	link Link
	box  *drivers.Outbox // of the Run that link belongs to
}

// talker owns the port and the links of a bus.
type talker struct {
	bus     *Bus
	char    time.Duration // one byte on the wire
	start   time.Time
	members []*member
	scan    Scanner
	buf     [256]byte
	probed  time.Duration // the last probe of an absent reader
	idle    time.Duration // since when the wire is silent
	awake   bool          // an exchange has just ended
}

func newTalker(b *Bus) *talker {
	t := &talker{bus: b, char: 10 * time.Second / time.Duration(b.cfg.Baud), start: time.Now(), probed: -probeSpacing}
	for _, r := range b.readers {
		t.members = append(t.members, &member{Reader: r})
	}
	return t
}

func (t *talker) now() time.Duration { return time.Since(t.start) }

func (t *talker) run(ctx context.Context) {
	line.Keep(ctx, t.bus.open, t.serve, func(err error) {
		for _, m := range t.members {
			t.refresh(m)
			t.step(ctx, m, Lost{err})
		}
	})
}

// serve talks on one open port until it fails or ctx ends.
func (t *talker) serve(ctx context.Context, port line.Port) error {
	t.scan.Reset()
	t.scan.TakeNoise()
	timer := time.NewTimer(idleLook)
	defer timer.Stop()
	for ctx.Err() == nil {
		m, wait := t.pick(ctx)
		t.awake = wait == 0
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-t.bus.wake:
			case <-timer.C:
			}
			continue
		}
		if err := t.exchange(ctx, port, m); err != nil {
			return err
		}
	}
	return nil
}

// refresh notices that a Run began or ended, and passes a signal on.
func (t *talker) refresh(m *member) {
	if box := m.outbox(); box != m.box {
		m.box = box
		m.link = NewLink(m.cfg, t.bus.cfg.Poll)
		m.link.due = t.now()
		if box != nil {
			box.Health(m.link.Health())
		}
	}
}

// pick chooses whose turn it is, or how long nobody's is.
func (t *talker) pick(ctx context.Context) (best *member, wait time.Duration) {
	now, others := t.now(), 0
	for _, m := range t.members {
		t.refresh(m)
		if m.box == nil {
			continue
		}
		if s, ok := m.takeSignal(); ok {
			t.step(ctx, m, Show{s})
		}
		if m.link.Alive() {
			others++
		}
	}
	wait = idleLook
	var bestDue time.Duration
	for _, m := range t.members {
		if m.box == nil {
			continue
		}
		if !m.box.Room(2) {
			wait = min(wait, t.bus.cfg.Poll) // the reader keeps the rest until the sink has caught up
			continue
		}
		due := m.link.Due()
		if !m.link.Alive() && others > 0 && m.link.probes > 0 {
			due = max(due, t.probed+probeSpacing)
		}
		// Once awake, take along whoever is due soon: a wake-up costs more
		// processor time than an exchange.
		soon := now
		if t.awake && m.link.Alive() {
			soon += t.bus.cfg.Poll / 2
		}
		if wait = min(wait, due-now); due <= soon && (best == nil || due < bestDue) {
			best, bestDue = m, due
		}
	}
	if best == nil {
		return nil, max(wait, time.Microsecond)
	}
	return best, 0
}

// step lets the input happen to m's link and carries its results out.
func (t *talker) step(ctx context.Context, m *member, in Input) Effects {
	var e Effects
	m.link, e = m.link.Step(in, t.now())
	if m.box == nil {
		return e
	}
	for _, r := range e.Readings {
		r.At = clock.Mono()
		// There is room for an ordinary answer; one with more entries than
		// that waits. It fails only when the bus is being stopped.
		_ = m.box.Reading(ctx, r)
	}
	if e.Changed {
		m.mu.Lock()
		m.about = m.link.about
		m.mu.Unlock()
		m.box.Health(m.link.Health())
	}
	return e
}

// exchange is one command and its answer.
func (t *talker) exchange(ctx context.Context, port line.Port, m *member) error {
	shared := false
	for _, o := range t.members {
		shared = shared || o != m && o.box != nil && o.link.Alive()
	}
	if err := t.settle(port); err != nil {
		return err
	}
	wasAlive := m.link.Alive()
	e := t.step(ctx, m, Turn{Shared: shared})
	if !wasAlive {
		t.probed = t.now()
	}
	if _, err := port.Write(e.Send); err != nil {
		return err
	}
	answered, err := t.listen(ctx, port, m, len(e.Send), e.Window)
	t.idle = t.now()
	if err != nil || answered {
		return err
	}
	t.scan.Reset()
	t.step(ctx, m, Silent{Noise: t.scan.TakeNoise()})
	return nil
}

// settle keeps the wire idle for two characters before a command, as receivers
// need, and takes what comes in that time: late answers of others.
func (t *talker) settle(port line.Port) error {
	left := t.idle + 2*t.char - t.now()
	if left <= 0 {
		return nil
	}
	if err := port.SetReadTimeout(left); err != nil {
		return err
	}
	n, err := port.Read(t.buf[:])
	t.scan.Feed(t.buf[:n])
	return err
}

// listen feeds m's link with frames until one of them is the answer. It returns
// false when the window, or the pause inside a frame, has passed.
func (t *talker) listen(ctx context.Context, port line.Port, m *member, sent int, window time.Duration) (bool, error) {
	began := t.now()
	deadline := began + time.Duration(sent)*t.char + window
	// Somebody who babbles without end must not hold the bus.
	limit := deadline + maxLen*t.char + t.bus.cfg.InterChar
	for heard := false; ; heard = true {
		for {
			f, ok := t.scan.Next()
			if !ok {
				break
			}
			if e := t.step(ctx, m, Heard{f}); !e.Listen {
				return true, nil
			}
		}
		now := t.now()
		if heard && now > limit {
			return false, nil
		}
		// Past the deadline, what has arrived is still taken: the reader was
		// in time, and this program was not.
		if err := port.SetReadTimeout(max(deadline-now, 0)); err != nil {
			return false, err
		}
		n, err := port.Read(t.buf[:])
		if err != nil {
			return false, err
		}
		if n == 0 {
			return false, nil
		}
		t.scan.Feed(t.buf[:n])
		if t.scan.Pending() > 0 {
			deadline = min(t.now()+t.bus.cfg.InterChar, limit)
		}
	}
}
