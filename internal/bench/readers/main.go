// Command readers is the part of `make bench` that measures reader drivers on
// wires with the speed of real ones: the simulator is a process of its own, its
// bytes take the time of the baud rate, and the driver under test runs here.
//
//	         card ┌─────┐  pty, byte by byte  ┌──────┐
//	readers ────▶ │ sim │ ◀═════════════════▶ │ Bus  │ ──▶ reading, in this process
//	              └─────┘                     └──────┘
//
// Beside each figure is what the wire itself allows: a card comes at any moment
// of a poll cycle, so half a cycle and the reply are the least it takes on
// average, whatever the driver does. Nothing here passes or fails on the clock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	bin   string        // folder of the built programs
	dir   string        // where the scratch folder is made
	cards int           // of each latency figure
	burst int           // cards held to a reader without a pause
	idle  time.Duration // that processor time is counted over
	only  string        // part of the names of the wires to measure
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where the scratch folder is made")
	flag.IntVar(&o.cards, "cards", 150, "cards of each latency figure")
	flag.IntVar(&o.burst, "burst", 1000, "cards of the burst")
	flag.DurationVar(&o.idle, "idle", 10*time.Second, "how long processor time is counted")
	flag.StringVar(&o.only, "only", "", "measure only wires whose name has this in it, such as 115200")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "readers:", err)
		os.Exit(1)
	}
}

// wires are the buses that are measured.
var wires = []wire{
	{baud: 9600}, {baud: 9600, secure: true}, {baud: 115200}, {baud: 115200, secure: true},
}

func run(ctx context.Context, o options, out io.Writer) error {
	for _, p := range []*string{&o.bin, &o.dir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	b := &bench{options: o, out: out}
	for _, w := range wires {
		if !strings.Contains(w.String(), o.only) {
			continue
		}
		fmt.Fprintf(out, "\nOSDP, %s\n", w)
		for _, part := range []func(context.Context, wire) error{b.latency, b.eight, b.absent, b.stall, b.cable, b.flood, b.cpu} {
			if err := part(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", w, err)
			}
		}
	}
	return nil
}

// bench is one run.
type bench struct {
	options
	out io.Writer
}

// with runs f beside a simulated bus of n readers, the last absent of which have
// their cables pulled from the start.
func (b *bench) with(ctx context.Context, w wire, n, absent int, f func(context.Context, *rig) error) (err error) {
	r, err := b.build(w, n)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.remove()) }()
	if err := r.start(ctx, absent); err != nil {
		return err
	}
	if err := f(ctx, r); err != nil {
		return fmt.Errorf("%w\n%s", err, r.tail())
	}
	return nil
}

// line prints one figure, what the wire allows, and the goal.
func (b *bench) line(what, value, limit, goal string) {
	if limit != "" {
		limit = "   wire " + limit
	}
	if goal != "" {
		goal = "   goal " + goal
	}
	fmt.Fprintf(b.out, "  %-40s %s%s%s\n", what, value, limit, goal)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
