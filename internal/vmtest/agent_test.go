//go:build vmtest && linux

package vmtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/record"
)

const program = "/sekimori-agent"

// agentRig is sekimori-agent, as it is installed, at a door of a chip of its own.
type agentRig struct {
	t        *testing.T
	chip     *chip
	settings string
	state    string
	cmd      *exec.Cmd
	log      output
	ended    chan error
}

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }
func (o *output) String() string              { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

func newAgentRig(t *testing.T) *agentRig {
	t.Helper()
	c, err := makeChip("expander", doorLines...)
	if err != nil {
		t.Fatal(err)
	}
	h := newHub(t)
	dir := t.TempDir()
	r := &agentRig{t: t, chip: c, settings: filepath.Join(dir, "agent.yaml"), state: filepath.Join(dir, "state")}
	t.Cleanup(func() {
		if err := c.remove(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the agent said:\n%s", r.log.String())
		}
	})
	text := fmt.Sprintf(`version: 1
device: DC-21
role: door
state: %s
hub: {mqtt: "127.0.0.1:1", https: %q}
lines:
  backend: kernel
  chip: expander
  names: {d0: D0, d1: "1", contact: CONTACT, rex: REX, fire: FIRE, tamper: TAMPER, relay: RELAY, led: LED}
doors:
  - id: D21
    relay: {line: relay}
    contact: {line: contact}
    rex: {line: rex, active_low: true}
    fire: {line: fire}
    tamper: {line: tamper, active_low: true}
    readers: [{id: D21-in, direction: in, driver: wiegand, d0: d0, d1: d1, led: led, keypad: false}]
`, r.state, h.https)
	if err := os.WriteFile(r.settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	enrol := exec.Command(program, "--settings", r.settings, "enrol")
	enrol.Stdin = strings.NewReader(h.code + "\n")
	if out, err := enrol.CombinedOutput(); err != nil {
		t.Fatalf("enrol: %v\n%s", err, out)
	}
	h.giveOut(t, r.state)
	r.rest()
	return r
}

// rest puts every input to rest: no card, door closed, button, tamper loop and
// fire contact quiet.
func (r *agentRig) rest() {
	for line, high := range map[string]bool{"D0": true, "D1": true, "CONTACT": false, "REX": true, "FIRE": false, "TAMPER": true} {
		r.chip.set(r.t, line, high)
	}
}

func (r *agentRig) start() {
	r.t.Helper()
	r.cmd, r.ended = exec.Command(program, "--settings", r.settings, "run"), make(chan error, 1)
	r.cmd.Stderr, r.cmd.Stdout = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { r.ended <- r.cmd.Wait() }()
	r.t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill()
			<-r.ended
		}
	})
}

// end waits for the agent to end by itself or by the signal it was given.
func (r *agentRig) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(30 * time.Second):
		r.t.Fatal("the agent did not end")
	}
	return nil
}

func (r *agentRig) relay() bool { return r.chip.level(r.t, "RELAY") }

