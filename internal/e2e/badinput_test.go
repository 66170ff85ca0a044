//go:build linux && simtime

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sentence is Japanese that ends as sentences do: what people are told.
var sentence = regexp.MustCompile(`[\p{Hiragana}\p{Katakana}\p{Han}][^\n]*。|直し方: \S+`)

// badStart is a program that cannot start.
type badStart struct {
	name    string
	program string
	args    []string
	stdin   string
	says    []string
}

// check runs it to its end: not for long, not successfully, and with a
// sentence for the person at the terminal.
func (b badStart) check(t *testing.T, c *city) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, b.program), b.args...)
	cmd.Env = append(os.Environ(), c.env("hub")...)
	cmd.Stdin = strings.NewReader(b.stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	late := time.AfterFunc(30*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer late.Stop()
	b2, err := cmd.CombinedOutput()
	out := string(b2)
	if err == nil || cmd.ProcessState.ExitCode() <= 0 {
		t.Errorf("%v, want an exit code above 0\n%s", cmd.ProcessState, out)
	}
	if !sentence.MatchString(out) || strings.Contains(out, "goroutine ") {
		t.Errorf("no Japanese sentence, or a stack:\n%s", out)
	}
	for _, want := range b.says {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}

// Unreadable or wrong settings: every program names file, line and way out.
func TestBadInputSettings(t *testing.T) {
	c := prepare(t, baseDay(9, 0, 0))
	hubText, fixture := c.read("hub.yaml"), c.fixture()
	agentText := c.agentSettings("DC-31")
	for _, bad := range []struct {
		name, program, text string
		verb                []string
		line                int // 0: none can be named
		says                string
	}{
		{"hub: not YAML", "sekimori-hub", "version: 1\n\tname: x\n", []string{"check-config"}, 2, ""},
		{"hub: unknown key", "sekimori-hub", hubText + "liten: {}\n", []string{"run"}, strings.Count(hubText, "\n") + 1, "liten"},
		{"hub: a required key is missing", "sekimori-hub", strings.Replace(hubText, "municipality: 関森市\n", "", 1), []string{"run"}, 0, "municipality"},
		{"hub: not an address", "sekimori-hub", strings.Replace(hubText, "devices: ", "devices: nowhere # ", 1), []string{"run"}, lineOf(hubText, "devices:"), "devices"},
		{"hub: empty", "sekimori-hub", "", []string{"run"}, 0, ""},
		{"hub: a version to come", "sekimori-hub", strings.Replace(hubText, "version: 1", "version: 9", 1), []string{"run"}, 1, "9"},
		{"agent: not YAML", "sekimori-agent", "version: 1\ndoors: [\n", []string{"run"}, 2, ""},
		{"agent: unknown key", "sekimori-agent", strings.Replace(agentText, "role:", "rolle:", 1), []string{"run"}, lineOf(agentText, "role:"), "rolle"},
		{"agent: a bus nobody named", "sekimori-agent", strings.Replace(agentText, "bus: bus0", "bus: bus7", 1), []string{"check-config"}, lineOf(agentText, "bus: bus0"), "bus7"},
		{"agent: no number", "sekimori-agent", strings.Replace(agentText, "baud: 38400", "baud: fast", 1), []string{"run"}, lineOf(agentText, "baud: 38400"), "baud"},
		{"agent: a line used twice", "sekimori-agent", strings.Replace(agentText, "D31.rex", "D31.contact", 1), []string{"run"}, lineOf(agentText, "D31.rex"), "D31.contact"},
		{"import: not YAML", "sekimori-hub", ":\n  - {", []string{"import", "FILE", "--as", "P01"}, 1, ""},
		{"import: a permit for a room that is not there", "sekimori-hub", strings.Replace(fixture, "rooms: [R31, R21]", "rooms: [R31, R77]", 1),
			[]string{"import", "FILE", "--as", "P01"}, lineOf(fixture, "rooms: [R31, R21]"), "R77"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			path := c.path("bad.yaml")
			c.write("bad.yaml", bad.text)
			args, settings := bad.verb, path
			if bad.verb[0] == "import" {
				args, settings = []string{"import", path, "--as", "P01"}, c.path("hub.yaml")
			}
			says := []string{path}
			if bad.line > 0 {
				says = []string{fmt.Sprintf("%s:%d:", path, bad.line)}
			}
			badStart{program: bad.program, args: append(args, "--settings", settings), says: append(says, bad.says)}.check(t, c)
		})
	}
	t.Run("no such file", func(t *testing.T) {
		for _, program := range []string{"sekimori-hub", "sekimori-agent"} {
			badStart{program: program, args: []string{"run", "--settings", c.path("none.yaml")}, says: []string{c.path("none.yaml")}}.check(t, c)
		}
	})
}

func lineOf(text, what string) int {
	before, _, _ := strings.Cut(text, what)
	return strings.Count(before, "\n") + 1
}

// agentSettings is a controller's settings for this city.
func (c *city) agentSettings(id string) string {
	c.t.Helper()
	b, err := os.ReadFile(filepath.Join(repo(), "configs", "agent-"+strings.ToLower(strings.ReplaceAll(id, "-", ""))+".yaml"))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.NewReplacer("scratch/sim", c.path("sim"), "scratch/"+id, c.path(id),
		"localhost:8883", c.mqtt, "localhost:8443", c.https).Replace(string(b))
}

// What is there already, what is not there yet, and what belongs to another.
func TestBadInputStarts(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	hubRun := func(name string) []string { return []string{"run", "--settings", c.path(name)} }
	c.alteredHub("second.yaml", nil)
	c.alteredHub("other-https.yaml", map[string]string{c.path("hub") + "\n": c.path("hub2") + "\n", c.mqtt: freePort(t)})
	c.alteredHub("other-mqtt.yaml", map[string]string{c.path("hub") + "\n": c.path("hub2") + "\n", c.https: freePort(t)})
	c.alteredHub("no-keys.yaml", map[string]string{c.path("hub") + "\n": c.path("hub3") + "\n", c.https: freePort(t), c.mqtt: freePort(t)})
	once(t, c.env("hub"), "", filepath.Join(bin, "sekimori-hub"), "init", "--settings", c.path("other-https.yaml"))
	fresh := strings.ReplaceAll(c.agentSettings("DC-31"), c.path("DC-31"), c.path("fresh"))
	c.write("fresh.yaml", fresh)
	c.write("no-lines.yaml", strings.Replace(c.read("DC-21.yaml"), "backend: sim", "backend: kernel\n  chip: gpiochip77", 1))
	used := strings.TrimSpace(c.hubDo("", "enrol-code", "DC-31", "--as", "P01"))
	used = used[strings.LastIndexByte(used, '\n')+1:]
	c.write("elsewhere.yaml", strings.ReplaceAll(c.read("fresh.yaml"), c.path("fresh"), c.path("elsewhere")))
	once(t, c.env("hub"), used+"\n", filepath.Join(bin, "sekimori-agent"), "enrol", "--settings", c.path("elsewhere.yaml"))
	c.write("nowhere.yaml", strings.ReplaceAll(c.read("fresh.yaml"), c.https, freePort(t)))

	for _, b := range []badStart{
		{"second hub on the same store", "sekimori-hub", hubRun("second.yaml"), "", nil},
		{"HTTPS port taken", "sekimori-hub", hubRun("other-https.yaml"), "", []string{"listen.https", c.https}},
		{"MQTT port taken", "sekimori-hub", hubRun("other-mqtt.yaml"), "", []string{"listen.mqtt", c.mqtt}},
		{"hub without keys", "sekimori-hub", hubRun("no-keys.yaml"), "", []string{"init"}},
		{"verify without keys", "sekimori-hub", []string{"verify", "--settings", c.path("no-keys.yaml")}, "", []string{"init"}},
		{"keys made twice", "sekimori-hub", []string{"init", "--settings", c.path("hub.yaml")}, "", nil},
		{"code for a device with a bad name", "sekimori-hub", []string{"enrol-code", "総務課の扉", "--as", "P01", "--settings", c.path("hub.yaml")}, "", nil},
		{"code in nobody's name", "sekimori-hub", []string{"enrol-code", "DC-77", "--as", "P99", "--settings", c.path("hub.yaml")}, "", []string{"P99"}},
		{"password of nobody", "sekimori-hub", []string{"user", "passwd", "nobody", "--settings", c.path("hub.yaml")}, password + "\n", []string{"nobody"}},
		{"password too short", "sekimori-hub", []string{"user", "passwd", "yamada", "--settings", c.path("hub.yaml")}, "1234\n", nil},
		{"verify of nothing", "sekimori-hub", []string{"verify", "--store", c.path("none.db"), "--settings", c.path("hub.yaml")}, "", []string{"none.db"}},
		{"not enrolled", "sekimori-agent", hubRun("fresh.yaml"), "", []string{"enrol"}},
		{"a code that is none", "sekimori-agent", []string{"enrol", "--settings", c.path("fresh.yaml")}, "ABCD-EFGH\n", nil},
		{"a code with a slip", "sekimori-agent", []string{"enrol", "--settings", c.path("fresh.yaml")}, slipped(used) + "\n", nil},
		{"a used code", "sekimori-agent", []string{"enrol", "--settings", c.path("fresh.yaml")}, used + "\n", []string{"SK-1301"}},
		{"a hub that is not there", "sekimori-agent", []string{"enrol", "--settings", c.path("nowhere.yaml")}, used + "\n", []string{"hub"}},
		{"lines that are not there", "sekimori-agent", hubRun("no-lines.yaml"), "", []string{"lines"}},
		{"no checkpoint yet", "sekimori-agent", []string{"checkpoint", "--settings", c.path("fresh.yaml")}, "", nil},
	} {
		t.Run(b.name, func(t *testing.T) { b.check(t, c) })
	}
	t.Run("another's identity", func(t *testing.T) {
		c.agents["DC-31"].stop()
		c.write("foreign.yaml", strings.ReplaceAll(c.read("DC-31.yaml"), "state: "+c.path("DC-31"), "state: "+c.path("DC-21")))
		badStart{program: "sekimori-agent", args: hubRun("foreign.yaml"), says: []string{"SK-1003"}}.check(t, c)
	})
	t.Run("two agents on one state", func(t *testing.T) {
		badStart{program: "sekimori-agent", args: hubRun("DC-21.yaml")}.check(t, c)
	})
	t.Run("nobody was disturbed", func(t *testing.T) {
		c.pass("D21-in", cardP07, "")
		eventually(t, 10*time.Second, "row", func() bool { return len(c.con.stays("R21")) == 1 })
	})
}

// alteredHub writes hub.yaml with changes.
func (c *city) alteredHub(name string, change map[string]string) {
	c.t.Helper()
	text := c.read("hub.yaml")
	for from, to := range change {
		if !strings.Contains(text, from) {
			c.t.Fatalf("hub.yaml does not say %q", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	c.write(name, text)
}

// slipped is a code with two letters changed places.
func slipped(code string) string {
	b := []byte(code)
	for n := range b {
		if n+1 < len(b) && b[n] != b[n+1] && b[n] != '-' && b[n+1] != '-' {
			b[n], b[n+1] = b[n+1], b[n]
			break
		}
	}
	return string(b)
}
