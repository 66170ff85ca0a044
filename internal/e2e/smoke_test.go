//go:build linux && !simtime

package e2e_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// P07's card and PIN in the fixture.
const smokeCard, smokePIN = "0000012345", "7007"

// The named smoke set in real time: release builds, no simulated clock. One card
// becomes one row, and so after the hub and after a controller have been
// restarted [000-7.2, T-40, T-52].
func TestSmoke(t *testing.T) {
	c := prepare(t, time.Time{})
	c.importThisYear()
	c.startAll()
	c.waitReady()

	t.Run("entry and exit", func(t *testing.T) {
		before := time.Now()
		c.pass("D31-in", smokeCard, smokePIN)
		eventually(t, 10*time.Second, "one inside", func() bool { return len(c.con.occupants("R31")) == 1 })
		c.pass("D31-out", smokeCard, smokePIN)
		eventually(t, 10*time.Second, "nobody inside", func() bool { return len(c.con.occupants("R31")) == 0 })
		s := c.con.stays("R31")[0]
		if s.Number != 1 || s.Name != "𠮷田 誠" || s.Result.Text != "許可" || s.Method.Text != "カード+暗証番号" || s.Quality.Text != "同期" {
			t.Errorf("stay: %+v", s)
		}
		for what, at := range map[string]*time.Time{"入室": s.Entered, "退室": s.Exited} {
			if at == nil || at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
				t.Errorf("%s at %v, want between %v and now", what, at, before)
			}
		}
	})
	t.Run("a card nobody knows", func(t *testing.T) {
		c.ctl.card("D21-in", "0000099999")
		eventually(t, 10*time.Second, "未登録", func() bool {
			l := refusals(c.con.denials(""))
			return len(l) == 1 && l[0].Reason.Text == "未登録"
		})
	})
	t.Run("hub restarted", func(t *testing.T) {
		c.hub.kill()
		c.pass("D21-in", smokeCard, "") // while it is away
		c.startHub()
		c.con.signIn("yamada")
		eventually(t, 30*time.Second, "the row made meanwhile", func() bool { return len(c.con.stays("R21")) == 1 })
		if n := len(c.con.stays("R31")); n != 1 {
			t.Errorf("%d stays in R31 after the restart, want 1", n)
		}
	})
	t.Run("controller restarted", func(t *testing.T) {
		c.agents["DC-31"].kill()
		c.agents["DC-31"].start()
		eventually(t, 30*time.Second, "its readers answer", func() bool { return c.ctl.state().Readers["D31-in"].LED == "red" && c.con.devicesReady(2) })
		c.pass("D31-in", smokeCard, smokePIN)
		eventually(t, 10*time.Second, "second stay", func() bool { return len(c.con.stays("R31")) == 2 })
		for _, d := range c.con.denials("kind=hub.evidence_gap") {
			t.Errorf("evidence missing: %+v", d)
		}
	})
	t.Run("verify", func(t *testing.T) {
		note := once(t, c.env("DC-31"), "", filepath.Join(bin, "sekimori-agent"), "checkpoint", "--settings", c.path("DC-31.yaml"))
		c.write("DC-31.checkpoint", note)
		if out, err := c.verify("--store", c.copyStore(), "--against", c.path("DC-31.checkpoint")); err != nil {
			t.Errorf("verify: %v\n%s", err, out)
		}
	})
}

// simtimeName is the variable by which simtime builds are shown their clock.
const simtimeName = "SEKIMORI_SIMTIME"

// A release build cannot be told another time [design §6]: what the simulated
// clock is controlled by is not in it.
func TestReleaseBuildsLackTheSimulatedClock(t *testing.T) {
	for _, program := range []string{"sekimori-agent", "sekimori-hub", "sekimori-sim"} {
		b, err := os.ReadFile(filepath.Join(bin, program))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("sekimori/internal/clock")) {
			t.Errorf("%s: the search finds nothing of ours", program)
		}
		if bytes.Contains(b, []byte(simtimeName)) {
			t.Errorf("%s holds %q", program, simtimeName)
		}
	}
	// A simtime build would end here: the clock it is shown is not there.
	c := &city{t: t, dir: t.TempDir()}
	c.write("hub.yaml", "version: 1\nmunicipality: 関森市\nname: localhost\nstate: "+c.path("hub")+
		"\nlisten: {https: '127.0.0.1:0', mqtt: '127.0.0.1:0'}\ndevices: localhost:8883\n")
	once(t, []string{simtimeName + "=" + c.path("none")}, "", filepath.Join(bin, "sekimori-hub"), "init", "--settings", c.path("hub.yaml"))
}
