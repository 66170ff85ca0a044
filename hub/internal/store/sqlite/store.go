package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"

	"sekimori/hub/internal/store"
)

// Errors of opening and of a store that was closed.
var (
	ErrInUse  = errors.New("the database is open in another hub")
	ErrNewer  = errors.New("the database was written by a newer version of the hub; install that version or later")
	ErrOlder  = errors.New("the database was written by an older version; start the hub once to bring it up to date")
	ErrAlien  = errors.New("the file is not a sekimori database")
	ErrClosed = errors.New("the store is closed")
)

var _ store.Store = (*Store)(nil)

// Options of Open. The zero value is right for a hub.
type Options struct {
	// ReadOnly opens without the lock and without bringing the schema up to
	// date, for looking at a copy or beside a running hub; Update fails.
	ReadOnly bool
	// Readers is the number of read connections; 0 means 4.
	Readers int
}

// Store is one open database.
type Store struct {
	db      *sql.DB
	lock    *fileLock // nil when read-only
	readers chan *conn
	open    int // how many readers there are
	queue   chan *request
	closing chan struct{} // closed by Close: no more requests
	stopped chan struct{} // closed by the writer when it has returned

	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex
	changed chan struct{} // guarded by mu
}

// Open opens or makes the database file at path. Its folder must exist. Beside
// it lie path-wal and path-shm (SQLite's) and path.lock (ours); a copy of the
// database must hold path-wal too, or be made by Backup.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	s := &Store{
		queue:   make(chan *request),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		changed: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open database %s: %w", path, errors.Join(err, s.release()))
		}
	}()
	if o.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	} else if s.lock, err = lockFile(path + ".lock"); err != nil {
		return nil, err
	}
	readers := o.Readers
	if readers <= 0 {
		readers = defaultReaders
	}
	s.db, err = sql.Open("sqlite", dsn(path, o.ReadOnly))
	if err != nil {
		return nil, err
	}
	s.db.SetMaxIdleConns(readers + 1)
	writer, err := s.openWriter(ctx, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	if err := s.openReaders(ctx, readers); err != nil {
		return nil, errors.Join(err, writer.close())
	}
	go s.write(writer, o.ReadOnly)
	return s, nil
}

const defaultReaders = 4

// openWriter makes the one connection that may write and, unless readOnly,
// brings the schema up to date with it.
func (s *Store) openWriter(ctx context.Context, readOnly bool) (*conn, error) {
	pragmas := writerPragmas
	if readOnly {
		pragmas = readerPragmas
	}
	c, err := connect(ctx, s.db, pragmas)
	if err != nil {
		return nil, err
	}
	check := migrate
	if readOnly {
		check = checkSchema
	}
	if err := check(c); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// Close refuses further Updates, waits for the running ones and for Views, and
// closes the file.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		<-s.stopped
		for range s.open {
			c := <-s.readers
			s.closeErr = errors.Join(s.closeErr, c.close())
		}
		s.closeErr = errors.Join(s.closeErr, s.release())
	})
	return s.closeErr
}

// openReaders fills the pool.
func (s *Store) openReaders(ctx context.Context, n int) error {
	s.readers = make(chan *conn, n)
	for range n {
		c, err := connect(ctx, s.db, readerPragmas)
		if err != nil {
			return err
		}
		s.readers <- c
		s.open++
	}
	return nil
}

// release gives back what Open took before it failed, or what Close left.
func (s *Store) release() error {
	var errs []error
	for len(s.readers) > 0 {
		errs = append(errs, (<-s.readers).close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}

// Changed is closed after the next commit.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Store) tellChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// View runs f on a snapshot taken when it starts.
func (s *Store) View(ctx context.Context, f func(store.ReadTx) error) error {
	var c *conn
	select {
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case c = <-s.readers:
	}
	defer func() { s.readers <- c }()
	if err := c.begin("BEGIN"); err != nil {
		return err
	}
	defer c.rollback() // nothing to undo; a panic or Goexit in f passes here too
	// The snapshot is taken by the first read, not by BEGIN.
	if _, err := c.int64("SELECT count(*) FROM (SELECT 1 FROM state LIMIT 1)"); err != nil {
		return err
	}
	return f(&tx{c: c, ctx: ctx})
}

// Backup writes a consistent, compact copy to a new file while the hub runs.
func (s *Store) Backup(ctx context.Context, to string) error {
	select {
	case <-s.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case slot := <-s.readers: // held so that Close waits
		defer func() { s.readers <- slot }()
	}
	c, err := connect(ctx, s.db, nil) // readers are query_only, which forbids VACUUM INTO too
	if err != nil {
		return err
	}
	_, err = c.exec("VACUUM INTO ?", to)
	if err := errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("back up to %s: %w", to, err)
	}
	return nil
}
