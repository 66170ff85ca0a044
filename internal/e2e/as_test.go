//go:build linux && simtime

package e2e_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	cardP01, pinP01 = "0000010001", "1001"
	cardP05         = "0000010005"
	cardP07, pinP07 = "0000012345", "7007"
	cardP08         = "0000010008"
	cardUnknown     = "0000099999"
)

// at moves the clock to a moment of the base day.
func (c *city) at(hour, minute, second int) time.Time {
	t := baseDay(hour, minute, second)
	c.ctl.set(t)
	return t
}

// within checks a recorded time against the moment it should be.
func within(t *testing.T, what string, got *time.Time, want time.Time) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: none, want %v", what, want)
		return
	}
	if d := got.Sub(want); d < -time.Second || d > 10*time.Second {
		t.Errorf("%s: %v, want %v", what, got.In(jst), want)
	}
}

// [AS-01, 000-7.2-L3, 000-10.1] Level 3: both factors each way, one stay.
func TestAS01Level3EntryAndExit(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	if in := c.con.occupants("R31"); len(in) != 0 {
		t.Fatalf("inside before: %v", in)
	}
	before := c.ctl.door("D31")

	entered := c.at(9, 2, 10)
	c.ctl.card("D31-in", cardP07)
	c.askedForMore("D31-in")
	c.ctl.keys("D31-in", pinP07+"#")
	typed := time.Now()
	if !c.ctl.released("D31", time.Second) {
		t.Fatal("not released within 1 s of the second factor")
	}
	t.Logf("second factor to release: %v at most", time.Since(typed))
	c.ctl.walk("D31")
	eventually(t, 5*time.Second, "one inside", func() bool { return reflect.DeepEqual(c.con.occupants("R31"), []string{"𠮷田 誠"}) })

	left := c.at(9, 31, 5)
	c.pass("D31-out", cardP07, pinP07)
	eventually(t, 5*time.Second, "nobody inside", func() bool { return len(c.con.occupants("R31")) == 0 })

	if n := c.ctl.door("D31").Pulses - before.Pulses; n != 2 {
		t.Errorf("the relay was energised %d times, want once per direction", n)
	}
	list := c.con.stays("R31")
	if len(list) != 1 {
		t.Fatalf("stays: %+v", list)
	}
	s := list[0]
	within(t, "入室", s.Entered, entered)
	within(t, "退室", s.Exited, left)
	if s.Number != 1 || s.Year != 2026 || s.Level != 3 || s.Section != "総務課情報係" || s.Name != "𠮷田 誠" ||
		s.Result.Text != "許可" || s.Method.Text != "カード+暗証番号" || len(s.Basis) == 0 || s.Open {
		t.Errorf("stay: %+v", s)
	}
	if strings.Contains(s.Credential, "0000012345") {
		t.Errorf("the credential number is not masked: %q", s.Credential)
	}

	t.Run("card only", func(t *testing.T) {
		pulses := c.ctl.door("D31").Pulses
		c.at(9, 40, 0)
		c.ctl.card("D31-in", cardP07)
		c.askedForMore("D31-in")
		c.at(9, 40, 10)
		eventually(t, 5*time.Second, "第二要素なし", func() bool {
			l := refusals(c.con.denials("room=R31"))
			return len(l) == 1 && l[0].Reason.Text == "第二要素なし" && l[0].Person == "P07"
		})
		if c.ctl.door("D31").Pulses != pulses {
			t.Error("the lock moved")
		}
	})
	t.Run("another's PIN", func(t *testing.T) {
		pulses := c.ctl.door("D31").Pulses
		c.at(9, 50, 0)
		c.ctl.card("D31-in", cardP01)
		c.askedForMore("D31-in")
		c.ctl.keys("D31-in", pinP07+"#")
		eventually(t, 5*time.Second, "denied", func() bool { return len(refusals(c.con.denials("room=R31"))) == 2 })
		if c.ctl.door("D31").Pulses != pulses {
			t.Error("the lock moved")
		}
	})
	c.sound()
}

