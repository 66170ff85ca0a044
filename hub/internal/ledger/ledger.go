package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// RowVersion is the version of Row this package writes.
const RowVersion = 1

// Fact is what becomes one row.
type Fact struct {
	Row       Row
	Event     []byte // the device's bytes; nil for facts that are not a device's
	EventSalt record.Salt
	Envelope  int64 // store.LedgerWriter.AppendEnvelope, 0 for none
}

// Ledger appends rows and signs the tree over them. Its methods run inside the
// caller's transaction; what that transaction rolls back, the ledger forgets.
type Ledger struct {
	signer signer
	key    string // note verifier key

	mu   sync.Mutex
	edge frontier // guarded by mu; a cache of the stored tree's right edge
}

// New makes the ledger of one municipality. origin is the log's name, for
// example "sekimori/example-city" (no spaces, no '+'); seed is the Ed25519 seed
// of its checkpoint key.
func New(origin string, seed []byte) (*Ledger, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("checkpoint key: a seed of %d bytes, want %d", len(seed), ed25519.SeedSize)
	}
	private := ed25519.NewKeyFromSeed(seed)
	key, err := note.NewEd25519VerifierKey(origin, private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("checkpoint key of %q: %w", origin, err)
	}
	v, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("checkpoint key of %q: %w", origin, err)
	}
	return &Ledger{signer: signer{origin, v.KeyHash(), private}, key: key}, nil
}

// VerifierKey is the key of the log's checkpoints as the note format writes it
// (record.KeyList.LogKey).
func (l *Ledger) VerifierKey() string { return l.key }

// Append adds facts at the end, in order, and returns the index of the first.
// Row.V is filled in; a fact with Event must name the event's commitment.
func (l *Ledger) Append(tx store.Tx, facts []Fact) (first int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edge, err := l.edgeLocked(tx)
	if err != nil {
		return 0, err
	}
	first = edge.size
	rows := make([]store.LedgerRow, len(facts))
	hashes := make([]record.Hash, 0, 2*len(facts)+64)
	for i, f := range facts {
		rows[i], err = stored(f, edge.size)
		if err != nil {
			return 0, err
		}
		hashes = edge.add(Leaf(RowCommitment(rows[i].Salt, rows[i].Row)), hashes)
	}
	if err := tx.AppendRows(rows); err != nil {
		return 0, fmt.Errorf("append %d rows: %w", len(rows), err)
	}
	if err := tx.AppendHashes(tlog.StoredHashCount(first), hashes); err != nil {
		return 0, fmt.Errorf("append %d tree hashes: %w", len(hashes), err)
	}
	l.edge = edge
	return first, nil
}

// edgeLocked is the right edge of the tree as this transaction sees it. The one
// in memory is of a transaction that may have been rolled back since, so it
// counts only if size and newest leaf are the stored ones.
func (l *Ledger) edgeLocked(tx store.LedgerReader) (frontier, error) {
	size, err := tx.Size()
	if err != nil {
		return frontier{}, fmt.Errorf("ledger size: %w", err)
	}
	if size == l.edge.size && size > 0 {
		last, err := tx.Hashes([]int64{tlog.StoredHashIndex(0, size-1)})
		if err != nil {
			return frontier{}, fmt.Errorf("newest leaf: %w", err)
		}
		if tlog.Hash(last[0]) == l.edge.last {
			return l.edge, nil
		}
	}
	return loadFrontier(tx, size)
}

// stored makes a row's canonical bytes, once.
func stored(f Fact, index int64) (store.LedgerRow, error) {
	r := f.Row
	r.V = RowVersion
	if f.Event != nil && record.Commitment(f.EventSalt, f.Event) != r.Event {
		return store.LedgerRow{}, fmt.Errorf("row %d of %s %d: the row names another event than the one given", index, r.Device, r.Seq)
	}
	b, err := encode(r)
	if err != nil {
		return store.LedgerRow{}, fmt.Errorf("row %d (%s): %w", index, r.Kind, err)
	}
	return store.LedgerRow{
		Index: index, Row: b, Salt: record.NewSalt(), Event: f.Event, EventSalt: f.EventSalt,
		Device: r.Device, Epoch: r.Epoch, Seq: r.Seq, At: r.At, Envelope: f.Envelope,
	}, nil
}

func encode(r Row) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// DecodeRow reads a row's canonical bytes. It refuses fields this build does not
// know, as it could not say what they mean.
func DecodeRow(b []byte) (Row, error) {
	var r Row
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("decode ledger row: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("decode ledger row: bytes after the end")
	}
	if r.V != RowVersion {
		return r, fmt.Errorf("decode ledger row: version %d, this build reads %d", r.V, RowVersion)
	}
	return r, nil
}

// Seal signs a checkpoint over every row of the transaction and stores it, so
// that rows and checkpoint are durable together. If nothing was appended since
// the last one, that one is returned with the cosignatures it has.
func (l *Ledger) Seal(tx store.Tx) (signed []byte, cp record.Checkpoint, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edge, err := l.edgeLocked(tx)
	if err != nil {
		return nil, cp, err
	}
	root, err := edge.root()
	if err != nil {
		return nil, cp, fmt.Errorf("root of %d rows: %w", edge.size, err)
	}
	cp = record.Checkpoint{Origin: l.signer.name, Size: edge.size, Root: root}
	held, err := tx.Checkpoint()
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, cp, fmt.Errorf("checkpoint: %w", err)
	}
	if old, err := record.OpenCheckpoint(l.key, held); err == nil && old == cp {
		return held, cp, nil
	}
	signed, err = note.Sign(&note.Note{Text: cp.Text()}, l.signer)
	if err != nil {
		return nil, cp, fmt.Errorf("sign checkpoint of %d rows: %w", cp.Size, err)
	}
	if err := tx.PutCheckpoint(cp.Size, signed); err != nil {
		return nil, cp, fmt.Errorf("store checkpoint of %d rows: %w", cp.Size, err)
	}
	l.edge = edge
	return signed, cp, nil
}

// signer signs notes with a key that is not in the note package's text form.
type signer struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
}

func (s signer) Name() string                    { return s.name }
func (s signer) KeyHash() uint32                 { return s.hash }
func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
