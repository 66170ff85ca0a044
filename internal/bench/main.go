// Command bench is `make bench`: it starts the built programs as processes in a
// scratch folder, measures them, and prints what it found beside the disk's own
// sync in the same folder and the same run.
//
//	             card ┌─────┐ lines, pty ┌───────┐ MQTT ┌─────┐ HTTPS
//	bench ──────────▶ │ sim │ ─────────▶ │ agent │ ───▶ │ hub │ ◀────── bench
//	                  └─────┘ ◀───────── └───────┘      └─────┘
//	                       relay      100 × loadgen ───▶
//
// Goals are printed for comparison. Nothing here passes or fails on the clock:
// a slow machine is not a wrong program. It ends with an error only when
// something did not work at all.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are the flags; make bench takes the defaults.
type options struct {
	bin    string        // folder of the built programs
	tools  string        // folder of loadgen
	repo   string        // root of the repository
	dir    string        // where the scratch folder is made
	cards  int           // at each door
	rows   int           // whose way to the console is timed
	idle   time.Duration // that an agent is left alone
	agents int           // devices of the load
	each   int           // events of the backlog of each
	alone  int           // events of the one long backlog
	steady time.Duration // of the load at rate
	rate   int           // events a second
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&o.tools, "tools", "bin/tools", "folder of loadgen")
	flag.StringVar(&o.repo, "repo", ".", "root of the repository")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "where the scratch folder is made: the disk there is the one measured")
	flag.IntVar(&o.cards, "cards", 300, "cards at each door")
	flag.IntVar(&o.rows, "rows", 150, "rows whose way to the console is timed")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long agents are watched idle")
	flag.IntVar(&o.agents, "agents", 100, "devices of the load")
	flag.IntVar(&o.each, "each", 3000, "backlog of each device, events")
	flag.IntVar(&o.alone, "alone", 200_000, "backlog of one device alone, events")
	flag.DurationVar(&o.steady, "steady", 20*time.Second, "how long the steady rate is held")
	flag.IntVar(&o.rate, "rate", 1000, "steady events a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
