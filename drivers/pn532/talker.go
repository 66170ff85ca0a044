package pn532

import (
	"context"
	"crypto/rand"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/internal/clock"
)

const (
	// roomLook is how soon a talker with a full outbox looks again.
	roomLook = 20 * time.Millisecond
	// babble is how long bytes that keep coming may hold up what is due.
	babble = 50 * time.Millisecond
)

// talker owns the port and the link. One goroutine runs it.
type talker struct {
	reader *Reader
	box    *drivers.Outbox
	link   Link
	scan   Scanner
	start  time.Time
	buf    [512]byte
}

func (t *talker) now() time.Duration { return time.Since(t.start) }

// serve talks on one open port until it fails or ctx ends.
func (t *talker) serve(ctx context.Context, port line.Port) error {
	t.scan = Scanner{}
	for send := t.step(ctx, Opened{}); ctx.Err() == nil; {
		if len(send) > 0 {
			if _, err := port.Write(send); err != nil {
				return err
			}
		}
		var err error
		if send, err = t.turn(ctx, port); err != nil {
			return err
		}
	}
	return nil
}

// turn waits for bytes until the link is due and lets it happen to the link,
// which may want to send. What has arrived is taken even when the time has
// passed: the module was in time, and this program was not.
func (t *talker) turn(ctx context.Context, port line.Port) (send []byte, err error) {
	if err := port.SetReadTimeout(max(t.link.Due()-t.now(), 0)); err != nil {
		return nil, err
	}
	n, err := port.Read(t.buf[:])
	if err != nil {
		return nil, err
	}
	if n > 0 {
		if send = t.hear(ctx, t.buf[:n]); t.now() < t.link.Due()+babble {
			return send, nil
		}
	}
	if !t.box.Room(4) { // a card told and another claimed, with health for both
		select {
		case <-ctx.Done():
		case <-time.After(roomLook):
		}
		return send, nil
	}
	t.scan.Reset()
	tick := Tick{}
	rand.Read(tick.Random[:])
	return append(send, t.step(ctx, tick)...), nil
}

func (t *talker) hear(ctx context.Context, b []byte) (send []byte) {
	t.scan.Feed(b)
	for {
		f, ok := t.scan.Next()
		if !ok {
			break
		}
		send = append(send, t.step(ctx, Heard{f})...)
	}
	if n := t.scan.TakeNoise(); n > 0 {
		send = append(send, t.step(ctx, Garbled{n})...)
	}
	return send
}

// step lets the input happen to the link and carries its results out.
func (t *talker) step(ctx context.Context, in Input) (send []byte) {
	var e Effects
	t.link, e = t.link.Step(in, t.now())
	for _, r := range e.Readings {
		r.At = clock.Mono()
		// It fails only when the reader is being stopped.
		_ = t.box.Reading(ctx, r)
	}
	if e.Changed {
		t.reader.mu.Lock()
		t.reader.about = t.link.About()
		t.reader.mu.Unlock()
		t.box.Health(t.link.Health())
	}
	return e.Send
}
