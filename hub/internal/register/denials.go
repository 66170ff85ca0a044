package register

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// denied is a refused entry, or the lock-out that follows several [001-4.1(1)].
// A card nobody knows at the strictest level is an alarm, and so is one that
// was reported lost.
func denied(tx Tx, f fact, p record.Passage) error {
	n := newDenial(f)
	n.Kind, n.Reason, n.Room, n.Level, n.Door, n.Reader, n.Direction = f.Kind, p.Reason, p.Room, p.Level, p.Door, p.Reader, p.Direction
	n.Credential, n.Tag, n.Method, n.Notes = p.Credential, p.Tag, p.Method, p.Notes
	if p.Reason == record.ReasonUnknownCredential {
		n.Person, n.Name, n.Section, n.Category = "", "", "", ""
	}
	alarm := p.Reason == record.ReasonUnknownCredential && p.Level == strictest ||
		p.Reason == record.ReasonCredentialLost || f.Kind == record.KindAttemptsSpent
	return addDenial(tx, f, n, alarm)
}

const strictest record.SecurityLevel = 3

// fireRelease is an alarm, and from then on nobody can say who is inside [T-16].
func fireRelease(tx Tx, f fact, d record.DoorState) error {
	open, err := openStays(tx, d.Room, "")
	if err != nil {
		return err
	}
	for _, s := range open {
		if s.Stay.Fire || !precedes(s, f) {
			continue
		}
		s.Stay.Fire = true
		s.Stay.Reasons = addReason(s.Stay.Reasons, ReasonFire)
		if err := putStay(tx, f, s); err != nil {
			return err
		}
	}
	return doorBegins(tx, f, d)
}

// fireEnded makes the stays that went through a release 退室未確認. The release
// itself lasts until a named person re-arms the door [001-3.2].
func fireEnded(tx Tx, f fact, d record.DoorState) error {
	open, err := openStays(tx, d.Room, "")
	if err != nil {
		return err
	}
	for _, s := range open {
		if !s.Stay.Fire || s.Stay.Result == ResultUnconfirmed {
			continue
		}
		s.Stay.Result = ResultUnconfirmed
		s.Stay.Reasons = addReason(s.Stay.Reasons, record.ReasonExitUnconfirmed)
		if err := putStay(tx, f, s); err != nil {
			return err
		}
	}
	return nil
}

// doorBegins opens a row for a state of a door.
func doorBegins(tx Tx, f fact, d record.DoorState) error {
	n := newDenial(f)
	n.Kind, n.Reason, n.Room, n.Level, n.Door, n.Notes, n.By = f.Kind, record.Reason(f.Kind), d.Room, d.Level, d.Door, d.Notes, f.Actor
	alarm := f.Kind == record.KindForcedOpen || f.Kind == record.KindFireRelease
	return addOpen(tx, f, n, alarm)
}

// endsOf tells which states a fact ends.
var endsOf = map[record.Kind][]record.Kind{
	record.KindDoorClosed:    {record.KindForcedOpen, record.KindHeldOpen},
	record.KindRearmed:       {record.KindFireRelease},
	record.KindRoomReopened:  {record.KindRoomClosed},
	record.KindReaderOnline:  {record.KindReaderOffline},
	record.KindReaderTrusted: {record.KindReaderUntrusted},
	record.KindTamperEnded:   {record.KindTamper, record.KindWiringFault},
	record.KindInputActive:   {record.KindInputFault},
	record.KindInputFault:    {record.KindInputActive},
	record.KindInputCleared:  {record.KindInputActive, record.KindInputFault},
}

// doorEnds closes the rows of the states that are over.
func doorEnds(tx Tx, f fact, d record.DoorState) error {
	n := newDenial(f)
	n.Kind, n.Reason, n.Room, n.Level, n.Door, n.By = f.Kind, record.Reason(f.Kind), d.Room, d.Level, d.Door, f.Actor
	return endStates(tx, f, n)
}

// equipment is a reader or a line that fell silent, was opened, or came back
// [001-3.1(1)ウエ].
func equipment(tx Tx, f fact, ended bool) error {
	var b struct {
		Reader record.ReaderID `json:"reader"`
		Door   record.DoorCode `json:"door"`
		Room   record.RoomCode `json:"room"`
		Detail string          `json:"detail"`
	}
	if !f.into(&b) {
		return unreadable(tx, f)
	}
	n := newDenial(f)
	n.Kind, n.Reason, n.Room, n.Door, n.Reader, n.Detail = f.Kind, record.Reason(f.Kind), b.Room, b.Door, b.Reader, b.Detail
	if ended {
		return endStates(tx, f, n)
	}
	return addOpen(tx, f, n, true) // a cut cable is not an absent reader
}

