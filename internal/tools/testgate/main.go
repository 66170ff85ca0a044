// Command testgate runs `go test` and lets nothing pass quietly: a failed test,
// a skipped test and a run without tests all end it with status 1.
//
//	testgate -label unit -tally bin/tally ./...         everything after the flags goes to go test
//	testgate -sum bin/tally                             the closing table over all runs
//
// `go test` itself calls a skipped test a success, and a package pattern that
// matches no test too; both have hidden weeks of broken tests elsewhere.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

func main() {
	label := flag.String("label", "test", "name of this run in the closing table")
	tally := flag.String("tally", "", "file to add this run's numbers to")
	sum := flag.String("sum", "", "print the table of a tally file and end")
	each := flag.Bool("each", false, "print a line for each top-level test, for long runs")
	flag.Parse()
	var err error
	if *sum != "" {
		err = printSum(os.Stdout, *sum)
	} else {
		err = run(os.Stdout, options{label: *label, tally: *tally, each: *each, args: flag.Args()})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testgate:", err)
		os.Exit(1)
	}
}

type options struct {
	label, tally string
	each         bool
	dir          string // where to run; empty is here
	args         []string
}

func run(out io.Writer, o options) error {
	start := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, o.args...)...)
	cmd.Dir, cmd.Stderr = o.dir, os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go test: %w", err)
	}
	g := &gate{out: out, each: o.each}
	readErr := g.read(pipe)
	waitErr := cmd.Wait()
	c := g.counts
	c.Label, c.Seconds = o.label, time.Since(start).Seconds()
	fmt.Fprintf(out, "%s: %s\n", o.label, c)
	if o.tally != "" {
		if err := addTally(o.tally, c); err != nil {
			return err
		}
	}
	switch {
	case readErr != nil:
		return readErr
	case c.Failed > 0 || waitErr != nil:
		return fmt.Errorf("%s: tests failed: %s", o.label, g.list(g.failed, waitErr))
	case c.Skipped > 0:
		return fmt.Errorf("%s: skipped tests are failures here: %s", o.label, g.list(g.skipped, nil))
	case c.Passed == 0:
		return fmt.Errorf("%s: no test ran", o.label)
	}
	return nil
}
