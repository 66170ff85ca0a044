//go:build linux && simtime

package e2e_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sekimori/internal/record"
)

// [002-26.2] The hub's operator puts an old copy of the store in
// place of the present one. The witnesses say so, `verify` says so, and what
// the hub lost comes back from the doors.
func TestWitnessesSeeTheHubMisbehave(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	c.at(9, 10, 0)
	c.pass("D31-in", cardP07, pinP07)
	c.pass("D31-out", cardP07, pinP07)
	c.staysInR31(t, 1)
	old := c.backUp()
	size := c.witnessed(t, 1)

	c.at(10, 0, 0)
	c.pass("D31-in", cardP07, pinP07)
	c.pass("D31-out", cardP07, pinP07)
	c.pass("D21-in", cardP01, "")
	c.ctl.card("D21-in", cardP05)
	c.cancelPermit("K8-07", "R31") // a policy the restored hub knows nothing of
	c.con.closeRoom("D31")         // and an order
	eventually(t, 10*time.Second, "閉室", func() bool { return len(c.con.denials("kind=room_closed")) == 1 })
	c.con.order("D31", "reopen", map[string][]string{"reason": {"inspected"}, "checked": {"1"}})
	eventually(t, 10*time.Second, "all rows before", func() bool {
		return len(c.con.stays("R31")) == 2 && len(c.con.stays("R21")) == 1 && len(refusals(c.con.denials(""))) == 1
	})
	before := c.passages()
	c.witnessed(t, size+12)
	held := map[string]string{"DC-31": c.read("DC-31.checkpoint"), "DC-21": c.read("DC-21.checkpoint")}

	c.hub.stop()
	c.putBack(old)
	c.offlineNames(t, "巻戻し", "--against", c.path("DC-31.checkpoint"))
	c.offlineNames(t, "巻戻し", "--against", c.path("DC-21.checkpoint"))
	c.startHub()
	c.con.signIn("yamada")

	t.Run("witnesses raise the alarm, once", func(t *testing.T) {
		for _, id := range []string{"DC-31", "DC-21"} {
			eventually(t, 20*time.Second, "台帳不一致 by "+id, func() bool { return len(c.doubts(id)) > 0 })
		}
		time.Sleep(4 * time.Second) // four heartbeats
		shorter := 0
		for _, id := range []string{"DC-31", "DC-21"} {
			said := map[string]int{}
			for _, d := range c.doubts(id) {
				said[d.Code]++
				if d.Kind.Text != "台帳不一致" || !d.Alarm || len(d.Basis) == 0 {
					t.Errorf("doubt: %+v", d)
				}
			}
			if said["SK-1201"] > 1 || said["SK-1202"] > 1 || len(said) != said["SK-1201"]+said["SK-1202"] {
				t.Errorf("%s said %v", id, said)
			}
			shorter += said["SK-1201"]
		}
		// What comes back from the doors makes the log as long again, with
		// another past: who connects late sees only that.
		if shorter == 0 {
			t.Error("no witness saw the log shorter than it was")
		}
		eventually(t, 10*time.Second, "the hub's own finding", func() bool {
			for _, d := range c.con.denials("kind=" + findingKind) {
				if d.Reason.Code == "witness_ahead" && d.Alarm && d.Code == "SK-1201" {
					return true
				}
			}
			return false
		})
	})
	t.Run("no witness gives up what it held", func(t *testing.T) {
		c.exportCheckpoints()
		for id, note := range held {
			if c.read(id+".checkpoint") != note {
				t.Errorf("%s holds another checkpoint than before the rollback", id)
			}
			c.offlineNames(t, "改変", "--against", c.path(id+".checkpoint")) // as long again, with another past
		}
	})
	t.Run("what the hub lost comes back once", func(t *testing.T) {
		eventually(t, 30*time.Second, "rows again", func() bool { return reflect.DeepEqual(c.passages(), before) })
		time.Sleep(2 * time.Second)
		if got := c.passages(); !reflect.DeepEqual(got, before) {
			t.Errorf("rows %v, before %v", got, before)
		}
		for _, d := range c.con.denials("kind=hub.evidence_gap") {
			t.Errorf("evidence missing: %+v", d)
		}
	})
	t.Run("policies and orders go on above", func(t *testing.T) {
		c.at(11, 0, 0)
		c.cancelPermit("K8-07", "R21") // this time the other room
		c.pass("D21-in", cardP08, "")
		c.con.closeRoom("D31")
		eventually(t, 10*time.Second, "閉室 again", func() bool {
			l := c.con.denials("kind=room_closed")
			return len(l) > 0 && l[len(l)-1].At.After(baseDay(10, 59, 0))
		})
		for _, kind := range []string{"policy_rejected", "order_rejected"} {
			for _, d := range c.con.denials("kind=" + kind) {
				t.Errorf("refused by its door: %+v", d)
			}
		}
	})
}

// A hub restored from before a controller's first fact is told everything.
func TestWitnessHubRestoredFromBeforeTheFirstFact(t *testing.T) {
	c := prepare(t, baseDay(9, 0, 0))
	c.startHub()
	for _, id := range []string{"DC-31", "DC-21"} {
		c.enrol(id)
	}
	old := c.backUp()
	for _, a := range c.agents {
		a.start()
	}
	c.waitReady()
	c.pass("D31-in", cardP07, pinP07)
	c.staysInR31(t, 1)
	c.hub.stop()
	c.putBack(old)
	c.startHub()
	c.con.signIn("yamada")
	eventually(t, 30*time.Second, "the row again", func() bool { return len(c.con.stays("R31")) == 1 })
	for _, d := range c.con.denials("kind=hub.evidence_gap") {
		t.Errorf("evidence missing: %+v", d)
	}
}

