package ledger_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// BenchmarkAppend measures durable ledger rows: JSON, salts, commitments, tree,
// signed checkpoint and one fsync per group.
func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			st, l, d := mustOpen(b, filepath.Join(b.TempDir(), "hub.db")), mustLedger(b), mustDevice(b, "DC-31")
			n := 0
			for b.Loop() {
				mustUpdate(b, st, func(tx store.Tx) error {
					b.StopTimer() // the device's work, not the hub's
					var facts []ledger.Fact
					for left := group; left > 0; left -= record.MaxBatchEvents {
						facts = append(facts, d.batch(b, tx, min(left, record.MaxBatchEvents), nil)...)
					}
					b.StartTimer()
					if _, err := l.Append(tx, facts); err != nil {
						return err
					}
					_, _, err := l.Seal(tx)
					return err
				})
				n += group
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkVerify measures the examination of a copy.
func BenchmarkVerify(b *testing.B) {
	const rows = 40 * record.MaxBatchEvents
	st, l, d := mustOpen(b, filepath.Join(b.TempDir(), "hub.db")), mustLedger(b), mustDevice(b, "DC-31")
	appendSealed(b, st, l, []ledger.Fact{d.enrolled()})
	for range rows / record.MaxBatchEvents {
		mustUpdate(b, st, func(tx store.Tx) error {
			if _, err := l.Append(tx, d.batch(b, tx, record.MaxBatchEvents, nil)); err != nil {
				return err
			}
			_, _, err := l.Seal(tx)
			return err
		})
	}
	for name, skip := range map[string]bool{"signatures": false, "hashes": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := ledger.Verify(b.Context(), st, ledger.VerifyOptions{LogKey: l.VerifierKey(), SkipSignatures: skip})
				if err != nil || !r.OK() {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(rows+1)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
