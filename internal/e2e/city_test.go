//go:build linux

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"sekimori/internal/clock"
)

var jst = clock.JST

// baseDay is Monday 2026-06-15, 令和8年6月15日.
func baseDay(hour, minute, second int) time.Time {
	return time.Date(2026, 6, 15, hour, minute, second, 0, jst)
}

// password is the fixture users' in tests; there is no default one.
const password = "correct horse battery staple 42"

// city is the fixture city of acceptance.md §6.0: a hub, two door controllers
// and the simulator, each a process of its own.
type city struct {
	t      *testing.T
	dir    string
	sim    *proc
	hub    *proc
	agents map[string]*proc // DC-31, DC-21
	ctl    *simulator
	con    *console

	https, mqtt string
	outfit
}

// outfit is what is fitted at DC-31: its readers in the simulator's settings and
// in the controller's, one line each.
type outfit struct{ sim, agent []string }

// plain is two card readers without keys. Most tests are about something else, and
// need no commissioning first; see sides for doors that are fitted well.
var plain = outfit{
	sim: []string{
		"{id: D31-in, door: D31, kind: osdp, bus: bus0, address: 0}",
		"{id: D31-out, door: D31, kind: osdp, bus: bus0, address: 1}",
	},
	agent: []string{
		"{id: D31-in, direction: in, driver: osdp, link: clear, bus: bus0, address: 0}",
		"{id: D31-out, direction: out, driver: osdp, link: clear, bus: bus0, address: 1}",
	},
}

// refit puts lines in the place of the readers of a controller's settings: those
// between "readers:" and the next thing that is not deeper.
func refit(text, controller string, lines []string) string {
	before, rest, _ := strings.Cut(text, controller)
	head, readers, _ := strings.Cut(rest, "    readers:\n")
	end := 0
	for line := range strings.Lines(readers) {
		if !strings.HasPrefix(line, "      ") {
			break
		}
		end += len(line)
	}
	return before + controller + head + "    readers:\n      - " + strings.Join(lines, "\n      - ") + "\n" + readers[end:]
}

// repo is the root of the repository.
func repo() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// freePort finds an address that a hub can listen on later. It is below the ports
// that systems give to outgoing connections (32768 and up on Linux): one of those
// would be taken by somebody's connection now and then.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue // taken
		}
		l.Close()
		return l.Addr().String()
	}
	t.Fatal("no free port")
	return ""
}

// prepare initialises hub, keys, people and devices, and starts the simulator.
func prepare(t *testing.T, at time.Time) *city { t.Helper(); return prepareWith(t, at, plain) }

func prepareWith(t *testing.T, at time.Time, o outfit) *city {
	t.Helper()
	dir, err := os.MkdirTemp("", "sk") // short: socket paths are bounded
	if err != nil {
		t.Fatal(err)
	}
	c := &city{t: t, dir: dir, agents: map[string]*proc{}, https: freePort(t), mqtt: freePort(t), outfit: o}
	t.Cleanup(c.tearDown)
	c.startSim()
	if clock.Simulated {
		c.ctl.set(at)
	}
	c.write("hub.yaml", fmt.Sprintf(`version: 1
municipality: 関森市
name: localhost
state: %[1]s/hub
listen: {https: %[2]q, mqtt: %[3]q}
devices: %[3]q
addresses: [127.0.0.1]
`, dir, c.https, c.mqtt))
	c.hub = c.proc("hub", "sekimori-hub", "run", "--settings", c.path("hub.yaml"))
	c.hubDo("", "init")
	c.hubDo("", "import", filepath.Join(repo(), "configs/fixture/kanmori.yaml"), "--as", "P01")
	for _, user := range []string{"yamada", "yoshida"} {
		c.hubDo(password+"\n", "user", "passwd", user)
	}
	return c
}

func (c *city) path(name string) string { return filepath.Join(c.dir, name) }

func (c *city) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *city) proc(name, program string, args ...string) *proc {
	return &proc{t: c.t, name: name, path: filepath.Join(bin, program), args: args, env: c.env(name), log: c.path(name + ".log")}
}

// env lets a program follow the simulator's clock, with the skew of its board.
func (c *city) env(name string) []string {
	if !clock.Simulated || name == "sim" {
		return nil
	}
	env := []string{"SEKIMORI_SIMTIME=" + c.path("sim/clock")}
	if strings.HasPrefix(name, "DC-") {
		env = append(env, "SEKIMORI_SIMTIME_SKEW="+c.path("sim/"+name+".skew"))
	}
	return env
}

// hubDo runs a hub command to its end, on the running hub or on its store.
func (c *city) hubDo(stdin string, args ...string) string {
	c.t.Helper()
	return once(c.t, c.env("hub"), stdin, filepath.Join(bin, "sekimori-hub"), append(args, "--settings", c.path("hub.yaml"))...)
}

