// Package line is the serial port under the drivers that talk bytes: a small
// face, the operating system's ports behind it, and a connected pair for tests.
//
//	driver ── Port ─┬─ Serial   a real port or a pty, by path or by its adapter
//	                └─ Pair     two ends in memory, with or without wire time
//
// It is the only package that knows the serial library. A port may disappear (a
// USB adapter is pulled) and come back; Keep holds a driver's talk over that.
package line

import (
	"context"
	"errors"
	"io"
	"time"
)

// Port is one open serial line, 8 data bits, no parity, 1 stop bit.
//
// Read waits for at least one byte, for as long as SetReadTimeout said, and
// returns 0 bytes and no error when that time has passed; a negative time-out
// waits for ever. Read and Write return an error once the port is gone. Close
// ends a waiting Read. One goroutine reads and sets the time-out; Close may
// come from any.
type Port interface {
	io.ReadWriteCloser
	SetReadTimeout(d time.Duration) error
}

// NoTimeout makes Read wait for ever.
const NoTimeout time.Duration = -1

// Opener opens a port, again and again as it disappears and comes back.
type Opener func() (Port, error)

var (
	// ErrClosed comes from a port that this side has closed.
	ErrClosed = errors.New("the port is closed")
	// ErrGone comes from a port whose other side has disappeared.
	ErrGone = errors.New("the port has disappeared")
	// ErrBusy comes from opening a port that another program holds.
	ErrBusy = errors.New("the port is held by another program")
)

// The wait before a lost port is opened again doubles from the first to the
// last of these: a replugged adapter is back in about a second, and a missing
// one costs one failing open a second.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = time.Second
)

// Keep opens a port, calls serve with it and closes it, over and over until ctx
// ends; then it closes the port, so that a serve that waits in Read returns,
// and returns when serve has. Each failure to open or serve is told to down.
func Keep(ctx context.Context, open Opener, serve func(context.Context, Port) error, down func(error)) {
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, lastWait) {
		began := time.Now()
		err := once(ctx, open, serve)
		if ctx.Err() != nil {
			return
		}
		down(err)
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func once(ctx context.Context, open Opener, serve func(context.Context, Port) error) error {
	port, err := open()
	if err != nil {
		return err
	}
	defer port.Close()
	stop := context.AfterFunc(ctx, func() { port.Close() })
	defer stop()
	return serve(ctx, port)
}
