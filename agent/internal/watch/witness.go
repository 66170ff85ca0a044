// Package watch makes this agent a witness of the hub's ledger: it keeps the
// newest checkpoint it was shown and demands that each next one extends it.
// The hub whose log is doubted cannot take the checkpoint back.
package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// Witness is safe for concurrent use.
type Witness struct {
	path string
	key  func() string // of the log, from the newest key list

	mu      sync.Mutex
	held    record.Checkpoint    // guarded by mu
	blank   int                  // guarded by mu; answers since a view could last be judged
	doubted map[record.Code]bool // guarded by mu; reported since a view last fitted, so that one lie is one fact
}

// kept is the newest checkpoint with its signature, for `checkpoint export`.
type kept struct {
	Note []byte            `json:"note"`
	Is   record.Checkpoint `json:"is"`
}

// maxBlank is how many answers in a row may leave the witness without a view it
// can judge. Each ask says what size is held, so an honest hub misses it only
// when another view was taken while the answer was on its way.
const maxBlank = 10

// Open reads the checkpoint held in dir. An error means that it is lost: it was
// set aside for people to look at, and the witness, which is good all the same,
// begins with the next one it is shown.
func Open(dir string, key func() string) (*Witness, error) {
	w := &Witness{path: filepath.Join(dir, fileName), key: key}
	var k kept
	if _, err := files.ReadJSON(w.path, &k); err != nil {
		return w, errors.Join(fmt.Errorf("held checkpoint lost: %w", err), files.SetAside(w.path))
	}
	w.held = k.Is
	return w, nil
}

const fileName = "checkpoint.json"

// Held is the size and root of the newest checkpoint.
func (w *Witness) Held() (int64, record.Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held.Size, w.held.Root
}

// Look checks a view and keeps its checkpoint if it extends the one held. A
// view that does not is a doubt, reported once per code until a view fits again:
// the doubt itself becomes a row of the doubted log, so its root changes with
// every report.
//
// A view made for a size that is not held cannot be judged; the next one will
// fit. A hub that goes on answering (answer, in word of an ask that told the
// size) without one that can be judged, or with none, would silence the witness,
// which is a doubt too.
func (w *Witness) Look(view *record.LogView, answer bool) (*record.LedgerDoubt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if view == nil || view.From != w.held.Size {
		return w.blankLocked(answer), nil
	}
	w.blank = 0
	next, err := record.CheckView(w.key(), w.held, *view)
	if err != nil {
		return w.doubtLocked(next, err), nil
	}
	w.doubted = nil
	if next.Size == w.held.Size {
		return nil, nil
	}
	if err := files.WriteJSON(w.path, kept{Note: view.Checkpoint, Is: next}); err != nil {
		return nil, fmt.Errorf("keep checkpoint: %w", err)
	}
	w.held = next
	return nil, nil
}

func (w *Witness) blankLocked(answer bool) *record.LedgerDoubt {
	if answer && w.held.Size > 0 {
		w.blank++
	}
	if w.blank < maxBlank {
		return nil
	}
	why := fmt.Errorf("%d answers in a row showed nothing that can be compared with the %d rows held", w.blank, w.held.Size)
	return w.doubtLocked(record.Checkpoint{}, record.Fail(record.CodeMalformed, why))
}

func (w *Witness) doubtLocked(shown record.Checkpoint, cause error) *record.LedgerDoubt {
	code := record.CodeOf(cause)
	if w.doubted[code] {
		return nil
	}
	if w.doubted == nil {
		w.doubted = map[record.Code]bool{}
	}
	w.doubted[code] = true
	return &record.LedgerDoubt{
		Code: code, HeldSize: w.held.Size, HeldRoot: w.held.Root,
		ShownSize: shown.Size, ShownRoot: shown.Root, Detail: cause.Error(),
	}
}

// ErrNone means that no checkpoint is held yet.
var ErrNone = errors.New("no checkpoint is held yet")

// Export is the signed note held in dir, for `sekimori-hub verify --against`, or
// ErrNone.
func Export(dir string) ([]byte, error) {
	var k kept
	found, err := files.ReadJSON(filepath.Join(dir, fileName), &k)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNone
	}
	return k.Note, nil
}
