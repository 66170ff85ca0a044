package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/wareki"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Tx is what the rules need of a transaction.
type Tx interface {
	// OpenRows lists the open rows of exactly this register and series, in no
	// particular order.
	OpenRows(register, series string) ([]store.RegisterRow, error)
	RegisterRows(f store.RegisterFilter) ([]store.RegisterRow, error)
	RegisterRow(register, key string) (store.RegisterRow, error)
	AddRegisterRow(store.RegisterRow) (number int64, err error)
	PutRegisterRow(store.RegisterRow) error
	State(name string) ([]byte, error)
	PutState(name string, value []byte) error
}

// rowLister is the part that only reads.
type rowLister interface {
	RegisterRows(f store.RegisterFilter) ([]store.RegisterRow, error)
}

// Names of the projector's states.
const (
	statePrefix = "register."
	stateCursor = statePrefix + "cursor" // decimal index of the next ledger row
	stateBurst  = statePrefix + "burst." // by device: burst
)

// chunk is how many ledger rows one transaction projects: small enough that
// ingest never waits long for the writer.
const chunk = 100

// Projector keeps the registers up with the ledger. One of a store projects at
// a time.
type Projector struct {
	Store store.Store
	Log   *slog.Logger

	mu   sync.Mutex
	open openRows // guarded by mu; nil when it must be read anew
}

// retry is the wait after a failure: the ledger goes on without its projections.
const retry = time.Second

// Run projects until ctx ends.
func (p *Projector) Run(ctx context.Context) error {
	failed := false
	for ctx.Err() == nil {
		changed := p.Store.Changed()
		more, err := p.behind(ctx)
		if err == nil && more {
			_, err = p.Step(ctx)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if !failed {
				p.Log.Error("registers are behind the ledger", "err", err)
			}
			failed = true
			if clock.Sleep(ctx, retry) != nil {
				return nil
			}
		case more:
			failed = false
		default:
			failed = false
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// behind looks without writing.
func (p *Projector) behind(ctx context.Context) (more bool, err error) {
	err = p.Store.View(ctx, func(tx store.ReadTx) error {
		size, err := tx.Size()
		if err != nil {
			return err
		}
		next, err := cursor(tx)
		more = next < size
		return err
	})
	return more, err
}

// Step projects one chunk and tells how many rows it held.
func (p *Projector) Step(ctx context.Context) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.open
	p.open = nil // what a failed or repeated attempt left in it is not what is stored
	err = p.Store.Update(ctx, func(tx store.Tx) error {
		if open == nil {
			if open, err = loadOpen(tx); err != nil {
				return err
			}
		}
		t := storeTx{tx, open}
		open = nil
		if n, err = step(t); err != nil {
			return err
		}
		p.open = t.open
		return nil
	})
	if err != nil {
		p.open = nil
		return 0, fmt.Errorf("project the ledger: %w", err)
	}
	return n, nil
}

// CatchUp projects everything there is.
func (p *Projector) CatchUp(ctx context.Context) error {
	for {
		n, err := p.Step(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
}

// Rebuilder makes the registers again from the ledger.
type Rebuilder struct{}

// Rebuild drops every register row and projects the ledger anew up to where
// the registers were, all in tx.
func (Rebuilder) Rebuild(ctx context.Context, tx store.Tx) error {
	end, err := cursor(tx)
	if err != nil {
		return err
	}
	if err := clearAll(tx); err != nil {
		return fmt.Errorf("clear registers: %w", err)
	}
	t := storeTx{tx, openRows{}}
	for next := int64(0); next < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := tx.Rows(next, int(min(chunk, end-next)))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break // the ledger is shorter than the registers say; its own check names that
		}
		if err := project(t, rows); err != nil {
			return err
		}
		next = rows[len(rows)-1].Index + 1
	}
	return tx.PutState(stateCursor, strconv.AppendInt(nil, end, 10))
}

func clearAll(tx store.Tx) error {
	if err := tx.ClearRegisters(); err != nil {
		return err
	}
	states, err := tx.States(statePrefix)
	if err != nil {
		return err
	}
	for name := range states {
		if err := tx.DeleteState(name); err != nil {
			return err
		}
	}
	return nil
}

func step(tx storeTx) (int, error) {
	next, err := cursor(tx)
	if err != nil {
		return 0, err
	}
	rows, err := tx.Rows(next, chunk)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	if err := project(tx, rows); err != nil {
		return 0, err
	}
	last := rows[len(rows)-1].Index
	return len(rows), tx.PutState(stateCursor, strconv.AppendInt(nil, last+1, 10))
}

func cursor(tx store.StateReader) (int64, error) {
	b, err := tx.State(stateCursor)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("register cursor: %w", err)
	}
	return n, nil
}

// project applies ledger rows in order.
func project(tx Tx, rows []store.LedgerRow) error {
	for _, r := range rows {
		if len(r.Row) == 0 {
			continue // erased after its term
		}
		f, err := read(r)
		if err != nil {
			return fmt.Errorf("ledger row %d: %w", r.Index, err)
		}
		if err := apply(tx, f); err != nil {
			return fmt.Errorf("ledger row %d (%s): %w", r.Index, f.Kind, err)
		}
	}
	return nil
}

// fact is a ledger row with the body of whoever stated it.
type fact struct {
	ledger.Row
	index int64
	body  json.RawMessage
}

func read(r store.LedgerRow) (fact, error) {
	row, err := ledger.DecodeRow(r.Row)
	if err != nil {
		return fact{}, err
	}
	f := fact{Row: row, index: r.Index, body: row.Body}
	if row.Seq == 0 {
		return f, nil
	}
	f.body = nil // a device's fact is what the device signed
	if row.Kind == ledger.KindOpaqueEvent {
		return f, nil
	}
	if e, err := record.DecodeEvent(r.Event); err == nil {
		f.body = e.Body
	}
	return f, nil
}

// of reads the body as its type; what cannot be read is reported by apply.
func (f fact) into(v any) bool { return len(f.body) > 0 && json.Unmarshal(f.body, v) == nil }

// year is the 年度 a row is numbered in: that of its event.
func year(at time.Time) int { return wareki.FiscalYear(at) }

// key is a row's key: a ledger row makes at most one row of a register.
func (f fact) key() string { return "L" + strconv.FormatInt(f.index, 10) }

func encode(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("register data: %w", err)
	}
	return b, nil
}

