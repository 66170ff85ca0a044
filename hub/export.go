package hub

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"sekimori/hub/internal/console"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

// exportChunk is how many ledger rows are read at once.
const exportChunk = 500

// exportedFact is one line of an export: a row of the ledger as it was bound,
// with the body of the device's event in its place. Salts, signatures and card
// contents are left out, so an export proves nothing; verify does.
type exportedFact struct {
	Table      string        `json:"table"` // "ledger"
	Index      int64         `json:"index"` // from 0, gapless
	ledger.Row               // the row; Body is the event's where it is a device's
	Mono       time.Duration `json:"mono,omitempty"`   // ns since the device's boot, of a device's event
	Erased     bool          `json:"erased,omitempty"` // the bytes are gone after their term; device, epoch, seq and time are left
}

// exportedRow is one line of an export: a row of a register.
type exportedRow struct {
	Table    string          `json:"table"` // "register"
	Register string          `json:"register"`
	Series   string          `json:"series"` // room code where numbering runs per room
	Year     int             `json:"year"`   // 年度
	Number   int64           `json:"number"` // 通番
	Key      string          `json:"key,omitempty"`
	Kind     string          `json:"kind,omitempty"`
	At       time.Time       `json:"at"`
	Until    *time.Time      `json:"until,omitempty"`
	Open     bool            `json:"open,omitempty"`
	Index    int64           `json:"index"`   // ledger row that made it
	Changed  int64           `json:"changed"` // ledger row that last changed it
	Data     json.RawMessage `json:"data"`
}

// Export writes the ledger, then the registers, of the store at path ("": the
// settings' own) to w as JSON lines. All lines are of one moment. Card numbers
// are masked as on every screen [001-4.4(4)].
func Export(ctx context.Context, s Settings, path string, w io.Writer) (err error) {
	if path == "" {
		path = s.store()
	}
	st, err := sqlite.Open(ctx, path, sqlite.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	out := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err = st.View(ctx, func(tx store.ReadTx) error {
		return errors.Join(exportLedger(ctx, tx, enc), exportRegisters(tx, enc))
	})
	return errors.Join(err, out.Flush())
}

func exportLedger(ctx context.Context, tx store.LedgerReader, enc *json.Encoder) error {
	for next := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := tx.Rows(next, exportChunk)
		if err != nil {
			return fmt.Errorf("export the ledger from row %d: %w", next, err)
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			line, err := factLine(r)
			if err != nil {
				return fmt.Errorf("export ledger row %d: %w", r.Index, err)
			}
			if err := enc.Encode(line); err != nil {
				return fmt.Errorf("export ledger row %d: %w", r.Index, err)
			}
		}
		next = rows[len(rows)-1].Index + 1
	}
}

func factLine(r store.LedgerRow) (exportedFact, error) {
	f := exportedFact{Table: "ledger", Index: r.Index}
	if r.Row == nil {
		f.Erased = true
		f.Device, f.Epoch, f.Seq, f.At = r.Device, r.Epoch, r.Seq, r.At
		return f, nil
	}
	var err error
	if f.Row, err = ledger.DecodeRow(r.Row); err != nil {
		return f, err
	}
	// An event this build cannot read is an opaque fact; its row says all there is.
	if e, err := record.DecodeEvent(r.Event); err == nil {
		f.Body, f.Mono = e.Body, e.Mono
	}
	f.Body, err = masked(f.Body)
	return f, err
}

func exportRegisters(tx store.RegisterReader, enc *json.Encoder) error {
	for r, err := range tx.AllRegisterRows() {
		if err != nil {
			return fmt.Errorf("export the registers: %w", err)
		}
		data, err := masked(r.Data)
		if err == nil {
			err = enc.Encode(exportedRow{
				Table: "register", Register: r.Register, Series: r.Series, Year: r.FiscalYear, Number: r.Number, Key: r.Key,
				Kind: r.Kind, At: r.At, Until: r.Until, Open: r.Open, Index: r.Index, Changed: r.Changed, Data: data,
			})
		}
		if err != nil {
			return fmt.Errorf("export %s %s %d number %d: %w", r.Register, r.Series, r.FiscalYear, r.Number, err)
		}
	}
	return nil
}

// masked writes card numbers as their last characters: the field "credential"
// wherever it stands, and the ID of a credential that people declared.
func masked(body json.RawMessage) (json.RawMessage, error) {
	if !bytes.Contains(body, []byte(`credential`)) {
		return body, nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // nanoseconds do not fit a float
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	mask(v)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

func mask(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			mask(x)
		}
	case map[string]any:
		maskField(v, "credential")
		if kind, ok := v["Kind"]; ok && kind == "credential" { // store.MasterItem
			maskField(v, "ID")
			if data, ok := v["Data"].(map[string]any); ok {
				maskField(data, "id")
			}
		}
		for _, x := range v {
			mask(x)
		}
	}
}

func maskField(m map[string]any, name string) {
	if text, ok := m[name].(string); ok {
		m[name] = console.Number(text).String()
	}
}
