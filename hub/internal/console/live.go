package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sekimori/internal/clock"
)

// Bounds of event streams.
const (
	maxStreams  = 200
	pingEvery   = 15 * time.Second
	sendWithin  = 30 * time.Second       // a browser that takes longer is cut off and comes back
	settle      = 250 * time.Millisecond // at least between two looks at the store
	streamBatch = 200                    // rows per look
)

// event is one server-sent event. Its id says that everything up to that ledger
// index has been sent on this stream.
type event struct {
	name string
	id   int64
	data []byte
}

// step looks once: what changed after `after`, in order. more asks to be called
// again at once. idle is where the stream stands when there is nothing more.
type step func(ctx context.Context, after int64) (events []event, idle int64, more bool, err error)

// feed makes a stream's step from its request.
type feed func(r *http.Request) step

// stream serves events until the browser leaves, the session ends or the hub
// stops. Nothing is kept for a browser here: a broken, slow or sleeping one
// says where it was (Last-Event-ID, or ?after=) and goes on from the store.
func (c *console) stream(f feed) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := c.sessions.token(r)
		if !c.alive(r.Context(), token) {
			writeProblem(w, http.StatusUnauthorized, "サインインしてください。", "Sign in first.")
			return
		}
		select {
		case c.streams <- struct{}{}:
			defer func() { <-c.streams }()
		default:
			w.Header().Set("Retry-After", "10")
			writeProblem(w, http.StatusServiceUnavailable, "自動更新の接続が多すぎます。画面を再読み込みしてください。", "Too many streams.")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		s := sender{w: w, control: http.NewResponseController(w)}
		if err := c.serve(r, &s, f(r), token); err != nil && r.Context().Err() == nil {
			c.Log.Info("event stream ended", "path", r.URL.Path, "err", err)
		}
	})
}

// alive tells whether a token is of a session whose account still exists.
func (c *console) alive(ctx context.Context, token string) bool {
	login, err := c.sessions.peek(ctx, token)
	if err != nil {
		return false
	}
	_, ok := c.visitor(login, clock.Now())
	return ok
}

func (c *console) serve(r *http.Request, s *sender, next step, token string) error {
	ctx := r.Context()
	at, err := c.position(r)
	if err != nil {
		return err
	}
	if err := s.retry(); err != nil {
		return err
	}
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		changed := c.Memory.Changed() // before looking, so that nothing falls between
		events, idle, more, err := next(ctx, at)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := s.send(e); err != nil {
				return err
			}
		}
		at = idle
		if more {
			continue
		}
		select {
		case <-changed:
		case <-ping.C:
			if !c.alive(ctx, token) {
				return s.send(event{name: "signedout", id: at, data: []byte("-")})
			}
			if err := s.ping(at, clock.Now()); err != nil {
				return err
			}
		case <-c.Stopping:
			return nil
		case <-ctx.Done():
			return nil
		}
		if err := pause(ctx, settle); err != nil {
			return nil
		}
	}
}

// pause lets a burst of commits become one look.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// position is where a stream goes on: after the last event the browser got, or
// after what its page shows; with neither, now.
func (c *console) position(r *http.Request) (int64, error) {
	for _, text := range []string{r.Header.Get("Last-Event-ID"), r.URL.Query().Get("after")} {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= -1 {
			return n, nil
		}
	}
	return c.Registers.Cursor(r.Context())
}

// sender writes events.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// retry tells the browser how soon to come back.
func (s *sender) retry() error { return s.write([]byte("retry: 2000\n\n")) }

// ping shows both ends that the other is there: a comment for proxies, an event
// for the page, which cannot see comments.
func (s *sender) ping(at int64, now time.Time) error {
	return s.write(fmt.Appendf(nil, ": ping\nevent: ping\nid: %d\ndata: %s\n\n", at, now.In(clock.JST).Format("15:04:05")))
}

func (s *sender) send(e event) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\nid: %d\n", e.name, e.id)
	for line := range bytes.Lines(e.data) {
		fmt.Fprintf(&b, "data: %s\n", bytes.TrimRight(line, "\r\n"))
	}
	b.WriteByte('\n')
	return s.write(b.Bytes())
}

