package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/agent"
	"sekimori/agent/internal/journal/disk"
	"sekimori/drivers/line"
	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// simulated is sekimori-sim in a process of its own, beside D31.
type simulated struct {
	t    *testing.T
	dir  string
	http *http.Client
}

// simDir is where the simulator is built, once for all tests that want it.
var simDir string

var simProgram = sync.OnceValues(func() (string, error) {
	path := filepath.Join(simDir, "sekimori-sim")
	out, err := exec.Command("go", "build", "-o", path, "sekimori/firmware-sim/cmd/sekimori-sim").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	var err error
	if simDir, err = os.MkdirTemp("", "sk-agent-sim"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(simDir)
	os.Exit(code)
}

func simulate(t *testing.T, site string) *simulated {
	t.Helper()
	program, err := simProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "sim.yaml")
	if err := os.WriteFile(config, []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "--config", config, "--dir", dir)
	log := &lines{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sim: %s", log)
		}
	})
	socket := filepath.Join(dir, "sim.sock")
	s := &simulated{t: t, dir: dir, http: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}}
	eventually(t, "simulator up", func() bool { return s.call(http.MethodGet, "/v1/state", nil, nil) == nil })
	return s
}

func (s *simulated) call(method, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://sim"+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

func (s *simulated) do(path string, body any) {
	s.t.Helper()
	if err := s.call(http.MethodPost, path, body, nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *simulated) card(reader, number string) {
	s.t.Helper()
	s.do("/v1/readers/"+reader+"/card", map[string]string{"number": number})
}

func (s *simulated) touch(reader, finger string) {
	s.t.Helper()
	s.do("/v1/readers/"+reader+"/finger", map[string]string{"finger": finger})
}

type simView struct {
	Doors map[string]struct {
		Lock     string `json:"lock"`
		Releases int    `json:"releases"`
	} `json:"doors"`
	Readers map[string]struct {
		LED  string `json:"led"`
		OSDP *struct {
			Secure     bool   `json:"secure"`
			DefaultKey bool   `json:"default_key"`
			Polls      uint64 `json:"polls"`
			KeysSet    uint64 `json:"keys_set"`
		} `json:"osdp"`
		Fingerprint *struct {
			Bound     bool              `json:"bound"`
			Templates map[string]string `json:"templates"`
		} `json:"fingerprint"`
	} `json:"readers"`
}

func (s *simulated) view() (v simView) {
	s.t.Helper()
	if err := s.call(http.MethodGet, "/v1/state", nil, &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// ask presents a card, and returns when the module on that side asks for a
// finger. On a machine so busy that a frame tore, the person presents it again.
func (s *simulated) ask(side, number string) {
	s.t.Helper()
	var presented time.Time
	eventually(s.t, "asked for a finger "+side, func() bool {
		asked := s.light(side) == "purple"
		if !asked && time.Since(presented) > 3*time.Second {
			presented = time.Now()
			s.card("D31-"+side, number)
		}
		return asked
	})
}

// refused returns when the module on that side asks for nothing any more.
func (s *simulated) refused(side string) {
	s.t.Helper()
	eventually(s.t, "refused "+side, func() bool { return s.light(side) == "red" })
}

func (s *simulated) light(side string) string { return s.view().Readers["D31-"+side+"-finger"].LED }

// walk opens the door, goes through and closes it.
func (s *simulated) walk() {
	s.t.Helper()
	s.do("/v1/doors/D31/open", map[string]any{})
	s.do("/v1/doors/D31/close", map[string]any{})
}

// level3 is D31 with a card reader and a fingerprint module on each side.
type level3 struct {
	name          string
	sim, settings string // of the card readers; %[1]s is the simulator's folder
}

var level3s = []level3{
	{"OSDP secure channel", `
      - {id: D31-in, door: D31, kind: osdp, bus: bus0, address: 0, secure: install}
      - {id: D31-out, door: D31, kind: osdp, bus: bus0, address: 1, secure: install}`, `
      - {id: D31-in, direction: in, driver: osdp, bus: bus0, address: 0}
      - {id: D31-out, direction: out, driver: osdp, bus: bus0, address: 1}`},
	{"Wiegand", `
      - {id: D31-in, door: D31, kind: wiegand, lines: D31-in}
      - {id: D31-out, door: D31, kind: wiegand, lines: D31-out}`, `
      - {id: D31-in, direction: in, driver: wiegand, d0: D31-in.d0, d1: D31-in.d1, led: D31-in.led, keypad: false}
      - {id: D31-out, direction: out, driver: wiegand, d0: D31-out.d0, d1: D31-out.d1, led: D31-out.led, keypad: false}`},
}

func (l level3) start(t *testing.T) (*simulated, agent.Settings) {
	t.Helper()
	s := simulate(t, `version: 1
cards:
  - {number: "0000012345", name: P07, format: h10301, facility: 12, id: 12345}
  - {number: "0000010005", name: P05, format: h10301, facility: 12, id: 10005}
controllers:
  - id: DC-31
    buses: [{name: bus0, baud: 38400}]
    doors: [{id: D31, lock: fail-secure}]
    readers:`+l.sim+`
      - {id: D31-in-finger, door: D31, kind: fingerprint, port: fp0}
      - {id: D31-out-finger, door: D31, kind: fingerprint, port: fp1}
`)
	text := fmt.Sprintf(`version: 1
device: DC-31
role: door
state: %[2]s
hub: {mqtt: "127.0.0.1:1", https: "127.0.0.1:1"}
lines: {backend: sim, socket: %[1]s/DC-31.lines}
buses: [{id: bus0, port: %[1]s/DC-31.bus0, baud: 38400}]
doors:
  - id: D31
    relay: {line: D31.relay}
    contact: {line: D31.contact}
    rex: {line: D31.rex}
    fire: {line: D31.fire}
    readers:`+l.settings+`
      - {id: D31-in-finger, direction: in, driver: fingerprint, port: %[1]s/DC-31.fp0}
      - {id: D31-out-finger, direction: out, driver: fingerprint, port: %[1]s/DC-31.fp1}
`, s.dir, t.TempDir())
	var set agent.Settings
	if err := settings.Parse("agent.yaml", []byte(text), &set); err != nil {
		t.Fatal(err)
	}
	return s, set
}

// prompter is the terminal of the person who enrols, whose finger follows what
// it says.
type prompter struct {
	lines
	place func()
}

func (p *prompter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "置いてください") {
		p.place()
	}
	return p.lines.Write(b)
}

// commission gives every reader of D31 its key, and enrols P07's finger at place
// 7 of both modules.
func commission(t *testing.T, sim *simulated, s agent.Settings) *prompter {
	t.Helper()
	terminal := &prompter{place: func() {}}
	w := agent.NewWorkshop(s, terminal, slog.New(slog.DiscardHandler))
	for _, d := range s.Doors[0].Readers {
		if d.Driver == "wiegand" {
			continue
		}
		if err := w.Commission(t.Context(), d.ID, time.Minute, false); err != nil {
			t.Fatalf("commission %s: %v", d.ID, err)
		}
	}
	for _, module := range []string{"D31-in-finger", "D31-out-finger"} {
		terminal.place = func() { sim.touch(module, "P07") }
		if err := w.Enrol(t.Context(), module, 7); err != nil {
			t.Fatalf("enrol at %s: %v", module, err)
		}
	}
	return terminal
}

// permitted puts the policy of D31 where an earlier run would have kept it.
func permitted(t *testing.T, c agent.Config, keys hubKeys) {
	t.Helper()
	head, chunks, err := record.PackPolicy(keys.policy, record.Policy{
		Device: record.DeviceID(c.Device), Version: 3, Pack: "kanmori/1",
		Doors: []record.DoorPolicy{{Door: "D31", Room: "R31", Level: 3, Second: record.SecondAny, SecondWindow: 6 * time.Second,
			Release: 5 * time.Second, HeldOpen: time.Minute, OfflineMaxAge: 24 * time.Hour}},
		Permits: []record.Permit{
			{Person: "P07", Rooms: []record.RoomCode{"R31"}, From: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)},
			{Person: "P05", Rooms: []record.RoomCode{"R31"}, From: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour)},
		},
		Credentials: []record.Credential{
			{ID: "C07", Person: "P07", Tag: credential.Tag(card(t, 12<<16|12345).Key()), State: record.CredentialActive},
			{ID: "C05", Person: "P05", Tag: credential.Tag(card(t, 12<<16|10005).Key()), State: record.CredentialActive},
			{ID: "F07", Person: "P07", Slot: 7, State: record.CredentialActive},
		},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, c, "policy.json", map[string]any{"head": head, "chunks": chunks})
	putFile(t, c, "doors.json", map[string]any{"last_hub": time.Now()})
}

// serving runs the agent until the returned function stops it.
func serving(t *testing.T, s agent.Settings) (stop func()) {
	t.Helper()
	c, err := s.Open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	c.Ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx, c) }()
	<-ready
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// passages are the facts of persons at doors, in a few words each.
func passages(t *testing.T, c agent.Config) (out []string) {
	t.Helper()
	for _, e := range events(t, c) {
		switch e.Kind {
		case record.KindGranted, record.KindDenied, record.KindEntered, record.KindExited:
			var p record.Passage
			if err := json.Unmarshal(e.Body, &p); err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s", e.Kind, p.Direction, p.Person, p.Method, p.Reason)))
		}
	}
	return out
}

// settled waits until every reader of D31 has proved itself, and then as long as
// what readers kept from earlier is not believed.
func settled(t *testing.T, sim *simulated) {
	t.Helper()
	eventually(t, "readers trusted", func() bool {
		for _, r := range sim.view().Readers {
			if r.OSDP != nil && (!r.OSDP.Secure || r.OSDP.DefaultKey) || r.Fingerprint != nil && !r.Fingerprint.Bound {
				return false
			}
		}
		return true
	})
	time.Sleep(2500 * time.Millisecond)
}

// [AS-01, 000-7.2-L3, 000-10.1, T-22, T-23] Card and finger each way at D31,
// and the two variants, with readers that were commissioned by the installer's
// tools, over real lines and a simulator in a process of its own.
func TestLevel3CardAndFinger(t *testing.T) {
	t.Parallel()
	for _, l := range level3s {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			sim, s := l.start(t)
			c := s.Identity()
			permitted(t, c, enrol(t, c))
			commission(t, sim, s)
			stop := serving(t, s)
			defer stop()
			settled(t, sim)
			released := func() int { return sim.view().Doors["D31"].Releases }
			for n, side := range []string{"in", "out"} {
				sim.ask(side, "0000012345")
				if got := released(); got != n {
					t.Fatalf("%s: the card alone released the lock (%d)", side, got)
				}
				sim.touch("D31-"+side+"-finger", "P07")
				eventually(t, "lock released "+side, func() bool { return released() == n+1 })
				sim.walk()
				eventually(t, "locked again", func() bool { return sim.view().Doors["D31"].Lock == "locked" })
			}
			// Variant: card only.
			sim.ask("in", "0000012345")
			sim.refused("in")
			// Variant: P07's finger with P05's card; and a stranger's with P07's.
			sim.ask("in", "0000010005")
			sim.touch("D31-in-finger", "P07")
			sim.refused("in")
			time.Sleep(1500 * time.Millisecond) // the finger is lifted
			sim.ask("in", "0000012345")
			sim.touch("D31-in-finger", "stranger")
			sim.refused("in")
			if got := released(); got != 2 {
				t.Errorf("released %d times", got)
			}
			stop()
			want := []string{
				"access_granted in P07 card_bio", "entered in P07 card_bio", "access_granted out P07 card_bio", "exited out P07 card_bio",
				"access_denied in P07 card second_factor_missing", "access_denied in P05 card biometric_mismatch", "access_denied in P07 card biometric_mismatch",
			}
			if got := passages(t, c); !slices.Equal(got, want) {
				t.Errorf("happened:\n %s\nwant:\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
			}
			checkWork(t, c, l)
		})
	}
}

