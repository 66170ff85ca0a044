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
//
// It is one pair of wires: bytes of two ends that overlap in time spoil each
// other, as they do when a controller asks again just as a late reply comes.
// A reader hears only a controller that has set the port to its own speed.
package bus

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/firmware-sim/internal/pd"
)

// Port is the master side of the line. Idle is called after each silent second.
// Speed is the baud rate that the far end has set, 0 if it has set none.
type Port interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Speed() int
	Idle()
}

// Config is how the line behaves.
type Config struct {
	Baud       int           // of a controller that sets no speed
	Unpaced    bool          // bytes take no time
	Turnaround time.Duration // from the last byte of a command to the first of its reply
	Log        *slog.Logger
}

// Bus is one line. Make it with New, then Run it.
type Bus struct {
	cfg      Config
	port     Port
	stations []*Station

	mu      sync.Mutex
	talkers int       // guarded by mu; readers that are sending
	quiet   time.Time // guarded by mu; when the last of them ended
	taken   time.Time // guarded by mu; when the wire has delivered what the controller wrote
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
	for _, s := range stations {
		s.bus = b
	}
	return b
}

// speed is the controller's.
func (b *Bus) speed() int {
	if baud := b.port.Speed(); baud > 0 {
		return baud
	}
	return b.cfg.Baud
}

// byteTime is what a byte takes on the wire, 0 on one that is not paced.
func (b *Bus) byteTime(baud int) time.Duration {
	if b.cfg.Unpaced {
		return 0
	}
	return bitsPerByte * time.Second / time.Duration(baud)
}

type heard struct {
	frame pd.Frame
	baud  int
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
		baud := b.speed()
		for _, x := range buf[:n] {
			x, at := b.take(x, b.byteTime(baud))
			for _, f := range scan.Feed(x) {
				b.deliver(heard{f, baud, at})
			}
		}
	}
}

// take puts one byte of the controller on the wire and tells when it is over.
// The byte is spoilt if a reader talks meanwhile.
func (b *Bus) take(x byte, byteTime time.Duration) (byte, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.taken.Before(now) {
		b.taken = now
	}
	if byteTime > 0 && (b.talkers > 0 || b.taken.Before(b.quiet)) {
		x = spoil(x)
	}
	b.taken = b.taken.Add(byteTime)
	return x, b.taken
}

// spoil is a byte that two talkers sent at once.
func spoil(x byte) byte { return x & byte(rand.IntN(256)) }

// deliver hands a frame to every station it concerns. A broadcast is answered
// only where one reader is on the line; several would talk over each other.
func (b *Bus) deliver(h heard) {
	for _, s := range b.stations {
		if !s.hears(h) || h.frame.Addr == pd.Broadcast && len(b.stations) > 1 {
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
	byteTime := b.byteTime(b.speed())
	b.mu.Lock()
	b.talkers++
	b.mu.Unlock()
	start, sent := time.Now(), 0
	for sent < len(p) {
		due := len(p)
		if byteTime > 0 {
			due = min(int(time.Since(start)/byteTime), len(p))
		}
		if due == sent {
			if sleepUntil(ctx, start.Add(time.Duration(sent+1)*byteTime)) {
				continue
			}
			due = len(p) // the simulator ends; so does the reply
		}
		b.let(p[sent:due], due == len(p), byteTime > 0)
		sent = due
	}
}

// let writes bytes that have crossed the wire by now. The talker is counted out
// before its last byte is written: its hearer may answer at once.
func (b *Bus) let(p []byte, last, paced bool) {
	b.mu.Lock()
	now := time.Now()
	if paced && (b.talkers > 1 || now.Before(b.taken)) {
		for i := range p {
			p[i] = spoil(p[i])
		}
	}
	if last {
		b.talkers--
		b.quiet = now
	}
	b.mu.Unlock()
	_ = b.port.SetWriteDeadline(now.Add(time.Second))
	if _, err := b.port.Write(p); err != nil {
		b.cfg.Log.Debug("bytes lost on the line", "err", err)
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
	for d := time.Until(t); d > 0 && ctx.Err() == nil; d = time.Until(t) {
		nap(d) // a signal may cut it short
	}
	return ctx.Err() == nil
}
