package timekeeper_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekimori/agent/internal/timekeeper"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// put writes the last-known time as an earlier run would have left it.
func put(t *testing.T, dir string, boot record.BootID, wall time.Time, mono time.Duration, q record.TimeQuality) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"wall": wall, "boot": boot, "mono": mono, "tq": q})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "lasttime.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string, boot record.BootID) (*timekeeper.Keeper, *record.ClockSet) {
	t.Helper()
	return timekeeper.Open(dir, boot)
}

func near(t *testing.T, got, want time.Time) {
	t.Helper()
	if d := got.Sub(want).Abs(); d > time.Second {
		t.Fatalf("clock says %v, want about %v", got, want)
	}
}

// [T-39] A board whose clock is before the last-known time knows only order.
func TestClockBeforeLastKnownTimeIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	future := clock.Now().Add(48 * time.Hour) // seen from there, the OS clock was reset
	put(t, dir, record.NewBootID(), future, time.Hour, record.TimeSynced)
	k, anomaly := open(t, dir, record.NewBootID())
	if anomaly == nil || k.Now().Quality != record.TimeUnsynced {
		t.Fatalf("anomaly %v, quality %s", anomaly, k.Now().Quality)
	}
	near(t, k.Now().Wall, future)
	if k.Now().Wall.Before(future) {
		t.Fatal("the clock went back before the last-known time")
	}
	near(t, k.TLSTime(), future)
	if _, known := k.Zero(); known {
		t.Fatal("events can be dated by an unknown clock")
	}
}

// [T-38] A plausible clock is an estimate until the hub confirms it.
func TestPlausibleClockIsAnEstimate(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, record.NewBootID(), clock.Now().Add(-time.Hour), time.Hour, record.TimeSynced)
	k, anomaly := open(t, dir, record.NewBootID())
	if anomaly != nil || k.Now().Quality != record.TimeEstimated {
		t.Fatalf("anomaly %v, quality %s", anomaly, k.Now().Quality)
	}
	m := clock.Mono()
	set, err := k.HubTime(clock.Now(), m, m)
	if err != nil || set != nil || k.Now().Quality != record.TimeSynced {
		t.Fatalf("set %v, err %v, quality %s", set, err, k.Now().Quality)
	}
}

// A restart within the same boot keeps what the hub said.
func TestRestartInTheSameBootStaysSynced(t *testing.T) {
	dir, boot := t.TempDir(), record.NewBootID()
	truth := clock.Now().Add(72 * time.Hour) // the OS clock is wrong by three days
	put(t, dir, boot, truth, clock.Mono(), record.TimeSynced)
	k, anomaly := open(t, dir, boot)
	if anomaly != nil || k.Now().Quality != record.TimeSynced {
		t.Fatalf("anomaly %v, quality %s", anomaly, k.Now().Quality)
	}
	near(t, k.Now().Wall, truth)
}

// [T-39] Steps: an unconfirmed clock takes the hub's word, a synced one does
// not go back, and a leap of more than a year needs an order.
func TestStepsAreBounded(t *testing.T) {
	dir := t.TempDir()
	k, _ := open(t, dir, record.NewBootID())
	m := clock.Mono()
	truth := clock.Now().Add(-time.Hour)
	set, err := k.HubTime(truth, m, m)
	if err != nil || set == nil || set.Step > -59*time.Minute {
		t.Fatalf("set %+v err %v", set, err)
	}
	near(t, k.Now().Wall, truth)
	for _, wrong := range []time.Duration{-time.Minute, 2 * 366 * 24 * time.Hour} {
		set, err := k.HubTime(truth.Add(wrong), m, m)
		if record.CodeOf(err) != record.CodeClockStep || set == nil {
			t.Fatalf("step %v: set %v, err %v", wrong, set, err)
		}
		near(t, k.Now().Wall, truth)
	}
	later := truth.Add(2 * 366 * 24 * time.Hour)
	k.Allow(later)
	if _, err := k.HubTime(later, m, m); err != nil {
		t.Fatal(err)
	}
	near(t, k.Now().Wall, later)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

// A damaged file leaves a clock that knows only order; the doors are served.
func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lasttime.json"), []byte(`{"wall":`), 0o600); err != nil {
		t.Fatal(err)
	}
	k, anomaly := open(t, dir, record.NewBootID())
	if anomaly == nil || k.Now().Quality != record.TimeUnsynced {
		t.Fatalf("anomaly %v, quality %s", anomaly, k.Now().Quality)
	}
}

// Reading the clock, on the way of a card to the lock, never waits for the disk;
// what the hub said is kept by the next Save, and by that one only.
func TestOnlySaveWrites(t *testing.T) {
	dir := t.TempDir()
	k, _ := open(t, dir, record.NewBootID())
	written := func() bool {
		t.Helper()
		err := os.Remove(filepath.Join(dir, "lasttime.json"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	m := clock.Mono()
	if _, err := k.HubTime(clock.Now().Add(time.Hour), m, m); err != nil {
		t.Fatal(err)
	}
	k.Now()
	if written() {
		t.Fatal("written without Save")
	}
	for n, want := range []bool{true, false, false} {
		if err := k.Save(); err != nil {
			t.Fatal(err)
		}
		if got := written(); got != want {
			t.Errorf("save %d: written %v, want %v", n, got, want)
		}
	}
}

// A Save that fails is tried again by the next one.
func TestSaveIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "away")
	k, _ := open(t, dir, record.NewBootID())
	m := clock.Mono()
	if _, err := k.HubTime(clock.Now().Add(time.Hour), m, m); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(); err == nil {
		t.Fatal("saved into a folder that is not there")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "lasttime.json")); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkNow(b *testing.B) {
	k, _ := timekeeper.Open(b.TempDir(), record.NewBootID())
	for b.Loop() {
		k.Now()
	}
}
