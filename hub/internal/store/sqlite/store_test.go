package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/hub/internal/store/sqlite/sqlitetest"
	"sekimori/hub/internal/store/storetest"
	"sekimori/internal/record"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(t.TempDir(), "台帳 #1?.db") // a name that a URI must escape
		return func() store.Store {
			st, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("the database is not where it was asked for: %v", err)
			}
			return st
		}
	})
}

func TestEveryConnectionHasItsPragmas(t *testing.T) {
	st := open(t, filepath.Join(t.TempDir(), "hub.db"))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "busy_timeout": "10000"} {
		got, err := st.Pragma(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 5 {
			t.Errorf("%s was read on %d connections, want 5", name, len(got))
		}
		for _, v := range got {
			if v != want {
				t.Errorf("%s is %v, want %s everywhere", name, got, want)
				break
			}
		}
	}
}

func TestLedgerTablesRefuseChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	fill(t, path, 3)
	db := sqlitetest.Raw(t, path)
	for _, s := range []string{
		"UPDATE ledger SET row = x'00'", "DELETE FROM ledger WHERE idx = 2",
		"UPDATE tree SET hashes = zeroblob(32)", "DELETE FROM tree",
		"UPDATE envelopes SET envelope = x'00'", "DELETE FROM envelopes",
		"UPDATE checkpoint SET size = 1", "DELETE FROM checkpoint",
	} {
		if _, err := db.Exec(s); err == nil {
			t.Errorf("%s succeeded", s)
		}
	}
}

// fill makes a database with n rows in every ledger table and closes it.
func fill(t *testing.T, path string, n int) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(tx store.Tx) error {
		rows, hashes := someRows(0, n)
		_, err := tx.AppendEnvelope("DC-31", record.Epoch{1}, 1, n, []byte("e"))
		return errors.Join(err, tx.AppendRows(rows), tx.AppendHashes(0, hashes), tx.PutCheckpoint(int64(n), []byte("c")))
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusals(t *testing.T) {
	dir := t.TempDir()
	busy, newer, alien, text := filepath.Join(dir, "busy.db"), filepath.Join(dir, "newer.db"), filepath.Join(dir, "alien.db"), filepath.Join(dir, "text.db")
	open(t, busy)
	fill(t, newer, 1)
	exec(t, newer, "PRAGMA user_version = 999")
	exec(t, alien, "CREATE TABLE theirs (x)")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{busy: sqlite.ErrInUse, newer: sqlite.ErrNewer, alien: sqlite.ErrAlien, text: sqlite.ErrAlien,
		filepath.Join(dir, "no", "folder.db"): os.ErrNotExist} {
		for range 2 { // a refusal must not keep the lock
			st, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", filepath.Base(path), err, want)
			}
			if st != nil {
				t.Errorf("%s: a store came with the error", filepath.Base(path))
			}
		}
	}
	_, err := sqlite.Open(t.Context(), filepath.Join(dir, "none.db"), sqlite.Options{ReadOnly: true})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("read-only without a file: %v", err)
	}
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), empty, sqlite.Options{ReadOnly: true}); !errors.Is(err, sqlite.ErrOlder) {
		t.Errorf("read-only without schema: %v, want ErrOlder", err)
	}
}

func exec(t *testing.T, path, statement string) {
	t.Helper()
	db := sqlitetest.Raw(t, path)
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyBesideARunningHub(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	hub := open(t, path)
	grow(t, hub, 5)
	st, err := sqlite.Open(t.Context(), path, sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	grow(t, hub, 2)
	if n := size(t, st); n != 7 {
		t.Errorf("size %d, want 7", n)
	}
	if err := st.Update(t.Context(), func(store.Tx) error { return nil }); err == nil {
		t.Error("a read-only store took an update")
	}
	err = st.View(t.Context(), func(tx store.ReadTx) error { return tx.(store.Tx).PutState("x", nil) })
	if err == nil {
		t.Error("a view wrote")
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

func TestBackupIsADatabase(t *testing.T) {
	dir := t.TempDir()
	hub := open(t, filepath.Join(dir, "hub.db"))
	grow(t, hub, 300)
	if err := hub.Backup(t.Context(), filepath.Join(dir, "backup.db")); err != nil {
		t.Fatal(err)
	}
	grow(t, hub, 1)
	if n := size(t, open(t, filepath.Join(dir, "backup.db"))); n != 300 {
		t.Errorf("the backup has %d rows, want 300", n)
	}
	if err := hub.Backup(t.Context(), filepath.Join(dir, "backup.db")); err == nil {
		t.Error("a backup overwrote a file")
	}
}

// TestFullDisk: whoever is told "full" has written nothing, whoever is told
// "done" has, and after space was made everything works again.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	st := open(t, path)
	grow(t, st, 10)
	if err := st.SetMaxPages(60); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	done, full := 0, 0
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			err := st.Update(t.Context(), func(tx store.Tx) error { return add(tx, 3) })
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
			case errors.Is(err, store.ErrFull):
				full++
			default:
				t.Errorf("a full disk gives %v", err)
			}
		})
	}
	wg.Wait()
	if done == 0 || full == 0 {
		t.Errorf("%d updates done and %d refused: the test wants both", done, full)
	}
	if n := size(t, st); n != int64(10+3*done) {
		t.Errorf("size %d after %d updates of 3 rows on top of 10", n, done)
	}
	err := st.Update(t.Context(), func(tx store.Tx) error {
		for add(tx, 10) == nil {
		}
		_ = tx.PutState("after", []byte("the transaction is gone"))
		return nil // as if nothing had happened
	})
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("an update that hid the full disk: %v, want ErrFull", err)
	}
	if err := st.SetMaxPages(1 << 20); err != nil {
		t.Fatal(err)
	}
	err = st.View(t.Context(), func(tx store.ReadTx) error { _, err := tx.State("after"); return err })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something was written after the transaction had ended (%v)", err)
	}
	grow(t, st, 100)
	if n := size(t, st); n != int64(110+3*done) {
		t.Errorf("size %d after space was made, want %d", n, 110+3*done)
	}
	wantIntegrity(t, path)
}