// contact is an auxiliary contact that closed, came to rest, or whose wires are
// cut or shorted. Each state ends the one before; every one but rest is an alarm:
// what is wired to a controller is what somebody must be told of [001-3.1(1)].
func contact(tx Tx, f fact) error {
	var s record.InputState
	if !f.into(&s) {
		return unreadable(tx, f)
	}
	n := newDenial(f)
	n.Kind, n.Reason, n.Room, n.Reader, n.Detail = f.Kind, record.Reason(s.Purpose), s.Room, record.ReaderID(s.Input), s.Detail
	if f.Kind == record.KindInputCleared {
		return endStates(tx, f, n)
	}
	if _, err := endOpen(tx, f, n); err != nil {
		return err
	}
	return addOpen(tx, f, n, true)
}

// endStates closes the open rows a fact ends. An end whose beginning nobody saw
// is a row of its own.
func endStates(tx Tx, f fact, end Denial) error {
	found, err := endOpen(tx, f, end)
	if err != nil || found {
		return err
	}
	return addDenial(tx, f, end, false)
}

// endOpen closes the open rows a fact ends and tells whether there were any.
func endOpen(tx Tx, f fact, end Denial) (found bool, err error) {
	rows, err := tx.OpenRows(Denials, string(end.Room))
	if err != nil {
		return false, err
	}
	slices.SortFunc(rows, func(a, b store.RegisterRow) int { return cmp.Compare(a.Index, b.Index) })
	for _, r := range rows {
		if !slices.Contains(endsOf[f.Kind], record.Kind(r.Kind)) {
			continue
		}
		d, err := denialRow(r)
		if err != nil {
			return found, err
		}
		if d.Denial.Door != end.Door || d.Denial.Reader != end.Reader || d.Denial.Device != end.Device {
			continue
		}
		found = true
		if err := endState(tx, f, d, end.By); err != nil {
			return found, err
		}
	}
	return found, nil
}

func endState(tx Tx, f fact, d DenialRow, by *ledger.Resolved) (err error) {
	at := f.At
	d.Open, d.Until, d.Denial.Until, d.Changed = false, &at, &at, f.index
	if by != nil {
		d.Denial.By = by
	}
	if d.Data, err = encode(d.Denial); err != nil {
		return err
	}
	return tx.PutRegisterRow(d.RegisterRow)
}

// plain is a fact whose kind says it all. What means that evidence is lost or
// doubted is an alarm.
func plain(tx Tx, f fact) error {
	n := newDenial(f)
	n.Kind, n.Reason = f.Kind, record.Reason(f.Kind)
	var b struct {
		Code   record.Code `json:"code"`
		Detail string      `json:"detail"`
		Why    string      `json:"why"`
		Lost   uint64      `json:"lost"`
		User   string      `json:"user"`
	}
	if f.into(&b) {
		n.Code, n.Detail, n.Count = b.Code, b.Detail, b.Lost
		switch {
		case b.Why != "":
			n.Detail = b.Why
		case b.User != "":
			n.Detail = b.User
		}
	}
	alarm := f.Kind == record.KindJournalFull || f.Kind == record.KindLedgerDoubt
	return addDenial(tx, f, n, alarm)
}

// securityFinding is an alarm where it says that a key is in two places or that
// the ledger is not what it was.
func securityFinding(tx Tx, f fact) error {
	var b ledger.SecurityFinding
	if !f.into(&b) {
		return unreadable(tx, f)
	}
	n := newDenial(f)
	n.Kind, n.Reason, n.Code, n.Count, n.Detail = f.Kind, record.Reason(b.Finding), b.Code, b.Count, b.Detail
	n.Device = b.Device
	if b.Device == "" && b.Remote != "" {
		n.Detail = b.Remote + ": " + b.Detail
	}
	alarm := false
	switch b.Code {
	case record.CodeEventChanged, record.CodeLogRolledBack, record.CodeLogForked, record.CodeStoreFailed:
		alarm = true
	}
	return addDenial(tx, f, n, alarm)
}

