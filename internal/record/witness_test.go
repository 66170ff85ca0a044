package record_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekimori/internal/record"
)

const origin = "sekimori/test-city"

// log is a hub's log that a witness looks at.
type log struct {
	signer note.Signer
	key    string
	hashes []tlog.Hash
	size   int64
}

func mustLog(tb testing.TB, seed byte) *log {
	tb.Helper()
	private, public, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)), origin)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		tb.Fatal(err)
	}
	return &log{signer: s, key: public}
}

func (l *log) read(indexes []int64) (out []tlog.Hash, _ error) {
	for _, i := range indexes {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

func (l *log) grow(tb testing.TB, to int64, what string) {
	tb.Helper()
	for ; l.size < to; l.size++ {
		hashes, err := tlog.StoredHashes(l.size, fmt.Append(nil, what, l.size), tlog.HashReaderFunc(l.read))
		if err != nil {
			tb.Fatal(err)
		}
		l.hashes = append(l.hashes, hashes...)
	}
}

func (l *log) checkpoint(tb testing.TB) record.Checkpoint {
	tb.Helper()
	root, err := tlog.TreeHash(l.size, tlog.HashReaderFunc(l.read))
	if err != nil {
		tb.Fatal(err)
	}
	return record.Checkpoint{Origin: origin, Size: l.size, Root: record.Hash(root)}
}

func (l *log) sign(tb testing.TB, text string) []byte {
	tb.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

func (l *log) view(tb testing.TB, from int64) record.LogView {
	tb.Helper()
	v := record.LogView{Checkpoint: l.sign(tb, l.checkpoint(tb).Text()), From: from}
	if from > 0 && from < l.size {
		proof, err := tlog.ProveTree(l.size, from, tlog.HashReaderFunc(l.read))
		if err != nil {
			tb.Fatal(err)
		}
		for _, h := range proof {
			v.Proof = append(v.Proof, record.Hash(h))
		}
	}
	return v
}

func TestWitnessFollowsAnHonestLog(t *testing.T) {
	l := mustLog(t, 1)
	var held record.Checkpoint
	for _, size := range []int64{1, 1, 2, 3, 8, 9, 100, 1000} {
		l.grow(t, size, "row")
		got, err := record.CheckView(l.key, held, l.view(t, held.Size))
		if err != nil || got != l.checkpoint(t) {
			t.Fatalf("from %d to %d: %+v (%v)", held.Size, size, got, err)
		}
		held = got
	}
}

func TestWitnessAccuses(t *testing.T) {
	l, forked, stranger := mustLog(t, 1), mustLog(t, 1), mustLog(t, 2)
	l.grow(t, 50, "row")
	held := l.checkpoint(t)
	l.grow(t, 80, "row")
	forked.grow(t, 50, "another")
	forkedSame := forked.view(t, 50)
	forked.grow(t, 80, "another")
	stranger.grow(t, 80, "row")
	short := mustLog(t, 1)
	short.grow(t, 49, "row")
	good := l.view(t, 50)
	edit := func(f func(*record.LogView)) record.LogView {
		v := record.LogView{Checkpoint: bytes.Clone(good.Checkpoint), From: good.From, Proof: append([]record.Hash(nil), good.Proof...)}
		f(&v)
		return v
	}
	signed := func(text string) record.LogView { return record.LogView{Checkpoint: l.sign(t, text), From: 50} }
	for name, c := range map[string]struct {
		view record.LogView
		code record.Code
	}{
		"shorter":                   {short.view(t, 50), record.CodeLogRolledBack},
		"empty":                     {signed(record.Checkpoint{Origin: origin}.Text()), record.CodeLogRolledBack},
		"same size, another root":   {forkedSame, record.CodeLogForked},
		"longer, another past":      {forked.view(t, 50), record.CodeLogForked},
		"no proof":                  {edit(func(v *record.LogView) { v.Proof = nil }), record.CodeLogForked},
		"a changed proof":           {edit(func(v *record.LogView) { v.Proof[1][0] ^= 1 }), record.CodeLogForked},
		"a proof too long":          {edit(func(v *record.LogView) { v.Proof = append(v.Proof, record.Hash{}) }), record.CodeLogForked},
		"a proof from another size": {l.view(t, 49), record.CodeMalformed},
		"another key":               {stranger.view(t, 50), record.CodeBadSignature},
		"a changed note": {edit(func(v *record.LogView) {
			v.Checkpoint = bytes.Replace(v.Checkpoint, []byte("\n80\n"), []byte("\n81\n"), 1)
		}), record.CodeBadSignature},
		"no signature":         {record.LogView{Checkpoint: []byte(l.checkpoint(t).Text()), From: 50}, record.CodeBadSignature},
		"nothing":              {record.LogView{}, record.CodeBadSignature},
		"another log's origin": {signed(record.Checkpoint{Origin: "sekimori/other", Size: 80}.Text()), record.CodeBadSignature},
		"signed nonsense":      {signed("nonsense\n"), record.CodeMalformed},
		"a size without end":   {signed(record.Checkpoint{Origin: origin, Size: 1<<63 - 1}.Text()), record.CodeMalformed},
	} {
		if _, err := record.CheckView(l.key, held, c.view); record.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := record.CheckView("no key", held, good); record.CodeOf(err) != record.CodeMalformed {
		t.Errorf("a bad log key: %v", err)
	}
	if got, err := record.CheckView(l.key, record.Checkpoint{Origin: "sekimori/other", Size: 50, Root: held.Root}, good); record.CodeOf(err) != record.CodeLogForked || got.Size != 80 {
		t.Errorf("a witness of another log: %+v (%v)", got, err)
	}
}

// TestAccusationCarriesTheEvidence: the shown checkpoint comes back with the
// error, so that the witness can write down what the hub signed.
func TestAccusationCarriesTheEvidence(t *testing.T) {
	l := mustLog(t, 1)
	l.grow(t, 9, "row")
	held := l.checkpoint(t)
	held.Size = 12
	if shown, err := record.CheckView(l.key, held, l.view(t, 12)); record.CodeOf(err) != record.CodeLogRolledBack || shown.Size != 9 {
		t.Errorf("%+v (%v)", shown, err)
	}
}

func TestParseCheckpoint(t *testing.T) {
	c := record.Checkpoint{Origin: origin, Size: 42, Root: record.Hash{1, 2, 3}}
	for _, text := range []string{c.Text(), c.Text() + "extension\n"} {
		if got, err := record.ParseCheckpoint(text); err != nil || got != c {
			t.Errorf("%q: %+v (%v)", text, got, err)
		}
	}
	good := c.Text()
	for _, text := range []string{"", "\n", "\n\n\n", good[:len(good)-1], strings.Replace(good, origin, "", 1), strings.Replace(good, "42", "042", 1),
		strings.Replace(good, "42", "+42", 1), strings.Replace(good, "42", "-42", 1), strings.Replace(good, "42", "", 1), strings.Replace(good, "42", "99999999999999999999", 1),
		strings.Replace(good, "AQID", "AQI", 1), strings.Replace(good, "AQID", "*QID", 1), strings.Replace(good, "AQID", "AQIDAQID", 1)} {
		if got, err := record.ParseCheckpoint(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(record.Checkpoint{Origin: origin, Size: 42, Root: record.Hash{1}}.Text())
	f.Add("a\n0\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := record.ParseCheckpoint(text)
		if err == nil && !strings.HasPrefix(text, c.Text()) {
			t.Errorf("%q was read as %q", text, c.Text())
		}
	})
}

// FuzzCheckView: whatever a hub signs and shows, the witness ends with an
// answer, and takes only what extends what it holds.
func FuzzCheckView(f *testing.F) {
	l := mustLog(f, 1)
	l.grow(f, 50, "row")
	held := l.checkpoint(f)
	l.grow(f, 80, "row")
	good := l.view(f, 50)
	var proof []byte
	for _, h := range good.Proof {
		proof = append(proof, h[:]...)
	}
	next := l.checkpoint(f)
	f.Add(next.Text(), []byte(nil), proof, int64(50), int64(50), held.Root[:])
	f.Add(record.Checkpoint{Origin: origin, Size: 1 << 62}.Text(), []byte(nil), proof, int64(50), int64(50), held.Root[:])
	f.Add("", good.Checkpoint, proof, int64(50), int64(-1), held.Root[:])
	f.Fuzz(func(t *testing.T, text string, raw, proof []byte, from, heldSize int64, heldRoot []byte) {
		view := record.LogView{Checkpoint: raw, From: from}
		if signed, err := note.Sign(&note.Note{Text: text}, l.signer); err == nil && text != "" {
			view.Checkpoint = signed
		}
		for len(proof) >= 32 {
			view.Proof = append(view.Proof, record.Hash(proof[:32]))
			proof = proof[32:]
		}
		h := record.Checkpoint{Origin: origin, Size: heldSize}
		copy(h.Root[:], heldRoot)
		got, err := record.CheckView(l.key, h, view)
		if err != nil && record.CodeOf(err) == "" {
			t.Errorf("error without its code: %v", err)
		}
		if err == nil && (got.Size < h.Size || h.Size == got.Size && h.Size > 0 && got.Root != h.Root) {
			t.Errorf("%+v was taken after %+v", got, h)
		}
	})
}
