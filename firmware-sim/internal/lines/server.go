package lines

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/firmware-sim/internal/mono"
)

// Version is the first word of HELLO.
const Version = "sekimori-lines/1"

const (
	maxMessage   = 4096                   // one line from a client
	helloTimeout = 5 * time.Second        // a client that says nothing is no client
	writeTimeout = 5 * time.Second        // a client that reads nothing is gone
	outbox       = 1 << 16                // messages a slow client may be behind
	handover     = 500 * time.Millisecond // for the socket of a killed client to close
)

// Codes of ERR.
const (
	errBusy    = "busy"
	errHello   = "bad_hello"
	errMessage = "bad_message"
	errLine    = "unknown_line"
	errOutput  = "not_output"
	errInput   = "not_input"
)

// client is one connection. Its fields are guarded by the bank's mu, except the
// outbox and conn, which are safe by themselves.
type client struct {
	name    string
	conn    net.Conn
	watched map[string]bool
	seq     uint64
	out     chan string
}

// edge tells a watched line's change. A client that fell hopelessly behind is
// cut off rather than lied to by leaving edges out.
func (c *client) edge(e edge) {
	if !c.watched[e.line] {
		return
	}
	c.seq++
	c.say("EDGE %s %s %d %d", e.line, bit(e.level), e.at, c.seq)
}

func (c *client) say(format string, args ...any) {
	select {
	case c.out <- fmt.Sprintf(format, args...) + "\n":
	default:
		c.conn.Close()
	}
}

func bit(level bool) string {
	if level {
		return "1"
	}
	return "0"
}

// Serve takes clients until ctx ends, closes the listener and waits for all it
// started.
func (b *Bank) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { b.clockwork(ctx); return nil })
	g.Go(func() error { <-ctx.Done(); return l.Close() })
	g.Go(func() error {
		for {
			conn, err := l.Accept()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("accept a controller: %w", err)
			}
			g.Go(func() error {
				if err := b.talk(ctx, conn); err != nil && ctx.Err() == nil {
					log.Info("controller's program left", "socket", l.Addr().String(), "why", err)
				}
				return nil
			})
		}
	})
	return g.Wait()
}

// talk serves one connection to its end and says how it ended.
func (b *Bank) talk(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout))
	in := bufio.NewScanner(conn)
	in.Buffer(make([]byte, 0, 512), maxMessage)
	if !in.Scan() {
		return ended(in.Err())
	}
	name, ok := hello(in.Text())
	if !ok {
		return refuse(conn, errHello, "want: HELLO "+Version+" <client name>")
	}
	c := &client{name: name, conn: conn, watched: map[string]bool{}, out: make(chan string, outbox)}
	if !b.own(ctx, c) {
		return refuse(conn, errBusy, "another program owns these lines")
	}
	_ = conn.SetReadDeadline(time.Time{})
	var writer sync.WaitGroup
	writer.Go(func() { write(conn, c.out) })
	for in.Scan() {
		b.obey(c, in.Text())
	}
	b.disown(c)
	close(c.out) // no edge comes any more: disown took the lock
	writer.Wait()
	return ended(in.Err())
}

func ended(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

func refuse(conn net.Conn, code, text string) error {
	_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := fmt.Fprintf(conn, "ERR %s %s\n", code, text)
	return errors.Join(errors.New("refused: "+code), err)
}

func hello(line string) (name string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 2 || f[0] != "HELLO" || f[1] != Version {
		return "", false
	}
	if len(f) == 2 {
		return "unnamed", true
	}
	return strings.Join(f[2:], " "), true
}

// own makes c the owner and tells it the lines. The one before may have just
// been killed, its socket not yet seen to close: wait a little.
func (b *Bank) own(ctx context.Context, c *client) bool {
	for start := time.Now(); ; {
		if b.tryOwn(c) {
			return true
		}
		if time.Since(start) > handover || ctx.Err() != nil {
			return false
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *Bank) tryOwn(c *client) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owner != nil {
		return false
	}
	b.owner = c
	var s strings.Builder
	s.WriteString("LINES")
	for _, name := range b.order {
		dir := "in"
		if b.pins[name].Out {
			dir = "out"
		}
		fmt.Fprintf(&s, " %s:%s:%s", name, dir, bit(b.pins[name].level))
	}
	c.say("%s", s.String())
	return true
}

// disown lets the outputs fall before the next client may come.
func (b *Bank) disown(c *client) {
	b.mu.Lock()
	c.watched = map[string]bool{}
	var fell []string
	for _, name := range b.order {
		if p := b.pins[name]; p.Out && p.level != p.Idle {
			p.level = p.Idle
			fell = append(fell, name)
		}
	}
	b.mu.Unlock()
	for _, name := range fell {
		b.output(name, b.pins[name].Idle)
	}
	b.mu.Lock()
	b.owner = nil
	b.mu.Unlock()
}

func (b *Bank) obey(c *client, line string) {
	f := strings.Fields(line)
	switch {
	case len(f) >= 2 && f[0] == "WATCH":
		b.watch(c, f[1:])
	case len(f) == 3 && f[0] == "OUT" && (f[2] == "0" || f[2] == "1"):
		b.drive(c, f[1], f[2] == "1")
	case len(f) == 2 && f[0] == "GET":
		b.get(c, f[1])
	default:
		c.say("ERR %s want: WATCH <line>..., OUT <line> <0|1>, or GET <line>", errMessage)
	}
}

// watch starts the stream for all of the lines or for none.
func (b *Bank) watch(c *client, names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		switch p := b.pins[name]; {
		case p == nil:
			c.say("ERR %s %.64q", errLine, name)
			return
		case p.Out:
			c.say("ERR %s %s", errInput, name)
			return
		}
	}
	now := mono.Now()
	b.flushLocked(now)
	for _, name := range names {
		c.watched[name] = true
		c.edge(edge{name, b.pins[name].level, now})
	}
}

func (b *Bank) drive(c *client, name string, level bool) {
	b.mu.Lock()
	p := b.pins[name]
	changed := p != nil && p.Out && p.level != level
	if changed {
		p.level = level
	}
	b.mu.Unlock()
	switch {
	case p == nil:
		c.say("ERR %s %.64q", errLine, name)
	case !p.Out:
		c.say("ERR %s %s", errOutput, name)
	default:
		if changed {
			b.output(name, level)
		}
		c.say("OK OUT %s %s", name, bit(level))
	}
}

func (b *Bank) get(c *client, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pins[name]
	if p == nil {
		c.say("ERR %s %.64q", errLine, name)
		return
	}
	c.say("LEVEL %s %s", name, bit(p.level))
}

// write sends what is queued, many messages at a time, until the queue closes
// or the client stops reading.
func write(conn net.Conn, out <-chan string) {
	w := bufio.NewWriter(conn)
	for m := range out {
		_ = conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.WriteString(m)
		if err == nil && len(out) == 0 {
			err = w.Flush()
		}
		if err != nil {
			conn.Close() // ends the reading side, which closes the queue
			for range out {
			}
			return
		}
	}
	_ = w.Flush()
}
