package agent_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/drivers"
)

// wires is the far end of a door's lines, in the simulator's line protocol.
type wires struct {
	t      *testing.T
	socket string

	mu     sync.Mutex
	conn   net.Conn
	levels map[string]bool
	seq    uint64
	driven []string // relay levels, in order
	lamp   []string // the lamp's, in order
	doors  bool     // the door's own lines are watched
}

func newWires(t *testing.T) *wires {
	t.Helper()
	w := &wires{t: t, socket: filepath.Join(t.TempDir(), "lines"), levels: map[string]bool{"d0": true, "d1": true}}
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			w.serve(conn)
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return w
}

func (w *wires) serve(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewScanner(conn); in.Scan(); {
		f := strings.Fields(in.Text())
		w.mu.Lock()
		switch f[0] {
		case "HELLO":
			w.conn, w.seq = conn, 0
			fmt.Fprintln(conn, "LINES relay:out:0 lamp:out:0 contact:in:0 rex:in:0 fire:in:0 leak:in:0 d0:in:1 d1:in:1")
		case "WATCH":
			for _, name := range f[1:] {
				w.edgeLocked(name, time.Now())
				w.doors = w.doors || name == "contact"
			}
		case "OUT":
			switch f[1] {
			case "relay":
				w.driven = append(w.driven, f[2])
			case "lamp":
				w.lamp = append(w.lamp, f[2])
			}
			fmt.Fprintf(conn, "OK OUT %s %s\n", f[1], f[2])
		}
		w.mu.Unlock()
	}
}

func (w *wires) edgeLocked(line string, at time.Time) {
	w.seq++
	level := 0
	if w.levels[line] {
		level = 1
	}
	fmt.Fprintf(w.conn, "EDGE %s %d %d %d\n", line, level, at.UnixNano(), w.seq)
}

func (w *wires) set(line string, level bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.levels[line] = level
	w.edgeLocked(line, time.Now())
}

// present sends a card's 26 bits as pulses of 50 µs, 1 ms apart.
func (w *wires) present(c drivers.Card) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Now()
	for n := range c.Len() {
		line := fmt.Sprintf("d%d", c.Bits()[n/8]>>(7-n%8)&1)
		w.levels[line] = false
		w.edgeLocked(line, at)
		w.levels[line] = true
		w.edgeLocked(line, at.Add(50*time.Microsecond))
		at = at.Add(time.Millisecond)
	}
}

func (w *wires) relay() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.driven...)
}

func (w *wires) lit() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lamp...)
}

func (w *wires) watched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.doors
}
