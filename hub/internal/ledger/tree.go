package ledger

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Domain tags: a row's commitment can be taken neither for an event's nor for a
// leaf.
const (
	rowTag  = "sekimori/row/v1"
	leafTag = "sekimori/leaf/v1"
)

// RowCommitment hides a row's canonical bytes behind its salt: SHA-256 over a
// domain tag, the salt and the bytes [T-28].
func RowCommitment(s record.Salt, row []byte) record.Hash {
	h := sha256.New()
	h.Write([]byte(rowTag))
	h.Write(s[:])
	h.Write(row)
	var out record.Hash
	h.Sum(out[:0])
	return out
}

// Leaf is a row's leaf hash: RFC 6962's hash of a record that holds the tag and
// the row's commitment.
func Leaf(commitment record.Hash) record.Hash {
	return record.Hash(tlog.RecordHash(append([]byte(leafTag), commitment[:]...)))
}

// frontier is the right edge of a tree of size rows: for each set bit of size
// the root of the complete subtree of that height. It is all that appending
// needs.
type frontier struct {
	size  int64
	roots [64]tlog.Hash // by height; meaningful where size has the bit
	last  tlog.Hash     // the newest leaf
}

// add appends a leaf and returns the hashes to store, in stored-hash order: the
// leaf, then each subtree it completes.
func (f *frontier) add(leaf record.Hash, out []record.Hash) []record.Hash {
	h := tlog.Hash(leaf)
	f.last = h
	out = append(out, leaf)
	height := 0
	for ; f.size>>height&1 == 1; height++ {
		h = tlog.NodeHash(f.roots[height], h)
		out = append(out, record.Hash(h))
	}
	f.roots[height] = h
	f.size++
	return out
}

// root is the tree's hash.
func (f *frontier) root() (record.Hash, error) {
	h, err := tlog.TreeHash(f.size, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			height, _ := tlog.SplitStoredHashIndex(x)
			out[i] = f.roots[height]
		}
		return out, nil
	}))
	return record.Hash(h), err
}

// loadFrontier reads the right edge of the stored tree.
func loadFrontier(tx store.LedgerReader, size int64) (frontier, error) {
	f := frontier{size: size}
	if size == 0 {
		return f, nil
	}
	indexes := []int64{tlog.StoredHashIndex(0, size-1)}
	var heights []int
	for height := 0; size>>height != 0; height++ {
		if size>>height&1 == 1 {
			heights = append(heights, height)
			indexes = append(indexes, tlog.StoredHashIndex(height, size>>height-1))
		}
	}
	hashes, err := tx.Hashes(indexes)
	if err != nil {
		return f, fmt.Errorf("tree of %d rows: %w", size, err)
	}
	f.last = tlog.Hash(hashes[0])
	for i, height := range heights {
		f.roots[height] = tlog.Hash(hashes[i+1])
	}
	return f, nil
}

// hashReader reads the stored tree for proofs.
func hashReader(tx store.LedgerReader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes, err := tx.Hashes(indexes)
		if err != nil {
			return nil, err
		}
		out := make([]tlog.Hash, len(hashes))
		for i, h := range hashes {
			out[i] = tlog.Hash(h)
		}
		return out, nil
	})
}

func recordHashes(in []tlog.Hash) []record.Hash {
	out := make([]record.Hash, len(in))
	for i, h := range in {
		out[i] = record.Hash(h)
	}
	return out
}
