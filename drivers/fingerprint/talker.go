package fingerprint

import (
	"context"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/internal/clock"
)

const (
	settleGap   = 20 * time.Millisecond  // so much silence ends what an earlier talk left on the wire
	settleLimit = 200 * time.Millisecond // but no longer than this
	fullWait    = 50 * time.Millisecond  // for a slow sink
)

// talker owns the port and the link while Run runs.
type talker struct {
	r     *Reader
	box   *drivers.Outbox
	link  link
	job   *job // being done
	first *job // the next to be done
	scan  Scanner
	buf   [512]byte
	start time.Time
}

func newTalker(r *Reader, box *drivers.Outbox) *talker {
	t := &talker{r: r, box: box, link: newLink(r.config()), start: time.Now()}
	box.Health(t.link.health)
	return t
}

func (t *talker) now() time.Duration { return time.Since(t.start) }

func (t *talker) run(ctx context.Context) {
	line.Keep(ctx, t.r.open, t.serve, func(err error) {
		t.step(ctx, gone{err})
		t.admit(ctx)
	})
	for _, j := range []*job{t.job, t.first} {
		if j != nil {
			j.end(outcome{err: ErrNotRunning})
		}
	}
}

// serve talks on one open port until it fails or ctx ends.
func (t *talker) serve(ctx context.Context, port line.Port) error {
	if err := t.settle(port); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		t.admit(ctx)
		wait := t.link.due - t.now()
		if !t.box.Room(4) {
			wait = max(wait, fullWait)
		}
		if wait <= 0 {
			if err := t.exchange(ctx, port); err != nil {
				return err
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-t.r.wake:
		case <-timer.C:
		}
	}
	return nil
}

// admit takes what was asked since the last time.
func (t *talker) admit(ctx context.Context) {
	if s, ok := t.r.takeSignal(); ok {
		t.step(ctx, show{s})
	}
	if t.job != nil && t.job.ctx.Err() != nil {
		t.step(ctx, leave{t.job.ctx.Err()})
	}
	for {
		if t.first == nil {
			t.first = t.r.takeJob()
		}
		if t.first == nil {
			return
		}
		can, never := t.link.canBegin(t.first.task)
		if err := t.first.ctx.Err(); err != nil {
			never = err
		}
		switch {
		case never != nil:
			t.first.end(outcome{err: never})
			t.first = nil
		case !can:
			return
		default:
			t.job, t.first = t.first, nil
			t.step(ctx, begin{t.job.task})
		}
	}
}

// step lets in happen to the link and carries its effects out, except sending.
func (t *talker) step(ctx context.Context, in input) effects {
	before := t.link.health
	var e effects
	t.link, e = t.link.step(in, t.now())
	if t.link.health != before {
		t.box.Health(t.link.health)
	}
	if !e.finger.IsZero() {
		// There is room. It fails only when the reader is being stopped.
		_ = t.box.Reading(ctx, drivers.Reading{Reader: t.r.cfg.Reader, Proof: drivers.ProofBiometric,
			Authenticated: t.link.health.Secure, Finger: e.finger, At: clock.Mono()})
	}
	t.r.mu.Lock()
	t.r.about, t.r.password = t.link.about, t.link.cfg.Password
	t.r.mu.Unlock()
	if t.job != nil && e.step != 0 {
		t.job.tell(e.step)
	}
	if t.job != nil && e.ended != nil {
		t.job.end(*e.ended)
		t.job = nil
	}
	return e
}

// settle takes what an earlier talk left on the wire.
func (t *talker) settle(port line.Port) error {
	if err := port.SetReadTimeout(settleGap); err != nil {
		return err
	}
	for began := t.now(); t.now()-began < settleLimit; {
		n, err := port.Read(t.buf[:])
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	t.scan = Scanner{}
	return nil
}

// drain throws away what came unasked, so that it is not taken for an answer.
func (t *talker) drain(ctx context.Context, port line.Port) error {
	if err := port.SetReadTimeout(0); err != nil {
		return err
	}
	n, err := port.Read(t.buf[:])
	if n > 0 {
		t.step(ctx, noisy{1})
	}
	t.scan = Scanner{}
	return err
}

// exchange is one command and its answer.
func (t *talker) exchange(ctx context.Context, port line.Port) error {
	if err := t.drain(ctx, port); err != nil {
		return err
	}
	e := t.step(ctx, turn{})
	if _, err := port.Write(e.send); err != nil {
		return err
	}
	answered, err := t.listen(ctx, port, t.now()+e.window)
	if err != nil {
		return err
	}
	if !answered {
		t.scan.Reset()
	}
	if n := t.scan.TakeNoise(); n > 0 {
		t.step(ctx, noisy{n})
	}
	if !answered {
		t.step(ctx, quiet{})
	}
	return nil
}

// listen hands packets to the link until one of them is the answer; it returns
// false at the deadline.
func (t *talker) listen(ctx context.Context, port line.Port, deadline time.Duration) (bool, error) {
	for {
		left := deadline - t.now()
		// What has arrived by the deadline is taken even when this program was
		// late; somebody who babbles is not heard for ever.
		if err := port.SetReadTimeout(max(left, 0)); err != nil {
			return false, err
		}
		n, err := port.Read(t.buf[:])
		if err != nil {
			return false, err
		}
		t.scan.Feed(t.buf[:n])
		for {
			p, ok := t.scan.Next()
			if !ok {
				break
			}
			if e := t.step(ctx, heard{p}); !e.listen {
				return true, nil
			}
		}
		if left <= 0 || n == 0 {
			return false, nil
		}
	}
}