func (c *city) startSim() {
	c.t.Helper()
	site, err := os.ReadFile(filepath.Join(repo(), "configs/sim.yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("sim.yaml", refit(string(site), "- id: DC-31\n", c.outfit.sim))
	c.sim = c.proc("sim", "sekimori-sim", "run", "--config", c.path("sim.yaml"), "--dir", c.path("sim"))
	c.sim.start()
	c.ctl = newSimulator(c.t, c.path("sim/sim.sock"))
	eventually(c.t, 10*time.Second, "simulator up", func() bool { return c.ctl.call(http.MethodGet, "/v1/state", nil, nil) == nil })
}

// startAll starts the hub and enrols and starts both controllers.
func (c *city) startAll() {
	c.t.Helper()
	c.startHub()
	for _, id := range []string{"DC-31", "DC-21"} {
		c.enrol(id)
		c.agents[id].start()
	}
}

func (c *city) startHub() {
	c.t.Helper()
	c.hub.start()
	ca := c.path("hub/keys/ca.crt")
	c.con = newConsole(c.t, "https://"+c.https, ca)
	eventually(c.t, 20*time.Second, "hub up", func() bool { return c.con.ready() })
}

// enrol writes a controller's settings and makes it a member.
func (c *city) enrol(id string) {
	c.t.Helper()
	example := filepath.Join(repo(), "configs", "agent-"+strings.ToLower(strings.ReplaceAll(id, "-", ""))+".yaml")
	b, err := os.ReadFile(example)
	if err != nil {
		c.t.Fatal(err)
	}
	text := string(b)
	if id == "DC-31" {
		text = refit(text, "doors:\n", c.outfit.agent)
	}
	text = strings.NewReplacer("scratch/sim", c.path("sim"), "scratch/"+id, c.path(id),
		"localhost:8883", c.mqtt, "localhost:8443", c.https).Replace(text)
	text = strings.Replace(text, "https: "+c.https+"\n", "https: "+c.https+"\n  heartbeat: 1s\n", 1)
	c.write(id+".yaml", text)
	code := strings.TrimSpace(c.hubDo("", "enrol-code", id, "--as", "P01"))
	lines := strings.Split(code, "\n")
	once(c.t, c.env(id), lines[len(lines)-1]+"\n", filepath.Join(bin, "sekimori-agent"), "enrol", "--settings", c.path(id+".yaml"))
	c.agents[id] = c.proc(id, "sekimori-agent", "run", "--settings", c.path(id+".yaml"))
}

// waitReady waits until both controllers have confirmed a policy and their
// readers answer.
func (c *city) waitReady() {
	c.t.Helper()
	c.con.signIn("yamada")
	eventually(c.t, 30*time.Second, "controllers under policy, readers online", func() bool { return c.con.devicesReady(2) })
	time.Sleep(1200 * time.Millisecond) // until what readers say is believed
}

// verify checks a copy of the hub's store offline.
func (c *city) verify(args ...string) (string, error) {
	c.t.Helper()
	return try(c.env("hub"), "", filepath.Join(bin, "sekimori-hub"), append([]string{"verify", "--settings", c.path("hub.yaml")}, args...)...)
}

func (c *city) tearDown() {
	for _, a := range c.agents {
		a.kill()
	}
	if c.hub != nil {
		c.hub.kill()
	}
	if c.sim != nil {
		c.sim.kill()
	}
	if c.t.Failed() {
		for _, p := range append([]*proc{c.hub, c.sim}, c.agents["DC-31"], c.agents["DC-21"]) {
			if p != nil {
				c.t.Log(p.tail())
			}
		}
		if os.Getenv("SEKIMORI_KEEP") != "" {
			c.t.Log("kept: " + c.dir)
			return
		}
	}
	os.RemoveAll(c.dir)
}

// pass is one person's whole passage: card, PIN where one is wanted, and the
// walk through the door. A reader that has only just come online is not
// believed, so a person whose card does nothing presents it again.
func (c *city) pass(reader, card, pin string) {
	c.t.Helper()
	door := strings.TrimSuffix(strings.TrimSuffix(reader, "-in"), "-out")
	before := c.ctl.door(door).Releases
	taken := func() bool {
		if pin != "" {
			return c.ctl.state().Readers[reader].LED == "amber"
		}
		return c.ctl.door(door).Releases > before
	}
	c.present(reader, card, taken)
	if pin != "" {
		c.ctl.keys(reader, pin+"#")
	}
	eventually(c.t, 5*time.Second, "lock released at "+reader, func() bool { return c.ctl.door(door).Releases > before })
	c.ctl.walk(door)
	eventually(c.t, 5*time.Second, "locked again", func() bool { return c.ctl.door(door).Lock == "locked" })
}

// present shows a card until it is taken, three times at most.
func (c *city) present(reader, card string, taken func() bool) {
	c.t.Helper()
	for range 3 {
		c.ctl.card(reader, card)
		for deadline := time.Now().Add(2500 * time.Millisecond); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if taken() {
				return
			}
		}
	}
	c.t.Fatalf("a card at %s does nothing", reader)
}

// fixture is the fixture city's text.
func (c *city) fixture() string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(repo(), "configs/fixture/kanmori.yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// copyStore copies the hub's store as a person would: the database and its
// write-ahead log.
func (c *city) copyStore() string {
	c.t.Helper()
	to := c.path(fmt.Sprintf("copy-%d.db", time.Now().UnixNano()))
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(c.path("hub/hub.db" + suffix))
		if err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	return to
}

func (c *city) read(name string) string {
	c.t.Helper()
	b, err := os.ReadFile(c.path(name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}