// checkWork looks at what the installer did and what is fitted, in the journal
// and nowhere else.
func checkWork(t *testing.T, c agent.Config, l level3) {
	t.Helper()
	count := map[record.Kind]int{}
	for _, e := range events(t, c) {
		count[e.Kind]++
		if e.Kind == record.KindReaderCommissioned || e.Kind == record.KindTemplateEnrolled {
			var w record.ReaderWork
			if err := json.Unmarshal(e.Body, &w); err != nil || w.Operator == "" || !w.Verified {
				t.Errorf("%s: %+v %v", e.Kind, w, err)
			}
		}
		if e.Kind == record.KindDoorEquipped {
			var d record.DoorEquipped
			if err := json.Unmarshal(e.Body, &d); err != nil || len(d.Readers) != 4 {
				t.Fatalf("%+v %v", d, err)
			}
			for _, r := range d.Readers {
				if r.Secure == (r.Driver == "wiegand") || (r.Proof == record.ProofBiometric) != (r.Driver == "fingerprint") {
					t.Errorf("equipped: %+v", r)
				}
			}
		}
	}
	commissioned := 4
	if l.name == "Wiegand" {
		commissioned = 2
	}
	if count[record.KindReaderCommissioned] != commissioned || count[record.KindTemplateEnrolled] != 2 || count[record.KindDoorEquipped] != 1 || count[record.KindReaderUntrusted] != 0 {
		t.Errorf("facts: %v", count)
	}
	secrets, err := os.ReadDir(filepath.Join(c.StateDir, "keys"))
	if err != nil || len(secrets) != commissioned {
		t.Errorf("keyring: %v %v", secrets, err)
	}
}

