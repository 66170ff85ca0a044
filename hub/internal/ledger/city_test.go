package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

// device is a board that signs batches.
type device struct {
	id     record.DeviceID
	signer *record.Signer
	epoch  record.Epoch
	seq    uint64
	prev   record.Hash
	sent   uint64
}

func mustDevice(tb testing.TB, id record.DeviceID) *device {
	tb.Helper()
	sum := sha256.Sum256([]byte(id))
	s, err := record.NewSigner(ed25519.NewKeyFromSeed(sum[:]))
	if err != nil {
		tb.Fatal(err)
	}
	return &device{id: id, signer: s, epoch: record.NewEpoch()}
}

func (d *device) enrolled() ledger.Fact {
	body, _ := json.Marshal(ledger.DeviceEnrolled{Device: d.id, Key: d.signer.Public()})
	return ledger.Fact{Row: ledger.Row{Kind: ledger.KindDeviceEnrolled, At: day, Received: day, Body: body}}
}

// batch makes n events and what the hub makes of them. before may change an
// event before it is signed.
func (d *device) batch(tb testing.TB, tx store.Tx, n int, before func(i int, e *record.Event)) []ledger.Fact {
	tb.Helper()
	first := d.seq + 1
	var events [][]byte
	var salts []record.Salt
	var facts []ledger.Fact
	for i := range n {
		d.seq++
		body, _ := json.Marshal(record.Passage{Door: "D31", Room: "R31", Level: 3, Direction: record.DirectionIn, Person: "P07", Credential: "C-0007"})
		e := record.Event{V: 1, Device: d.id, Epoch: d.epoch, Seq: d.seq, Prev: d.prev, Wall: day.Add(time.Duration(d.seq) * time.Second),
			Quality: record.TimeSynced, Kind: record.KindGranted, Pack: "standard", Body: body}
		if before != nil {
			before(i, &e)
		}
		b, err := e.Encode()
		if err != nil {
			tb.Fatal(err)
		}
		salt := record.NewSalt()
		d.prev = record.Commitment(salt, b)
		events, salts = append(events, b), append(salts, salt)
		facts = append(facts, ledger.Fact{Event: b, EventSalt: salt, Row: ledger.Row{Kind: e.Kind, At: e.Wall, Quality: e.Quality, Received: e.Wall,
			Device: d.id, Epoch: d.epoch, Seq: d.seq, Event: d.prev, Who: &ledger.Resolved{Person: "P07", Name: "髙橋 誠", Section: "市民課"}, Basis: []string{"000-7.2"}}})
	}
	d.sent++
	b, err := record.SealBatch(d.signer, record.BatchHead{Device: d.id, Epoch: d.epoch, First: first, Sent: d.sent}, events, salts)
	if err != nil {
		tb.Fatal(err)
	}
	id, err := tx.AppendEnvelope(d.id, d.epoch, first, n, b.Envelope)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range facts {
		facts[i].Envelope = id
	}
	return facts
}

// register is a stand-in for the register package: each grant is a row of
// REG-01, numbered per room.
type register struct{}

func (register) project(tx store.Tx, index int64, row ledger.Row) error {
	if row.Kind != record.KindGranted {
		return nil
	}
	data, err := json.Marshal(map[string]string{"name": row.Who.Name, "section": row.Who.Section})
	if err != nil {
		return err
	}
	_, err = tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", Series: "R31", FiscalYear: 2026, Room: "R31", Person: "P07",
		At: row.At, Index: index, Changed: index, Key: fmt.Sprint(row.Device, row.Epoch, row.Seq), Data: data})
	return err
}

func (p register) Rebuild(_ context.Context, tx store.Tx) error {
	if err := tx.ClearRegisters(); err != nil {
		return err
	}
	size, err := tx.Size()
	if err != nil {
		return err
	}
	for from := int64(0); from < size; from += 500 {
		rows, err := tx.Rows(from, 500)
		if err != nil {
			return err
		}
		for _, r := range rows {
			row, err := ledger.DecodeRow(r.Row)
			if err != nil {
				return err
			}
			if err := p.project(tx, r.Index, row); err != nil {
				return err
			}
		}
	}
	return nil
}

// city is a municipality with two doors and its hub's database, closed.
//
//	rows 0-1    the devices enrolled
//	rows 2-21   DC-31 seq 1-20       REG-01 numbers 1-20
//	rows 22-26  human facts
//	rows 27-36  DC-32 seq 1-10       REG-01 numbers 21-30
//	rows 37-41  DC-31 seq 21-25      REG-01 numbers 31-35
type city struct {
	path  string
	key   string   // of the log
	notes [][]byte // the checkpoint after each commit
	sizes []int64
}

const cityRows = 42

func buildCity(tb testing.TB) city {
	tb.Helper()
	c := city{path: filepath.Join(tb.TempDir(), "hub.db")}
	st, err := sqlite.Open(tb.Context(), c.path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	l := mustLedger(tb)
	c.key = l.VerifierKey()
	d31, d32 := mustDevice(tb, "DC-31"), mustDevice(tb, "DC-32")
	for _, make := range []func(store.Tx) []ledger.Fact{
		func(store.Tx) []ledger.Fact { return []ledger.Fact{d31.enrolled(), d32.enrolled()} },
		func(tx store.Tx) []ledger.Fact { return d31.batch(tb, tx, 20, nil) },
		func(store.Tx) []ledger.Fact { return starts(5) },
		func(tx store.Tx) []ledger.Fact { return d32.batch(tb, tx, 10, nil) },
		func(tx store.Tx) []ledger.Fact { return d31.batch(tb, tx, 5, nil) },
	} {
		c.commit(tb, st, l, make)
	}
	if err := st.Close(); err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *city) commit(tb testing.TB, st store.Store, l *ledger.Ledger, facts func(store.Tx) []ledger.Fact) {
	tb.Helper()
	mustUpdate(tb, st, func(tx store.Tx) error {
		list := facts(tx)
		first, err := l.Append(tx, list)
		if err != nil {
			return err
		}
		for i, f := range list {
			if err := (register{}).project(tx, first+int64(i), f.Row); err != nil {
				return err
			}
		}
		note, cp, err := l.Seal(tx)
		c.notes, c.sizes = append(c.notes, note), append(c.sizes, cp.Size)
		return err
	})
}

func (c *city) newest() []byte { return c.notes[len(c.notes)-1] }

// verify examines a database file with everything switched on.
func verify(t *testing.T, path string, o ledger.VerifyOptions) *ledger.Report {
	t.Helper()
	if o.LogKey == "" {
		o.LogKey = mustLedger(t).VerifierKey()
	}
	o.Rebuilder = register{}
	r, err := ledger.Verify(t.Context(), mustOpen(t, path), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
