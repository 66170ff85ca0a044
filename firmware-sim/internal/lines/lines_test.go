package lines_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/lines"
)

// rig is a bank behind a real socket, and what it did to the outputs.
type rig struct {
	t    *testing.T
	path string
	bank *lines.Bank

	mu   sync.Mutex
	outs []string // guarded by mu
}

func mustRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "DC-21.lines")}
	var err error
	r.bank, err = lines.New([]lines.Line{
		{Name: "D21.relay", Out: true}, {Name: "D21.led", Out: true, Idle: true}, {Name: "D21.contact"},
		{Name: "D21.d0", Idle: true}, {Name: "D21.d1", Idle: true},
	}, func(line string, level bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.outs = append(r.outs, fmt.Sprintf("%s=%v", line, level))
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.bank.Serve(ctx, l, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) outputs() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.outs)
}

type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (r *rig) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("unix", r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &client{r.t, conn, bufio.NewReader(conn)}
}

func (c *client) say(s string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.conn, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) hear() string {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	s, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("instead of a message: %v", err)
	}
	return strings.TrimSuffix(s, "\n")
}

func (c *client) want(s string) {
	c.t.Helper()
	if got := c.hear(); got != s {
		c.t.Fatalf("heard %q, want %q", got, s)
	}
}

func (c *client) wantPrefix(s string) {
	c.t.Helper()
	if got := c.hear(); !strings.HasPrefix(got, s) {
		c.t.Fatalf("heard %q, want %q…", got, s)
	}
}

type edge struct {
	line, level string
	at          int64
	seq         uint64
}

func (c *client) edge() edge {
	c.t.Helper()
	var e edge
	s := c.hear()
	if _, err := fmt.Sscanf(s, "EDGE %s %s %d %d", &e.line, &e.level, &e.at, &e.seq); err != nil {
		c.t.Fatalf("heard %q, want an edge", s)
	}
	return e
}

const allLines = "LINES D21.relay:out:0 D21.led:out:1 D21.contact:in:0 D21.d0:in:1 D21.d1:in:1"

func TestConversation(t *testing.T) {
	r := mustRig(t)
	c := r.dial()
	c.say("HELLO sekimori-lines/1 agent one")
	c.want(allLines)
	if got := r.bank.Client(); got != "agent one" {
		t.Errorf("the owner is %q", got)
	}
	c.say("GET D21.d0")
	c.want("LEVEL D21.d0 1")
	c.say("OUT D21.relay 1")
	c.want("OK OUT D21.relay 1")
	c.say("OUT D21.relay 1") // nothing changes twice
	c.want("OK OUT D21.relay 1")
	if got := r.outputs(); !slices.Equal(got, []string{"D21.relay=true"}) {
		t.Errorf("outputs moved: %v", got)
	}
	for say, code := range map[string]string{
		"OUT D21.contact 1": "not_output", "WATCH D21.relay": "not_input", "GET D21.bell": "unknown_line",
		"WATCH D21.contact D21.bell": "unknown_line", "OUT D21.relay 2": "bad_message", "": "bad_message",
		"OUT D99.relay 1": "unknown_line", "HELLO sekimori-lines/1 again": "bad_message",
	} {
		c.say(say)
		c.wantPrefix("ERR " + code + " ")
	}
	c.say("WATCH D21.contact D21.d0")
	first, second := c.edge(), c.edge()
	if first.line != "D21.contact" || first.level != "0" || first.seq != 1 || second.line != "D21.d0" || second.level != "1" || second.seq != 2 {
		t.Errorf("the present levels came as %+v %+v", first, second)
	}
	r.bank.Set("D21.contact", true)
	if e := c.edge(); e.line != "D21.contact" || e.level != "1" || e.seq != 3 || e.at < second.at {
		t.Errorf("the contact came as %+v", e)
	}
}

