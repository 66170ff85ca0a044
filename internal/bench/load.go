package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sekimori/internal/bench/measure"
)

// rest is how long nobody comes before an agent counts as idle: OSDP readers are
// polled quickly for a minute after an event.
const rest = 65 * time.Second

// idle watches the two agents with nobody at their doors.
func (b *bench) idle(ctx context.Context) error {
	if err := pause(ctx, rest); err != nil {
		return err
	}
	agents := map[string]string{"DC-31": "2 OSDP readers, secure, 38400 baud; a module", "DC-21": "1 Wiegand reader"}
	before := map[string]float64{}
	for id := range agents {
		u, err := usageOf(b.town.proc(id).cmd.Process.Pid)
		if err != nil {
			return err
		}
		before[id] = u.cpu
	}
	if err := pause(ctx, b.options.idle); err != nil {
		return err
	}
	b.head(fmt.Sprintf("An idle agent, %v, %v after the last card", b.options.idle, rest))
	for _, id := range []string{"DC-31", "DC-21"} {
		u, err := usageOf(b.town.proc(id).cmd.Process.Pid)
		if err != nil {
			return err
		}
		share := 100 * (u.cpu - before[id]) / b.options.idle.Seconds()
		b.line(id+", "+agents[id], fmt.Sprintf("%.1f MiB resident (peak %.1f), %.2f %% of a core", u.resident, u.peak, share), "≤ 20 MiB, ≤ 0.5 %")
	}
	return nil
}

// usage is what /proc says of a process: CPU seconds, and MiB of memory.
type usage struct{ cpu, resident, peak float64 }

// ticks of /proc/*/stat a second; the same on every Linux that Go runs on.
const ticks = 100

func usageOf(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return u, fmt.Errorf("/proc/%d/stat is short", pid)
	}
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return u, err
		}
		u.cpu += n / ticks
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kib); n == 1 {
			u.resident = kib / 1024
		}
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			u.peak = kib / 1024
		}
	}
	return u, nil
}

// children are the processes a process has started: of the hub, its broker.
func children(pid int) (list []int) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, w := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(w); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// drain and steady are loadgen's results.
type drain struct {
	Events     int
	Took       time.Duration
	PerSecond  float64
	LoadgenCPU float64
	Filled     float64
}

type steady struct {
	PerSecond  float64
	Latency    measure.Quantiles
	LoadgenCPU float64
}

// load is the hub under many devices. The doors and the simulator are stopped:
// they would take their part of the same cores.
func (b *bench) load(ctx context.Context) error {
	for _, name := range []string{"DC-31", "DC-21", "sim"} {
		b.town.proc(name).stop()
	}
	codes, err := b.codes(ctx)
	if err != nil {
		return err
	}
	ram, err := inMemory(b.town.dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(ram)
	bare, syncs, err := b.ruler.For(3 * time.Second)
	if err != nil {
		return err
	}
	b.head("Durable events through broker → commit → receipt, devices and hub on this machine")
	b.line("the disk's own write and sync, one after another", fmt.Sprintf("%.0f/s, %s", syncs, points(bare)), "")
	g, err := b.startLoadgen(ctx, codes, "load", "-ram", ram, "-each", fmt.Sprint(b.each), "-alone", fmt.Sprint(b.alone),
		"-rate", fmt.Sprint(b.rate), "-steady", b.steady.String())
	if err != nil {
		return err
	}
	return errors.Join(b.phases(ctx, g, syncs), g.end())
}

// codes are enrolment codes for the devices, as loadgen reads them.
func (b *bench) codes(ctx context.Context) (string, error) {
	var codes strings.Builder
	for n := range b.agents + 1 {
		code, err := b.town.code(ctx, deviceName(n))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&codes, "%s %s\n", deviceName(n), code)
	}
	return codes.String(), nil
}

// phases prints loadgen's results as they come, and lets the hub come to rest
// after each.
func (b *bench) phases(ctx context.Context, g *loadgen, syncs float64) error {
	var held steady
	if err := b.phase(ctx, g, &held, func() {
		b.line(fmt.Sprintf("%d agents at %d/s: event → receipt", b.agents, b.rate),
			fmt.Sprintf("%s, %.0f/s held", points(held.Latency), held.PerSecond), "p99 < 10 ms")
	}); err != nil {
		return err
	}
	for _, what := range []string{fmt.Sprintf("%d agents, each with a backlog", b.agents), "one agent's backlog"} {
		var d drain
		if err := b.phase(ctx, g, &d, func() { b.drained(what, d, syncs) }); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) phase(ctx context.Context, g *loadgen, into any, print func()) error {
	hub := b.town.proc("hub").cmd.Process.Pid
	before, err := usageOf(hub)
	if err != nil {
		return err
	}
	if err := g.next(into); err != nil {
		return err
	}
	print()
	return errors.Join(b.caughtUp(ctx), b.hubUse(hub, before))
}

func (b *bench) drained(what string, d drain, syncs float64) {
	b.line(what, fmt.Sprintf("%.0f/s = %.1f × the disk's syncs  (%d in %.1f s; the devices took %.2f cores)",
		d.PerSecond, d.PerSecond/syncs, d.Events, d.Took.Seconds(), d.LoadgenCPU), "≥ 20000/s")
	if d.Filled > 0 {
		b.line("  written to its journal before, 64 writers", fmt.Sprintf("%.0f/s = %.1f × the disk's syncs", d.Filled, d.Filled/syncs), "")
	}
}

// caughtUp waits until the registers have everything that the ledger has: their
// cursor stands still.
func (b *bench) caughtUp(ctx context.Context) error {
	c, err := b.town.newConsole(ctx)
	if err != nil {
		return err
	}
	start, last, moved := time.Now(), int64(-1), time.Now()
	err = eventually(ctx, 15*time.Minute, "the registers have everything", func() (bool, error) {
		p, err := c.lastPage(ctx, "denials", 1)
		if p.Cursor != last {
			last, moved = p.Cursor, time.Now()
		}
		return time.Since(moved) > 2*time.Second, errors.Join(err, pause(ctx, 100*time.Millisecond))
	})
	b.line("  then, until the registers show all of it", fmt.Sprintf("%.1f s  (ledger row %d)", moved.Sub(start).Seconds(), last), "")
	return err
}

func (b *bench) hubUse(pid int, before usage) error {
	u, err := usageOf(pid)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%.1f s of CPU, %.0f MiB resident (peak %.0f)", u.cpu-before.cpu, u.resident, u.peak)
	for _, child := range children(pid) {
		if u, err = usageOf(child); err != nil {
			return err
		}
		text += fmt.Sprintf("; broker %.0f MiB (peak %.0f)", u.resident, u.peak)
	}
	b.line("  the hub meanwhile", text, "")
	return nil
}

// inMemory is a folder in memory for the journals of the many devices, whose
// disks are elsewhere in a real city; without one it is on the measured disk.
func inMemory(otherwise string) (string, error) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return os.MkdirTemp("/dev/shm", "skb")
	}
	return os.MkdirTemp(otherwise, "devices")
}
