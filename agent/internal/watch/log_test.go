package watch_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekimori/agent/internal/watch"
	"sekimori/internal/record"
)

// log is a true append-only log with its proofs.
type log struct {
	liar
	hashes []tlog.Hash
	size   int64
}

func newLog(t *testing.T) *log { return &log{liar: newLiar(t)} }

func (l *log) grow(t *testing.T, n int, what string) *log {
	t.Helper()
	for range n {
		more, err := tlog.StoredHashes(l.size, fmt.Appendf(nil, "%s %d", what, l.size), l)
		if err != nil {
			t.Fatal(err)
		}
		l.hashes = append(l.hashes, more...)
		l.size++
	}
	return l
}

func (l *log) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, n := range at {
		out[i] = l.hashes[n]
	}
	return out, nil
}

// fork is another log by the same hand that shares the first n rows.
func (l *log) fork(n int64) *log {
	return &log{liar: l.liar, size: n, hashes: append([]tlog.Hash(nil), l.hashes[:tlog.StoredHashCount(n)]...)}
}

// show is the log's honest view for a witness of size from.
func (l *log) show(t *testing.T, from int64) *record.LogView {
	t.Helper()
	root, err := tlog.TreeHash(l.size, l)
	if err != nil {
		t.Fatal(err)
	}
	text := record.Checkpoint{Origin: "hub/ledger", Size: l.size, Root: record.Hash(root)}.Text()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	view := &record.LogView{Checkpoint: signed, From: from}
	if from > 0 && from < l.size {
		proof, err := tlog.ProveTree(l.size, from, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range proof {
			view.Proof = append(view.Proof, record.Hash(h))
		}
	}
	return view
}

func open(t *testing.T, dir string, l *log) *watch.Witness {
	t.Helper()
	w, err := watch.Open(dir, func() string { return l.key })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func look(t *testing.T, w *watch.Witness, v *record.LogView) record.Code {
	t.Helper()
	doubt, err := w.Look(v, false)
	if err != nil {
		t.Fatal(err)
	}
	if doubt == nil {
		return ""
	}
	return doubt.Code
}

// A witness follows a log that grows, over restarts, and exports what it holds.
func TestWitnessFollowsAnHonestLog(t *testing.T) {
	dir, l := t.TempDir(), newLog(t)
	if _, err := watch.Export(dir); !errors.Is(err, watch.ErrNone) {
		t.Fatalf("exported before anything was shown: %v", err)
	}
	for n := 1; n <= 60; n++ {
		w := open(t, dir, l)
		from, _ := w.Held()
		v := l.grow(t, n, "row").show(t, from)
		if code := look(t, w, v); code != "" {
			t.Fatalf("size %d extending %d: %s", l.size, from, code)
		}
		if size, _ := w.Held(); size != l.size {
			t.Fatalf("holds %d of %d", size, l.size)
		}
		if exported, err := watch.Export(dir); err != nil || string(exported) != string(v.Checkpoint) {
			t.Fatalf("export: %v", err)
		}
	}
}

// Each way of lying is a doubt, names what is held, and leaves that as it was.
func TestWitnessDoubts(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(t *testing.T, l *log) *record.LogView // the witness holds 20 rows
		want record.Code
	}{
		"rolled back": {func(t *testing.T, l *log) *record.LogView { v := l.fork(19).show(t, 0); v.From = 20; return v }, record.CodeLogRolledBack},
		"forked": {func(t *testing.T, l *log) *record.LogView {
			return l.fork(10).grow(t, 30, "other").show(t, 20)
		}, record.CodeLogForked},
		"another root, same size": {func(t *testing.T, l *log) *record.LogView {
			return l.fork(10).grow(t, 10, "other").show(t, 20)
		}, record.CodeLogForked},
		"no proof": {func(t *testing.T, l *log) *record.LogView {
			v := l.fork(20).grow(t, 5, "row").show(t, 20)
			v.Proof = nil
			return v
		}, record.CodeLogForked},
		"somebody else's key": {func(t *testing.T, l *log) *record.LogView {
			return newLog(t).grow(t, 25, "row").show(t, 20)
		}, record.CodeBadSignature},
		"a changed note": {func(t *testing.T, l *log) *record.LogView {
			v := l.fork(20).grow(t, 5, "row").show(t, 20)
			v.Checkpoint[12] ^= 1
			return v
		}, record.CodeBadSignature},
		"rubbish": {func(t *testing.T, l *log) *record.LogView {
			return &record.LogView{Checkpoint: []byte("!"), From: 20}
		}, record.CodeBadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			dir, l := t.TempDir(), newLog(t).grow(t, 20, "row")
			w := open(t, dir, l)
			if code := look(t, w, l.show(t, 0)); code != "" {
				t.Fatal(code)
			}
			_, root := w.Held()
			doubt, err := w.Look(c.lie(t, l), false)
			if err != nil || doubt == nil || doubt.Code != c.want || doubt.HeldSize != 20 || doubt.HeldRoot != root {
				t.Fatalf("%+v %v, want %s", doubt, err, c.want)
			}
			if code := look(t, w, c.lie(t, l)); code != "" {
				t.Errorf("one lie is two facts: %s", code)
			}
			if size, now := open(t, dir, l).Held(); size != 20 || now != root {
				t.Errorf("the lie was kept")
			}
			if code := look(t, w, l.fork(20).grow(t, 1, "row").show(t, 20)); code != "" {
				t.Errorf("the truth is doubted afterwards: %s", code)
			}
		})
	}
}

// A hub that goes on answering with nothing that can be judged would silence
// the witness; a few such answers are honest.
func TestWitnessIsNotSilenced(t *testing.T) {
	for name, blank := range map[string]func(l *log) *record.LogView{
		"views of another size": func(l *log) *record.LogView { return l.show(t, 7) },
		"no views":              func(*log) *record.LogView { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t).grow(t, 20, "row")
			w := open(t, t.TempDir(), l)
			for range 50 { // nothing is held yet, so nothing is compared
				if doubt, err := w.Look(nil, true); doubt != nil || err != nil {
					t.Fatal(doubt, err)
				}
			}
			look(t, w, l.show(t, 0))
			told := func(answers int) (n int) {
				for range answers {
					doubt, err := w.Look(blank(l), true)
					if err != nil {
						t.Fatal(err)
					}
					if doubt != nil {
						n++
					}
				}
				return n
			}
			for range 100 { // receipts are made before the hub knows what is held
				if doubt, err := w.Look(blank(l), false); doubt != nil || err != nil {
					t.Fatal(doubt, err)
				}
			}
			if n := told(9); n != 0 {
				t.Fatalf("%d doubts of nine answers", n)
			}
			if n := told(50); n != 1 {
				t.Fatalf("%d doubts", n)
			}
			look(t, w, l.show(t, 20)) // one that can be judged
			if n := told(9); n != 0 {
				t.Fatalf("%d doubts after a good view", n)
			}
		})
	}
}

// A damaged file does not keep the device from starting.
func TestCheckpointFileDamaged(t *testing.T) {
	dir, l := t.TempDir(), newLog(t).grow(t, 3, "row")
	path := filepath.Join(dir, "checkpoint.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := watch.Open(dir, func() string { return l.key })
	if err == nil || w == nil {
		t.Fatalf("%v %v", w, err)
	}
	if _, err := os.Stat(path + ".bad"); err != nil {
		t.Fatal(err)
	}
	if code := look(t, w, l.show(t, 0)); code != "" {
		t.Fatal(code)
	}
	if size, _ := open(t, dir, l).Held(); size != 3 {
		t.Fatalf("holds %d", size)
	}
}
