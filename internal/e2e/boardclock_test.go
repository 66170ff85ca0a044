//go:build linux && simtime

package e2e_test

import (
	"os"
	"testing"
	"time"

	"sekimori/internal/record"
)

// epochZero is what a board without a battery says after a power cut.
var epochZero = time.Unix(0, 0)

// [T-38, T-39, T-51] A board that wakes up in 1970: with the hub it gets in,
// sets its clock and dates its facts anew; without it, it follows its level's
// rule and lets people out.
func TestBoardWithoutClock(t *testing.T) {
	c := prepare(t, baseDay(9, 0, 0))
	c.startHub()
	for _, id := range []string{"DC-31", "DC-21"} {
		c.in1970(id)
		c.enrol(id) // a board fresh from its box
		c.agents[id].start()
	}
	c.waitReady()

	t.Run("enrolled in 1970", func(t *testing.T) {
		at := c.at(9, 10, 0)
		c.pass("D31-in", cardP07, pinP07)
		eventually(t, 5*time.Second, "row", func() bool { return len(c.con.stays("R31")) == 1 })
		s := c.con.stays("R31")[0]
		within(t, "入室", s.Entered, at)
		if s.Quality.Text != "同期" || s.Late {
			t.Errorf("stay: %+v", s)
		}
	})
	t.Run("hub up", func(t *testing.T) {
		at := c.at(10, 0, 0)
		c.in1970("DC-31")
		c.agents["DC-31"].stop()
		c.reboot("DC-31")
		eventually(t, 20*time.Second, "its doubt, dated anew", func() bool { return len(c.datedRows("clock_anomaly", "DC-31")) == 1 })
		row := c.datedRows("clock_anomaly", "DC-31")[0]
		within(t, "時刻異常", &row.At, at)
		if row.Quality.Text != "推定" {
			t.Errorf("row: %+v", row)
		}
		c.synced(t, "DC-31")
		left := c.at(10, 5, 0)
		c.pass("D31-out", cardP07, pinP07)
		eventually(t, 5*time.Second, "row", func() bool { return c.con.stays("R31")[0].Exited != nil })
		within(t, "退室", c.con.stays("R31")[0].Exited, left)
	})
	t.Run("hub up, last-known time lost", func(t *testing.T) {
		c.at(10, 30, 0)
		c.agents["DC-21"].stop()
		if err := os.Remove(c.path("DC-21/lasttime.json")); err != nil {
			t.Fatal(err)
		}
		c.startAgain("DC-21")
		c.synced(t, "DC-21")
		entered := c.at(10, 35, 0)
		c.pass("D21-in", cardP01, "")
		eventually(t, 5*time.Second, "row", func() bool { return len(c.con.stays("R21")) == 1 })
		within(t, "入室", c.con.stays("R21")[0].Entered, entered)
	})
	t.Run("hub down", func(t *testing.T) { c.clocklessWithoutHub(t) })
	c.sound()
}

// clocklessWithoutHub: the rule of both doors is no entry at an unknown time.
func (c *city) clocklessWithoutHub(t *testing.T) {
	c.hub.stop()
	c.at(11, 0, 0)
	for _, id := range []string{"DC-31", "DC-21"} {
		c.in1970(id)
		c.agents[id].stop()
		c.reboot(id)
	}
	refused := c.at(11, 5, 0)
	p31, p21 := c.ctl.door("D31").Pulses, c.ctl.door("D21").Pulses
	count := c.refuse("DC-31", "D31-in", cardP07) + c.refuse("DC-21", "D21-in", cardP08)
	if c.ctl.door("D31").Pulses != p31 || c.ctl.door("D21").Pulses != p21 {
		t.Error("entry granted at an unknown time")
	}
	left := c.at(11, 10, 0)
	for _, door := range []string{"D31", "D21"} {
		c.ctl.act(door, "rex", map[string]any{"ms": 1500})
		if !c.ctl.released(door, time.Second) {
			t.Errorf("%s: not released within 1 s of the exit button", door)
		}
		c.ctl.walk(door)
	}
	received := c.at(11, 30, 0)
	c.startHub()
	c.con.signIn("yamada")
	eventually(t, 30*time.Second, "refusals and exits", func() bool {
		return len(refusals(c.con.denials(""))) == count && len(c.datedRows("exit_without_credential", "DC-31")) == 1 &&
			c.con.stays("R21")[0].Exited != nil
	})
	for _, row := range c.datedRows("access_denied", "") {
		within(t, "拒否", &row.At, refused)
		within(t, "受信", &row.Received, received)
		if row.Reason.Text != "時刻異常" || row.Quality.Text != "推定" || !row.Late {
			t.Errorf("refusal: %+v", row)
		}
	}
	row := c.datedRows("exit_without_credential", "DC-31")[0]
	within(t, "退室", &row.At, left)
	if row.Quality.Text != "推定" || !row.Late {
		t.Errorf("exit: %+v", row)
	}
	within(t, "退室 of the only one inside", c.con.stays("R21")[0].Exited, left)
}

// in1970 makes a board's own clock say 1970 from now on.
func (c *city) in1970(id string) {
	c.t.Helper()
	c.ctl.skew(id, epochZero.Sub(c.ctl.state().Clock.Simulated))
}

// refuse presents a card until its controller has written down a refusal: one
// that has just started may miss the first. It returns how many there are.
func (c *city) refuse(id, reader, card string) (n int) {
	c.t.Helper()
	var last time.Time
	eventually(c.t, 10*time.Second, id+" refuses", func() bool {
		if time.Since(last) > time.Second {
			c.ctl.card(reader, card)
			last = time.Now()
		}
		n = c.journaledKind(id, record.KindDenied)
		return n > 0
	})
	return n
}

// journaledKind counts the facts of a kind in a controller's journal.
func (c *city) journaledKind(id string, kind record.Kind) (n int) {
	c.t.Helper()
	events, _ := c.journaled(id)
	for _, b := range events {
		if e, err := record.DecodeEvent(b); err == nil && e.Kind == kind {
			n++
		}
	}
	return n
}

// synced waits until the hub calls a controller's clock 同期.
func (c *city) synced(t *testing.T, id string) {
	t.Helper()
	eventually(t, 20*time.Second, id+" synced", func() bool {
		devices, err := c.con.devices()
		for _, d := range devices {
			if d.Device == id {
				return err == nil && d.Fresh && d.Clock.Text == "同期"
			}
		}
		return false
	})
}

// dated is a row of 不許可・異常一覧 with its 時刻品質, and whether its state goes on.
type dated struct {
	denial
	Quality word `json:"time_quality"`
	Open    bool `json:"open"`
}

// datedRows lists rows of a kind, of one device or of all.
func (c *city) datedRows(kind, device string) (out []dated) {
	c.t.Helper()
	l, err := rows[dated](c.con, "/api/v1/registers/denials?kind="+kind)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, d := range l {
		if device == "" || d.Device == device {
			out = append(out, d)
		}
	}
	return out
}
