package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store/sqlite"
)

// VerifyOptions says what to verify and against what.
type VerifyOptions struct {
	Store   string // copy of hub.db; "": the settings' own
	Against string // file with a checkpoint exported from an agent; "": none
}

// Verify checks a ledger without network, writes the report to w and tells
// whether the ledger is sound. The log's key comes from the hub's keys, not
// from the copy under test.
func Verify(ctx context.Context, s Settings, o VerifyOptions, w io.Writer) (sound bool, err error) {
	if o.Store == "" {
		o.Store = s.store()
	}
	auth, err := openKeys(s)
	if err != nil {
		return false, err
	}
	opts := ledger.VerifyOptions{LogKey: auth.KeyList().LogKey, Rebuilder: register.Rebuilder{}}
	if o.Against != "" {
		note, err := os.ReadFile(o.Against)
		if err != nil {
			return false, fmt.Errorf("checkpoint of the witness: %w", err)
		}
		opts.Against = [][]byte{note}
	}
	return verifyCopy(ctx, o.Store, opts, w)
}

// verifyCopy works on a copy of its own: rebuilding the registers needs a store
// that can be written, and evidence is not to be touched.
func verifyCopy(ctx context.Context, path string, opts ledger.VerifyOptions, w io.Writer) (sound bool, err error) {
	dir, err := os.MkdirTemp("", "sekimori-verify")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	scratch := filepath.Join(dir, "hub.db")
	if err := backup(ctx, path, scratch); err != nil {
		return false, err
	}
	st, err := sqlite.Open(ctx, scratch, sqlite.Options{})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	report, err := ledger.Verify(ctx, st, opts)
	if err != nil {
		return false, err
	}
	return report.OK(), report.Print(w, ledger.Japanese)
}

func backup(ctx context.Context, from, to string) error {
	st, err := sqlite.Open(ctx, from, sqlite.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(st.Backup(ctx, to), st.Close())
}
