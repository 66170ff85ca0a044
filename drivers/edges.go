package drivers

import (
	"context"
	"errors"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Edge is one change of one line. Order across lines matters (a Wiegand bit is
// an edge on one of two lines), so Seq rises over all lines of one source.
type Edge struct {
	Line  string        // as in the settings, for example "D21.d0"
	Level gpio.Level    // the level after the edge
	At    time.Duration // monotonic, from the source nearest to the pin
	Seq   uint64        // gapless per source; a gap means edges were lost
}

// ErrDisconnected is what a bank of lines that is away for the moment answers; it
// comes back by itself.
var ErrDisconnected = errors.New("the line bank is not connected")

// Lines is a bank of named lines, of a kernel chip or of the simulator, behind
// one face.
//
// Edges streams the changes of the named lines in order, beginning with one
// Edge per line that tells its level now. The channel closes when ctx ends or
// the bank is lost; Err then tells why. Pin serves slow outputs and inputs.
type Lines interface {
	Edges(ctx context.Context, lines ...string) (<-chan Edge, error)
	Pin(line string) (gpio.PinIO, error)
	Err() error
	Close() error
}

// Pulser is a bank whose lines tell levels too late for a Wiegand bit of 50 µs, as
// a kernel's do, but can tell that there was one. The lines in pulses idle high;
// each fall comes as two edges of one time, to low and back to high, and a line
// that stays low comes as low some hundred milliseconds later. levels are told as
// by Edges, in the same stream.
type Pulser interface {
	Pulses(ctx context.Context, pulses []string, levels ...string) (<-chan Edge, error)
}
