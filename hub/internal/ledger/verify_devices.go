package ledger

import (
	"encoding/json"
	"errors"
	"fmt"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// devices follows each device's journal through the ledger: who may sign for
// it, where each epoch stands, and which gaps the hub has declared.
type devices struct {
	signatures bool
	checked    int64 // signatures
	keys       map[record.DeviceID][]record.PublicKey
	journals   map[journal]*journalEnd
	gaps       map[journal][]EvidenceGap

	open   int64            // the envelope whose head is at hand
	head   record.BatchHead //
	wrong  *record.Text     // why that head counts for nothing
	isOpen bool
}

type journal struct {
	device record.DeviceID
	epoch  record.Epoch
}

// journalEnd is how far a journal has been followed.
type journalEnd struct {
	seq  uint64
	last record.Hash // commitment of that event
}

func newDevices(signatures bool) *devices {
	return &devices{signatures: signatures, keys: map[record.DeviceID][]record.PublicKey{},
		journals: map[journal]*journalEnd{}, gaps: map[journal][]EvidenceGap{}}
}

// row judges a row among the others of its device. Rows that are damaged in
// themselves say nothing about others.
func (d *devices) row(r *Report, tx store.LedgerReader, c *checkedRow) error {
	for _, fault := range c.faults {
		r.add(c.finding(Changed, fault))
	}
	switch c.row.Kind {
	case KindDeviceEnrolled:
		d.enrolled(c.row.Body)
	case KindEvidenceGap:
		d.gap(c.row.Body)
	}
	if c.row.Seq == 0 {
		return nil
	}
	d.sequence(r, c)
	if d.signatures {
		return d.signature(r, tx, c)
	}
	return nil
}

// enrolled takes a key. An unreadable body belongs to a damaged row, which is
// reported as such; the device's events will then lack a key.
func (d *devices) enrolled(body json.RawMessage) {
	var e DeviceEnrolled
	if json.Unmarshal(body, &e) == nil {
		d.keys[e.Device] = append(d.keys[e.Device], e.Key)
	}
}

func (d *devices) gap(body json.RawMessage) {
	var g EvidenceGap
	if json.Unmarshal(body, &g) == nil {
		j := journal{g.Device, g.Epoch}
		d.gaps[j] = append(d.gaps[j], g)
	}
}

// declared tells whether the hub itself has written down, before this row, that
// something is missing or does not connect between after and before: then it is
// known 証跡欠落 and no damage to the ledger.
func (d *devices) declared(j journal, after, before uint64) bool {
	for _, g := range d.gaps[j] {
		if after == 0 || g.After == after && g.Before == before {
			return true
		}
	}
	return false
}

// sequence checks that an event follows the one before it in its journal.
func (d *devices) sequence(r *Report, c *checkedRow) {
	j := journal{c.row.Device, c.row.Epoch}
	end := d.journals[j]
	if end == nil {
		end = &journalEnd{}
		d.journals[j] = end
	}
	seq := c.row.Seq
	switch {
	case seq <= end.seq:
		r.add(c.finding(Disordered, record.Text{
			JA: fmt.Sprintf("同じ機器の第%d号の後に来ています（重複または入替え）。", end.seq),
			EN: fmt.Sprintf("it comes after event %d of the same device (a duplicate, or swapped).", end.seq)}))
		return
	case seq != end.seq+1 && !d.declared(j, end.seq, seq):
		r.add(c.finding(Missing, record.Text{
			JA: fmt.Sprintf("第%d号から第%d号までがなく、証跡欠落の記録もありません。", end.seq+1, seq-1),
			EN: fmt.Sprintf("events %d to %d are not there, and no row says they were lost.", end.seq+1, seq-1)}))
	case seq == end.seq+1 && c.event.Seq != 0 && c.event.Prev != end.last && !d.declared(j, end.seq, seq):
		r.add(c.finding(Changed, record.Text{
			JA: "機器が直前と述べる事象が、台帳の直前の事象ではありません。", EN: "the event the device names as the one before is another than the ledger's."}))
	}
	end.seq, end.last = seq, c.row.Event
}

// signature checks that the device signed the event's commitment.
func (d *devices) signature(r *Report, tx store.LedgerReader, c *checkedRow) error {
	if !d.isOpen || d.open != c.stored.Envelope {
		if err := d.unseal(tx, c); err != nil {
			return err
		}
	}
	h := &d.head
	switch {
	case d.wrong != nil:
		r.add(c.finding(Changed, *d.wrong))
	case h.Device != c.row.Device || h.Epoch != c.row.Epoch || c.row.Seq < h.First || c.row.Seq-h.First >= uint64(len(h.Commitments)) ||
		h.Commitments[c.row.Seq-h.First] != c.row.Event:
		r.add(c.finding(Changed, record.Text{JA: "機器の署名はこの事象のものではありません。", EN: "the device's signature is not over this event."}))
	}
	return nil
}

// unseal opens the envelope of a row; what is wrong with it goes to d.wrong.
func (d *devices) unseal(tx store.LedgerReader, c *checkedRow) error {
	d.isOpen, d.open, d.head, d.wrong = true, c.stored.Envelope, record.BatchHead{}, nil
	envelope, err := tx.Envelope(c.stored.Envelope)
	switch {
	case errors.Is(err, store.ErrNotFound):
		d.wrong = &record.Text{JA: "機器の署名がありません。", EN: "the device's signature is not there."}
		return nil
	case err != nil:
		return err
	}
	keys := d.keys[c.row.Device]
	if len(keys) == 0 {
		d.isOpen = false // the next row may be of another device
		d.wrong = &record.Text{JA: "この機器の登録が台帳にありません。", EN: "the ledger does not hold the enrolment of this device."}
		return nil
	}
	d.checked++
	if _, err := record.Unseal(keys, record.TypeBatch, envelope, &d.head); err != nil {
		d.wrong = &record.Text{JA: "機器の署名が正しくありません。", EN: "the device's signature does not match."}
	}
	return nil
}
