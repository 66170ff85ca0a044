package ledger

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// View is the log as shown to a witness that holds the tree of size from: the
// newest checkpoint and the proof that it extends that tree. store.ErrNotFound
// before the first checkpoint. Where the witness holds more than there is (a
// restored copy), there is no proof and the witness will say so.
func (l *Ledger) View(tx store.ReadTx, from int64) (record.LogView, error) {
	signed, cp, err := l.checkpoint(tx)
	if err != nil {
		return record.LogView{}, err
	}
	view := record.LogView{Checkpoint: signed, From: from}
	if from <= 0 || from >= cp.Size {
		return view, nil
	}
	proof, err := tlog.ProveTree(cp.Size, from, hashReader(tx))
	if err != nil {
		return record.LogView{}, fmt.Errorf("prove that %d rows extend %d: %w", cp.Size, from, err)
	}
	view.Proof = recordHashes(proof)
	return view, nil
}

func (l *Ledger) checkpoint(tx store.LedgerReader) ([]byte, record.Checkpoint, error) {
	signed, err := tx.Checkpoint()
	if err != nil {
		return nil, record.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	cp, err := record.OpenCheckpoint(l.key, signed)
	return signed, cp, err
}

// RowProof shows that a row is in the log: whoever has the log's verifier key
// can check it without this hub. It holds the row in clear.
type RowProof struct {
	Index      int64         `json:"index"`
	Row        []byte        `json:"row"`
	Salt       record.Hash   `json:"salt"`
	Proof      []record.Hash `json:"proof"` // RFC 6962 inclusion proof
	Checkpoint []byte        `json:"checkpoint"`
}

// ProveRow proves a row that the newest checkpoint covers.
func (l *Ledger) ProveRow(tx store.ReadTx, index int64) (RowProof, error) {
	signed, cp, err := l.checkpoint(tx)
	if err != nil {
		return RowProof{}, err
	}
	if index < 0 || index >= cp.Size {
		return RowProof{}, fmt.Errorf("row %d of a checkpoint of %d rows: %w", index, cp.Size, store.ErrNotFound)
	}
	rows, err := tx.Rows(index, 1)
	if err != nil {
		return RowProof{}, fmt.Errorf("row %d: %w", index, err)
	}
	if len(rows) != 1 || rows[0].Index != index {
		return RowProof{}, fmt.Errorf("row %d: %w", index, store.ErrNotFound)
	}
	proof, err := tlog.ProveRecord(cp.Size, index, hashReader(tx))
	if err != nil {
		return RowProof{}, fmt.Errorf("prove row %d: %w", index, err)
	}
	return RowProof{Index: index, Row: rows[0].Row, Salt: record.Hash(rows[0].Salt), Proof: recordHashes(proof), Checkpoint: signed}, nil
}

// Check tells whether the row is in the log that logKey speaks for.
func (p RowProof) Check(logKey string) (record.Checkpoint, error) {
	cp, err := record.OpenCheckpoint(logKey, p.Checkpoint)
	if err != nil {
		return cp, err
	}
	proof := make(tlog.RecordProof, len(p.Proof))
	for i, h := range p.Proof {
		proof[i] = tlog.Hash(h)
	}
	leaf := Leaf(RowCommitment(record.Salt(p.Salt), p.Row))
	if err := tlog.CheckRecord(proof, cp.Size, tlog.Hash(cp.Root), p.Index, tlog.Hash(leaf)); err != nil {
		return cp, record.Fail(record.CodeLogForked, fmt.Errorf("row %d is not in the log: %w", p.Index, err))
	}
	return cp, nil
}
