package sqlite

import (
	"database/sql"
	"fmt"
	"math"
	"strings"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

const ledgerColumns = "idx, row, salt, event, event_salt, device, epoch, seq, at, envelope"

// Size is the number of rows.
func (t *tx) Size() (int64, error) {
	var n int64
	err := t.row("SELECT coalesce(max(idx) + 1, 0) FROM ledger", nil, &n)
	return n, err
}

// Rows reads up to n rows in order.
func (t *tx) Rows(from int64, n int) ([]store.LedgerRow, error) {
	var out []store.LedgerRow
	err := t.each("SELECT "+ledgerColumns+" FROM ledger WHERE idx >= ? ORDER BY idx LIMIT ?", []any{from, n}, func(r *sql.Rows) error {
		row, err := scanLedger(r.Scan)
		out = append(out, row)
		return err
	})
	return out, err
}

// RowOf finds a device's event.
func (t *tx) RowOf(device record.DeviceID, epoch record.Epoch, seq uint64) (store.LedgerRow, error) {
	if seq == 0 || seq > math.MaxInt64 {
		return store.LedgerRow{}, store.ErrNotFound
	}
	return scanLedger(func(into ...any) error {
		return t.row("SELECT "+ledgerColumns+" FROM ledger WHERE device = ? AND epoch = ? AND seq = ? AND seq > 0",
			[]any{string(device), epoch[:], int64(seq)}, into...)
	})
}

func scanLedger(scan func(...any) error) (store.LedgerRow, error) {
	var (
		r                      store.LedgerRow
		salt, eventSalt, epoch []byte
		seq, at                int64
		envelope               sql.NullInt64
	)
	if err := scan(&r.Index, &r.Row, &salt, &r.Event, &eventSalt, &r.Device, &epoch, &seq, &at, &envelope); err != nil {
		return store.LedgerRow{}, err
	}
	copy(r.Salt[:], salt)
	copy(r.EventSalt[:], eventSalt)
	copy(r.Epoch[:], epoch)
	r.Seq, r.At, r.Envelope = uint64(seq), instant(at), envelope.Int64
	return r, nil
}

// AppendRows adds rows at the end; their indexes must say so.
func (t *tx) AppendRows(rows []store.LedgerRow) error {
	size, err := t.Size()
	if err != nil {
		return err
	}
	args := make([]any, 0, 10*len(rows))
	for i, r := range rows {
		if r.Index != size+int64(i) {
			return fmt.Errorf("ledger row %d where %d is next", r.Index, size+int64(i))
		}
		if r.Seq > math.MaxInt64 {
			return fmt.Errorf("ledger row %d has sequence number %d", r.Index, r.Seq)
		}
		var envelope any
		if r.Envelope != 0 {
			envelope = r.Envelope
		}
		args = append(args, r.Index, blob(r.Row), saltBlob(r.Salt), blob(r.Event), saltBlob(r.EventSalt),
			string(r.Device), epochBlob(r.Epoch), int64(r.Seq), nanos(r.At), envelope)
	}
	return t.insert("INSERT INTO ledger ("+ledgerColumns+") VALUES ", 10, args)
}

// insertSizes are the row counts multi-row inserts are prepared for.
var insertSizes = []int{64, 8, 1}

// insert writes args, width values a row, in as few statements as its sizes allow.
func (t *tx) insert(head string, width int, args []any) error {
	one := "(?" + strings.Repeat(",?", width-1) + ")"
	for _, n := range insertSizes {
		query := head + one + strings.Repeat(","+one, n-1)
		for len(args) >= n*width {
			if _, err := t.c.run(query, args[:n*width]...); err != nil {
				return err
			}
			args = args[n*width:]
		}
	}
	return nil
}

// hashesPerRun fills one page's cell: 126 × 32 bytes stay just below what would
// overflow into another page of 4 KiB.
const hashesPerRun = 126

const hashSize = len(record.Hash{})

// Hashes reads tree hashes by stored-hash index.
func (t *tx) Hashes(indexes []int64) ([]record.Hash, error) {
	out := make([]record.Hash, len(indexes))
	var start int64
	var run []byte // the run read last: neighbours often share it
	for i, x := range indexes {
		if len(run) == 0 || x < start || x >= start+int64(len(run)/hashSize) {
			err := t.row("SELECT start, hashes FROM tree WHERE start <= ? ORDER BY start DESC LIMIT 1", []any{x}, &start, &run)
			if err != nil {
				return nil, fmt.Errorf("tree hash %d: %w", x, err)
			}
		}
		at := (x - start) * int64(hashSize)
		if at+int64(hashSize) > int64(len(run)) {
			return nil, fmt.Errorf("tree hash %d: %w", x, store.ErrNotFound)
		}
		copy(out[i][:], run[at:])
	}
	return out, nil
}

// AppendHashes adds hashes at the end; from must say so.
func (t *tx) AppendHashes(from int64, hashes []record.Hash) error {
	next, err := t.c.int64("SELECT coalesce((SELECT start + length(hashes) / 32 FROM tree ORDER BY start DESC LIMIT 1), 0)")
	if err != nil {
		return err
	}
	if from != next {
		return fmt.Errorf("tree hash %d where %d is next", from, next)
	}
	for len(hashes) > 0 {
		n := min(hashesPerRun, len(hashes))
		run := make([]byte, 0, n*hashSize)
		for _, h := range hashes[:n] {
			run = append(run, h[:]...)
		}
		if _, err := t.c.run("INSERT INTO tree (start, hashes) VALUES (?, ?)", from, run); err != nil {
			return err
		}
		from, hashes = from+int64(n), hashes[n:]
	}
	return nil
}

// Checkpoint is the newest signed note.
func (t *tx) Checkpoint() ([]byte, error) {
	var note []byte
	err := t.row("SELECT note FROM checkpoint", nil, &note)
	return note, err
}

// PutCheckpoint replaces the note. Only the newest is kept: an older one, validly
// signed, is what somebody who cuts the tail would want to find here.
func (t *tx) PutCheckpoint(size int64, note []byte) error {
	_, err := t.c.run("INSERT INTO checkpoint (id, size, note) VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note", size, note)
	return err
}

// Envelope is a signed batch head as received.
func (t *tx) Envelope(id int64) ([]byte, error) {
	var b []byte
	err := t.row("SELECT envelope FROM envelopes WHERE id = ?", []any{id}, &b)
	return b, err
}

// AppendEnvelope keeps a signed batch head.
func (t *tx) AppendEnvelope(device record.DeviceID, epoch record.Epoch, first uint64, count int, envelope []byte) (int64, error) {
	r, err := t.c.run("INSERT INTO envelopes (device, epoch, first, count, envelope) VALUES (?, ?, ?, ?, ?)",
		string(device), epoch[:], int64(first), count, envelope)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}