func (s *sender) write(b []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil { // socket time, not business time
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}

func (c *console) streamStays(r *http.Request) step {
	f := parseFilter(r.URL.Query())
	return func(ctx context.Context, after int64) ([]event, int64, bool, error) {
		return readChanges(ctx, c, c.staySource(f, clock.Now()), "entry", "stayrow", after)
	}
}

func (c *console) streamDenials(r *http.Request) step {
	f := parseFilter(r.URL.Query())
	return func(ctx context.Context, after int64) ([]event, int64, bool, error) {
		return readChanges(ctx, c, c.denialSource(f, clock.Now()), "denials", "denialrow", after)
	}
}

// gone tells a page to take a row out.
type gone struct{ Key string }

// readChanges reads what changed in a register after a ledger index. All rows
// of one index make one event: an id in the middle of them would lose the rest.
// Rows that no later fact can bring into the list are not selected; rows that
// have left it are sent as gone.
func readChanges[T row](ctx context.Context, c *console, src source[T], set, part string, after int64) ([]event, int64, bool, error) {
	cursor, err := c.Registers.Cursor(ctx)
	if err != nil {
		return nil, after, false, err
	}
	if cursor < after { // the registers were rebuilt, or an older state was restored
		return []event{{name: "reload", id: cursor, data: []byte("-")}}, cursor, false, nil
	}
	f := src.steady
	f.ChangedAfter, f.OrderByChanged = after, true
	var rows []T
	for f.Limit = streamBatch; ; f.Limit *= 2 {
		if rows, err = src.read(ctx, f); err != nil {
			return nil, after, false, err
		}
		if whole := wholeChanges(rows, f.Limit); len(rows) == 0 || len(whole) > 0 {
			full := len(rows) == f.Limit
			events, at, err := changeEvents(c, src, whole, set, part)
			if err != nil {
				return nil, after, false, err
			}
			if !full {
				at = max(cursor, at)
			}
			return events, max(after, at), full, nil
		}
	}
}

// wholeChanges drops the last ledger index of a list that was cut short: more
// rows of it may follow.
func wholeChanges[T row](rows []T, limit int) []T {
	if len(rows) < limit {
		return rows
	}
	n := len(rows)
	for n > 0 && rows[n-1].change() == rows[len(rows)-1].change() {
		n--
	}
	return rows[:n]
}

// changeEvents renders rows, one event per ledger index; at is the last index.
func changeEvents[T row](c *console, src source[T], rows []T, set, part string) (events []event, at int64, err error) {
	for _, r := range rows {
		name, v := part, any(r)
		if !src.shows(r) {
			name, v = "gonerow", gone{r.Key()}
		}
		b, err := c.pages.render(set, name, v)
		if err != nil {
			return nil, 0, err
		}
		if n := len(events); n > 0 && events[n-1].id == r.change() {
			events[n-1].data = append(append(events[n-1].data, '\n'), b...)
			continue
		}
		events = append(events, event{name: "rows", id: r.change(), data: b})
		at = r.change()
	}
	return events, at, nil
}

// fragment makes a step that sends a whole part of a page whenever it differs
// from what was sent. It is a state, not a list: only its newest form matters.
func (c *console) fragment(set string, read func(ctx context.Context) (body any, cursor int64, err error)) step {
	sent := ""
	return func(ctx context.Context, after int64) ([]event, int64, bool, error) {
		body, cursor, err := read(ctx)
		if err != nil {
			return nil, after, false, err
		}
		b, err := c.pages.render(set, "fragment", body)
		if err != nil {
			return nil, after, false, err
		}
		sum := sha256.Sum256(b)
		if now := hex.EncodeToString(sum[:]); now != sent {
			sent = now
			return []event{{name: "fragment", id: cursor, data: b}}, cursor, false, nil
		}
		return nil, cursor, false, nil
	}
}

func (c *console) streamToday(*http.Request) step {
	return c.fragment("today", func(ctx context.Context) (any, int64, error) {
		t, err := c.today(ctx, clock.Now())
		return t, t.Cursor, err
	})
}

func (c *console) streamOccupants(*http.Request) step {
	return c.fragment("occupants", func(ctx context.Context) (any, int64, error) {
		o, err := c.occupants(ctx, time.Time{}, clock.Now())
		return o, o.Cursor, err
	})
}
