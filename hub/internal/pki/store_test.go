package pki_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// TestEnrolmentOnTheRealStore: what the database gives back after a restart is
// enough to know the device, its key and its credential key.
func TestEnrolmentOnTheRealStore(t *testing.T) {
	ctx := context.Background()
	auth := mustOpen(t, mustInit(t, kanmori))
	path := filepath.Join(t.TempDir(), "hub.db")
	open := func() (*sqlite.Store, *pki.Members) {
		db, err := sqlite.Open(ctx, path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		book, err := ledger.New(auth.LogKey())
		if err != nil {
			t.Fatal(err)
		}
		return db, pki.NewMembers(auth, db, book, func() {})
	}
	db, members := open()
	text, err := members.NewCode(ctx, "DC-31", time.Hour, "P01")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db, members = open() // a code outlives a restart
	code, err := record.ParseEnrolCode(text)
	if err != nil {
		t.Fatal(err)
	}
	key := newDeviceKey(t)
	reply, err := members.Enrol(ctx, record.EnrolRequest{Device: "DC-31", Secret: code.Secret[:], CSR: csrOf(t, key)}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db, members = open()
	defer db.Close()
	town := &town{Members: members, auth: auth}
	if _, err := members.Renew(ctx, town.renewal(t, "DC-31", key, key, clock.Now())); err != nil {
		t.Errorf("renewal after a restart: %v", err)
	}
	if allow, revoked, err := members.Access(ctx); err != nil || len(allow) != 1 || len(revoked) != 0 {
		t.Errorf("allow %v, revoked %v, %v", allow, revoked, err)
	}
	err = db.View(ctx, func(tx store.ReadTx) error {
		state, err := tx.Device("DC-31")
		if err != nil {
			return err
		}
		got, err := auth.CredentialKey("DC-31", state.Credential)
		if err != nil || !bytes.Equal(got[:], reply.CredentialKey) {
			t.Errorf("credential key: %v", err)
		}
		rows, err := tx.Rows(0, 10)
		if err != nil || len(rows) != 2 || rows[0].Device != "DC-31" {
			t.Errorf("%d rows: %v", len(rows), err)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
