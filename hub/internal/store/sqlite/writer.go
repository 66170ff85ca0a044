package sqlite

import (
	"context"
	"errors"
	"fmt"

	"sekimori/hub/internal/store"
)

// maxGroup bounds how many Updates one commit carries, so that the first of
// them does not wait for an endless queue.
const maxGroup = 64

var errAborted = errors.New("the update was abandoned by a panic or Goexit")

// request is one Update on its way. f runs on the caller's goroutine, in turns
// the writer gives: so a panic or a test's FailNow in f ends the caller and not
// the writer.
//
//	caller                     writer
//	  queue ──────────────────▶  (waits its turn)
//	  f(tx) ◀──── turn ───────   SAVEPOINT
//	        ────── ran ──────▶   RELEASE or ROLLBACK TO
//	        ◀──── done ───────   after COMMIT
type request struct {
	ctx  context.Context
	turn chan *tx
	ran  chan error
	done chan error // buffered: the writer never waits for a caller that is gone
}

// Update runs f in the group's transaction and returns when it is durable. If
// ctx ends before f's turn, f does not run; afterwards ctx no longer matters.
func (s *Store) Update(ctx context.Context, f func(store.Tx) error) error {
	r := &request{ctx: ctx, turn: make(chan *tx), ran: make(chan error), done: make(chan error, 1)}
	select {
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case s.queue <- r:
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-cancelled:
			return ctx.Err()
		case err := <-r.done:
			return err
		case t := <-r.turn:
			cancelled = nil // from the first turn on the outcome must be waited for
			r.take(t, f)
		}
	}
}

func (r *request) take(t *tx, f func(store.Tx) error) {
	err := errAborted
	defer func() { r.ran <- err }()
	err = f(t)
}

// write is the writer goroutine: it owns the connection until Close.
func (s *Store) write(c *conn, readOnly bool) {
	defer close(s.stopped)
	w := &writer{c: c}
	for {
		select {
		case <-s.closing:
			s.closeErr = c.close()
			return
		case r := <-s.queue:
			if readOnly {
				r.done <- errors.New("the database is open for reading only")
				continue
			}
			if w.group(r, s.queue) {
				s.tellChanged()
			}
		}
	}
}

type writer struct{ c *conn }

// group runs first and whatever is queued behind it in one transaction, tells
// all of them, and reports whether something was committed.
func (w *writer) group(first *request, queue <-chan *request) bool {
	if err := w.c.begin("BEGIN IMMEDIATE"); err != nil {
		first.done <- fmt.Errorf("begin: %w", err)
		return false
	}
	var kept []*request
	next := first
	for next != nil {
		err, lost := w.one(next)
		if lost {
			// SQLite gave up the whole transaction (a full disk does that):
			// who had succeeded runs again, alone.
			next.done <- err
			return w.alone(kept)
		}
		if err != nil {
			next.done <- err
		} else {
			kept = append(kept, next)
		}
		if next = nil; len(kept) < maxGroup {
			select {
			case next = <-queue:
			default:
			}
		}
	}
	return w.commit(kept)
}

// one gives a request its turn inside a savepoint. lost tells that the
// transaction is no more.
func (w *writer) one(r *request) (err error, lost bool) {
	if err := w.c.begin("SAVEPOINT update_"); err != nil {
		w.c.rollback()
		return fmt.Errorf("savepoint: %w", err), true
	}
	select {
	case r.turn <- &tx{c: w.c, ctx: context.WithoutCancel(r.ctx)}:
		err = <-r.ran
	case <-r.ctx.Done():
		err = r.ctx.Err()
	}
	if w.c.broken != nil { // whatever f made of it
		err := errors.Join(err, w.c.broken)
		w.c.rollback()
		return err, true
	}
	if err != nil {
		if _, e := w.c.run("ROLLBACK TO update_"); e != nil {
			w.c.rollback()
			return err, true
		}
	}
	if _, e := w.c.run("RELEASE update_"); e != nil {
		w.c.rollback()
		return errors.Join(err, fmt.Errorf("release: %w", e)), true
	}
	return err, false
}

func (w *writer) commit(kept []*request) bool {
	_, err := w.c.run("COMMIT")
	if err != nil {
		w.c.rollback()
		err = fmt.Errorf("commit: %w", err)
	}
	for _, r := range kept {
		r.done <- err
	}
	return err == nil && len(kept) > 0
}

// alone runs each request again in a transaction of its own.
func (w *writer) alone(again []*request) bool {
	committed := false
	for _, r := range again {
		if err := w.c.begin("BEGIN IMMEDIATE"); err != nil {
			r.done <- fmt.Errorf("begin: %w", err)
			continue
		}
		err, lost := w.one(r)
		if err != nil {
			if !lost {
				w.c.rollback()
			}
			r.done <- err
			continue
		}
		committed = w.commit([]*request{r}) || committed
	}
	return committed
}
