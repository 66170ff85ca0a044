package journal_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
)

// ledger wraps the real disk and keeps account of what was written and not synced.
type ledger struct {
	disk.FS
	mu    sync.Mutex
	dirty map[string]bool // files with unsynced writes
	names bool            // a name was changed and its directory not synced
}

func (l *ledger) note(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// open tells what would be lost if power were cut now, apart from files that are
// not part of the journal yet.
func (l *ledger) open() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var files []string
	for name := range l.dirty {
		if filepath.Ext(name) == ".seg" {
			files = append(files, name)
		}
	}
	if l.names {
		files = append(files, "directory")
	}
	return files
}

func (l *ledger) Create(name string) (disk.File, error) {
	f, err := l.FS.Create(name)
	return &tracked{f, l, name}, err
}

func (l *ledger) Open(name string) (disk.File, error) {
	f, err := l.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return &tracked{f, l, name}, nil
}

func (l *ledger) Rename(from, to string) error {
	l.note(func() {
		l.names = true
		l.dirty[to] = l.dirty[from]
		delete(l.dirty, from)
		if !l.dirty[to] {
			delete(l.dirty, to)
		}
	})
	return l.FS.Rename(from, to)
}

func (l *ledger) SyncDir(dir string) error {
	err := l.FS.SyncDir(dir)
	l.note(func() { l.names = false })
	return err
}

type tracked struct {
	disk.File
	l    *ledger
	name string
}

func (f *tracked) WriteAt(b []byte, off int64) (int, error) {
	f.l.note(func() { f.l.dirty[f.name] = true })
	return f.File.WriteAt(b, off)
}

func (f *tracked) Sync() error {
	err := f.File.Sync()
	f.l.note(func() { delete(f.l.dirty, f.name) })
	return err
}

// On the real disk: when Append returns, nothing of the journal is unsynced
// [T-40]; and what was written is there after reopening.
func TestRealDisk(t *testing.T) {
	l := &ledger{FS: disk.OS{}, dirty: map[string]bool{}}
	path := filepath.Join(t.TempDir(), "a", "journal")
	opt := small()
	opt.MaxBytes = 1 << 20
	j, err := journal.Open(context.Background(), l, path, opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(context.Background(), disk.OS{}, path, opt); !errors.Is(err, disk.ErrLocked) {
		t.Fatalf("%v, want ErrLocked", err)
	}
	for range 200 {
		MustWrite(t, j, journal.Normal, make([]byte, 300))
		if open := l.open(); len(open) > 0 {
			t.Fatalf("confirmed, with %v unsynced", open)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = journal.Open(context.Background(), disk.OS{}, path, opt); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if recs := MustHistory(t, j); len(recs) != 201 || recs[200].Seq != 201 {
		t.Fatalf("%d records", len(recs))
	}
}

// 64 MiB of journal must not cost memory in proportion: a board has 20 MiB for
// the whole agent.
func TestMemoryStaysSmall(t *testing.T) {
	opt := journal.Options{Notice: notice, MaxBytes: 96 << 20}
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Open(context.Background(), disk.OS{}, path, opt)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 32 {
				if _, err := write(j, journal.Normal, make([]byte, 60<<10)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	j.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if j, err = journal.Open(context.Background(), disk.OS{}, path, opt); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	n := 0
	for _, err := range j.Pending() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n != 32*32+1 {
		t.Fatalf("%d records", n)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 4<<20 {
		t.Fatalf("64 MiB of journal keep %d KiB of memory", grown>>10)
	}
}

// Many goroutines at once: order, links and numbers hold, and each event is
// there once.
func TestParallelAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	opt := small()
	opt.MaxBytes = 16 << 20
	j, err := journal.Open(context.Background(), disk.OS{}, path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 20 {
				if _, err := write(j, journal.Normal, []byte{byte(g), byte(i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := payloads(MustHistory(t, j))
	slices.Sort(got)
	if len(got) != 640 || len(slices.Compact(got)) != 640 {
		t.Fatalf("%d events, want 640 different ones", len(got))
	}
}
