// Package gpio opens a bank of named lines, on a kernel chip or in the
// simulator, behind the one face drivers.Lines, so that the program above it is
// the same on a board and on a developer's desk.
//
//	drivers.Lines ─┬─ kernel  GPIO character device; outputs through periph
//	               └─ sim     a simulator's unix socket
//
// # Kernel lines
//
// Linux only. Inputs are read from the GPIO character device itself, one request
// for each Edges call, so the kernel keeps the order of edges over all lines of
// the call, stamps each at its interrupt and numbers it. What the kernel does not
// do in the interrupt is look at the level: a pulse of 50 µs is over by then, and
// both its edges read as high. Pulses therefore asks for falls alone, and
// StampsAtPin says that pulses have no width.
//
// Outputs go through periph. An output becomes one when it is first driven; the
// kernel then sets it to 0 for some microseconds before it takes the level, too
// short for any relay.
//
// A chip that is pulled out ends its streams within pumpWait and fails its
// outputs with drivers.ErrDisconnected; when it is back, the next Edges and the
// next Out find it. It may be gpiochip3 then instead of gpiochip2, so a chip on a
// cable is best named by its label. `make vm-test` shows all of this on a real kernel.
//
// # Simulated lines: sekimori-lines/1
//
// Text over a unix stream socket, one message a line (LF), ASCII. The simulator
// listens on one socket for each controller. One client at a time owns a
// controller; a second one gets "ERR busy …" and is closed. When the client
// disconnects its outputs fall to 0, as released kernel lines do on a board
// with pull-down resistors.
//
//	client → simulator
//	  HELLO sekimori-lines/1 <client name>
//	  WATCH <line> [<line> ...]        start the stream for these input lines
//	  OUT <line> <0|1>                 drive an output line
//	  GET <line>
//	simulator → client
//	  LINES <line>:<in|out>:<level> …  answer to HELLO: every line there is
//	  EDGE <line> <0|1> <t_ns> <seq>   t_ns: CLOCK_MONOTONIC of the edge at the
//	                                   pin; seq gapless per connection from 1;
//	                                   WATCH first emits each line's level now
//	  OK OUT <line> <0|1>              the level has been applied
//	  LEVEL <line> <0|1>               answer to GET
//	  ERR <code> <text>
//
// The client reconnects with back-off when the simulator restarts. Edges
// streams stay open over that: they skip a sequence number, for edges may have
// been lost, and begin again with the present levels. Outputs whose last
// successful level was 1 are driven to 1 again.
package gpio

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pgpio "periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
)

// Backends of Config.
const (
	Kernel = "kernel"
	Sim    = "sim"
)

// Config says where a bank's lines are.
type Config struct {
	Backend string          // Kernel or Sim
	Chip    string          // kernel: the chip's name, path or label ("gpiochip0")
	Socket  string          // sim: path of the controller's socket
	Client  string          // sim: how this program introduces itself, one word
	Lines   map[string]Line // by our name; sim: optional, names are the simulator's
}

// Line is where one line is and how it is biased.
type Line struct {
	Name string     // kernel: line name ("GPIO17", the first of that name) or offset ("17"); sim: its name there
	Pull pgpio.Pull // kernel inputs only; the zero value floats
}

// ErrUnknownLine comes with the name in question.
var ErrUnknownLine = errors.New("no such line")

// Open opens a bank. It lives until Close or the end of ctx.
//
// A kernel bank must be there. A simulated bank need not be: Open tries once,
// and when the simulator is not up yet the bank connects later by itself; Err
// tells meanwhile.
func Open(ctx context.Context, cfg Config) (drivers.Lines, error) {
	switch cfg.Backend {
	case Kernel:
		if cfg.Chip == "" || len(cfg.Lines) == 0 {
			return nil, errors.New("gpio: a kernel bank needs a chip and lines")
		}
		return openKernel(ctx, cfg)
	case Sim:
		if cfg.Socket == "" {
			return nil, errors.New("gpio: a simulated bank needs a socket")
		}
		if strings.ContainsAny(cfg.Client, " \n") {
			return nil, fmt.Errorf("gpio: client name %q is not one word", cfg.Client)
		}
		return openSim(ctx, cfg), nil
	}
	return nil, fmt.Errorf("gpio: unknown backend %q: %q or %q", cfg.Backend, Kernel, Sim)
}
