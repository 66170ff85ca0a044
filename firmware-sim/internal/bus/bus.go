// Package bus is one RS-485 line with readers on it, behind a pty.
//
//	controller ─ slave ═ pty ═ master ─ Bus ─┬─ Station 0 ─ pd.PD
//	                                         └─ Station 1 ─ pd.PD
//
// A pty carries bytes at once; a wire does not. The bus therefore counts when a
// command's last byte would have arrived at the line's speed, adds the reader's
// turnaround, and lets the reply out byte by byte, so that what is measured
// through it is what a cable would allow. Each station works on its own, so a
// stalled reader does not hold up its neighbours.
package bus

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/firmware-sim/internal/pd"
)

// Port is the master side of the line. Idle is called after each silent second.
type Port interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Idle()
}

// Config is how the line behaves.
type Config struct {
	Baud       int
	Unpaced    bool          // bytes take no time
	Turnaround time.Duration // from the last byte of a command to the first of its reply
	Log        *slog.Logger
}

// Bus is one line. Make it with New, then Run it.
type Bus struct {
	cfg      Config
	port     Port
	stations []*Station
	byteTime time.Duration

	wmu sync.Mutex // one talker at a time on the two wires
}

const (
	bitsPerByte = 10 // start, 8 data, stop
	// A pause inside a frame ends it. Generous, because the far end of the pty
	// is a program that may be scheduled away, not a UART.
	frameGap    = 150 * time.Millisecond
	idlePeriod  = time.Second
	inboxFrames = 64
)

// New puts readers on a line. Their addresses must differ.
func New(cfg Config, port Port, stations ...*Station) *Bus {
	b := &Bus{cfg: cfg, port: port, stations: stations}
	if !cfg.Unpaced {
		b.byteTime = bitsPerByte * time.Second / time.Duration(cfg.Baud)
	}
	for _, s := range stations {
		s.bus = b
	}
	return b
}

type heard struct {
	frame pd.Frame
	at    time.Time // when the last byte is in, at the line's speed
}

// Run listens until ctx ends and returns nil then; otherwise it returns why the
// line was lost. It waits for its stations.
func (b *Bus) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range b.stations {
		g.Go(func() error { s.run(ctx); return nil })
	}
	g.Go(func() error { return b.listen(ctx) })
	stop := context.AfterFunc(ctx, func() { _ = b.port.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return g.Wait()
}

func (b *Bus) listen(ctx context.Context) error {
	var scan pd.Scanner
	var free time.Time // when the wire has delivered everything so far
	buf := make([]byte, 4096)
	for {
		wait := idlePeriod
		if scan.Pending() {
			wait = frameGap
		}
		_ = b.port.SetReadDeadline(time.Now().Add(wait))
		if ctx.Err() != nil {
			return nil
		}
		n, err := b.port.Read(buf)
		if n == 0 && err != nil {
			switch {
			case ctx.Err() != nil:
				return nil
			case errors.Is(err, os.ErrDeadlineExceeded) && scan.Pending():
				scan.Reset()
				continue
			case errors.Is(err, os.ErrDeadlineExceeded):
				b.port.Idle()
				continue
			}
			return err
		}
		if now := time.Now(); free.Before(now) {
			free = now
		}
		for _, x := range buf[:n] {
			free = free.Add(b.byteTime)
			for _, f := range scan.Feed(x) {
				b.deliver(heard{f, free})
			}
		}
	}
}

// deliver hands a frame to every station it concerns. A broadcast is answered
// only where one reader is on the line; several would talk over each other.
func (b *Bus) deliver(h heard) {
	for _, s := range b.stations {
		if h.frame.Addr != s.addr && (h.frame.Addr != pd.Broadcast || len(b.stations) > 1) {
			continue
		}
		select {
		case s.inbox <- h:
		default: // the reader's own buffer overran
		}
	}
}

// send lets bytes out at the line's speed. If nobody reads the other end they
// are lost, as on a wire.
func (b *Bus) send(ctx context.Context, p []byte) {
	b.wmu.Lock()
	defer b.wmu.Unlock()
	_ = b.port.SetWriteDeadline(time.Now().Add(time.Second))
	start, sent := time.Now(), 0
	for sent < len(p) {
		due := len(p)
		if b.byteTime > 0 {
			due = min(int(time.Since(start)/b.byteTime), len(p))
		}
		if due > sent {
			if _, err := b.port.Write(p[sent:due]); err != nil {
				b.cfg.Log.Debug("bytes lost on the line", "err", err)
				return
			}
			sent = due
			continue
		}
		if !sleepUntil(ctx, start.Add(time.Duration(sent+1)*b.byteTime)) {
			return
		}
	}
}

// sleepUntil waits to the tenth of a millisecond where the OS can; false if ctx
// ended.
func sleepUntil(ctx context.Context, t time.Time) bool {
	const coarse = 2 * time.Millisecond // what a runtime timer may be late by
	if d := time.Until(t); d > coarse {
		timer := time.NewTimer(d - coarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	if d := time.Until(t); d > 0 {
		nap(d)
	}
	return ctx.Err() == nil
}