// TestOutputsFallWithTheirClient [T-40].
func TestOutputsFallWithTheirClient(t *testing.T) {
	r := mustRig(t)
	c := r.dial()
	c.say("HELLO sekimori-lines/1 agent")
	c.want(allLines)
	c.say("OUT D21.relay 1")
	c.want("OK OUT D21.relay 1")
	c.say("OUT D21.led 0")
	c.want("OK OUT D21.led 0")
	c.conn.Close()
	next := r.dial() // at once, as a restarted program may
	next.say("HELLO sekimori-lines/1 agent")
	next.want(allLines)
	want := []string{"D21.relay=true", "D21.led=false", "D21.relay=false", "D21.led=true"}
	if got := r.outputs(); !slices.Equal(got, want) {
		t.Errorf("outputs moved %v, want %v", got, want)
	}
}

func TestOneOwner(t *testing.T) {
	r := mustRig(t)
	a, b := r.dial(), r.dial()
	a.say("HELLO sekimori-lines/1 a")
	a.want(allLines)
	b.say("HELLO sekimori-lines/1 b")
	b.wantPrefix("ERR busy ")
	if _, err := b.in.ReadByte(); err == nil {
		t.Error("the second client was not closed")
	}
	a.say("GET D21.relay")
	a.want("LEVEL D21.relay 0")
}

func TestBadHello(t *testing.T) {
	r := mustRig(t)
	for _, s := range []string{"HELLO", "HELLO sekimori-lines/2 x", "OUT D21.relay 1"} {
		c := r.dial()
		c.say(s)
		c.wantPrefix("ERR bad_hello ")
	}
	c := r.dial()
	c.say("HELLO sekimori-lines/1 x")
	c.want(allLines)
	c.say(strings.Repeat("x", 1<<16))
	if _, err := c.in.ReadByte(); err == nil {
		t.Error("an endless message was taken")
	}
	if len(r.outputs()) > 0 {
		t.Error("an output moved")
	}
}

// TestPulsesKeepTheirNominalTimes while other lines move between them, and come
// in order of time with a gapless sequence.
func TestPulsesKeepTheirNominalTimes(t *testing.T) {
	r := mustRig(t)
	c := r.dial()
	c.say("HELLO sekimori-lines/1 agent")
	c.want(allLines)
	c.say("WATCH D21.d0 D21.contact")
	c.edge()
	last := c.edge()
	const n, interval, width = 26, 2 * time.Millisecond, 50 * time.Microsecond
	var train []lines.Pulse
	for i := range n {
		at := time.Duration(i) * interval
		train = append(train, lines.Pulse{Line: "D21.d0", Level: false, After: at}, lines.Pulse{Line: "D21.d0", Level: true, After: at + width})
	}
	end1 := r.bank.Play(train, 100*time.Millisecond)
	end2 := r.bank.Play(train, 100*time.Millisecond)
	if gap := time.Duration(end2-end1) - (n-1)*interval - width; gap != 100*time.Millisecond {
		t.Errorf("the second train came %v after the first", gap)
	}
	stop := make(chan struct{})
	var noise sync.WaitGroup
	noise.Go(func() {
		for on := true; ; on = !on {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				r.bank.Set("D21.contact", on)
			}
		}
	})
	var falls []int64
	for pulses := 0; pulses < 4*n; {
		e := c.edge()
		if e.seq != last.seq+1 || e.at < last.at {
			t.Fatalf("%+v came after %+v", e, last)
		}
		last = e
		if e.line == "D21.d0" {
			pulses++
			if e.level == "0" {
				falls = append(falls, e.at)
			}
		}
	}
	close(stop)
	noise.Wait()
	for i := 1; i < n; i++ {
		if d := time.Duration(falls[i] - falls[i-1]); d != interval {
			t.Errorf("bit %d came %v after the one before", i, d)
		}
	}
	if r.bank.Pulses() != 0 {
		t.Error("pulses are left over")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, list := range [][]lines.Line{{{Name: ""}}, {{Name: "a b"}}, {{Name: "a"}, {Name: "a"}}} {
		if _, err := lines.New(list, nil); err == nil {
			t.Errorf("%v was accepted", list)
		}
	}
}
