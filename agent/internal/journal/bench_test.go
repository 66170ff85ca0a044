package journal_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
)

const benchEvent = 320 // bytes, the size of a door event

func openReal(b *testing.B) *journal.Journal {
	b.Helper()
	j, err := journal.Open(context.Background(), disk.OS{}, filepath.Join(b.TempDir(), "journal"),
		journal.Options{Notice: notice, MaxBytes: 8 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { j.Close() })
	return j
}

// report adds the median and the 99th percentile to a benchmark's line.
func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkAppend(b *testing.B) {
	j := openReal(b)
	payload := make([]byte, benchEvent-eventHead)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		MustWrite(b, j, journal.Normal, payload)
		took = append(took, time.Since(start))
	}
	report(b, took)
}

func BenchmarkAppendParallel(b *testing.B) {
	j := openReal(b)
	payload := make([]byte, benchEvent-eventHead)
	b.SetParallelism(32) // 64 goroutines on two cores
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			MustWrite(b, j, journal.Normal, payload)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRawFsync is the floor: one write of the same size into a file whose
// blocks are allocated, and one sync.
func BenchmarkRawFsync(b *testing.B) {
	name := filepath.Join(b.TempDir(), "raw")
	if err := os.WriteFile(name, make([]byte, 64<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := disk.OS{}.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, benchEvent+72)
	var took []time.Duration
	var off int64
	for b.Loop() {
		start := time.Now()
		if _, err := f.WriteAt(buf, off); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		off = (off + int64(len(buf))) % (60 << 20)
	}
	report(b, took)
}