func wantIntegrity(t *testing.T, path string) {
	t.Helper()
	var verdict string
	if err := sqlitetest.Raw(t, path).QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity check: %s (%v)", verdict, err)
	}
}

// TestGroupCommit: updates that wait for the writer share its next commit.
func TestGroupCommit(t *testing.T) {
	st := open(t, filepath.Join(t.TempDir(), "hub.db"))
	commits := 0
	counted := make(chan struct{})
	stop := make(chan struct{})
	next := st.Changed()
	go func() {
		defer close(counted)
		for {
			select {
			case <-stop:
				return
			case <-next:
				commits, next = commits+1, st.Changed()
			}
		}
	}()
	const updates = 50
	var wg sync.WaitGroup
	grown := st.Update(t.Context(), func(tx store.Tx) error {
		for range updates {
			wg.Go(func() { grow(t, st, 1) })
		}
		return add(tx, 1)
	})
	wg.Wait()
	close(stop)
	<-counted
	if grown != nil || size(t, st) != updates+1 {
		t.Errorf("size %d (%v), want %d", size(t, st), grown, updates+1)
	}
	if commits > updates/2 {
		t.Errorf("%d commits for %d updates that waited together", commits, updates)
	}
}

func add(tx store.Tx, n int) error {
	from, err := tx.Size()
	if err != nil {
		return err
	}
	rows, hashes := someRows(from, n)
	return errors.Join(tx.AppendRows(rows), tx.AppendHashes(2*from, hashes))
}

func grow(t *testing.T, st store.Store, n int) {
	t.Helper()
	if err := st.Update(t.Context(), func(tx store.Tx) error { return add(tx, n) }); err != nil {
		t.Error(err)
	}
}

func size(t *testing.T, st store.Store) (n int64) {
	t.Helper()
	if err := st.View(t.Context(), func(tx store.ReadTx) (err error) { n, err = tx.Size(); return err }); err != nil {
		t.Error(err)
	}
	return n
}

// TestQueriesUseIndexes: at ten million rows a scan is an outage.
func TestQueriesUseIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	fill(t, path, 1)
	db := sqlitetest.Raw(t, path)
	for query, index := range map[string]string{
		"SELECT * FROM register WHERE register = 'x' AND room = 'r' AND at >= 1 AND at < 2 ORDER BY at, id":       "register_room",
		"SELECT * FROM register WHERE register = 'x' AND person = 'p' AND person <> '' ORDER BY at DESC, id DESC": "register_person",
		"SELECT * FROM register WHERE register = 'x' ORDER BY at DESC, id DESC LIMIT 100":                         "register_at",
		"SELECT * FROM register WHERE register = 'x' AND open = 1 ORDER BY at, id":                                "register_open",
		"SELECT * FROM register WHERE register = 'x' AND changed > 9 ORDER BY changed, id":                        "register_changed",
		"SELECT * FROM register WHERE register = 'x' AND key = 'k' AND key <> ''":                                 "register_key",
		"SELECT * FROM ledger WHERE device = 'd' AND epoch = x'00' AND seq = 1 AND seq > 0":                       "ledger_event",
		"SELECT start, hashes FROM tree WHERE start <= 9 ORDER BY start DESC LIMIT 1":                             "PRIMARY KEY",
		"SELECT coalesce(max(idx) + 1, 0) FROM ledger":                                                            "SEARCH",
		"SELECT * FROM register ORDER BY register, series, year, number":                                          "sqlite_autoindex_register_1",
		"SELECT name, value FROM state WHERE name >= 'a' AND name < 'b'":                                          "PRIMARY KEY",
		"UPDATE register SET at = 1 WHERE register = 'x' AND series = '' AND year = 1 AND number = 1":             "sqlite_autoindex_register_1",
		"SELECT id, since, deleted, idx, data FROM master WHERE kind = 'k' ORDER BY id, since":                    "PRIMARY KEY",
	} {
		plan := explain(t, db, query)
		if !strings.Contains(plan, index) || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s\nis planned as %s, want %s and no sorting", query, plan, index)
		}
	}
}

func explain(t *testing.T, db *sql.DB, query string) (plan string) {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN " + query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += fmt.Sprintln(detail)
	}
	return plan
}
