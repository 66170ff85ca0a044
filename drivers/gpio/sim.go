package gpio

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sekimori/drivers"
)

const (
	hello       = "sekimori-lines/1"
	simFirst    = 50 * time.Millisecond // back-off between connections, doubling
	simLast     = time.Second
	simAnswer   = 2 * time.Second // for one answer; the simulator is on this machine
	answerRoom  = 64              // answers of a reconnection's OUTs, which nobody takes
	simLineSize = 64 << 10        // the longest message, LINES of a large controller
)

// simBank is a client of one controller's socket. Its one goroutine (run)
// connects, reads and hands edges out; requests are written by their callers,
// one at a time, and wait for the answer that run passes to them.
type simBank struct {
	cfg  Config
	stop context.CancelFunc
	done chan struct{} // closed when run has returned
	ask  sync.Mutex    // held for one request and its answer

	mu      sync.Mutex
	conn    net.Conn                // guarded by mu; nil while disconnected
	answers chan string             // guarded by mu; of conn
	known   map[string]bool         // guarded by mu: line → is an output; nil before the first LINES
	driven  map[string]bool         // guarded by mu: outputs that are to be 1
	streams map[*stream]func() bool // guarded by mu: each with the release of its context watch
	err     error                   // guarded by mu: why there is no connection
	closed  bool                    // guarded by mu
}

func openSim(ctx context.Context, cfg Config) *simBank {
	if cfg.Client == "" {
		cfg.Client = "sekimori"
	}
	ctx, stop := context.WithCancel(ctx)
	b := &simBank{
		cfg: cfg, stop: stop, done: make(chan struct{}), err: drivers.ErrDisconnected,
		driven: map[string]bool{}, streams: map[*stream]func() bool{},
	}
	tried := make(chan struct{})
	go b.run(ctx, sync.OnceFunc(func() { close(tried) }))
	<-tried
	return b
}

// there is our name's name in the simulator.
func (b *simBank) there(line string) string {
	if l, ok := b.cfg.Lines[line]; ok && l.Name != "" {
		return l.Name
	}
	return line
}

// StampsAtPin tells that Edge.At is the time at the (simulated) pin.
func (b *simBank) StampsAtPin() bool { return true }

