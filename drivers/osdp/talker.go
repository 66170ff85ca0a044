package osdp

import (
	"context"
	"crypto/rand"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/internal/clock"
)

const (
	// probeSpacing keeps absent readers from eating the bus: one of them is
	// probed in a second.
	probeSpacing = time.Second
	// sweepSpacing is for the first look at each address, so that a bus that
	// starts finds its readers soon, and those already found are heard.
	sweepSpacing = 100 * time.Millisecond
	// sweepAll is from how many addresses on the first look is short even while
	// nobody has answered.
	sweepAll = 4
	// idleLook is how often a bus without work looks for new readers.
	idleLook = time.Second
	// grain is the step of timers on a sleeping machine: a shorter sleep takes
	// this long all the same.
	grain = time.Millisecond
	// atLeisure is how much longer than it need the bus at rest waits before it
	// looks for an answer, so that it finds all of it and wakes once.
	atLeisure = 4 * time.Millisecond
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
			t.refresh(ctx, m)
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

// refresh notices that a Run began or ended, and passes on what was asked for.
func (t *talker) refresh(ctx context.Context, m *member) {
	if box := m.outbox(); box != m.box {
		m.box = box
		m.link = NewLink(m.config(), t.bus.cfg.Poll, t.bus.cfg.Rest)
		m.link.due = t.now()
		if box != nil {
			box.Health(m.link.Health())
		}
	}
	if m.box == nil {
		return
	}
	for _, in := range m.takeInputs(t.now()) {
		t.step(ctx, m, in)
	}
	// An act may have given the reader another address.
	if a := m.config().Address; a != m.link.cfg.Address {
		m.link.cfg.Address = a
		m.link.restart(t.now())
	}
}

// pick chooses whose turn it is, or how long nobody's is.
func (t *talker) pick(ctx context.Context) (best *member, wait time.Duration) {
	now, others := t.now(), 0
	for _, m := range t.members {
		t.refresh(ctx, m)
		if m.box != nil && m.link.Alive() {
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
			wait = min(wait, t.bus.cfg.Rest) // the reader keeps the rest until the sink has caught up
			continue
		}
		due := m.link.Due()
		switch {
		case m.link.Alive():
		case m.link.probes > 0:
			due = max(due, t.probed+probeSpacing)
		case others > 0:
			due = max(due, t.probed+sweepSpacing)
		}
		// Once awake, take along whoever is due soon: a wake-up costs more
		// processor time than an exchange.
		soon := now
		if t.awake && m.link.Alive() {
			soon += m.link.pace(now) / 2
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
	for _, a := range e.Answers {
		m.deliver(a)
	}
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
	// A large bus that starts looks at each address for a moment first.
	turn := Turn{Shared: shared || len(t.members) > sweepAll && m.link.probes == 0}
	if m.link.NeedsNonce() {
		rand.Read(turn.Nonce[:])
	}
	wasAlive := m.link.Alive()
	e := t.step(ctx, m, turn)
	if !wasAlive {
		t.probed = t.now()
	}
	t.tell(m, true, e.Send, func() string { return CommandWords(e.Sent) })
	began := t.now()
	if _, err := port.Write(e.Send); err != nil {
		return err
	}
	answered, err := t.listen(ctx, port, m, len(e.Send), e.Window)
	t.idle = t.now()
	if err != nil {
		return err
	}
	var noise uint64
	if !answered {
		t.scan.Reset()
		noise = t.scan.TakeNoise()
		t.step(ctx, m, Silent{Noise: noise})
	}
	if wasAlive {
		m.measure(answered, noise, t.idle-began-time.Duration(len(e.Send))*t.char)
	}
	return nil
}

// tell shows a frame to who watches.
func (t *talker) tell(m *member, sent bool, b []byte, words func() string) {
	t.bus.taps.tell(func() Trace {
		f, _, _ := Parse(b)
		return Trace{At: clock.Now(), Reader: m.link.cfg.Reader, Sent: sent, Frame: f, Text: words()}
	})
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
//
// While bytes that must still come are on the wire it sleeps: read one by one
// each of them would wake the machine.
func (t *talker) listen(ctx context.Context, port line.Port, m *member, sent int, window time.Duration) (bool, error) {
	wire := time.Duration(sent) * t.char
	deadline := t.now() + wire + window
	// Somebody who babbles without end must not hold the bus.
	limit := deadline + maxLen*t.char + t.bus.cfg.InterChar
	early := wire + time.Duration(m.link.shortest())*t.char
	if t.now() >= m.link.hot {
		early += atLeisure
	}
	t.doze(early)
	for heard := false; ; heard = true {
		for {
			f, ok := t.scan.Next()
			if !ok {
				break
			}
			e := t.step(ctx, m, Heard{f})
			t.tellHeard(m, f, e)
			if !e.Listen {
				return true, nil
			}
		}
		now := t.now()
		if heard && now > limit {
			return false, nil
		}
		// More than an ACK is news, and worth a wake-up for each byte.
		if size, missing := t.scan.Begun(); size <= m.link.shortest() || 2*t.char >= grain {
			t.doze(time.Duration(missing) * t.char)
		}
		// Past the deadline, what has arrived is still taken: the reader was
		// in time, and this program was not.
		if err := port.SetReadTimeout(max(deadline-t.now(), 0)); err != nil {
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

// doze sleeps for d in whole grains, and never so long that the end of Run would
// have to wait for it. On a slow line it ends early, because waiting there costs
// the next reader more than one more wake-up costs the machine.
func (t *talker) doze(d time.Duration) {
	if 2*t.char < grain {
		d += grain - 1
	}
	if d = min(d/grain*grain, 50*time.Millisecond); d > 0 {
		time.Sleep(d)
	}
}

// tellHeard shows what an answer said, or why it was not taken.
func (t *talker) tellHeard(m *member, f Frame, e Effects) {
	if e.Reply == nil && e.Note == "" {
		return
	}
	t.bus.taps.tell(func() Trace {
		text := e.Note
		if e.Reply != nil {
			text = ReplyWords(e.Reply)
		}
		return Trace{At: clock.Now(), Reader: m.link.cfg.Reader, Frame: f, Text: text}
	})
}