// [AS-02, 000-7.2, 001-4.1(1)] Denied entries, in order, with their reasons.
func TestAS02DeniedEntries(t *testing.T) {
	c := found(t, baseDay(9, 55, 0))
	p31, p21 := c.ctl.door("D31").Pulses, c.ctl.door("D21").Pulses

	c.at(10, 0, 0)
	presented := time.Now()
	c.ctl.card("D31-in", cardUnknown)
	eventually(t, 10*time.Second, "(a) alarm, because L3", func() bool {
		l := refusals(c.con.denials("severity=alarm"))
		return len(l) == 1 && l[0].Reason.Text == "未登録"
	})
	t.Logf("card to alarm: %v", time.Since(presented))
	c.at(10, 1, 0)
	c.ctl.card("D21-in", cardP05)
	eventually(t, 5*time.Second, "(b)", func() bool { return len(refusals(c.con.denials(""))) == 2 })
	c.at(18, 0, 0)
	c.cancelPermit("K8-07", "R31")
	c.at(18, 30, 0)
	c.ctl.card("D21-in", cardP08)
	eventually(t, 5*time.Second, "(c)", func() bool { return len(refusals(c.con.denials(""))) == 3 })
	c.at(18, 31, 0)
	c.ctl.card("D21-in", cardP07)
	eventually(t, 5*time.Second, "(d)", func() bool { return len(refusals(c.con.denials(""))) == 4 })

	var reasons, names []string
	last := time.Time{}
	for _, d := range refusals(c.con.denials("")) {
		reasons, names = append(reasons, d.Reason.Text), append(names, d.Name)
		if d.At.Before(last) {
			t.Errorf("out of order: %v", d)
		}
		if len(d.Basis) == 0 {
			t.Errorf("no 根拠条文: %+v", d)
		}
		last = d.At
	}
	if want := []string{"未登録", "許可なし", "時間外", "許可なし"}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
	if want := []string{"", "﨑山 律子", "中村 保", "𠮷田 誠"}; !reflect.DeepEqual(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if n := len(c.con.stays("R31")) + len(c.con.stays("R21")); n != 0 {
		t.Errorf("the entry register lists %d denied entries", n)
	}
	if c.ctl.door("D31").Pulses != p31 || c.ctl.door("D21").Pulses != p21 {
		t.Error("a lock moved")
	}
	c.sound()
}

// cancelPermit takes a room out of a permit and imports the city again, and
// waits until the doors have confirmed the new policy.
func (c *city) cancelPermit(permit, keepRoom string) {
	c.t.Helper()
	text := c.fixture()
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "{id: "+permit+",") {
			line = strings.Replace(line, "rooms: [R31, R21]", "rooms: ["+keepRoom+"]", 1)
		}
		out = append(out, line)
	}
	changed := strings.Join(out, "\n")
	if changed == text {
		c.t.Fatalf("permit %s not found in the fixture", permit)
	}
	c.importCity(changed)
}

