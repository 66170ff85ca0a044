package sqlite_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

// BenchmarkAppend measures durable rows with two tree hashes each, beside what
// the disk gives for the same number of bare fsyncs of as many bytes.
func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			st := open(b, filepath.Join(b.TempDir(), "hub.db"))
			var n int64
			for b.Loop() {
				err := st.Update(b.Context(), func(tx store.Tx) error {
					rows, hashes := someRows(n, group)
					if err := tx.AppendRows(rows); err != nil {
						return err
					}
					return tx.AppendHashes(2*n, hashes)
				})
				if err != nil {
					b.Fatal(err)
				}
				n += int64(group)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds()/(float64(group)*syncsPerSecond(b, group*1200)), "of_raw_fsync")
		})
	}
}

func someRows(from int64, n int) ([]store.LedgerRow, []record.Hash) {
	rows := make([]store.LedgerRow, n)
	hashes := make([]record.Hash, 0, 2*n)
	epoch := record.Epoch{1}
	for i := range rows {
		index := from + int64(i)
		rows[i] = store.LedgerRow{Index: index, Row: make([]byte, 500), Salt: record.NewSalt(), Event: make([]byte, 450),
			EventSalt: record.NewSalt(), Device: "DC-31", Epoch: epoch, Seq: uint64(index + 1), At: time.Unix(index, 0)}
		leaf := sha256.Sum256(rows[i].Row)
		hashes = append(hashes, leaf, sha256.Sum256(leaf[:]))
	}
	return rows, hashes
}

func syncsPerSecond(b *testing.B, size int) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, size)
	start := time.Now()
	n := 0
	for ; time.Since(start) < 300*time.Millisecond; n++ {
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

func open(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	return st
}
