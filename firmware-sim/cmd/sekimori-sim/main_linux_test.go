package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/firmware-sim/internal/pd"
	"sekimori/firmware-sim/internal/play"
	"sekimori/firmware-sim/internal/world"
)

var program string // the command, built once

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sekimori-sim")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "sekimori-sim")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const settings = "../../../configs/sim.yaml"

// sim is the command running as a process of its own.
type sim struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
}

func mustRun(t *testing.T, dir string) *sim {
	t.Helper()
	return mustRunWith(t, settings, dir)
}

func mustRunWith(t *testing.T, settings, dir string) *sim {
	t.Helper()
	s := &sim{t: t, dir: dir, cmd: exec.Command(program, "run", "--config", settings, "--dir", dir)}
	var errs bytes.Buffer
	s.cmd.Stderr = &errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	in := bufio.NewReader(out)
	if line, err := in.ReadString('\n'); err != nil {
		t.Fatalf("it did not start: %q %v\n%s", line, err, errs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the process
	return s
}

func (s *sim) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// do runs a verb against the process and gives its exit status and output.
func (s *sim) do(args ...string) (int, string) {
	s.t.Helper()
	cmd := exec.Command(program, append([]string{"--dir", s.dir}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (s *sim) must(args ...string) string {
	s.t.Helper()
	code, out := s.do(args...)
	if code != 0 {
		s.t.Fatalf("%v: exit %d\n%s", args, code, out)
	}
	return out
}

func (s *sim) state() world.State {
	s.t.Helper()
	var st world.State
	if err := json.Unmarshal([]byte(s.must("state", "--json")), &st); err != nil {
		s.t.Fatal(err)
	}
	return st
}

func TestVerbs(t *testing.T) {
	s := mustRun(t, t.TempDir())
	s.must("card", "D31-in", "0000012345")
	s.must("card", "D31-in", "--format", "h10301", "--facility", "12", "--id", "1")
	s.must("keys", "D31-in", "1234#")
	if r := s.state().Readers["D31-in"]; r.OSDP.Queued != 3 {
		t.Errorf("the reader holds %d events", r.OSDP.Queued)
	}
	if code, out := s.do("open", "D31"); code != 1 || !strings.Contains(out, "施錠") || !strings.Contains(out, "[locked]") {
		t.Errorf("open a locked door: %d %s", code, out)
	}
	s.must("rex", "D21", "--for", "10s")
	s.must("wait", "--door", "D21", "--lock", "released")
	s.must("open", "D21")
	s.must("force", "D31")
	s.must("cable", "D31-in", "off")
	s.must("tamper", "D31", "on")
	s.must("tamper", "D31-out", "on")
	s.must("power", "D21", "off")
	s.must("stall", "D31-in", "--ms", "300")
	s.must("noise", "D31-in")
	s.must("fault", "D31-in", "bad_crc", "--count", "2")
	s.must("clock", "set", "2026-06-15T09:00:00+09:00")
	s.must("clock", "skew", "DC-21", "--", "-5m")
	st := s.state()
	d31, d21 := st.Doors["D31"], st.Doors["D21"]
	if !d31.Forced || d31.Leaf != "open" || !d31.Tamper || d21.Leaf != "open" || d21.Power || st.Readers["D31-in"].Cable || !st.Readers["D31-out"].OSDP.Tamper {
		t.Errorf("%+v\n%+v", d31, d21)
	}
	if st.Clock.Skew["DC-21"] != "-5m0s" || st.Clock.Simulated.Format("2006-01-02T15") != "2026-06-15T09" {
		t.Errorf("%+v", st.Clock)
	}
	s.must("close", "D31")
	s.must("fire", "on")
	if out := s.must("state"); !strings.Contains(out, "解錠(火災") || !strings.Contains(out, "D21") {
		t.Errorf("the table says\n%s", out)
	}
	s.must("fire", "off", "--door", "D31")
	if out := s.must("events"); strings.Count(out, "\n") < 15 || strings.Contains(out, "1234#") {
		t.Errorf("the events are\n%s", out)
	}
	if out := s.must("cards"); !strings.Contains(out, "26:06181cc0") {
		t.Errorf("the cards are\n%s", out)
	}
	if out := s.must("timeline", "D31"); !strings.Contains(out, `"forced"`) {
		t.Errorf("the timeline is\n%s", out)
	}
}

func TestWrongUse(t *testing.T) {
	s := &sim{t: t, dir: t.TempDir()}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"open"}, 2, "open DOOR"},
		{[]string{"fire", "perhaps"}, 2, "on か off"},
		{[]string{"dance"}, 2, "dance"},
		{[]string{"open", "D31", "--fast"}, 2, "--help"},
		{[]string{"state"}, 1, "つながりません"},
		{[]string{"run", "--config", "no-such.yaml"}, 1, "no-such.yaml"},
		{[]string{"check-config", "--config", settings}, 0, "誤りはありません"},
		{[]string{"--help"}, 0, "使い方"},
		{[]string{"run", "--help"}, 0, "--config"},
	} {
		if code, out := s.do(c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v: exit %d, want %d\n%s", c.args, code, c.code, out)
		}
	}
}

// controller is the least program that could sit in DC-31: it polls D31-in, and
// when a card and a PIN came it energises the relay for a second.
type controller struct {
	lines net.Conn
	bus   *os.File
	opens int
}

func (c *controller) run(ctx context.Context) error {
	replies := bufio.NewReader(c.lines)
	say := func(s string) error {
		if _, err := fmt.Fprintln(c.lines, s); err != nil {
			return err
		}
		_, err := replies.ReadString('\n')
		return err
	}
	if err := say("HELLO sekimori-lines/1 least"); err != nil {
		return err
	}
	var scan pd.Scanner
	var card bool
	buf := make([]byte, 256)
	for seq := byte(0); ctx.Err() == nil; seq = seq%3 + 1 {
		if _, err := c.bus.Write(pd.Frame{Seq: seq, CRC: true, Code: pd.CmdPoll}.Encode()); err != nil {
			return err
		}
		var got []pd.Frame
		for len(got) == 0 {
			if err := c.bus.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				return err
			}
			n, err := c.bus.Read(buf)
			if err != nil {
				return err
			}
			got = scan.Feed(buf[:n]...)
		}
		switch got[0].Code {
		case pd.ReplyRaw:
			card = true
		case pd.ReplyKeypad:
			if !card {
				continue
			}
			card = false
			c.opens++
			if err := say("OUT D31.relay 1"); err != nil {
				return err
			}
			time.AfterFunc(time.Second, func() { fmt.Fprintln(c.lines, "OUT D31.relay 0") })
		}
	}
	return nil
}

// TestPassThroughD31 [AS-01]: card and PIN over the OSDP line, the relay over
// the lines' socket, and one person through the door.
func TestPassThroughD31(t *testing.T) {
	s := mustRun(t, t.TempDir())
	if code, out := s.do("pass", "D31-in", "--card", "0000012345", "--pin", "7007#", "--wait", "100ms"); code != 3 {
		t.Fatalf("with no controller: exit %d\n%s", code, out)
	}
	fd, err := unix.Open(filepath.Join(s.dir, "DC-31.bus0"), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{bus: os.NewFile(uintptr(fd), "bus")}
	if c.lines, err = net.Dial("unix", filepath.Join(s.dir, "DC-31.lines")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	s.must("wait", "--door", "D31", "--lock", "released") // the pass nobody answered waited in the reader
	s.must("wait", "--door", "D31", "--lock", "locked")
	var out play.Outcome
	if err := json.Unmarshal([]byte(s.must("pass", "D31-in", "--card", "0000012345", "--pin", "7007#", "--think", "50ms", "--walk", "100ms", "--json")), &out); err != nil {
		t.Fatal(err)
	}
	if !out.Released || out.Releases != 1 || out.AfterMS < 0 || out.AfterMS > 1000 {
		t.Errorf("%+v", out)
	}
	t.Logf("second factor to release at 38400 baud: %.1f ms", out.AfterMS)
	s.must("wait", "--door", "D31", "--lock", "locked")
	d := s.state().Doors["D31"]
	if d.Leaf != "closed" || d.Pulses != 2 || d.Releases != 2 {
		t.Errorf("%+v", d)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c.opens != 2 {
		t.Errorf("the controller opened %d times", c.opens)
	}
	c.lines.Close()
	c.bus.Close()
}

// facts are what of the doors must outlive a kill; flip changes one of them.
func facts(st world.State) [4]bool {
	d31, d21 := st.Doors["D31"], st.Doors["D21"]
	return [4]bool{d31.Leaf == "open", d31.Tamper, d21.Tamper, !d21.Power}
}

func flip(i int, on bool) []string {
	word := map[bool]string{true: "on", false: "off"}
	switch {
	case i == 0 && on:
		return []string{"force", "D31"}
	case i == 0:
		return []string{"close", "D31"}
	case i == 1:
		return []string{"tamper", "D31", word[on]}
	case i == 2:
		return []string{"tamper", "D21", word[on]}
	}
	return []string{"power", "D21", word[!on]}
}

// TestKilledAtAnyMoment [T-40]: the simulator dies by SIGKILL while things
// happen to the doors; the next one starts in the same place, everything it had
// answered for is still so, and no relay pulses.
func TestKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	var known [4]bool
	unsure, done := -1, 0
	for round := range 16 {
		s := mustRun(t, dir)
		st := s.state()
		now := facts(st)
		for i := range now {
			if i != unsure && now[i] != known[i] {
				t.Fatalf("round %d: fact %d was answered as %v and is %v", round, i, known[i], now[i])
			}
		}
		if d := st.Doors["D31"]; d.Pulses != 0 || d.Relay || d.Lock != "locked" {
			t.Fatalf("round %d: the door starts as %+v", round, d)
		}
		known = now
		var acts sync.WaitGroup
		acts.Go(func() {
			for {
				unsure = rand.IntN(len(known))
				args := append([]string{"--dir", dir}, flip(unsure, !known[unsure])...)
				if exec.Command(program, args...).Run() != nil {
					return
				}
				known[unsure] = !known[unsure]
				done++
			}
		})
		time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond)
		s.kill()
		acts.Wait()
	}
	if done < 10 {
		t.Fatalf("only %d acts were done: this test shows nothing", done)
	}
	t.Logf("%d acts over 16 kills", done)
}

func TestSecondSimulatorIsRefused(t *testing.T) {
	s := mustRun(t, t.TempDir())
	if code, out := s.do("run", "--config", settings); code != 1 || !strings.Contains(out, "another sekimori-sim") {
		t.Errorf("exit %d\n%s", code, out)
	}
	s.must("state")
}

// TestMorning: the scenario reads, and without a controller every passage is
// refused and told so.
func TestMorning(t *testing.T) {
	sc, err := play.Load("../../scenarios/morning.yaml")
	if err != nil {
		t.Fatal(err)
	}
	verbs := map[string]int{}
	for _, a := range sc.Acts {
		switch {
		case a.Pass != nil:
			verbs[a.Expect]++
		case a.Exit != nil:
			verbs["exit"]++
		case a.Tamper != nil:
			verbs["tamper"]++
		}
	}
	if !sc.Loop || verbs["released"] < 6 || verbs["refused"] < 2 || verbs["exit"] < 2 || verbs["tamper"] != 2 || verbs[""] > 0 {
		t.Errorf("the morning has %v", verbs)
	}
	s := mustRun(t, t.TempDir())
	short := filepath.Join(t.TempDir(), "short.yaml")
	text := `version: 1
name: 短い朝
acts:
  - {at: 0s, who: 利用者, exit: {door: D21}, expect: released}
  - {at: 0s, who: 部外者, pass: {reader: D21-in, card: unknown, wait: 50ms}, expect: refused}
  - {at: 0s, who: 情報係, pass: {reader: D21-in, card: P07, wait: 50ms}, expect: released}
`
	if err := os.WriteFile(short, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := s.do("play", short)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 1 || len(lines) != 4 || !strings.HasPrefix(lines[0], "○") || !strings.HasPrefix(lines[1], "○") || !strings.HasPrefix(lines[2], "×") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
