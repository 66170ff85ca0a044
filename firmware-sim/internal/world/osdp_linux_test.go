package world

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"sekimori/firmware-sim/internal/pd"
	"sekimori/firmware-sim/internal/place"
	"sekimori/firmware-sim/internal/site"
	"sekimori/internal/settings"
)

const ownKey = "c0c1c2c3040506070809aabbccddeeff"

// mustWorld opens a city with one reader fresh from the factory and one with
// the settings' key.
func mustWorld(t *testing.T, dir string) *World {
	t.Helper()
	var s site.Site
	if err := settings.Parse("sim.yaml", []byte(`version: 1
controllers:
  - id: C
    buses: [{name: b, baud: 9600}]
    doors: [{id: D, lock: fail-secure}]
    readers:
      - {id: fresh, door: D, kind: osdp, bus: b, address: 1, secure: install}
      - {id: keyed, door: D, kind: osdp, bus: b, address: 2, secure: key, key: 00112233445566778899aabbccddeeff}
`), &s); err != nil {
		t.Fatal(err)
	}
	d, err := place.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(s, d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// TestReadersRemember: what a reader was told outlives the simulator until
// somebody wipes the reader; keys are in its memory only.
func TestReadersRemember(t *testing.T) {
	dir := t.TempDir()
	key, err := pd.ParseKey(ownKey)
	if err != nil {
		t.Fatal(err)
	}
	learnt := pd.Kept{Addr: 7, Baud: 115200, Security: pd.Own, Key: key}
	t.Run("learn", func(t *testing.T) {
		w := mustWorld(t, dir)
		w.readers["fresh"].station.Restore(learnt)
		w.saveReaders()
		state, err := json.Marshal(w.State())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{ownKey, "00112233445566778899aabbccddeeff"} {
			if strings.Contains(strings.ToLower(string(state)), secret) {
				t.Error("the state tells a key")
			}
		}
	})
	t.Run("remember", func(t *testing.T) {
		w := mustWorld(t, dir)
		if got := w.readers["fresh"].station.Kept(); got != learnt {
			t.Errorf("the reader is %s at %d, %d baud", got.Security, got.Addr, got.Baud)
		}
		if !w.readers["keyed"].station.Boxed() {
			t.Error("the other reader learnt something")
		}
		if err := w.Wipe("fresh"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("wiped", func(t *testing.T) {
		w := mustWorld(t, dir)
		if !w.readers["fresh"].station.Boxed() {
			t.Error("the wiped reader remembers")
		}
	})
}
