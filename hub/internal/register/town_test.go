package register_test

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

var jst = time.FixedZone("JST", 9*60*60)

// at is a time of the fixture's day, 2026-06-15 (acceptance.md §6.0).
func at(clock string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", "2026-06-15 "+clock, jst)
	if err != nil {
		panic(err)
	}
	return t
}

var people = map[record.PersonID]ledger.Resolved{
	"P01": {Person: "P01", Name: "山田 太郎", Section: "総務課", Category: "職員"},
	"P05": {Person: "P05", Name: "﨑山 律子", Section: "市民生活課", Category: "職員"},
	"P07": {Person: "P07", Name: "𠮷田 誠", Section: "総務課情報係", Category: "職員"},
	"P08": {Person: "P08", Name: "中村 保", Section: "㈱関東保守", Category: "委託"},
}

// town is the real store and ledger with a projector on them.
type town struct {
	tb     testing.TB
	st     store.Store
	ledger *ledger.Ledger
	*register.Projector
	register.Reader
	seq   map[record.DeviceID]uint64
	batch []ledger.Fact // not yet appended
}

func newTown(tb testing.TB) *town {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "hub.db"), sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	l, err := ledger.New("sekimori/test", make([]byte, ed25519.SeedSize))
	if err != nil {
		tb.Fatal(err)
	}
	return &town{tb: tb, st: st, ledger: l, seq: map[record.DeviceID]uint64{}, Reader: register.Reader{Store: st},
		Projector: &register.Projector{Store: st, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
}

func (w *town) basis() []string { return []string{"000-7.2", "000-10.1"} }

// device states a fact of a device; late ones are received the next day.
func (w *town) device(d record.DeviceID, kind record.Kind, body any, when time.Time) {
	w.state(d, kind, body, when, when)
}

func (w *town) late(d record.DeviceID, kind record.Kind, body any, when, received time.Time) {
	w.state(d, kind, body, when, received)
}

func (w *town) state(d record.DeviceID, kind record.Kind, body any, when, received time.Time) {
	w.tb.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.seq[d]++
	epoch := record.Epoch{1}
	e := record.Event{V: 1, Device: d, Epoch: epoch, Seq: w.seq[d], Wall: when.UTC(), Quality: record.TimeSynced, Kind: kind, Body: raw}
	b, err := e.Encode()
	if err != nil {
		w.tb.Fatal(err)
	}
	salt := record.Salt{byte(w.seq[d])}
	row := ledger.Row{Kind: kind, At: when.UTC(), Quality: record.TimeSynced, Received: received.UTC(), Late: received.Sub(when) > time.Minute,
		Device: d, Epoch: epoch, Seq: w.seq[d], Event: record.Commitment(salt, b), Via: "agent", Basis: w.basis()}
	switch body := body.(type) {
	case record.Passage:
		if p, ok := people[body.Person]; ok {
			row.Who = &p
		}
	case record.DoorState:
		if p, ok := people[body.By]; ok {
			row.Actor = &p
		}
	}
	w.batch = append(w.batch, ledger.Fact{Row: row, Event: b, EventSalt: salt})
}

// human states a fact of a person.
func (w *town) human(by record.PersonID, kind record.Kind, body any, when time.Time) {
	w.tb.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		w.tb.Fatal(err)
	}
	row := ledger.Row{Kind: kind, At: when.UTC(), Quality: record.TimeSynced, Received: when.UTC(), Via: "console", Body: raw, Basis: w.basis()}
	if p, ok := people[by]; ok {
		row.Actor = &p
	}
	if e, ok := body.(ledger.EntryByHand); ok {
		if p, ok := people[e.Person]; ok {
			row.Who = &p
		}
	}
	w.batch = append(w.batch, ledger.Fact{Row: row})
}

// commit appends what was stated and projects it.
func (w *town) commit() {
	w.tb.Helper()
	err := w.st.Update(w.tb.Context(), func(tx store.Tx) error {
		if _, err := w.ledger.Append(tx, w.batch); err != nil {
			return err
		}
		_, _, err := w.ledger.Seal(tx)
		return err
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.batch = nil
	if err := w.CatchUp(w.tb.Context()); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *town) stays() []register.StayRow {
	w.tb.Helper()
	out, err := w.Stays(w.tb.Context(), store.RegisterFilter{Limit: 100_000})
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

func (w *town) denials() []register.DenialRow {
	w.tb.Helper()
	out, err := w.Denials(w.tb.Context(), store.RegisterFilter{Limit: 100_000})
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

func (w *town) occupants(when time.Time) []register.Occupant {
	w.tb.Helper()
	out, err := w.Occupants(w.tb.Context(), when)
	if err != nil {
		w.tb.Fatal(err)
	}
	return out
}

// all is every stored row, in order.
func (w *town) all() []store.RegisterRow {
	w.tb.Helper()
	var out []store.RegisterRow
	if err := w.st.View(w.tb.Context(), func(tx store.ReadTx) error {
		for r, err := range tx.AllRegisterRows() {
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	}); err != nil {
		w.tb.Fatal(err)
	}
	return out
}

func in(p record.PersonID, room record.RoomCode) record.Passage {
	return record.Passage{Door: record.DoorCode("D" + room[1:]), Room: room, Level: level(room), Direction: record.DirectionIn, Person: p,
		Credential: "0000012345", Method: record.MethodCardPIN}
}

func out(p record.PersonID, room record.RoomCode) record.Passage {
	q := in(p, room)
	q.Direction = record.DirectionOut
	return q
}

func level(room record.RoomCode) record.SecurityLevel { return record.SecurityLevel(room[1] - '0') }

func door(room record.RoomCode) record.DoorState {
	return record.DoorState{Door: record.DoorCode("D" + room[1:]), Room: room, Level: level(room)}
}
