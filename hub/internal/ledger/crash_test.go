package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
)

// crashDB names the database of the child process that TestKilledHub kills.
const crashDB = "SEKIMORI_TEST_CRASH_DB"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashDB); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled appends groups and says, after each commit, how many rows
// are durable.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	st, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	l, err := ledger.New(origin, seed)
	if err != nil {
		return err
	}
	for n := 1; ; n = n%37 + 1 {
		var size int64
		err := st.Update(ctx, func(tx store.Tx) error {
			first, err := l.Append(tx, starts(n))
			if err != nil {
				return err
			}
			for i := range n {
				if _, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", FiscalYear: 2026, At: day, Index: first + int64(i)}); err != nil {
					return err
				}
			}
			_, cp, err := l.Seal(tx)
			size = cp.Size
			return err
		})
		if err != nil {
			return err
		}
		fmt.Println(size)
	}
}

// TestKilledHub: whenever the hub dies, what it had said is there, the ledger is
// whole, and rows, checkpoint and 通番 belong together [T-52].
func TestKilledHub(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	for round := range 8 {
		said := killAfter(t, path, time.Duration(5+17*round)*time.Millisecond)
		st, err := sqlite.Open(t.Context(), path, sqlite.Options{}) // the dead process holds no lock
		if err != nil {
			t.Fatal(err)
		}
		r, err := ledger.Verify(t.Context(), st, ledger.VerifyOptions{LogKey: mustLedger(t).VerifierKey()})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() || r.Rows < said {
			t.Fatalf("round %d: %d rows were said to be durable, found %d, %+v", round, said, r.Rows, r.Findings)
		}
		mustView(t, st, func(tx store.ReadTx) error {
			next := int64(0)
			for row, err := range tx.AllRegisterRows() {
				if err != nil {
					return err
				}
				if row.Index != next || row.Number != next+1 {
					t.Fatalf("round %d: register row %d has number %d, want %d", round, row.Index, row.Number, next+1)
				}
				next++
			}
			if next != r.Rows {
				t.Errorf("round %d: %d register rows of %d ledger rows", round, next, r.Rows)
			}
			return nil
		})
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killAfter runs the writer, kills it some time after its first commit, and
// returns the last size it said.
func killAfter(t *testing.T, path string, after time.Duration) (said int64) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashDB+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if kill == nil {
			kill = time.AfterFunc(after, func() { _ = child.Process.Kill() })
			defer kill.Stop()
		}
		if said, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Fatalf("the writer said %q", lines.Text())
		}
	}
	_ = child.Wait() // killed
	if said == 0 {
		t.Fatal("the writer died before its first commit")
	}
	return said
}