// [T-22, T-23] What the tools refuse, and that they say so; a finger that is
// deleted is gone from the module.
func TestWorkshop(t *testing.T) {
	t.Parallel()
	sim, s := level3s[0].start(t)
	c := s.Identity()
	permitted(t, c, enrol(t, c))
	terminal := commission(t, sim, s)
	log := slog.New(slog.DiscardHandler)
	w := agent.NewWorkshop(s, terminal, log)
	ctx := t.Context()

	if err := w.Commission(ctx, "D31-in", time.Minute, false); err == nil || !strings.Contains(sentence(err), "--replace") {
		t.Errorf("commissioned twice: %v", err)
	}
	if err := w.Commission(ctx, "D31-in", time.Minute, true); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if keys := sim.view().Readers["D31-in"].OSDP.KeysSet; keys != 2 {
		t.Errorf("%d keys set", keys)
	}
	terminal.place = func() { sim.touch("D31-in-finger", "P01") }
	if err := w.Enrol(ctx, "D31-in-finger", 1); err != nil {
		t.Errorf("enrol: %v", err)
	}
	if err := w.Delete(ctx, "D31-in-finger", 7); err != nil {
		t.Errorf("delete: %v", err)
	}
	if left := sim.view().Readers["D31-in-finger"].Fingerprint.Templates; len(left) != 1 || left["7"] != "" {
		t.Errorf("left: %v", left)
	}
	if err := w.Wipe(ctx, "D31-out-finger"); err != nil {
		t.Errorf("wipe: %v", err)
	}
	if err := w.Count(ctx, "D31-in-finger"); err != nil || !strings.Contains(terminal.String(), "登録 1 件、場所 [1]") {
		t.Errorf("count: %v\n%s", err, terminal.String())
	}
	if err := w.Quality(ctx, "D31-in", time.Second); err != nil || !strings.Contains(terminal.String(), "誤り 0.0/1000") {
		t.Errorf("quality: %v\n%s", err, terminal.String())
	}
	if err := w.Enrol(ctx, "D31-in", 1); err == nil {
		t.Error("enrolled at a card reader")
	}
	if err := w.Blink(ctx, "D99"); err == nil || !strings.Contains(sentence(err), "設定にありません") {
		t.Errorf("no such reader: %v", err)
	}
	watchOne(t, sim, w, terminal)
	probeAll(t, sim)
	blinkOne(t, sim, w, "D31-in", "green")
	blinkOne(t, sim, w, "D31-in-finger", "purple")

	// The service holds the port: say so, and the way out.
	stop := serving(t, s)
	defer stop()
	settled(t, sim)
	if err := w.Quality(ctx, "D31-in", time.Second); !errors.Is(err, line.ErrBusy) || !strings.Contains(sentence(err), "sekimori-agent stop") {
		t.Errorf("port in use: %v", err)
	}
	if err := w.Wipe(ctx, "D31-in-finger"); !errors.Is(err, disk.ErrLocked) || sentence(err) == "" {
		t.Errorf("journal in use: %v", err)
	}
	stop()
	count := map[record.Kind]int{}
	for _, e := range events(t, c) {
		count[e.Kind]++
	}
	if count[record.KindTemplateDeleted] != 1 || count[record.KindModuleWiped] != 1 || count[record.KindReaderCommissioned] != 5 {
		t.Errorf("facts: %v", count)
	}
	noSecrets(t, c, terminal.String())
}

