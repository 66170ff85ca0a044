//go:build linux && simtime

package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// What only a day in simulated time needs: moving clocks, fire, reboots, acts at
// the console.

// found makes a new city at a simulated time (ignored in real time) with
// everything running and both controllers under policy.
func found(t *testing.T, at time.Time) *city {
	t.Helper()
	c := prepare(t, at)
	c.startAll()
	c.waitReady()
	return c
}

// importCity imports a changed city into the running hub and waits until the
// doors have confirmed what follows from it.
func (c *city) importCity(text string) {
	c.t.Helper()
	c.write("city.yaml", text)
	c.hubDo("", "import", c.path("city.yaml"), "--as", "P01") // returns with the new policies compiled
	eventually(c.t, 10*time.Second, "the new policy confirmed", func() bool { return c.con.devicesReady(len(c.agents)) })
}

// reboot starts a controller as after a power cut: in a new boot.
func (c *city) reboot(id string) {
	c.t.Helper()
	c.agents[id].kill()
	last := c.path(id + "/lasttime.json")
	b, err := os.ReadFile(last)
	if err != nil {
		c.t.Fatal(err)
	}
	// The kernel's boot ID cannot be changed from here; naming another one in
	// what the last boot left is the same to the agent.
	changed := bootPattern.ReplaceAll(b, []byte(`"boot":"00112233445566778899aabbccddeeff"`))
	if err := os.WriteFile(last, changed, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.agents[id].start()
	eventually(c.t, 20*time.Second, id+" back at its lines", func() bool { return c.ctl.state().Controllers[id].Client != "" })
	time.Sleep(time.Second) // connected is not yet watching; nothing outside shows the difference
}

var bootPattern = regexp.MustCompile(`"boot":"[0-9a-f]{32}"`)

// unconfirmed lists stays shown as 退室未確認.
func (c *console) unconfirmed() (out []stay) {
	c.t.Helper()
	for _, room := range []string{"R31", "R21"} {
		for _, s := range c.stays(room) {
			if s.Unsure {
				out = append(out, s)
			}
		}
	}
	return out
}

// closeStay closes an open stay through its form.
func (c *console) closeStay(s stay, exited time.Time, reason string) {
	c.t.Helper()
	path := fmt.Sprintf("/registers/entry/%s/%d/%d/close", s.Room, s.Year, s.Number)
	body, status := c.post(path, url.Values{"exited": {exited.In(jst).Format("2006-01-02T15:04")}, "reason": {reason}})
	if status != http.StatusOK {
		c.t.Fatalf("close %s: %d\n%.600s", path, status, body)
	}
}

// order gives a door an order through its form.
func (c *console) order(door, act string, form url.Values) {
	c.t.Helper()
	if body, status := c.post("/doors/"+door+"/"+act, form); status != http.StatusOK {
		c.t.Fatalf("%s %s: %d\n%.600s", act, door, status, body)
	}
}

func (c *console) rearm(door string) {
	c.t.Helper()
	c.order(door, "rearm", url.Values{"reason": {"drill"}, "checked": {"1"}})
}

func (c *console) closeRoom(door string) {
	c.t.Helper()
	c.order(door, "close", url.Values{"reason": {"inspection"}})
}

// rollCall is the 点呼表: who was inside at a moment.
func (c *console) rollCall(at time.Time) (names []string) {
	c.t.Helper()
	var rooms struct {
		Rooms []struct {
			Inside []stay `json:"inside"`
			Unsure []stay `json:"unconfirmed"`
		} `json:"rooms"`
	}
	if err := c.api("/api/v1/occupants?at="+url.QueryEscape(at.In(jst).Format("2006-01-02T15:04:05")), &rooms); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range rooms.Rooms {
		for _, s := range append(r.Inside, r.Unsure...) {
			names = append(names, s.Name)
		}
	}
	return names
}

// stop asks it to end, and fails the test when it does not.
func (p *proc) stop() {
	p.t.Helper()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.done
		p.t.Errorf("%s did not end", p.name)
	}
	p.cmd = nil
}

func (s *simulator) fire(on bool) {
	s.t.Helper()
	s.must(http.MethodPost, "/v1/fire", map[string]any{"on": on}, nil)
}

func (s *simulator) skew(controller string, by time.Duration) {
	s.t.Helper()
	s.must(http.MethodPost, "/v1/clock", map[string]string{"controller": controller, "skew": by.String()}, nil)
}

// released waits until the lock is released and tells how long it took from the
// call; zero pulses since n means that it was never the program.
func (s *simulator) released(door string, within time.Duration) bool {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for time.Now().Before(deadline) {
		if s.door(door).Lock == "released" {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// askedForMore waits for the amber light, as a person would.
func (c *city) askedForMore(reader string) {
	c.t.Helper()
	eventually(c.t, 3*time.Second, "second factor asked at "+reader, func() bool { return c.ctl.state().Readers[reader].LED == "amber" })
}
