// Package uart is one serial line with one device at its end, behind a pty.
//
//	controller ─ slave ═ pty ═ master ─ Line ─ Device
//
// A pty carries bytes at once; a wire does not. The line counts when each byte
// would have arrived at its speed, and lets an answer out byte by byte.
package uart

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/mono"
)

// Port is the master side. Idle is called after each silent second.
type Port interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Idle()
}

// Device answers bytes; what Feed returns is sent in full before the next byte
// is looked at. Feed is called by one goroutine.
type Device interface {
	Feed(x byte, now time.Duration) (answer []byte)
}

// Config is how the line behaves.
type Config struct {
	Baud    int
	Unpaced bool          // bytes take no time
	Think   time.Duration // between a command's last byte and the answer's first
	Log     *slog.Logger
}

// Line is one line. Make it with New, then Run it.
type Line struct {
	cfg      Config
	port     Port
	device   Device
	byteTime time.Duration

	wmu sync.Mutex // one talker at a time

	mu     sync.Mutex
	cut    bool          // guarded by mu: the cable is pulled
	stall  time.Duration // guarded by mu
	stalls int           // guarded by mu: answers still to be late
}

// New puts a device on a line.
func New(cfg Config, port Port, d Device) *Line {
	l := &Line{cfg: cfg, port: port, device: d}
	if !cfg.Unpaced {
		l.byteTime = 10 * time.Second / time.Duration(cfg.Baud)
	}
	return l
}

// Connect plugs the cable in or pulls it.
func (l *Line) Connect(in bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = !in
}

// Connected tells whether the cable is in.
func (l *Line) Connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.cut
}

// Stall makes the next count answers late by d.
func (l *Line) Stall(d time.Duration, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stall, l.stalls = d, count
}

func (l *Line) late() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalls == 0 {
		return 0
	}
	l.stalls--
	return l.stall
}

// Noise sends bytes that no answer holds.
func (l *Line) Noise(ctx context.Context, b []byte) { l.send(ctx, b) }

// Say sends what the device says unasked, if the cable is in.
func (l *Line) Say(ctx context.Context, b []byte) {
	if l.Connected() {
		l.send(ctx, b)
	}
}

const idlePeriod = time.Second

// Run listens until ctx ends and returns nil then; otherwise it returns why the
// line was lost.
func (l *Line) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.port.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 4096)
	for {
		_ = l.port.SetReadDeadline(time.Now().Add(idlePeriod))
		if ctx.Err() != nil {
			return nil
		}
		n, err := l.port.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case n == 0 && errors.Is(err, os.ErrDeadlineExceeded):
			l.port.Idle()
			continue
		case n == 0 && err != nil:
			return err
		}
		l.take(ctx, buf[:n])
	}
}

// take lets the device hear bytes, each when the wire would have brought it.
func (l *Line) take(ctx context.Context, b []byte) {
	if !l.Connected() {
		return
	}
	arrived := time.Now()
	for i, x := range b {
		answer := l.device.Feed(x, time.Duration(mono.Now()))
		if answer == nil {
			continue
		}
		due := arrived.Add(time.Duration(i+1)*l.byteTime + l.cfg.Think + l.late())
		if !pause(ctx, time.Until(due)) || !l.Connected() {
			return
		}
		l.send(ctx, answer)
		arrived = time.Now().Add(-time.Duration(i+1) * l.byteTime)
	}
}

// send lets bytes out at the line's speed. If nobody reads the other end they
// are lost, as on a wire.
func (l *Line) send(ctx context.Context, b []byte) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	_ = l.port.SetWriteDeadline(time.Now().Add(time.Second))
	start, sent := time.Now(), 0
	for sent < len(b) {
		due := len(b)
		if l.byteTime > 0 {
			due = min(int(time.Since(start)/l.byteTime), len(b))
		}
		if due == sent {
			if !pause(ctx, time.Until(start.Add(time.Duration(sent+1)*l.byteTime))) {
				return
			}
			continue
		}
		if _, err := l.port.Write(b[sent:due]); err != nil {
			l.cfg.Log.Debug("bytes lost on the line", "err", err)
			return
		}
		sent = due
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