// enter presents the card until the lock is released (a reader that was just
// found is not believed at once), goes in and shuts the door. It returns how long
// the lock took from the last bit.
func (r *agentRig) enter(p *pulser, number uint32) time.Duration {
	r.t.Helper()
	var took time.Duration
	eventually(r.t, "the card releases the lock", func() bool {
		p.send(r.t, card26(r.t, number))
		end := time.Now()
		for time.Since(end) < 700*time.Millisecond {
			if r.relay() {
				took = time.Since(end)
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	})
	r.chip.set(r.t, "CONTACT", true)
	eventually(r.t, "locked behind the person", func() bool { return !r.relay() })
	r.chip.set(r.t, "CONTACT", false)
	r.wrote(record.KindEntered)
	return took
}

var kindOf = regexp.MustCompile(`"kind":"([a-z_]+)"`)

// facts are the kinds in the journal's files, in order.
func (r *agentRig) facts() (kinds []record.Kind) {
	err := filepath.WalkDir(filepath.Join(r.state, "journal"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range kindOf.FindAllSubmatch(b, -1) {
			kinds = append(kinds, record.Kind(m[1]))
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return kinds
}

// wrote waits for the newest fact but those a start writes to be of this kind.
func (r *agentRig) wrote(kind record.Kind) {
	r.t.Helper()
	eventually(r.t, "the fact "+string(kind), func() bool {
		f := r.facts()
		return len(f) > 0 && f[len(f)-1] == kind
	})
}

// The installed program serves a door on a kernel chip: what readers.md and
// design.md §4 promise of a door, over real interrupts, without a hub.
func TestAgent(t *testing.T) {
	r := newAgentRig(t)
	r.start()
	p := newPulser(t, r.chip, 50*time.Microsecond, 2*time.Millisecond)
	r.enter(p, 7)
	var took []time.Duration
	for range 20 {
		took = append(took, r.enter(p, 7))
	}
	figures(t, "last bit → fact on disk → lock released", took)

	p.send(t, card26(t, 8)) // nobody's
	r.wrote(record.KindDenied)
	r.chip.set(t, "REX", false)
	r.wrote(record.KindREX)
	r.chip.set(t, "REX", true)
	r.chip.set(t, "CONTACT", true)
	r.wrote(record.KindExitFree)
	r.chip.set(t, "CONTACT", false)
	time.Sleep(6 * time.Second) // the button's grace, which nothing tells the end of
	r.chip.set(t, "CONTACT", true)
	r.wrote(record.KindForcedOpen)
	r.chip.set(t, "CONTACT", false)
	r.wrote(record.KindDoorClosed)
	r.chip.set(t, "TAMPER", false)
	r.wrote(record.KindTamper)
	r.chip.set(t, "TAMPER", true)
	r.wrote(record.KindTamperEnded)
	if r.relay() {
		t.Error("the lock is released and nobody has asked for it")
	}

	r.chip.set(t, "FIRE", true)
	eventually(t, "released by fire", r.relay)
	r.wrote(record.KindFireRelease)
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	t.Logf("facts: %v", count(r.facts()))
}

// What comes while the program cannot run waits in the kernel, with its stamps:
// ten cards of strangers presented to a stopped process are ten denials, bit for
// bit, once it goes on.
func TestAgentStopped(t *testing.T) {
	r := newAgentRig(t)
	r.start()
	p := newPulser(t, r.chip, 50*time.Microsecond, 2*time.Millisecond)
	r.enter(p, 7)
	signal := func(s syscall.Signal) {
		if err := r.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	for n := range uint32(10) {
		p.send(t, card26(t, 1000+n))
		time.Sleep(100 * time.Millisecond)
	}
	signal(syscall.SIGCONT)
	denied := func() (n int) {
		for _, k := range r.facts() {
			if k == record.KindDenied {
				n++
			}
		}
		return n
	}
	eventually(t, "ten denials", func() bool { return denied() == 10 })
	signal(syscall.SIGTERM)
	if err := r.end(); err != nil {
		t.Errorf("stopped: %v", err)
	}
	t.Logf("facts: %v", count(r.facts()))
}

// A chip that goes takes the doors with it: the program ends, saying so, for its
// supervisor to start it again; without the chip it refuses to start; with it the
// door is served as before.
func TestAgentLosesItsChip(t *testing.T) {
	r := newAgentRig(t)
	r.start()
	p := newPulser(t, r.chip, 50*time.Microsecond, 2*time.Millisecond)
	r.enter(p, 7)
	began := time.Now()
	if err := r.chip.plug(false); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err == nil {
		t.Error("the agent lost its chip and ended as if all were well")
	}
	t.Logf("ended %v after the loss", time.Since(began).Round(time.Millisecond))
	if !strings.Contains(r.log.String(), "lines lost") {
		t.Errorf("it does not say why it ended:\n%s", r.log.String())
	}
	r.start()
	if err := r.end(); err == nil || !strings.Contains(r.log.String(), `no chip "expander"`) {
		t.Errorf("without the chip: %v", err)
	}
	if err := r.chip.plug(true); err != nil {
		t.Fatal(err)
	}
	r.rest()
	r.start()
	p = newPulser(t, r.chip, 50*time.Microsecond, 2*time.Millisecond)
	r.enter(p, 7)
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err != nil {
		t.Errorf("stopped: %v", err)
	}
}

func count(kinds []record.Kind) string {
	n := map[record.Kind]int{}
	var order []record.Kind
	for _, k := range kinds {
		if n[k]++; n[k] == 1 {
			order = append(order, k)
		}
	}
	var b strings.Builder
	for _, k := range order {
		fmt.Fprintf(&b, "%s×%d ", k, n[k])
	}
	return b.String()
}

// giveOut puts a policy where an earlier run would have kept it: person P07 may
// enter at D21 with card 7.
func (h *hub) giveOut(t *testing.T, state string) {
	t.Helper()
	now := time.Now()
	head, chunks, err := record.PackPolicy(h.policy, record.Policy{
		Device: "DC-21", Version: 3, Pack: "kanmori/1",
		Doors:       []record.DoorPolicy{{Door: "D21", Room: "R21", Level: 2, Release: 5 * time.Second, HeldOpen: time.Minute, OfflineMaxAge: 72 * time.Hour}},
		Permits:     []record.Permit{{Person: "P07", Rooms: []record.RoomCode{"R21"}, From: now.Add(-time.Hour), Until: now.Add(24 * time.Hour)}},
		Credentials: []record.Credential{{ID: "C07", Person: "P07", Tag: credentialKey.Tag(card26(t, 7).Key()), State: record.CredentialActive}},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{"policy.json": map[string]any{"head": head, "chunks": chunks}, "doors.json": map[string]any{"last_hub": now}} {
		b, err := json.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(state, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