// [AS-03, 001-3.2, T-15, T-16] Fire release with the hub unplugged, and with
// the controller program stopped.
func TestAS03FireRelease(t *testing.T) {
	t.Run("hub unplugged", func(t *testing.T) {
		c := found(t, baseDay(9, 40, 0))
		c.pass("D31-in", cardP07, pinP07)
		c.pass("D21-in", cardP01, "")
		c.pass("D21-in", cardP08, "")
		eventually(t, 5*time.Second, "three inside", func() bool { return len(c.con.occupants("R31"))+len(c.con.occupants("R21")) == 3 })
		c.hub.kill()
		fire := c.at(10, 0, 0)
		c.ctl.fire(true)
		for _, d := range []string{"D31", "D21"} {
			if !c.ctl.released(d, time.Second) {
				t.Fatalf("%s not released within 1 s", d)
			}
		}
		for _, d := range []string{"D31", "D21", "D21"} { // they leave without credentials
			c.ctl.walk(d)
		}
		c.startHub()
		c.con.signIn("yamada")
		eventually(t, 30*time.Second, "火災解錠 at both doors", func() bool {
			doors := map[string]bool{}
			for _, d := range c.con.denials("") {
				if d.Kind.Text == "火災解錠" && d.At.Sub(fire) < 10*time.Second {
					doors[d.Door] = true
				}
			}
			return doors["D31"] && doors["D21"]
		})
		if names := c.con.rollCall(fire); len(names) != 3 {
			t.Errorf("点呼表 as of the fire: %v, want three names", names)
		}

		c.at(10, 30, 0)
		c.ctl.fire(false)
		time.Sleep(300 * time.Millisecond)
		for _, d := range []string{"D31", "D21"} {
			if c.ctl.door(d).Lock != "released" {
				t.Errorf("%s locked by itself after the fire", d)
			}
		}
		c.at(10, 40, 0)
		for _, d := range []string{"D31", "D21"} {
			c.con.rearm(d)
			eventually(t, 10*time.Second, d+" re-armed", func() bool { return c.ctl.door(d).Lock == "locked" })
		}
		eventually(t, 5*time.Second, "re-arming by name", func() bool {
			n := 0
			for _, d := range c.con.denials("") {
				if d.Kind.Code == "fire_release" && strings.Contains(d.By, "山田 太郎") || d.Kind.Code == "rearmed" && strings.Contains(d.By, "山田 太郎") {
					n++
				}
			}
			return n >= 2
		})
		eventually(t, 5*time.Second, "three stays 退室未確認", func() bool { return len(c.con.unconfirmed()) == 3 })
		for _, s := range c.con.unconfirmed() {
			c.con.closeStay(s, baseDay(10, 5, 0), "火災避難を目視で確認")
		}
		eventually(t, 5*time.Second, "closed", func() bool { return len(c.con.unconfirmed()) == 0 })
		for _, room := range []string{"R31", "R21"} {
			for _, s := range c.con.stays(room) {
				if s.Closed == nil || !strings.Contains(s.Closed.By, "山田 太郎") || s.Exited != nil && s.Closed.Exited.IsZero() {
					t.Errorf("both the missing exit and the closing must show: %+v", s)
				}
			}
		}
		c.at(11, 0, 0)
		c.pass("D31-in", cardP07, pinP07) // granted, no 再入室矛盾
		for _, d := range refusals(c.con.denials("")) {
			t.Errorf("refused: %+v", d)
		}
		c.sound()
	})
	t.Run("controller stopped", func(t *testing.T) {
		c := found(t, baseDay(9, 40, 0))
		for _, id := range []string{"DC-31", "DC-21"} {
			c.agents[id].kill()
		}
		c.ctl.fire(true)
		for _, d := range []string{"D31", "D21"} {
			if !c.ctl.released(d, time.Second) {
				t.Errorf("%s not released within 1 s with its program stopped", d)
			}
			c.ctl.walk(d)
		}
	})
}

