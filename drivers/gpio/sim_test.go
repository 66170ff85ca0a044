package gpio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
	"sekimori/drivers/gpio"
)

// simulator is a small model of the other side, written from the protocol.
type simulator struct {
	t    *testing.T
	path string

	mu      sync.Mutex
	l       net.Listener
	conn    net.Conn
	level   map[string]bool
	outs    map[string]bool
	watched map[string]bool
	seq     int
	mute    bool // takes requests and answers none
	log     []string
	wg      sync.WaitGroup
}

func newSimulator(t *testing.T) *simulator {
	s := &simulator{
		t: t, path: filepath.Join(t.TempDir(), "DC-21.lines"),
		level: map[string]bool{"D21.d0": true, "D21.d1": true, "D21.contact": false, "D21.relay": false},
		outs:  map[string]bool{"D21.relay": true},
	}
	t.Cleanup(s.stop)
	return s
}

func (s *simulator) start() {
	s.t.Helper()
	l, err := net.Listen("unix", s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.l = l
	s.mu.Unlock()
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c)
		}
	})
}

// stop is a crash: listener and connection go, and all outputs fall to 0.
func (s *simulator) stop() {
	s.mu.Lock()
	if s.l != nil {
		s.l.Close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *simulator) serve(c net.Conn) {
	s.mu.Lock()
	s.conn, s.seq, s.watched = c, 0, map[string]bool{}
	s.mu.Unlock()
	in := bufio.NewScanner(c)
	for in.Scan() {
		s.mu.Lock()
		s.log = append(s.log, in.Text())
		if !s.mute {
			s.obeyLocked(strings.Fields(in.Text()))
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = nil
	for o := range s.outs {
		s.level[o] = false
	}
}

func (s *simulator) obeyLocked(f []string) {
	switch f[0] {
	case "HELLO":
		text := "LINES"
		for n, l := range s.level {
			text += fmt.Sprintf(" %s:%s:%d", n, map[bool]string{true: "out", false: "in"}[s.outs[n]], bit(l))
		}
		fmt.Fprintln(s.conn, text)
	case "WATCH":
		for _, n := range f[1:] {
			s.watched[n] = true
			s.edgeLocked(n)
		}
	case "OUT":
		s.level[f[1]] = f[2] == "1"
		fmt.Fprintf(s.conn, "OK OUT %s %s\n", f[1], f[2])
	case "GET":
		fmt.Fprintf(s.conn, "LEVEL %s %d\n", f[1], bit(s.level[f[1]]))
	}
}

func bit(l bool) int {
	if l {
		return 1
	}
	return 0
}

func (s *simulator) edgeLocked(n string) {
	if s.conn != nil && s.watched[n] {
		s.seq++
		fmt.Fprintf(s.conn, "EDGE %s %d %d %d\n", n, bit(s.level[n]), 1000+s.seq, s.seq)
	}
}

func (s *simulator) set(n string, l bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level[n] = l
	s.edgeLocked(n)
}

func (s *simulator) get(n string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level[n]
}

func (s *simulator) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func open(t *testing.T, s *simulator) drivers.Lines {
	t.Helper()
	lines, err := gpio.Open(t.Context(), gpio.Config{Backend: gpio.Sim, Socket: s.path, Client: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lines.Close() })
	return lines
}

func next(t *testing.T, edges <-chan drivers.Edge) drivers.Edge {
	t.Helper()
	select {
	case e, ok := <-edges:
		if !ok {
			t.Fatal("the stream ended")
		}
		return e
	case <-time.After(5 * time.Second):
		t.Fatal("no edge")
	}
	return drivers.Edge{}
}

func want(t *testing.T, edges <-chan drivers.Edge, line string, level pgpio.Level, seq uint64) {
	t.Helper()
	if e := next(t, edges); e.Line != line || e.Level != level || e.Seq != seq {
		t.Errorf("edge %+v, want %s %v seq %d", e, line, level, seq)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited for: %s", what)
		}
	}
}

func TestStreamsAreNumberedForEachConsumer(t *testing.T) {
	s := newSimulator(t)
	s.start()
	lines := open(t, s)
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	data, err := lines.Edges(t.Context(), "D21.d0", "D21.d1")
	if err != nil {
		t.Fatal(err)
	}
	want(t, data, "D21.d0", true, 1)
	want(t, data, "D21.d1", true, 2)
	door, err := lines.Edges(t.Context(), "D21.contact", "D21.d1")
	if err != nil {
		t.Fatal(err)
	}
	want(t, door, "D21.contact", false, 1)
	want(t, door, "D21.d1", true, 2)
	s.set("D21.contact", true)
	s.set("D21.d0", false)
	s.set("D21.d1", false)
	want(t, door, "D21.contact", true, 3)
	want(t, door, "D21.d1", false, 4)
	want(t, data, "D21.d0", false, 3) // no gap for what the other stream heard
	want(t, data, "D21.d1", false, 4)
}

func TestRestartOfTheSimulator(t *testing.T) {
	s := newSimulator(t)
	lines := open(t, s) // the simulator is not up yet
	if err := lines.Err(); !errors.Is(err, drivers.ErrDisconnected) {
		t.Errorf("Err is %v before the simulator is up", err)
	}
	edges, err := lines.Edges(t.Context(), "D21.contact")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := lines.Pin("D21.relay")
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Out(true); !errors.Is(err, drivers.ErrDisconnected) {
		t.Errorf("Out without a simulator: %v", err)
	}
	s.start()
	want(t, edges, "D21.contact", false, 2) // 1 is skipped: edges may have been lost
	await(t, "connection", func() bool { return lines.Err() == nil })
	if s.get("D21.relay") {
		t.Error("a 1 that had failed was driven later")
	}
	if err := relay.Out(true); err != nil {
		t.Fatal(err)
	}
	s.stop()
	await(t, "loss", func() bool { return lines.Err() != nil })
	s.set("D21.contact", true)
	s.start()
	want(t, edges, "D21.contact", true, 4)
	await(t, "the relay to be on again", func() bool { return s.get("D21.relay") })
	if !relay.Read() {
		t.Error("the relay reads as 0")
	}
	s.stop()
	await(t, "loss", func() bool { return lines.Err() != nil })
	relay.Out(false) // fails, and must hold all the same
	s.with(func() { s.log = nil })
	s.start()
	await(t, "connection", func() bool { return lines.Err() == nil })
	s.with(func() {
		if slices.Contains(s.log, "OUT D21.relay 1") {
			t.Error("a relay that was switched off came on after a restart")
		}
	})
}

func TestWrongNamesAreNamed(t *testing.T) {
	s := newSimulator(t)
	s.start()
	lines := open(t, s)
	if _, err := lines.Edges(t.Context(), "D21.d0", "D99.d1"); !errors.Is(err, gpio.ErrUnknownLine) || !strings.Contains(err.Error(), "D99.d1") {
		t.Errorf("Edges: %v", err)
	}
	if _, err := lines.Edges(t.Context(), "D21.relay"); !errors.Is(err, gpio.ErrUnknownLine) {
		t.Errorf("Edges of an output: %v", err)
	}
	if _, err := lines.Pin("D99.relay"); !errors.Is(err, gpio.ErrUnknownLine) {
		t.Errorf("Pin: %v", err)
	}
}

func TestSlowConsumerSeesAGap(t *testing.T) {
	s := newSimulator(t)
	s.start()
	lines := open(t, s)
	slow, err := lines.Edges(t.Context(), "D21.d0")
	if err != nil {
		t.Fatal(err)
	}
	quick, err := lines.Edges(t.Context(), "D21.contact")
	if err != nil {
		t.Fatal(err)
	}
	want(t, quick, "D21.contact", false, 1)
	for i := range 6000 {
		s.set("D21.d0", i%2 == 1)
	}
	s.set("D21.contact", true)
	want(t, quick, "D21.contact", true, 2)
	var last uint64
	gap := false
	for range len(slow) {
		e := next(t, slow)
		gap = gap || e.Seq != last+1
		last = e.Seq
	}
	s.set("D21.d0", false)
	e := next(t, slow)
	if gap || e.Seq == last+1 {
		t.Errorf("the loss shows as no gap: %d after %d", e.Seq, last)
	}
}

func TestStreamsEnd(t *testing.T) {
	s := newSimulator(t)
	s.start()
	lines := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := lines.Edges(ctx, "D21.d0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := lines.Edges(t.Context(), "D21.d0")
	if err != nil {
		t.Fatal(err)
	}
	next(t, a)
	next(t, b)
	cancel()
	if _, open := <-a; open {
		t.Error("a stream goes on after its context")
	}
	s.set("D21.d0", false)
	want(t, b, "D21.d0", false, 2)
	lines.Close()
	if _, open := <-b; open {
		t.Error("a stream goes on after Close")
	}
	if _, err := lines.Edges(t.Context(), "D21.d0"); err == nil {
		t.Error("Edges of a closed bank")
	}
}

func TestMuteSimulator(t *testing.T) {
	s := newSimulator(t)
	s.start()
	lines := open(t, s)
	relay, err := lines.Pin("D21.relay")
	if err != nil {
		t.Fatal(err)
	}
	s.with(func() { s.mute = true })
	if err := relay.Out(true); !errors.Is(err, drivers.ErrDisconnected) {
		t.Errorf("Out to a mute simulator: %v", err)
	}
	s.with(func() { s.mute = false })
	await(t, "a new connection", func() bool { return relay.Out(true) == nil })
}

func TestOpenRefusesNonsense(t *testing.T) {
	for _, cfg := range []gpio.Config{
		{}, {Backend: gpio.Sim}, {Backend: gpio.Kernel}, {Backend: "gpiod"}, {Backend: gpio.Sim, Socket: "x", Client: "a b"},
		{Backend: gpio.Kernel, Chip: "no-such-chip", Lines: map[string]gpio.Line{"a": {Name: "1"}}},
	} {
		if l, err := gpio.Open(t.Context(), cfg); err == nil {
			t.Errorf("%+v was opened as %T", cfg, l)
		}
	}
}
