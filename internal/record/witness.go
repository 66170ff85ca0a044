package record

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxLogSize bounds a checkpoint's size: beyond 2^62 the proof arithmetic would
// not end, and no ledger comes near this.
const maxLogSize = 1 << 52

// OpenCheckpoint checks a signed note with the log's verifier key and reads the
// checkpoint in it. The note's text must name the key's name as its origin, so
// a key can speak for one log only. Failures carry CodeBadSignature or
// CodeMalformed.
func OpenCheckpoint(logKey string, signed []byte) (Checkpoint, error) {
	v, err := note.NewVerifier(logKey)
	if err != nil {
		return Checkpoint{}, Fail(CodeMalformed, fmt.Errorf("log key: %w", err))
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, Fail(CodeBadSignature, fmt.Errorf("checkpoint: %w", err))
	}
	c, err := ParseCheckpoint(n.Text)
	switch {
	case err != nil:
		return Checkpoint{}, Fail(CodeMalformed, err)
	case c.Origin != v.Name():
		return Checkpoint{}, Fail(CodeBadSignature, fmt.Errorf("checkpoint of %q signed by the key of %q", c.Origin, v.Name()))
	case c.Size > maxLogSize:
		return Checkpoint{}, Fail(CodeMalformed, fmt.Errorf("checkpoint of %d rows", c.Size))
	}
	return c, nil
}

// CheckView is the witness: it judges what a hub shows of its log against the
// checkpoint held so far (zero before the first), and returns the one to hold
// from now on. On an error the held one stays.
//
//	same log, signed, not shorter, and extending what was held ─▶ the new checkpoint
//	shorter than before                                         ─▶ CodeLogRolledBack
//	another root at the same size, or no proof that it extends  ─▶ CodeLogForked
//	proof starts at a size that is not held                     ─▶ CodeMalformed: ask again
//
// The shown checkpoint is returned beside CodeLogRolledBack and CodeLogForked
// too, because its signature is the evidence against whoever made it.
func CheckView(logKey string, held Checkpoint, view LogView) (Checkpoint, error) {
	shown, err := OpenCheckpoint(logKey, view.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if held.Size == 0 {
		return shown, nil
	}
	switch {
	case shown.Origin != held.Origin:
		return shown, Fail(CodeLogForked, fmt.Errorf("log %q where %q is held", shown.Origin, held.Origin))
	case shown.Size < held.Size:
		return shown, Fail(CodeLogRolledBack, fmt.Errorf("log of %d rows where %d are held", shown.Size, held.Size))
	case shown.Size == held.Size && shown.Root != held.Root:
		return shown, Fail(CodeLogForked, fmt.Errorf("another root at size %d", shown.Size))
	case shown.Size == held.Size:
		return shown, nil
	case view.From != held.Size:
		return Checkpoint{}, Fail(CodeMalformed, fmt.Errorf("proof from size %d where %d is held", view.From, held.Size))
	}
	proof := make(tlog.TreeProof, len(view.Proof))
	for i, h := range view.Proof {
		proof[i] = tlog.Hash(h)
	}
	if err := tlog.CheckTree(proof, shown.Size, tlog.Hash(shown.Root), held.Size, tlog.Hash(held.Root)); err != nil {
		return shown, Fail(CodeLogForked, errors.Join(fmt.Errorf("size %d does not extend size %d", shown.Size, held.Size), err))
	}
	return shown, nil
}
