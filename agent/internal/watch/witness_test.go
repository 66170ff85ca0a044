package watch_test

import (
	"crypto/rand"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"sekimori/agent/internal/watch"
	"sekimori/internal/record"
)

// liar signs whatever it is asked to: only proofs tell the truth from a lie.
type liar struct {
	signer note.Signer
	key    string
}

func newLiar(t *testing.T) liar {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "hub/ledger")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return liar{signer, public}
}

func (l liar) view(t *testing.T, from, size int64, root byte) *record.LogView {
	t.Helper()
	text := record.Checkpoint{Origin: "hub/ledger", Size: size, Root: record.Hash{root}}.Text()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return &record.LogView{Checkpoint: signed, From: from}
}

// The report of a doubt makes the doubted log grow; it must not make a new
// doubt of the same lie, or the two would go on for ever.
func TestOneLieIsOneDoubt(t *testing.T) {
	l := newLiar(t)
	w, err := watch.Open(t.TempDir(), func() string { return l.key })
	if err != nil {
		t.Fatal(err)
	}
	for n, look := range []struct {
		from, size int64
		root       byte
		want       record.Code
	}{
		{0, 10, 1, ""},
		{10, 5, 2, record.CodeLogRolledBack},
		{10, 6, 3, ""}, // grown by our report
		{10, 7, 4, ""},
		{10, 10, 5, record.CodeLogForked}, // another accusation
		{10, 11, 6, ""},
		{10, 8, 7, ""},
		{10, 10, 1, ""},                        // what we hold: the lie is over
		{10, 9, 8, record.CodeLogRolledBack},   // the next one
		{9, 9, 8, ""},                          // for a size we do not hold: no word
		{10, 12, 9, record.CodeLogForked},      //
		{10, 1 << 60, 9, record.CodeMalformed}, //
		{10, 1<<60 + 1, 9, ""},                 //
	} {
		doubt, err := w.Look(l.view(t, look.from, look.size, look.root), false)
		if err != nil {
			t.Fatal(err)
		}
		var got record.Code
		if doubt != nil {
			got = doubt.Code
		}
		if got != look.want {
			t.Errorf("look %d: %q, want %q", n, got, look.want)
		}
		if size, _ := w.Held(); size != 10 {
			t.Fatalf("look %d: a lie was kept", n)
		}
	}
}
