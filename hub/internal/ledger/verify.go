package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Rebuilder makes the registers again from the ledger. Package register offers
// it; Verify compares its work with what the copy holds.
type Rebuilder interface {
	// Rebuild drops every register row, and whatever the projection remembers,
	// and projects the ledger again as far as the registers had come: rows that
	// were not yet projected when the copy was made are no damage.
	Rebuild(ctx context.Context, tx store.Tx) error
}

// VerifyOptions says what to compare with.
type VerifyOptions struct {
	// LogKey is the note verifier key of the ledger's checkpoints. It must not
	// come from the copy under test.
	LogKey string
	// Against are checkpoints that witnesses exported.
	Against [][]byte
	// SkipSignatures leaves the devices' signatures out.
	SkipSignatures bool
	// Rebuilder compares the registers too, inside a transaction that is always
	// rolled back; nil leaves them out. The store must then be writable.
	Rebuilder Rebuilder
}

// Verify examines a store, best a copy of one, without network and without the
// hub that wrote it. Damage is a finding; an error means that the examination
// itself could not be done.
//
//	row bytes + salt ─▶ leaf ─▶ stored leaf? ─▶ tree ─▶ stored nodes? ─▶ root ─▶ signed checkpoint?
//	     │                                                                  └──▶ witnesses' checkpoints?
//	     └─▶ columns? event bytes + salt? device's signature? seq and chain gapless?
//	registers ◀── compare ──▶ rebuilt
//
// It reads the ledger once, in order, and keeps no more than some thousand rows.
func Verify(ctx context.Context, st store.Store, o VerifyOptions) (*Report, error) {
	v := &verification{opts: o, r: &Report{Signed: !o.SkipSignatures}, devices: newDevices(!o.SkipSignatures)}
	if err := v.witnesses(); err != nil {
		return nil, err
	}
	start := time.Now() // only for Report.Took
	if err := st.View(ctx, func(tx store.ReadTx) error { return v.run(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("verify ledger: %w", err)
	}
	if o.Rebuilder != nil {
		if err := v.registers(ctx, st); err != nil {
			return nil, fmt.Errorf("verify registers: %w", err)
		}
	}
	v.r.sort()
	v.r.Took = time.Since(start)
	return v.r, nil
}

// verification is one run of Verify.
type verification struct {
	opts    VerifyOptions
	r       *Report
	against []record.Checkpoint
	tree    treeCheck
	devices *devices
}

func (v *verification) witnesses() error {
	for i, signed := range v.opts.Against {
		cp, err := record.OpenCheckpoint(v.opts.LogKey, signed)
		if err != nil {
			return fmt.Errorf("witness checkpoint %d: %w", i+1, err)
		}
		v.against = append(v.against, cp)
	}
	v.r.Witnesses = len(v.against)
	return nil
}

func (v *verification) run(ctx context.Context, tx store.ReadTx) error {
	if err := v.newest(tx); err != nil {
		return err
	}
	if err := v.rows(ctx, tx); err != nil {
		return err
	}
	v.ends()
	v.r.Devices = len(v.devices.keys)
	v.r.Signatures = v.devices.checked
	return v.name(tx)
}

// newest reads the copy's own checkpoint.
func (v *verification) newest(tx store.ReadTx) error {
	signed, err := tx.Checkpoint()
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	v.r.Checkpoint, err = record.OpenCheckpoint(v.opts.LogKey, signed)
	if err != nil {
		v.r.add(Finding{Damage: Changed, Index: -1, Detail: record.Text{
			JA: "確認点の署名が、この台帳の鍵のものではありません。", EN: "the checkpoint is not signed by this ledger's key."}})
		v.r.Checkpoint = record.Checkpoint{}
	}
	v.tree.watch(v.r.Checkpoint)
	for _, cp := range v.against {
		v.tree.watch(cp)
	}
	return nil
}

// pageRows is how many rows are read, hashed and decoded at a time.
const pageRows = 2048

// rows walks the ledger. While one page is hashed and decoded by all cores, the
// next is read; judging is done in order.
func (v *verification) rows(ctx context.Context, tx store.ReadTx) error {
	var before *pageCheck
	defer func() { before.wait() }()
	for from := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := tx.Rows(from, pageRows)
		if err != nil {
			return err
		}
		next := startPage(page)
		err = v.judge(tx, before.wait())
		before = next
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return nil
		}
		from = page[len(page)-1].Index + 1
	}
}