// run keeps a connection until ctx ends; tried is called after the first try.
func (b *simBank) run(ctx context.Context, tried func()) {
	defer close(b.done)
	defer b.finish()
	defer tried()
	for wait := simFirst; ctx.Err() == nil; wait = min(2*wait, simLast) {
		began := time.Now()
		err := b.serve(ctx, tried)
		b.lost(err)
		tried()
		if time.Since(began) > simLast {
			wait = simFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// serve is one connection, from HELLO to its end.
func (b *simBank) serve(ctx context.Context, up func()) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", b.cfg.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewScanner(conn)
	in.Buffer(nil, simLineSize)
	if err := b.greet(conn, in); err != nil {
		return err
	}
	up()
	var last uint64
	for in.Scan() {
		text := in.Text()
		if !strings.HasPrefix(text, "EDGE ") {
			b.answer(text)
			continue
		}
		if last, err = b.edge(text, last); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return errors.New("the simulator closed the connection")
}

// greet says HELLO, takes LINES, and brings back what was before the loss.
func (b *simBank) greet(conn net.Conn, in *bufio.Scanner) error {
	conn.SetDeadline(time.Now().Add(simAnswer))
	if _, err := fmt.Fprintf(conn, "HELLO %s %s\n", hello, b.cfg.Client); err != nil {
		return err
	}
	if !in.Scan() {
		return fmt.Errorf("no answer to HELLO: %w", errors.Join(in.Err(), drivers.ErrDisconnected))
	}
	known, err := parseLines(in.Text())
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var watch, out []string
	for s := range b.streams {
		s.restart()
		for l := range s.lines {
			watch = append(watch, b.there(l))
		}
	}
	for l, high := range b.driven {
		if high {
			out = append(out, l)
		}
	}
	slices.Sort(watch)
	if watch = slices.Compact(watch); len(watch) > 0 {
		if _, err := fmt.Fprintf(conn, "WATCH %s\n", strings.Join(watch, " ")); err != nil {
			return err
		}
	}
	for _, l := range out {
		// Its answer finds nobody waiting and is dropped.
		if _, err := fmt.Fprintf(conn, "OUT %s 1\n", l); err != nil {
			return err
		}
	}
	conn.SetDeadline(time.Time{})
	b.conn, b.answers, b.known, b.err = conn, make(chan string, answerRoom), known, nil
	return nil
}

func parseLines(text string) (map[string]bool, error) {
	f := strings.Fields(text)
	if len(f) == 0 || f[0] != "LINES" {
		return nil, fmt.Errorf("the simulator answered %q to HELLO", text)
	}
	known := map[string]bool{}
	for _, l := range f[1:] {
		p := strings.Split(l, ":")
		if len(p) != 3 || (p[1] != "in" && p[1] != "out") {
			return nil, fmt.Errorf("the simulator listed a line as %q", l)
		}
		known[p[0]] = p[1] == "out"
	}
	return known, nil
}

// edge hands one EDGE message to the streams that want it. last is the
// connection's previous sequence number.
func (b *simBank) edge(text string, last uint64) (uint64, error) {
	f := strings.Fields(text)
	if len(f) != 5 || (f[2] != "0" && f[2] != "1") {
		return last, fmt.Errorf("the simulator sent %q", text)
	}
	ns, err1 := strconv.ParseInt(f[3], 10, 64)
	seq, err2 := strconv.ParseUint(f[4], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return last, fmt.Errorf("the simulator sent %q: %w", text, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.streams {
		if seq != last+1 {
			s.gap()
		}
		for l := range s.lines {
			if b.there(l) == f[1] {
				s.tell(l, f[2] == "1", time.Duration(ns))
			}
		}
	}
	return seq, nil
}

func (b *simBank) answer(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.answers <- text:
	default: // nobody takes them
	}
}

func (b *simBank) lost(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answers != nil {
		close(b.answers)
	}
	b.conn, b.answers = nil, nil
	b.err = fmt.Errorf("%w: %w", drivers.ErrDisconnected, err)
}

// finish closes every stream when the bank ends.
func (b *simBank) finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s, release := range b.streams {
		release()
		close(s.out)
	}
	clear(b.streams)
}

func (b *simBank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, fmt.Errorf("gpio: %w: the bank is closed", drivers.ErrDisconnected)
	}
	there := make([]string, len(lines))
	for i, l := range lines {
		there[i] = b.there(l)
		if out, ok := b.known[there[i]]; b.known != nil && (!ok || out) {
			return nil, fmt.Errorf("gpio: %w: input %q at %s", ErrUnknownLine, there[i], b.cfg.Socket)
		}
	}
	s := newStream(ctx, lines)
	b.streams[s] = context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, open := b.streams[s]; open {
			delete(b.streams, s)
			close(s.out)
		}
	})
	if b.conn != nil && len(there) > 0 {
		// A failed write ends the connection, and the next one watches again.
		b.conn.SetWriteDeadline(time.Now().Add(simAnswer))
		fmt.Fprintf(b.conn, "WATCH %s\n", strings.Join(there, " "))
	}
	return s.out, nil
}

func (b *simBank) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *simBank) Close() error {
	b.stop()
	<-b.done
	return nil
}

// request sends one message and returns what follows prefix in its answer.
func (b *simBank) request(text, prefix string) (string, error) {
	b.ask.Lock()
	defer b.ask.Unlock()
	b.mu.Lock()
	conn, answers, err := b.conn, b.answers, b.err
	b.mu.Unlock()
	if conn == nil {
		return "", fmt.Errorf("gpio: %s: %w", text, err)
	}
	conn.SetWriteDeadline(time.Now().Add(simAnswer))
	if _, err := fmt.Fprintln(conn, text); err != nil {
		return "", fmt.Errorf("gpio: %s: %w: %w", text, drivers.ErrDisconnected, err)
	}
	limit := time.NewTimer(simAnswer)
	defer limit.Stop()
	for {
		select {
		case a, ok := <-answers:
			if !ok {
				return "", fmt.Errorf("gpio: %s: %w before the answer", text, drivers.ErrDisconnected)
			}
			if why, refused := strings.CutPrefix(a, "ERR "); refused {
				return "", fmt.Errorf("gpio: %s: the simulator refused: %s", text, why)
			}
			if rest, ok := strings.CutPrefix(a, prefix); ok {
				return rest, nil
			}
			// An answer to the OUT of a reconnection: nobody waits for it.
		case <-limit.C:
			conn.Close() // a late answer must not meet the next request
			return "", fmt.Errorf("gpio: %s: %w: no answer", text, drivers.ErrDisconnected)
		}
	}
}
