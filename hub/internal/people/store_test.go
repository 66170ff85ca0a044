package people_test

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strconv"
	"testing"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/clock"
)

// TestImportOnTheRealStore: a hub's first hour with the database and
// the ledger it runs with, and what a restart finds.
func TestImportOnTheRealStore(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if err := pki.Init(filepath.Join(dir, "keys"), pki.Options{Municipality: "関森市", HubName: "localhost", MQTTAddr: "localhost:8883"}); err != nil {
		t.Fatal(err)
	}
	auth, err := pki.Open(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "hub.db")
	db := mustDB(t, path)
	book, err := ledger.New(auth.LogKey())
	if err != nil {
		t.Fatal(err)
	}
	d, err := people.NewDirectory(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	registry := people.NewRegistry(db, book, auth.Sealer(), d, func() {})
	report, err := registry.Import(ctx, mustCity(t), people.Options{By: "P01", Via: "import"})
	if err != nil || report.Added == 0 {
		t.Fatalf("%+v %v", report, err)
	}
	checkRows(t, db, report.Added)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = mustDB(t, path)
	defer db.Close()
	if d, err = people.NewDirectory(ctx, db); err != nil {
		t.Fatal(err)
	}
	again, err := people.NewRegistry(db, book, auth.Sealer(), d, func() {}).Import(ctx, mustCity(t), people.Options{By: "P01", Via: "import"})
	if err != nil || again.Unchanged != report.Added || again.Added+again.Changed != 0 {
		t.Errorf("after a restart: %+v %v", again, err)
	}
	if who, ok := d.Resolve("P06", clock.Now()); !ok || who.Name != "\u8fbb\U000e0100 健" {
		t.Errorf("P06 is %+q", who.Name)
	}
}

func mustDB(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// checkRows reads the ledger back: every declaration is a row at the index its
// item names, under the checkpoint, and none holds a secret.
func checkRows(tb testing.TB, db *sqlite.Store, want int) {
	tb.Helper()
	err := db.View(context.Background(), func(tx store.ReadTx) error {
		rows, err := tx.Rows(0, want+1)
		if err != nil {
			return err
		}
		if len(rows) != want {
			tb.Errorf("%d rows, want %d", len(rows), want)
		}
		for _, r := range rows {
			row, err := ledger.DecodeRow(r.Row)
			if err != nil {
				return err
			}
			var item store.MasterItem
			if err := json.Unmarshal(row.Body, &item); err != nil || item.Index != r.Index || row.Kind != ledger.KindMasterDeclared || len(row.Basis) == 0 {
				tb.Errorf("row %d is %s of item %+v (%v)", r.Index, row.Kind, item, err)
			}
			if bytes.Contains(r.Row, []byte("06181cc0")) || bytes.Contains(r.Row, []byte(`"pin"`)) {
				tb.Errorf("row %d holds a secret", r.Index)
			}
		}
		note, err := tx.Checkpoint()
		if err != nil {
			return err
		}
		if !bytes.Contains(note, []byte("localhost/ledger\n"+strconv.Itoa(len(rows))+"\n")) {
			tb.Errorf("checkpoint %s does not cover %d rows", note, len(rows))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}
