package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
	Elapsed                                                float64
}

// counts are tests and subtests; a package that fails without a failed test, as
// when it does not compile or a test ends the process, counts as one failure.
type counts struct {
	Label                   string
	Passed, Failed, Skipped int
	Seconds                 float64
}

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.Passed, c.Failed, c.Skipped)
}

// gate turns the events of a run into what a person wants to read: one line per
// package, and the whole output of whatever did not pass.
type gate struct {
	out             io.Writer
	each            bool
	counts          counts
	failed, skipped []string

	output   map[string]*strings.Builder // "package test" → what it printed
	failures map[string]int              // package → failed tests
}

func (g *gate) read(r io.Reader) error {
	g.output, g.failures = map[string]*strings.Builder{}, map[string]int{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			g.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
	}
}

func (g *gate) line(line string) {
	var e event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		fmt.Fprint(g.out, line) // go itself, or a program that writes to the test's stdout
		return
	}
	switch e.Action {
	case "output", "build-output":
		g.keep(e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			g.endPackage(e)
			return
		}
		g.endTest(e)
	}
}

func key(e event) string {
	if e.ImportPath != "" {
		return e.ImportPath
	}
	return strings.TrimSuffix(e.Package+" "+e.Test, " ")
}

func (g *gate) keep(e event) {
	k := key(e)
	if g.output[k] == nil {
		g.output[k] = &strings.Builder{}
	}
	g.output[k].WriteString(e.Output)
}

func (g *gate) take(k string) string {
	b := g.output[k]
	delete(g.output, k)
	if b == nil {
		return ""
	}
	return b.String()
}

func (g *gate) endTest(e event) {
	text, name := g.take(key(e)), e.Package+"."+e.Test
	switch e.Action {
	case "pass":
		g.counts.Passed++
		if g.each && !strings.Contains(e.Test, "/") {
			fmt.Fprintf(g.out, "    pass  %-60s %7.2fs\n", e.Test, e.Elapsed)
		}
		return
	case "fail":
		g.counts.Failed++
		g.failed = append(g.failed, name)
		g.failures[e.Package]++
	case "skip":
		g.counts.Skipped++
		g.skipped = append(g.skipped, name)
	}
	fmt.Fprint(g.out, text)
}

// endPackage: action "skip" without a test means that there are no test files.
func (g *gate) endPackage(e event) {
	text := g.take(key(e))
	switch e.Action {
	case "pass":
		fmt.Fprintf(g.out, "ok    %-60s %7.2fs\n", e.Package, e.Elapsed)
	case "fail":
		if g.failures[e.Package] == 0 {
			g.counts.Failed++
			g.failed = append(g.failed, e.Package)
			fmt.Fprint(g.out, g.take(e.FailedBuild))
		}
		g.unfinished(e.Package)
		fmt.Fprint(g.out, text)
	}
}

// unfinished prints the tests that were running when their process ended.
func (g *gate) unfinished(pkg string) {
	for k := range g.output {
		if strings.HasPrefix(k, pkg+" ") {
			fmt.Fprint(g.out, g.take(k))
		}
	}
}

func (g *gate) list(names []string, err error) string {
	if len(names) == 0 && err != nil {
		return err.Error()
	}
	return strings.Join(names, ", ")
}