// [T-22, T-23] A reader that is to be secure and has no key, or one that cannot
// be read, is not talked to; the door is served, and what is wrong is said.
// Whoever looks for the reader before its commissioning finds it.
func TestReaderWithoutKeyIsNotTalkedTo(t *testing.T) {
	t.Parallel()
	sim, s := level3s[0].start(t)
	c := s.Identity()
	permitted(t, c, enrol(t, c))
	if err := os.MkdirAll(filepath.Join(c.StateDir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.StateDir, "keys", "D31-out.osdp"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	terminal := &prompter{place: func() {}}
	w := agent.NewWorkshop(s, terminal, slog.New(slog.DiscardHandler))
	if err := w.Quality(t.Context(), "D31-in", 100*time.Millisecond); err != nil || !strings.Contains(terminal.String(), "認証なしで話します") {
		t.Errorf("looked for: %v\n%s", err, terminal.String())
	}
	if err := w.Count(t.Context(), "D31-in-finger"); err == nil || !strings.Contains(sentence(err), "commission D31-in-finger") {
		t.Errorf("fingers of a module that is nobody's: %v", err)
	}
	if err := w.Watch(t.Context(), "D31-out", false); err == nil {
		t.Error("a damaged key is no key, and its reader was talked to in clear")
	}
	polls := sim.view().Readers["D31-in"].OSDP.Polls
	stop := serving(t, s)
	defer stop()
	time.Sleep(11 * time.Second) // a reader is given up on after ten
	stop()
	if after := sim.view(); after.Readers["D31-in"].OSDP.Polls != polls || after.Readers["D31-out"].OSDP.Polls != 0 {
		t.Error("a reader without a key was polled")
	}
	offline := map[record.ReaderID]string{}
	for _, e := range events(t, c) {
		if e.Kind == record.KindReaderOffline {
			var state record.ReaderState
			if err := json.Unmarshal(e.Body, &state); err != nil {
				t.Fatal(err)
			}
			offline[state.Reader] = state.Detail
		}
	}
	if len(offline) != 4 || !strings.Contains(offline["D31-in"], "never commissioned") || !strings.Contains(offline["D31-out"], "damaged") {
		t.Errorf("offline: %v", offline)
	}
}

// watchOne presents a card while the reader is watched.
func watchOne(t *testing.T, sim *simulated, w *agent.Workshop, terminal *prompter) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Watch(ctx, "D31-in", false) }()
	eventually(t, "watched", func() bool { return strings.Contains(terminal.String(), "認証された線") })
	sim.card("D31-in", "0000012345")
	eventually(t, "a card in words", func() bool { return strings.Contains(terminal.String(), "カード 26 ビット") })
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
}

