package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki"
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
	auth, err := pki.Open(s.keys())
	if err != nil {
		return false, err
	}
	opts := ledger.VerifyOptions{LogKey: auth.KeyList().LogKey}
	if o.Against != "" {
		note, err := os.ReadFile(o.Against)
		if err != nil {
			return false, fmt.Errorf("checkpoint of the witness: %w", err)
		}
		opts.Against = [][]byte{note}
	}
	st, err := sqlite.Open(ctx, o.Store, sqlite.Options{ReadOnly: true})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	report, err := ledger.Verify(ctx, st, opts)
	if err != nil {
		return false, err
	}
	differences, err := register.Compare(ctx, st)
	if err != nil {
		return false, err
	}
	for _, d := range differences {
		fmt.Fprintln(w, d)
	}
	return report.OK() && len(differences) == 0, report.Print(w, ledger.Japanese)
}
