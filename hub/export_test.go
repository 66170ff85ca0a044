package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/hub"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

const cardNumber = "0000012345"

var noon = time.Date(2026, 6, 15, 3, 0, 0, 0, time.UTC)

// fill makes a store with one fact of each sort and one register row.
func fill(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "hub.db")
	st, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := ledger.New("sekimori/test", bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	declared := mustJSON(t, store.MasterItem{Kind: "credential", ID: cardNumber, Data: mustJSON(t, map[string]string{"id": cardNumber, "person": "P07"})})
	event := record.Event{V: record.EventVersion, Device: "DC-21", Epoch: record.Epoch{7}, Seq: 3, Mono: 9_007_199_254_740_993,
		Wall: noon, Quality: record.TimeSynced, Kind: record.KindGranted, Body: mustJSON(t, record.Passage{Door: "D21", Room: "R21", Person: "P07", Credential: cardNumber, Grant: "g1"})}
	bytesOf, err := event.Encode()
	if err != nil {
		t.Fatal(err)
	}
	salt := record.Salt{5}
	facts := []ledger.Fact{
		{Row: ledger.Row{Kind: ledger.KindMasterDeclared, At: noon, Received: noon, Body: declared}},
		{Row: ledger.Row{Kind: event.Kind, At: noon, Received: noon.Add(time.Second), Device: event.Device, Epoch: event.Epoch, Seq: event.Seq,
			Event: record.Commitment(salt, bytesOf), Who: &ledger.Resolved{Person: "P07", Name: "𠮷田 誠"}}, Event: bytesOf, EventSalt: salt},
		{Row: ledger.Row{Kind: ledger.KindOpaqueEvent, At: noon, Received: noon, Device: "DC-21", Epoch: event.Epoch, Seq: 4, Event: record.Commitment(salt, []byte("?"))},
			Event: []byte("?"), EventSalt: salt},
	}
	err = st.Update(t.Context(), func(tx store.Tx) error {
		if _, err := log.Append(tx, facts); err != nil {
			return err
		}
		_, err := tx.AddRegisterRow(store.RegisterRow{Register: "REG-01", Series: "R21", FiscalYear: 2026, Key: "g1", At: noon,
			Index: 1, Changed: 1, Open: true, Data: mustJSON(t, map[string]any{"room": "R21", "credential": cardNumber, "seq": 3})})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustJSON(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// [001-4.4(4)] Everything is there, in order, and no card number.
func TestExport(t *testing.T) {
	var out bytes.Buffer
	if err := hub.Export(t.Context(), hub.Settings{}, fill(t), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), cardNumber) || !strings.Contains(out.String(), "…2345") {
		t.Errorf("card numbers are not masked:\n%s", out.String())
	}
	var lines []map[string]any
	for text := range strings.Lines(out.String()) {
		var l map[string]any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 3 facts and 1 register row:\n%s", len(lines), out.String())
	}
	for i, kind := range []record.Kind{ledger.KindMasterDeclared, record.KindGranted, ledger.KindOpaqueEvent} {
		if l := lines[i]; l["table"] != "ledger" || l["index"] != json.Number([]string{"0", "1", "2"}[i]) || l["kind"] != string(kind) {
			t.Errorf("line %d: %v", i, l)
		}
	}
	granted := lines[1]
	if granted["device"] != "DC-21" || granted["seq"] != json.Number("3") || granted["mono"] != json.Number("9007199254740993") ||
		granted["body"].(map[string]any)["grant"] != "g1" || granted["who"].(map[string]any)["name"] != "𠮷田 誠" {
		t.Errorf("granted: %v", granted)
	}
	if r := lines[3]; r["table"] != "register" || r["register"] != "REG-01" || r["series"] != "R21" || r["number"] != json.Number("1") || r["open"] != true ||
		r["data"].(map[string]any)["seq"] != json.Number("3") {
		t.Errorf("register row: %v", r)
	}
}

func TestExportFailsAloud(t *testing.T) {
	path := fill(t)
	if err := hub.Export(t.Context(), hub.Settings{}, path+".missing", &bytes.Buffer{}); err == nil {
		t.Error("no error for a store that is not there")
	}
	if err := hub.Export(t.Context(), hub.Settings{}, path, fullDisk{}); err == nil {
		t.Error("no error for lines that could not be written")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hub.Export(ended, hub.Settings{}, path, &bytes.Buffer{}); err == nil {
		t.Error("no error for an export that was broken off")
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, store.ErrFull }