// pageCheck is a page whose rows are being checked, each by itself.
type pageCheck struct {
	rows    []checkedRow
	running sync.WaitGroup
}

func startPage(page []store.LedgerRow) *pageCheck {
	p := &pageCheck{rows: make([]checkedRow, len(page))}
	share := (len(page) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for from := 0; from < len(page); from += share {
		to := min(from+share, len(page))
		p.running.Go(func() {
			for i := from; i < to; i++ {
				p.rows[i] = checkRow(page[i])
			}
		})
	}
	return p
}

// wait gives the rows when all are checked; none of a nil page.
func (p *pageCheck) wait() []checkedRow {
	if p == nil {
		return nil
	}
	p.running.Wait()
	return p.rows
}

// judge takes checked rows in order into the tree and the devices' chains.
func (v *verification) judge(tx store.ReadTx, page []checkedRow) error {
	for i := range page {
		c := &page[i]
		v.r.Rows++
		if c.isEvent() {
			v.r.Events++
		}
		if err := v.tree.row(v.r, tx, c); err != nil {
			return err
		}
		if err := v.devices.row(v.r, tx, c); err != nil {
			return err
		}
	}
	return nil
}

// ends judges where the ledger ends.
func (v *verification) ends() {
	v.tree.finish(v.r)
	size, signed := v.tree.edge.size, v.r.Checkpoint
	if size < signed.Size {
		v.r.add(Finding{Damage: TailCut, Index: size, Detail: record.Text{
			JA: fmt.Sprintf("確認点は%d行を証していますが、%d行しかありません。", signed.Size, size),
			EN: fmt.Sprintf("the checkpoint signs for %d rows and there are %d.", signed.Size, size)}})
	}
	if size > signed.Size {
		v.r.add(Finding{Damage: Changed, Index: signed.Size, Detail: record.Text{
			JA: fmt.Sprintf("ここから後の%d行を証する確認点がありません。", size-signed.Size),
			EN: fmt.Sprintf("no checkpoint signs for the %d rows from here on.", size-signed.Size)}})
	}
	for _, cp := range v.against {
		if cp.Size > max(size, signed.Size) {
			v.r.add(Finding{Damage: RolledBack, Index: max(size, signed.Size), Detail: record.Text{
				JA: fmt.Sprintf("証人は%d行まで確認していますが、この写しは%d行までです。", cp.Size, max(size, signed.Size)),
				EN: fmt.Sprintf("a witness has seen %d rows and this copy ends at %d.", cp.Size, max(size, signed.Size))}})
		}
	}
}

// name adds to each finding the register row that its ledger row made, or else
// the first it changed. A cut tail names every register row that lost its
// ledger row.
func (v *verification) name(tx store.ReadTx) error {
	made, changed, tail := map[int64]store.RegisterRow{}, map[int64]store.RegisterRow{}, []store.RegisterRow(nil)
	wanted := map[int64]bool{}
	for _, f := range v.r.Findings {
		wanted[f.Index] = true
	}
	if len(wanted) == 0 {
		return nil
	}
	for row, err := range tx.AllRegisterRows() {
		if err != nil {
			return err
		}
		if wanted[row.Index] {
			keepFirst(made, row.Index, row)
		}
		if wanted[row.Changed] {
			keepFirst(changed, row.Changed, row)
		}
		if row.Index >= v.tree.edge.size && len(tail) < maxFindings {
			tail = append(tail, row)
		}
	}
	for i := range v.r.Findings {
		f := &v.r.Findings[i]
		row, ok := made[f.Index]
		if !ok {
			row, ok = changed[f.Index]
		}
		if ok {
			f.names(row)
		}
	}
	for _, row := range tail {
		if !wanted[row.Index] {
			f := Finding{Damage: TailCut, Index: row.Index, Detail: record.Text{JA: "この行のもとになる台帳の行がありません。", EN: "the ledger row behind it is not there."}}
			f.names(row)
			v.r.add(f)
		}
	}
	return nil
}

func keepFirst(m map[int64]store.RegisterRow, i int64, r store.RegisterRow) {
	if _, there := m[i]; !there {
		m[i] = r
	}
}

func (f *Finding) names(r store.RegisterRow) {
	f.Register, f.Series, f.Year, f.Number = r.Register, r.Series, r.FiscalYear, r.Number
}