// [AS-04, T-15] Whatever the state, the person inside gets out within 1 s.
func TestAS04ExitIsNeverRefused(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	c.pass("D21-in", cardP08, "")
	eventually(t, 5*time.Second, "inside", func() bool { return len(c.con.occupants("R21")) == 1 })

	exits := func() int {
		n := 0
		for _, d := range c.con.denials("kind=exit_without_credential") {
			_ = d
			n++
		}
		return n
	}

	t.Run("permit ended while inside", func(t *testing.T) {
		c.ctl.set(time.Date(2026, 7, 1, 9, 0, 0, 0, jst))
		c.leave("D21")
		eventually(t, 5*time.Second, "許可満了後退室", func() bool {
			for _, s := range c.con.stays("R21") {
				for _, r := range s.Reasons {
					if r.Text == "許可満了後退室" && s.Exited != nil {
						return true
					}
				}
			}
			return false
		})
	})
	t.Run("locked out by three failures", func(t *testing.T) {
		c.pass("D31-in", cardP07, pinP07)
		for range 3 {
			c.ctl.card("D31-in", cardP01)
			c.askedForMore("D31-in")
			c.ctl.keys("D31-in", "9999#")
			eventually(t, 5*time.Second, "refused", func() bool { return c.ctl.state().Readers["D31-in"].LED != "amber" })
			time.Sleep(200 * time.Millisecond)
		}
		eventually(t, 5*time.Second, "試行超過", func() bool {
			for _, d := range c.con.denials("room=R31") {
				if d.Kind.Code == "attempts_exceeded" && d.Person == "P01" {
					return true
				}
			}
			return false
		})
		c.leave("D31")
	})
	t.Run("anti-passback says outside", func(t *testing.T) {
		c.leave("D31") // nobody is known inside after the last exit
	})
	t.Run("room closed by its manager", func(t *testing.T) {
		c.con.closeRoom("D31")
		c.ctl.card("D31-in", cardP07)
		eventually(t, 5*time.Second, "閉室", func() bool {
			l := refusals(c.con.denials("room=R31"))
			return len(l) > 0 && l[len(l)-1].Reason.Text == "閉室"
		})
		c.leave("D31")
	})
	t.Run("hub down", func(t *testing.T) {
		c.hub.kill()
		c.leave("D21")
		c.startHub()
		c.con.signIn("yamada")
	})
	t.Run("clock in 1970", func(t *testing.T) {
		c.agents["DC-31"].kill()
		now := c.ctl.state().Clock.Simulated
		c.ctl.skew("DC-31", time.Unix(0, 0).Sub(now))
		c.reboot("DC-31")
		c.leave("D31")
		c.ctl.skew("DC-31", 0)
	})
	t.Run("every exit has a row", func(t *testing.T) {
		eventually(t, 30*time.Second, "rows of exits", func() bool { return exits() >= 4 })
	})
	t.Run("broker certificate expired", func(t *testing.T) {
		c.ctl.set(c.ctl.state().Clock.Simulated.AddDate(2, 0, 0)) // beyond every certificate
		c.leave("D31")
		c.leave("D21")
	})
}

// leave presses the exit button, which must release the lock within 1 s
// whatever the state is, and walks out [T-15].
func (c *city) leave(door string) {
	c.t.Helper()
	c.ctl.act(door, "rex", map[string]any{"ms": 700})
	if !c.ctl.released(door, time.Second) {
		c.t.Fatalf("%s: not released within 1 s of the exit button", door)
	}
	c.ctl.walk(door)
	eventually(c.t, 5*time.Second, door+" locked again", func() bool { return c.ctl.door(door).Lock == "locked" })
}

// [AS-06, 001-4.9, T-21, T-41, T-52] A whole day without the hub.
func TestAS06HubDownForADay(t *testing.T) {
	day := func(hour, minute int) time.Time { return time.Date(2026, 6, 16, hour, minute, 0, 0, jst) }
	c := found(t, time.Date(2026, 6, 15, 23, 55, 0, 0, jst))
	june := len(c.con.stays("R21")) + len(c.con.stays("R31"))
	c.hub.kill()
	c.ctl.set(day(8, 30))
	for i := range 20 {
		c.ctl.set(day(9, 3*i))
		c.pass("D21-in", cardP07, "")
		c.leave("D21")
	}
	for i := range 6 {
		c.ctl.set(day(11, 5*i))
		c.pass("D31-in", cardP07, pinP07)
		c.pass("D31-out", cardP07, pinP07)
	}
	for i := range 6 {
		c.ctl.set(day(14, i))
		c.ctl.card("D21-in", cardP05)
		eventually(t, 5*time.Second, "refused at the door", func() bool { return true })
		time.Sleep(300 * time.Millisecond)
	}
	c.ctl.set(time.Date(2026, 6, 17, 7, 0, 0, 0, jst))

	// Killed ten times while it catches up.
	for range 10 {
		c.hub.start()
		time.Sleep(time.Duration(150+int(time.Now().UnixNano()%400)) * time.Millisecond)
		c.hub.kill()
	}
	c.startHub()
	c.con.signIn("yamada")
	eventually(t, 60*time.Second, "26 stays and 6 denials", func() bool {
		return len(c.con.stays("R21"))+len(c.con.stays("R31")) == june+26 && len(refusals(c.con.denials(""))) == 6
	})
	time.Sleep(2 * time.Second) // nothing more may come
	r21, r31, refused := c.con.stays("R21"), c.con.stays("R31"), refusals(c.con.denials(""))
	if len(r21) != 20 || len(r31) != 6 || len(refused) != 6 {
		t.Fatalf("stays %d + %d, refusals %d", len(r21), len(r31), len(refused))
	}
	for _, s := range append(r21, r31...) {
		if s.Entered == nil || s.Exited == nil || s.Entered.In(jst).Format(time.DateOnly) != "2026-06-16" ||
			s.Received.In(jst).Format(time.DateOnly) != "2026-06-17" || !s.Late {
			t.Errorf("stay: %+v", s)
		}
	}
	gapless(t, r21)
	gapless(t, r31)
	alarms := 0
	for _, d := range c.con.denials("severity=alarm") {
		if d.At.Before(day(8, 0)) {
			continue
		}
		alarms++
		t.Logf("alarm: %s %s %s", d.Kind.Text, d.Reason.Text, d.Detail)
	}
	if alarms > 1 {
		t.Errorf("%d alarms after the catch-up, want at most one summary", alarms)
	}
	c.sound()
}

