package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"sekimori/hub/internal/store"
)

// basePragmas go through the DSN, so that no connection can exist without them.
// secure_delete overwrites what is deleted: an erased row must not be found in
// free pages [T-28].
var basePragmas = []string{
	"busy_timeout(10000)",
	"foreign_keys(ON)",
	"secure_delete(ON)",
	"synchronous(FULL)",
	"temp_store(MEMORY)",
	"trusted_schema(OFF)",
}

// Pragmas of each role. Cache sizes are in KiB when negative. The WAL is copied
// back every 16 MiB, because a smaller limit makes a busy writer wait for it
// several times a second.
var (
	writerPragmas = []string{"cache_size(-32768)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"}
	readerPragmas = []string{"cache_size(-8192)", "query_only(ON)"}
)

// dsn is the SQLite URI of a path. WAL is a property of the file and is set
// only by who may write.
func dsn(path string, readOnly bool) string {
	q := url.Values{"_pragma": basePragmas}
	if readOnly {
		q.Set("mode", "ro")
	} else {
		q.Add("_pragma", "journal_mode(WAL)")
	}
	p := filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		p = "/" + p // file:///C:/…
	}
	// Only these three have a meaning in a URI's path.
	p = strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(p)
	return "file:" + p + "?" + q.Encode()
}

// conn is one connection with its prepared statements. One goroutine uses it at
// a time.
//
// Some errors (a full disk, failed I/O) make SQLite give up the transaction by
// itself; what is run after one would be outside of any. So after such an error
// every statement is refused with it until the transaction is ended.
type conn struct {
	c      *sql.Conn
	stmts  map[string]*sql.Stmt
	broken error
}

func connect(ctx context.Context, db *sql.DB, pragmas []string) (*conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, explain(err)
	}
	out := &conn{c: c, stmts: map[string]*sql.Stmt{}}
	for _, p := range pragmas {
		if _, err := out.exec("PRAGMA " + p); err != nil {
			return nil, errors.Join(fmt.Errorf("pragma %s: %w", p, err), out.close())
		}
	}
	return out, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.c.Close())...)
}

// stmt prepares once per connection. Statements run without the caller's
// context: the driver starts a goroutine per call for one that can be
// cancelled, and every statement here is bounded.
func (c *conn) stmt(query string) (*sql.Stmt, error) {
	if c.broken != nil {
		return nil, c.broken
	}
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, c.note(err)
	}
	c.stmts[query] = s
	return s, nil
}

// note explains an error and remembers one that ended the transaction.
func (c *conn) note(err error) error {
	err = explain(err)
	var e *driver.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_NOMEM, lib.SQLITE_BUSY, lib.SQLITE_INTERRUPT, lib.SQLITE_CORRUPT:
			c.broken = err
		}
	}
	return err
}

// exec runs a statement that is not worth keeping.
func (c *conn) exec(query string, args ...any) (sql.Result, error) {
	r, err := c.c.ExecContext(context.Background(), query, args...)
	return r, explain(err)
}

// run executes a prepared statement.
func (c *conn) run(query string, args ...any) (sql.Result, error) {
	s, err := c.stmt(query)
	if err != nil {
		return nil, err
	}
	r, err := s.Exec(args...)
	return r, c.note(err)
}

// row reads one row; ErrNotFound where there is none.
func (c *conn) row(query string, args []any, into ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	return c.note(s.QueryRow(args...).Scan(into...))
}

func (c *conn) int64(query string, args ...any) (n int64, err error) {
	err = c.row(query, args, &n)
	return n, err
}

// each reads many rows with a kept statement.
func (c *conn) each(query string, args []any, scan func(*sql.Rows) error) (err error) {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return c.note(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return c.note(rows.Err())
}

// begin starts a transaction or a savepoint.
func (c *conn) begin(how string) error {
	c.broken = nil
	_, err := c.run(how)
	return err
}

// rollback ends a transaction whose outcome no longer matters. SQLite may have
// ended it already, so its error says nothing.
func (c *conn) rollback() {
	c.broken = nil
	_, _ = c.run("ROLLBACK")
	c.broken = nil
}

// explain maps the driver's errors to the contract's.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return err
	}
	switch code := e.Code(); {
	case code&0xff == lib.SQLITE_FULL, code == lib.SQLITE_IOERR_SHMSIZE:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case code == lib.SQLITE_CONSTRAINT_UNIQUE, code == lib.SQLITE_CONSTRAINT_PRIMARYKEY, code == lib.SQLITE_CONSTRAINT_ROWID:
		return fmt.Errorf("%w: %w", store.ErrExists, err)
	case code&0xff == lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrAlien, err)
	}
	return err
}
