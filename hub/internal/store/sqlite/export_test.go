package sqlite

import (
	"context"
	"errors"
	"fmt"

	"sekimori/hub/internal/store"
)

// SetMaxPages makes the disk as large as n pages, by the same error SQLite
// gives when the file system is full.
func (s *Store) SetMaxPages(n int) error {
	return s.Update(context.Background(), func(t store.Tx) error {
		_, err := t.(*tx).c.exec(fmt.Sprintf("PRAGMA max_page_count = %d", n))
		return err
	})
}

// Pragma reads a pragma on the writer and on every read connection.
func (s *Store) Pragma(name string) (values []string, err error) {
	read := func(c *conn) error {
		var v string
		err := c.c.QueryRowContext(context.Background(), "PRAGMA "+name).Scan(&v)
		values = append(values, v)
		return err
	}
	errs := []error{s.Update(context.Background(), func(t store.Tx) error { return read(t.(*tx).c) })}
	for range s.open {
		c := <-s.readers // the pool is a queue: each comes once
		errs = append(errs, read(c))
		s.readers <- c
	}
	return values, errors.Join(errs...)
}