// [AS-06, T-21] Variant: longer than a day, level 3 fails closed with its
// reason, level 2 lasts three days, exits stay free.
func TestAS06LongOutage(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	c.hub.kill()
	c.ctl.set(baseDay(9, 30, 0).AddDate(0, 0, 1))
	p := c.ctl.door("D31").Pulses
	c.ctl.card("D31-in", cardP07)
	time.Sleep(500 * time.Millisecond)
	if c.ctl.door("D31").Pulses != p {
		t.Error("level 3 granted after 24 h without the hub")
	}
	c.pass("D21-in", cardP07, "")
	c.ctl.act("D31", "rex", map[string]any{"ms": 1000})
	if !c.ctl.released("D31", time.Second) {
		t.Error("exit not free")
	}
	c.ctl.set(baseDay(10, 0, 0).AddDate(0, 0, 3))
	p = c.ctl.door("D21").Pulses
	c.ctl.card("D21-in", cardP01)
	time.Sleep(500 * time.Millisecond)
	if c.ctl.door("D21").Pulses != p {
		t.Error("level 2 granted after 72 h without the hub")
	}
	c.startHub()
	c.con.signIn("yamada")
	eventually(t, 30*time.Second, "the reason shown", func() bool {
		n := 0
		for _, d := range refusals(c.con.denials("")) {
			if d.Reason.Code == "policy_stale" {
				n++
			}
		}
		return n == 2
	})
}

// gapless checks 通番 within one room and 年度.
func gapless(t *testing.T, l []stay) {
	t.Helper()
	seen := map[int64]bool{}
	for _, s := range l {
		if seen[s.Number] {
			t.Errorf("%s: 通番 %d twice", s.Room, s.Number)
		}
		seen[s.Number] = true
	}
	for n := int64(1); n <= int64(len(l)); n++ {
		if !seen[n] {
			t.Errorf("%s: 通番 %d missing of %d", l[0].Room, n, len(l))
		}
	}
}

// sound verifies the ledger offline, on a copy, against both witnesses.
func (c *city) sound() {
	c.t.Helper()
	time.Sleep(1500 * time.Millisecond) // a heartbeat later the witnesses hold a checkpoint
	c.hub.kill()
	copyTo := c.copyStore()
	for _, id := range []string{"DC-31", "DC-21"} {
		note := once(c.t, c.env(id), "", filepath.Join(bin, "sekimori-agent"), "checkpoint", "--settings", c.path(id+".yaml"))
		c.write(id+".checkpoint", note)
		if out, err := c.verify("--store", copyTo, "--against", c.path(id+".checkpoint")); err != nil {
			c.t.Errorf("verify against %s: %v\n%s", id, err, out)
		}
	}
	c.noSecrets()
}

// noSecrets looks for PINs and card numbers in every log [001-4.4(4), T-13].
func (c *city) noSecrets() {
	c.t.Helper()
	for _, name := range []string{"hub.log", "DC-31.log", "DC-21.log"} {
		text := c.read(name)
		for _, secret := range []string{pinP07 + "#", cardP07, cardP01, password} {
			if strings.Contains(text, secret) {
				c.t.Errorf("%s holds %q", name, secret)
			}
		}
	}
}
