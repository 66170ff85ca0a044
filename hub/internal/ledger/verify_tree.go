package ledger

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// treeCheck grows the tree again over the rows and compares it with the stored
// hashes and with the checkpoints.
type treeCheck struct {
	edge    frontier
	watched []record.Checkpoint
	strange []strangeLeaf         // at most maxStrange
	home    map[record.Hash]int64 // where the stored leaves of strange and missing rows belong
	badLo   int64                 // start of the newest subtree that was reported, plus one
	ended   bool                  // the stored hashes ended before the rows did
	stored  storedHashes
	scratch []record.Hash
}

// strangeLeaf is a row that is not the one its place in the tree was made for.
type strangeLeaf struct {
	index    int64
	computed record.Hash
}

// maxStrange bounds how many rows are looked at for having changed places.
const maxStrange = 10 * maxFindings

// belongs remembers a stored leaf whose row is elsewhere or nowhere.
func (t *treeCheck) belongs(stored record.Hash) {
	if t.home == nil {
		t.home = map[record.Hash]int64{}
	}
	if len(t.home) < maxStrange {
		t.home[stored] = t.edge.size
	}
}

// watch has the root compared when the tree has reached the checkpoint's size.
func (t *treeCheck) watch(cp record.Checkpoint) {
	if cp.Size > 0 {
		t.watched = append(t.watched, cp)
	}
}

// storedHashes is a window of the stored tree.
type storedHashes struct {
	from int64
	list []record.Hash
}

func (s storedHashes) at(index int64) (record.Hash, bool) {
	if i := index - s.from; i >= 0 && i < int64(len(s.list)) {
		return s.list[i], true
	}
	return record.Hash{}, false
}

// leaf is the stored leaf of the next row; false where the stored tree ends.
func (t *treeCheck) leaf(tx store.LedgerReader) (record.Hash, bool, error) {
	at := tlog.StoredHashIndex(0, t.edge.size)
	if h, ok := t.stored.at(at); ok || t.ended {
		return h, ok, nil
	}
	n := tlog.StoredHashCount(t.edge.size+pageRows) - at
	for ; n > 0; n /= 2 { // a shorter read finds the end of what is stored
		indexes := make([]int64, n)
		for i := range indexes {
			indexes[i] = at + int64(i)
		}
		list, err := tx.Hashes(indexes)
		if err == nil {
			t.stored = storedHashes{at, list}
			return list[0], true, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return record.Hash{}, false, err
		}
	}
	t.ended = true
	return record.Hash{}, false, nil
}

// row takes a row into the tree, after the leaves of rows that are missing
// before it.
func (t *treeCheck) row(r *Report, tx store.LedgerReader, c *checkedRow) error {
	if err := t.absent(r, tx, c); err != nil || t.edge.size != c.stored.Index {
		return err
	}
	ended := t.ended
	leaf, there, err := t.leaf(tx)
	if err != nil {
		return err
	}
	computed := c.leaf
	switch {
	case !there && !ended:
		r.add(Finding{Damage: Missing, Index: t.edge.size, Detail: record.Text{JA: "この行から後のハッシュがありません。", EN: "the tree's hashes end before this row."}})
	case there && c.stored.Row == nil:
		computed = leaf
		r.add(c.finding(Missing, record.Text{JA: "行の内容がありません。", EN: "the row's content is not there."}))
	case there && computed != leaf:
		// The tree above is judged by what is stored, so that one changed row
		// is one finding.
		if len(t.strange) < maxStrange {
			t.strange = append(t.strange, strangeLeaf{t.edge.size, computed})
		}
		t.belongs(leaf)
		r.add(c.finding(Changed, record.Text{JA: "行の内容が、書かれた時のものではありません。", EN: "the row is not as it was written."}))
		computed = leaf
	}
	t.grow(r, computed)
	return nil
}

// absent takes the stored leaves of rows that are not there before c. Where
// the tree has no such leaves either, the row's own number is wrong and it stays
// out of the tree.
func (t *treeCheck) absent(r *Report, tx store.LedgerReader, c *checkedRow) error {
	for t.edge.size < c.stored.Index {
		leaf, there, err := t.leaf(tx)
		if err != nil {
			return err
		}
		if !there {
			r.add(c.finding(Disordered, record.Text{
				JA: fmt.Sprintf("台帳の終わり（%d行）より先の番号が付いています。", t.edge.size), EN: fmt.Sprintf("its number lies beyond the end of the ledger (%d rows).", t.edge.size)}))
			return nil
		}
		r.add(Finding{Damage: Missing, Index: t.edge.size, Detail: record.Text{JA: "行がありません。", EN: "the row is not there."}})
		t.belongs(leaf)
		t.grow(r, leaf)
	}
	return nil
}

// grow adds a leaf, compares the nodes it completes and the roots it reaches.
func (t *treeCheck) grow(r *Report, leaf record.Hash) {
	n := t.edge.size
	t.scratch = t.edge.add(leaf, t.scratch[:0])
	for height, computed := range t.scratch {
		at := tlog.StoredHashIndex(height, n>>height)
		node, there := t.stored.at(at)
		lo := n >> height << height
		if !there || height == 0 || node == computed || t.badLo > lo {
			continue
		}
		t.badLo = lo + 1
		r.add(Finding{Damage: Changed, Index: lo, Detail: record.Text{
			JA: fmt.Sprintf("%d行から%d行までのハッシュが合いません。", lo, n), EN: fmt.Sprintf("the hash over rows %d to %d does not match.", lo, n)}})
	}
	for _, cp := range t.watched {
		if cp.Size == t.edge.size {
			t.compareRoot(r, cp)
		}
	}
}

func (t *treeCheck) compareRoot(r *Report, cp record.Checkpoint) {
	root, err := t.edge.root()
	if err == nil && root == cp.Root {
		return
	}
	detail := record.Text{
		JA: fmt.Sprintf("最初の%d行が、この台帳の確認点と合いません。", cp.Size),
		EN: fmt.Sprintf("the first %d rows are not those the ledger's checkpoint signs for.", cp.Size)}
	if cp != r.Checkpoint {
		detail = record.Text{
			JA: fmt.Sprintf("最初の%d行が、証人の見たものと合いません（分岐）。", cp.Size),
			EN: fmt.Sprintf("the first %d rows are not those a witness was shown (forked).", cp.Size)}
	}
	r.add(Finding{Damage: Changed, Index: -1, Detail: detail})
}

// finish tells rows that only changed places from rows that were changed.
func (t *treeCheck) finish(r *Report) {
	moved := map[int64]int64{}
	for _, s := range t.strange {
		if from, ok := t.home[s.computed]; ok {
			moved[s.index] = from
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if from, ok := moved[f.Index]; ok && f.Damage == Changed {
			f.Damage = Disordered
			f.Detail = record.Text{JA: fmt.Sprintf("ここには台帳%d行の内容が入っています。", from), EN: fmt.Sprintf("the content of ledger row %d is here.", from)}
		}
	}
}
