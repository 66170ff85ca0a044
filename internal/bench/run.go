package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sekimori/internal/bench/measure"
)

// bench is one run.
type bench struct {
	options
	town  *town
	ruler *measure.Ruler
	out   io.Writer
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	for _, p := range []*string{&o.bin, &o.tools, &o.repo, &o.dir} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(o.dir, "skb")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if len(dir) > maxPath {
		return fmt.Errorf("%s is too long for unix sockets; choose another place with BENCHDIR=/tmp make bench", dir)
	}
	b := &bench{options: o, out: out, town: newTown(o, dir)}
	defer b.town.stopAll()
	if b.ruler, err = measure.NewRuler(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.ruler.Close()) }()
	b.machine(dir)
	for _, part := range []func(context.Context) error{b.sizes, b.found, b.doors, b.rows, b.idle, b.inProcess, b.load} {
		if err := errors.Join(part(ctx), ctx.Err()); err != nil {
			return fmt.Errorf("%w\n%s", err, b.town.tails())
		}
	}
	return nil
}

const maxPath = 70 // a unix socket's path ends at 108 bytes

func (b *bench) head(title string) { fmt.Fprintf(b.out, "\n%s\n", title) }

// line prints one measurement and its goal, which may be empty.
func (b *bench) line(what, value, goal string) {
	if goal != "" {
		goal = "   goal " + goal
	}
	fmt.Fprintf(b.out, "  %-46s %s%s\n", what, value, goal)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

// points prints quantiles in milliseconds.
func points(q measure.Quantiles) string {
	return fmt.Sprintf("p50 %s  p95 %s  p99 %s ms  (n=%d)", ms(q.P50), ms(q.P95), ms(q.P99), q.N)
}

func (b *bench) machine(dir string) {
	fmt.Fprintf(b.out, "machine: %s; load %s; %s on %s\n", cpuName(), firstWords("/proc/loadavg", 3), dir, measure.FileSystem(dir))
}

func cpuName() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	n, name := 0, "unnamed CPU"
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "processor":
			n++
		case "model name":
			name = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%d × %s", n, name)
}

func firstWords(file string, n int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	words := strings.Fields(string(text))
	return strings.Join(words[:min(n, len(words))], " ")
}

// sizes lists the programs, for this machine and those that build-all left.
func (b *bench) sizes(context.Context) error {
	b.head("Programs, MiB")
	dirs, err := filepath.Glob(filepath.Join(b.bin, "*-*"))
	if err != nil {
		return err
	}
	var platforms []string
	for _, d := range dirs {
		if info, err := os.Stat(d); err == nil && info.IsDir() {
			platforms = append(platforms, d)
		}
	}
	for _, dir := range append([]string{b.bin}, platforms...) {
		var sizes []string
		for _, p := range []string{"sekimori-agent", "sekimori-hub", "sekimori-sim"} {
			info, err := os.Stat(filepath.Join(dir, p))
			if errors.Is(err, os.ErrNotExist) {
				info, err = os.Stat(filepath.Join(dir, p+".exe"))
			}
			if err != nil {
				return err
			}
			sizes = append(sizes, fmt.Sprintf("%s %.1f", strings.TrimPrefix(p, "sekimori-"), float64(info.Size())/(1<<20)))
		}
		name := "this machine"
		if dir != b.bin {
			name = filepath.Base(dir)
		}
		b.line(name, strings.Join(sizes, "  "), "")
	}
	return nil
}