// apply is the rules' one entrance.
func apply(tx Tx, f fact) error {
	byDevice := f.Seq > 0
	switch f.Kind {
	case record.KindEntered, record.KindKeyEntry:
		return passage(tx, f, entered)
	case record.KindExited:
		return passage(tx, f, exited)
	case record.KindDenied, record.KindAttemptsSpent:
		return passage(tx, f, denied)
	case record.KindExitFree:
		return doorState(tx, f, exitFree)
	case record.KindFireRelease:
		return doorState(tx, f, fireRelease)
	case record.KindFireEnded:
		return doorState(tx, f, fireEnded)
	case record.KindForcedOpen, record.KindHeldOpen, record.KindRoomClosed:
		return doorState(tx, f, doorBegins)
	case record.KindDoorClosed, record.KindRearmed, record.KindRoomReopened:
		return doorState(tx, f, doorEnds)
	case record.KindReaderOffline, record.KindReaderUntrusted, record.KindTamper, record.KindWiringFault:
		return equipment(tx, f, false)
	case record.KindReaderOnline, record.KindReaderTrusted, record.KindTamperEnded:
		return equipment(tx, f, true)
	case record.KindDoorEquipped:
		return equipped(tx, f)
	case record.KindInputActive, record.KindInputFault, record.KindInputCleared:
		return contact(tx, f)
	case record.KindClockAnomaly, record.KindJournalFull, record.KindLedgerDoubt, record.KindPolicyRejected, record.KindOrderRejected,
		ledger.KindOpaqueEvent:
		return plain(tx, f)
	}
	if byDevice {
		return nil // a device cannot state what people state
	}
	switch f.Kind {
	case ledger.KindEntryByHand:
		return entryByHand(tx, f)
	case ledger.KindStayClosed:
		return stayClosed(tx, f)
	case ledger.KindSecurityFinding:
		return securityFinding(tx, f)
	case ledger.KindEvidenceGap:
		return evidenceGap(tx, f)
	case ledger.KindSignInFailed:
		return plain(tx, f)
	}
	return nil
}

func passage(tx Tx, f fact, rule func(Tx, fact, record.Passage) error) error {
	var p record.Passage
	if !f.into(&p) {
		return unreadable(tx, f)
	}
	return rule(tx, f, p)
}

func doorState(tx Tx, f fact, rule func(Tx, fact, record.DoorState) error) error {
	var d record.DoorState
	if !f.into(&d) {
		return unreadable(tx, f)
	}
	return rule(tx, f, d)
}