// blinkOne looks for a reader by its lamp.
func blinkOne(t *testing.T, sim *simulated, w *agent.Workshop, id, colour string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Blink(ctx, id) }()
	eventually(t, id+" blinks", func() bool { return sim.view().Readers[id].LED == colour })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("blink %s: %v", id, err)
	}
}

// Beside a controller that is already there one listens and sends nothing. The
// frames are published ones: a poll, and a card of 26 bits.
func TestWatchPort(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	out := &lines{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- agent.WatchPort(ctx, out, tty.Name(), 9600, false) }()
	said := func() bool {
		// Again and again: what was written before the port was opened is lost.
		_, err := ptmx.Write([]byte{
			0xFF, 0x53, 0x00, 0x08, 0x00, 0x06, 0x60, 0x89, 0xCC, // POLL
			0xFF, 0x53, 0x80, 0x10, 0x00, 0x05, 0x50, 0x00, 0x01, 0x1A, 0x00, 0xA0, 0x00, 0x00, 0x35, 0x21, 0xEE, // RAW
		})
		return err == nil && strings.Contains(out.String(), "RAW")
	}
	eventually(t, "a card in words", said)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text := out.String(); strings.Contains(text, "POLL") || strings.Contains(strings.ToUpper(text), "A0") || !strings.Contains(text, "26 bits") {
		t.Errorf("said: %s", text)
	}
}

// probeAll finds what is at the simulator's ports, knowing only the speed.
func probeAll(t *testing.T, sim *simulated) {
	t.Helper()
	for port, want := range map[string]struct {
		baud int
		say  string
	}{"DC-31.bus0": {38400, "番地 1"}, "DC-31.fp0": {57600, "結び付けられている"}} {
		var out bytes.Buffer
		if err := agent.Probe(t.Context(), &out, filepath.Join(sim.dir, port), agent.ProbeLimits{Baud: want.baud}); err != nil || !strings.Contains(out.String(), want.say) {
			t.Errorf("probe %s: %v\n%s", port, err, &out)
		}
	}
}

// noSecrets looks for the secrets of the keyring in all that was said and kept.
func noSecrets(t *testing.T, c agent.Config, said string) {
	t.Helper()
	for _, e := range events(t, c) {
		said += string(e.Body)
	}
	files, err := filepath.Glob(filepath.Join(c.StateDir, "keys", "*"))
	if err != nil || len(files) != 4 {
		t.Fatalf("keyring: %v %v", files, err)
	}
	for _, f := range files {
		var kept struct{ Secret []byte }
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &kept)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(kept.Secret), fmt.Sprintf("%x", kept.Secret), fmt.Sprintf("%X", kept.Secret)} {
			if strings.Contains(said, form) {
				t.Errorf("the secret of %s was given away", filepath.Base(f))
			}
		}
	}
}

func sentence(err error) string {
	var s interface{ Sentence() string }
	if errors.As(agent.Tell(err), &s) {
		return s.Sentence()
	}
	return ""
}
