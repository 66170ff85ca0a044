//go:build simtime && linux

package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/internal/record"
)

// diskRoom bounds how long any file of a running program may become: the disk
// is full for it, while small files and its log can still be written.
func (p *proc) diskRoom(bytes uint64) {
	p.t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		p.t.Fatalf("disk of %s: %v", p.name, err)
	}
}

// full leaves room for logs and small files, and none for a journal segment
// that has some rows or for the store.
const full = 12 << 10

// [T-40, T-15] A controller that cannot write down what happens lets nobody in
// and everybody out, says so, and goes on when there is room again.
func TestBadInputFullDiskAtADoor(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	for range 8 { // the journal is past its first pages
		c.pass("D21-in", cardP07, "")
		c.walkOut("D21")
	}
	eventually(t, 10*time.Second, "rows before", func() bool { return len(c.con.stays("R21")) == 8 })
	c.agents["DC-21"].diskRoom(full)
	c.fillJournal("DC-21", "D21-in", cardP05)
	pulses := c.ctl.door("D21").Pulses
	for range 3 {
		c.ctl.card("D21-in", cardP07)
		time.Sleep(300 * time.Millisecond)
	}
	if c.ctl.door("D21").Pulses != pulses {
		t.Error("entry granted although it could not be written down")
	}
	left := len(c.con.denials("kind=exit_without_credential"))
	c.walkOut("D21")
	eventually(t, 10*time.Second, "the exit, from the reserve", func() bool { return len(c.con.denials("kind=exit_without_credential")) == left+1 })
	if !c.agents["DC-21"].running() {
		t.Fatalf("the agent ended: %s", c.agents["DC-21"].tail())
	}

	c.agents["DC-21"].diskRoom(unix.RLIM_INFINITY)
	eventually(t, 20*time.Second, "entry again", func() bool {
		c.ctl.card("D21-in", cardP07)
		time.Sleep(500 * time.Millisecond)
		return c.ctl.door("D21").Pulses > pulses
	})
	c.ctl.walk("D21")
	eventually(t, 10*time.Second, "rows after", func() bool { return len(c.con.stays("R21")) == 9 })
	eventually(t, 10*time.Second, "記録不能", func() bool {
		for _, d := range c.con.denials("kind=journal_full") {
			if d.Kind.Text == "記録不能" && d.Alarm && d.Device == "DC-21" && d.Count >= 3 {
				return true
			}
		}
		return false
	})
	for _, d := range c.con.denials("kind=hub.evidence_gap") {
		t.Errorf("evidence missing: %+v", d)
	}
	c.sound()
}

// fillJournal presents a card that is refused until the journal takes no more:
// the segment that was prepared beforehand is used up first.
func (c *city) fillJournal(id, reader, card string) {
	c.t.Helper()
	for range 60 {
		before := c.journalSize(id)
		c.ctl.card(reader, card)
		deadline := time.Now().Add(500 * time.Millisecond)
		for c.journalSize(id) == before {
			if time.Now().After(deadline) {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	c.t.Fatal("the journal took everything although its disk is full")
}

// journalSize counts the facts in all of a controller's journal.
func (c *city) journalSize(id string) (n int) {
	c.t.Helper()
	segments, err := filepath.Glob(c.path(id + "/journal/*.seg"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range segments {
		b, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		n += bytes.Count(b, []byte(`{"v":1,"device":`))
	}
	return n
}

// walkOut leaves through a door by its exit button.
func (c *city) walkOut(door string) {
	c.t.Helper()
	c.ctl.act(door, "rex", nil)
	c.ctl.walk(door)
	eventually(c.t, 10*time.Second, door+" locked again", func() bool { return c.ctl.door(door).Lock == "locked" })
}

// [T-52] A hub whose disk is full acknowledges nothing and says so; doors go on
// and keep everything, which arrives once there is room again.
func TestBadInputFullDiskAtTheHub(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	c.pass("D31-in", cardP07, pinP07)
	c.staysInR31(t, 1)
	c.hub.diskRoom(full)
	c.pass("D31-out", cardP07, pinP07)
	for range 5 {
		c.pass("D21-in", cardP07, "")
		c.walkOut("D21")
	}
	eventually(t, 10*time.Second, "not ready", func() bool {
		_, status, err := c.con.get("/readyz")
		return err == nil && status == http.StatusServiceUnavailable
	})
	var today struct {
		Stored bool `json:"store_writable"`
	}
	if err := c.con.api("/api/v1/today", &today); err != nil || today.Stored {
		t.Errorf("today: %+v, %v", today, err)
	}
	if body, status := c.con.post("/doors/D31/close", map[string][]string{"reason": {"inspection"}}); status != http.StatusServiceUnavailable || !strings.Contains(body, string(record.CodeStoreFailed)) {
		t.Errorf("an order while nothing can be stored: %d\n%.300s", status, body)
	}
	if l := c.con.stays("R31"); l[0].Exited != nil || len(c.con.stays("R21")) != 0 {
		t.Errorf("a row although nothing could be stored: %+v", l)
	}
	if !strings.Contains(c.read("hub.log"), "facts cannot be stored") {
		t.Error("the hub's log does not say it")
	}

	c.hub.diskRoom(unix.RLIM_INFINITY)
	eventually(t, 40*time.Second, "everything arrives", func() bool {
		return len(c.con.stays("R21")) == 5 && c.con.stays("R31")[0].Exited != nil
	})
	eventually(t, 20*time.Second, "what happened is a row", func() bool {
		for _, d := range c.con.denials("kind=" + findingKind) {
			if d.Reason.Code == "store_failed" && d.Alarm && d.Code == string(record.CodeStoreFailed) {
				return true
			}
		}
		return false
	})
	gapless(t, c.con.stays("R21"))
	for _, d := range c.con.denials("kind=hub.evidence_gap") {
		t.Errorf("evidence missing: %+v", d)
	}
	c.sound()
}