// [002-26.2] A name changed in the file of the store, byte for byte as long.
func TestWitnessVerifyNamesAChangedRow(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	c.pass("D31-in", cardP07, pinP07)
	c.pass("D31-out", cardP07, pinP07)
	c.staysInR31(t, 1)
	c.exportCheckpoints()
	c.hub.stop()
	good := c.path("hub/hub.db")
	if out, err := c.verify("--store", good, "--against", c.path("DC-31.checkpoint")); err != nil {
		t.Fatalf("the untouched copy: %v\n%s", err, out)
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	name, other := []byte("𠮷田"), []byte("𠮸田")
	if len(name) != len(other) || !bytes.Contains(b, name) {
		t.Fatal("the fixture's name is not in the file of the store")
	}
	bad := c.path("changed.db")
	if err := os.WriteFile(bad, bytes.ReplaceAll(b, name, other), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := c.verify("--store", bad)
	if err == nil || err.Error() != "exit 2" {
		t.Errorf("verify of a changed copy: %v, want exit 2", err)
	}
	for _, want := range []string{"改変", "REG-01 R31 2026年度 通番1 "} {
		if !strings.Contains(out, want) {
			t.Errorf("verify does not say %q:\n%s", want, out)
		}
	}
}

func (c *city) staysInR31(t *testing.T, n int) {
	t.Helper()
	eventually(t, 10*time.Second, "stays in R31", func() bool { return len(c.con.stays("R31")) == n })
}

// storeFiles are what a copy of the store is made of.
var storeFiles = []string{"hub.db", "hub.db-wal"}

// backUp stops the hub, copies its store, and goes on.
func (c *city) backUp() (dir string) {
	c.t.Helper()
	c.hub.stop()
	dir = c.path("backup")
	if err := os.Mkdir(dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.copyFiles(dir, c.path("hub"))
	c.startHub()
	c.con.signIn("yamada")
	return dir
}

// putBack puts a copy in place of a stopped hub's store.
func (c *city) putBack(dir string) {
	c.t.Helper()
	for _, name := range append(storeFiles, "hub.db-shm") {
		if err := os.Remove(c.path("hub/" + name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.t.Fatal(err)
		}
	}
	c.copyFiles(c.path("hub"), dir)
}

func (c *city) copyFiles(to, from string) {
	c.t.Helper()
	for _, name := range storeFiles {
		b, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) && name != storeFiles[0] {
			continue // a store that was closed has no log beside it
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// exportCheckpoints writes what both witnesses hold to <device>.checkpoint.
func (c *city) exportCheckpoints() {
	c.t.Helper()
	for _, id := range []string{"DC-31", "DC-21"} {
		c.write(id+".checkpoint", once(c.t, c.env(id), "", filepath.Join(bin, "sekimori-agent"), "checkpoint", "--settings", c.path(id+".yaml")))
	}
}

// checkpoint reads an exported one; a note's text ends at its empty line.
func (c *city) checkpoint(id string) record.Checkpoint {
	c.t.Helper()
	text, _, _ := strings.Cut(c.read(id+".checkpoint"), "\n\n")
	cp, err := record.ParseCheckpoint(text + "\n")
	if err != nil {
		c.t.Fatal(err)
	}
	return cp
}

// witnessed waits until both witnesses hold the same checkpoint of at least so
// many rows, exports it, and returns its size.
func (c *city) witnessed(t *testing.T, atLeast int64) (size int64) {
	t.Helper()
	eventually(t, 15*time.Second, "both witnesses hold the newest checkpoint", func() bool {
		c.exportCheckpoints()
		size = c.checkpoint("DC-31").Size
		return size >= atLeast && c.checkpoint("DC-31") == c.checkpoint("DC-21")
	})
	return size
}

// offlineNames verifies a copy of the store and wants it to be found unsound
// for a named reason.
func (c *city) offlineNames(t *testing.T, damage string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	c.copyFiles(dir, c.path("hub"))
	out, err := c.verify(append([]string{"--store", filepath.Join(dir, "hub.db")}, args...)...)
	if err == nil || err.Error() != "exit 2" || !strings.Contains(out, damage) {
		t.Errorf("verify %v: %v, want exit 2 and %s\n%s", args, err, damage, out)
	}
}

func (c *city) doubts(id string) (out []denial) {
	c.t.Helper()
	for _, d := range c.con.denials("kind=ledger_doubt") {
		if d.Device == id {
			out = append(out, d)
		}
	}
	return out
}

// passages is who went where and when, and who did not.
func (c *city) passages() (out []string) {
	c.t.Helper()
	for _, s := range append(c.con.stays("R31"), c.con.stays("R21")...) {
		out = append(out, strings.Join([]string{s.Room, s.Name, clockOf(s.Entered), clockOf(s.Exited)}, " "))
	}
	for _, d := range refusals(c.con.denials("")) {
		out = append(out, strings.Join([]string{d.Room, d.Name, clockOf(&d.At), d.Reason.Text}, " "))
	}
	return out
}

func clockOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