// evidenceGap is 証跡欠落, open until a named person closes it.
func evidenceGap(tx Tx, f fact) error {
	var b ledger.EvidenceGap
	if !f.into(&b) {
		return unreadable(tx, f)
	}
	n := newDenial(f)
	n.Kind, n.Reason, n.Device, n.Epoch, n.Code = f.Kind, record.Reason(f.Kind), b.Device, b.Epoch, record.CodeGap
	n.Detail = b.Why + "（" + strconv.FormatUint(b.After, 10) + "の後"
	if b.Before > 0 {
		n.Detail += "、" + strconv.FormatUint(b.Before, 10) + "の前"
	}
	n.Detail += "）"
	return addOpen(tx, f, n, true)
}

// unreadable keeps in view what a row says that this build cannot read.
func unreadable(tx Tx, f fact) error {
	n := newDenial(f)
	n.Kind, n.Reason, n.Code, n.Detail = f.Kind, record.Reason(ledger.KindOpaqueEvent), record.CodeMalformed, "記録の内容を読み取れない"
	return addDenial(tx, f, n, false)
}

// newDenial fills in what every row has.
func newDenial(f fact) Denial {
	n := Denial{At: f.At, Received: f.Received, Late: f.Late, Quality: f.Quality, Device: f.Device, Epoch: f.Epoch, Seq: f.Seq, Basis: f.Basis}
	if f.Who != nil {
		n.Person, n.Name, n.Section, n.Category = f.Who.Person, f.Who.Name, f.Who.Section, f.Who.Category
	}
	return n
}

func addOpen(tx Tx, f fact, n Denial, alarm bool) error { return add(tx, f, n, alarm, true) }

func addDenial(tx Tx, f fact, n Denial, alarm bool) error { return add(tx, f, n, alarm, false) }

// add writes a row. A late fact raises no alarm of its own: it is counted in
// one row for its device's catch-up [T-41].
func add(tx Tx, f fact, n Denial, alarm, open bool) error {
	n.Severity = SeverityRecord
	if alarm {
		n.Severity = SeverityAlarm
	}
	if alarm && f.Late {
		n.Severity = SeverityRecord
		if err := catchUp(tx, f); err != nil {
			return err
		}
	}
	return insert(tx, f, n, f.key(), open)
}

func insert(tx Tx, f fact, n Denial, key string, open bool) error {
	data, err := encode(n)
	if err != nil {
		return err
	}
	_, err = tx.AddRegisterRow(store.RegisterRow{
		Register: Denials, Series: string(n.Room), FiscalYear: year(n.At), Key: key,
		Room: string(n.Room), Person: string(n.Person), Door: string(n.Door), Kind: string(n.Kind), Reason: string(n.Reason),
		Severity: n.Severity, At: n.At, Open: open, Late: n.Late, Index: f.index, Changed: f.index, Data: data,
	})
	return err
}

// burst is a device's catch-up: late alarms that arrive close together.
type burst struct {
	Key  string    `json:"key"`
	Last time.Time `json:"last"` // receipt of the newest
}

// burstGap is the silence that ends a catch-up.
const burstGap = 30 * time.Minute

// catchUp counts a late alarm in the row of its device's catch-up.
func catchUp(tx Tx, f fact) error {
	name := stateBurst + string(f.Device)
	var b burst
	switch old, err := tx.State(name); {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(old, &b); err != nil {
			return fmt.Errorf("state %s: %w", name, err)
		}
	}
	if b.Key == "" || f.Received.Sub(b.Last) > burstGap {
		b.Key = "burst/" + string(f.Device) + "/" + f.key()
		n := Denial{Kind: KindCatchUp, Reason: ReasonLate, At: f.Received, Received: f.Received, Quality: record.TimeSynced, Device: f.Device,
			Count: 1, Severity: SeverityAlarm, Detail: "遅れて届いた警報", Basis: f.Basis}
		if err := insert(tx, f, n, b.Key, false); err != nil {
			return err
		}
	} else if err := countLate(tx, f, b.Key); err != nil {
		return err
	}
	if f.Received.After(b.Last) {
		b.Last = f.Received
	}
	value, err := encode(b)
	if err != nil {
		return err
	}
	return tx.PutState(name, value)
}

func countLate(tx Tx, f fact, key string) error {
	r, err := tx.RegisterRow(Denials, key)
	if err != nil {
		return err
	}
	d, err := denialRow(r)
	if err != nil {
		return err
	}
	d.Denial.Count++
	d.Changed = f.index
	if d.Data, err = encode(d.Denial); err != nil {
		return err
	}
	return tx.PutRegisterRow(d.RegisterRow)
}
