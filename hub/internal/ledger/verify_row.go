package ledger

import (
	"encoding/json"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// checkedRow is what one row says, by itself.
type checkedRow struct {
	stored store.LedgerRow
	leaf   record.Hash
	row    rowFacts
	event  eventFacts
	faults []record.Text // what is wrong with it, whatever stands around it
}

// rowFacts are the fields of Row that Verify judges; the rest is behind the
// hash already.
type rowFacts struct {
	V      int             `json:"v"`
	Kind   record.Kind     `json:"kind"`
	At     time.Time       `json:"at"`
	Device record.DeviceID `json:"device"`
	Epoch  record.Epoch    `json:"epoch"`
	Seq    uint64          `json:"seq"`
	Event  record.Hash     `json:"event"`
	Body   json.RawMessage `json:"body"`
}

// eventFacts are those of record.Event.
type eventFacts struct {
	Device record.DeviceID `json:"device"`
	Epoch  record.Epoch    `json:"epoch"`
	Seq    uint64          `json:"seq"`
	Prev   record.Hash     `json:"prev"`
	Kind   record.Kind     `json:"kind"`
}

func (c *checkedRow) isEvent() bool { return c.stored.Seq != 0 || c.row.Seq != 0 }

func (c *checkedRow) finding(d Damage, detail record.Text) Finding {
	return Finding{Damage: d, Index: c.stored.Index, Device: c.stored.Device, Seq: c.stored.Seq, Detail: detail}
}

func (c *checkedRow) fault(ja, en string) { c.faults = append(c.faults, record.Text{JA: ja, EN: en}) }

// checkRow hashes and decodes a row and compares it with its columns and its
// event.
func checkRow(stored store.LedgerRow) checkedRow {
	c := checkedRow{stored: stored, leaf: Leaf(RowCommitment(stored.Salt, stored.Row))}
	if stored.Row == nil {
		return c
	}
	if err := json.Unmarshal(stored.Row, &c.row); err != nil || c.row.V != RowVersion {
		c.fault("行の内容を読み取れません。", "the row's content cannot be read.")
		return c
	}
	if r := &c.row; r.Device != stored.Device || r.Epoch != stored.Epoch || r.Seq != stored.Seq || !sameColumn(r.At, stored.At) {
		c.fault("索引の欄（機器・番号・時刻）が行の内容と合いません。", "the look-up columns (device, number, time) are not those of the row.")
	}
	c.checkEvent()
	return c
}

// sameColumn compares with what a look-up column can hold: it saturates outside
// of 1678 to 2261.
func sameColumn(row, column time.Time) bool {
	return row.Equal(column) || row.Year() < 1678 || row.Year() > 2261
}

// checkEvent compares a device's event with what the row says of it.
func (c *checkedRow) checkEvent() {
	named := c.row.Event != (record.Hash{})
	switch {
	case !named && c.stored.Event == nil:
		return
	case c.stored.Event == nil:
		c.fault("機器の事象の内容がありません。", "the device's event is not there.")
		return
	case record.Commitment(c.stored.EventSalt, c.stored.Event) != c.row.Event:
		c.fault("機器の事象の内容が、機器の送ったものではありません。", "the event is not the one the device sent.")
		return
	case c.row.Kind == KindOpaqueEvent:
		return // nobody here can read it; its bytes are the signed ones
	}
	if err := json.Unmarshal(c.stored.Event, &c.event); err != nil {
		c.fault("機器の事象の内容を読み取れません。", "the device's event cannot be read.")
		return
	}
	if e := &c.event; e.Device != c.row.Device || e.Epoch != c.row.Epoch || e.Seq != c.row.Seq || e.Kind != c.row.Kind {
		c.fault("行が機器の事象と別のことを述べています。", "the row says something else than the device's event.")
	}
}
