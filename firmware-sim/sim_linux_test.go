package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sim "sekimori/firmware-sim"
	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/world"
)

// city is a running simulator of the fixture city.
type city struct {
	t    *testing.T
	dir  string
	http string
	ctl  *api.Client
	stop func()
}

func mustCity(t *testing.T, dir string) *city {
	t.Helper()
	c := &city{t: t, dir: dir}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan sim.Ready, 1), make(chan error, 1)
	var log bytes.Buffer
	go func() {
		done <- sim.Run(ctx, sim.Config{Settings: "../configs/sim.yaml", Dir: dir, Listen: "127.0.0.1:0",
			Log: slog.New(slog.NewTextHandler(&log, nil)), Ready: func(r sim.Ready) { ready <- r }})
	}()
	select {
	case r := <-ready:
		c.http, c.ctl = r.HTTP, api.Dial(r.Socket)
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	stopped := false
	c.stop = func() {
		if stopped {
			return
		}
		stopped = true
		c.ctl.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, secret := range []string{"12345", "06181cc0", "7007"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log holds %s", secret)
			}
		}
	}
	t.Cleanup(c.stop)
	return c
}

func (c *city) post(path string, body any) api.Done {
	c.t.Helper()
	d, err := c.ctl.Post(c.t.Context(), path, body)
	if err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
	return d
}

func (c *city) state() world.State {
	c.t.Helper()
	s, err := c.ctl.State(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *city) wait(query string) world.State {
	c.t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := c.ctl.Wait(c.t.Context(), q)
	if err != nil {
		c.t.Fatalf("wait %s: %v", query, err)
	}
	return s
}

func (c *city) timeline(door string) world.Timeline {
	c.t.Helper()
	tl, err := c.ctl.Timeline(c.t.Context(), door, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return tl
}

// program is a controller's program, spoken in the lines' own words.
type program struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (c *city) program(controller string) *program {
	c.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(c.dir, controller+".lines"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	p := &program{c.t, conn, bufio.NewReader(conn)}
	p.say("HELLO sekimori-lines/1 test")
	if s := p.hear(); !strings.HasPrefix(s, "LINES ") {
		c.t.Fatalf("heard %q", s)
	}
	return p
}

func (p *program) say(s string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.conn, s); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) hear() string {
	p.t.Helper()
	if err := p.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	s, err := p.in.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

// bits reads n falling edges of d0 and d1.
func (p *program) bits(n int) string {
	p.t.Helper()
	var out strings.Builder
	for out.Len() < n {
		f := strings.Fields(p.hear())
		if f[0] == "EDGE" && f[2] == "0" {
			out.WriteByte(f[1][len(f[1])-1])
		}
	}
	return out.String()
}

// TestFireAndExitWithNoProgram [T-15] [AS-03] [AS-04]: nobody is connected to
// either controller, and both doors release at once.
func TestFireAndExitWithNoProgram(t *testing.T) {
	c := mustCity(t, t.TempDir())
	yes, no := true, false
	for _, door := range []string{"D31", "D21"} {
		if _, err := c.ctl.Post(t.Context(), api.Door(door, "open"), struct{}{}); !api.Refused(err, problem.Locked) {
			t.Fatalf("%s opened while locked: %v", door, err)
		}
		done := c.post(api.Door(door, "rex"), api.DoorBody{MS: 200})
		c.wait("door=" + door + "&lock=released&timeout=1s&since=" + fmt.Sprint(done.Event))
		c.wait("door=" + door + "&lock=locked&timeout=2s")
	}
	c.post("/v1/fire", api.FireBody{On: &yes})
	for _, door := range []string{"D31", "D21"} {
		s := c.wait("door=" + door + "&lock=released&timeout=1s")
		if d := s.Doors[door]; len(d.ReleasedBy) != 1 || d.ReleasedBy[0] != "fire" || d.Pulses != 0 {
			t.Errorf("%s: %+v", door, d)
		}
		c.post(api.Door(door, "open"), struct{}{})
		c.post(api.Door(door, "close"), struct{}{})
	}
	c.post("/v1/fire", api.FireBody{On: &no, Doors: []string{"D31"}})
	s := c.state()
	if s.Doors["D31"].Lock != "locked" || s.Doors["D21"].Lock != "released" {
		t.Errorf("one contact went back: %+v", s.Doors)
	}
}

// TestProgramKilledWhileTheDoorIsReleased [T-15] [T-40]: the relay falls with
// its program, and the fire contact works without it.
func TestProgramKilledWhileTheDoorIsReleased(t *testing.T) {
	c := mustCity(t, t.TempDir())
	p := c.program("DC-31")
	p.say("OUT D31.relay 1")
	if s := p.hear(); s != "OK OUT D31.relay 1" {
		t.Fatal(s)
	}
	if d := c.state().Doors["D31"]; d.Lock != "released" || d.Pulses != 1 {
		t.Fatalf("after OK the lock is %+v", d)
	}
	p.conn.Close()
	c.wait("door=D31&lock=locked&timeout=2s")
	yes := true
	c.post(api.Door("D31", "fire"), api.DoorBody{On: &yes})
	if d := c.state().Doors["D31"]; d.Lock != "released" || d.Pulses != 1 {
		t.Errorf("with a fire and no program: %+v", d)
	}
	tl := c.timeline("D31")
	if len(tl.PulseTimes) != 1 || tl.Releases != 2 {
		t.Errorf("the timeline tells %d pulses and %d releases", len(tl.PulseTimes), tl.Releases)
	}
	for i, e := range tl.Entries {
		if e.MonoNS == 0 || e.Wall.IsZero() || i > 0 && e.MonoNS < tl.Entries[i-1].MonoNS {
			t.Errorf("entry %d has no proper time: %+v", i, e)
		}
	}
}

func TestWiegandReaderOnTheLines(t *testing.T) {
	c := mustCity(t, t.TempDir())
	p := c.program("DC-21")
	p.say("WATCH D21.d0 D21.d1 D21.contact D21.rex D21.fire D21.tamper")
	for range 6 {
		p.hear()
	}
	const p07 = "00000110000110000001110011"
	done := c.post(api.Reader("D21-in", "card"), api.CardBody{Number: "0000012345"})
	if got := p.bits(26); got != p07 || done.Bits != 26 {
		t.Errorf("the card came as %s", got)
	}
	c.post(api.Reader("D21-in", "keys"), api.KeysBody{Keys: "8#"})
	if got := p.bits(8); got != "10001011" {
		t.Errorf("8# came as %s", got)
	}
	c.post(api.Reader("D21-in", "fault"), api.FaultBody{Kind: "short", Count: 1})
	c.post(api.Reader("D21-in", "card"), api.CardBody{Number: "P07"})
	c.post(api.Reader("D21-in", "card"), api.CardBody{Bits: "26:06181cc0"})
	if got := p.bits(49); got != p07[:23]+p07 {
		t.Errorf("a short frame and a whole one came as %s", got)
	}
	off := false
	c.post(api.Reader("D21-in", "cable"), api.CableBody{Connected: &off})
	c.post(api.Reader("D21-in", "card"), api.CardBody{Number: "P07"})
	yes := true
	c.post(api.Reader("D21-in", "tamper"), api.DoorBody{Open: &yes})
	for s := p.hear(); !strings.HasPrefix(s, "EDGE D21.tamper 1 "); s = p.hear() {
		if strings.Contains(s, ".d") && strings.Fields(s)[2] == "0" {
			t.Fatalf("a pulled cable carried %s", s)
		}
	}
	for _, s := range []string{"OUT D21.led 1", "OUT D21.buz 1", "OUT D21.buz 0"} {
		p.say(s)
		p.hear()
	}
	if r := c.state().Readers["D21-in"]; r.LED != "green" || r.Buzzes != 1 || r.Cable {
		t.Errorf("the reader looks like %+v", r)
	}
}

// TestRestartKeepsTheWorld: what a person sees outlives the simulator; the
// relay does not pulse.
func TestRestartKeepsTheWorld(t *testing.T) {
	dir := t.TempDir()
	c := mustCity(t, dir)
	yes := true
	c.post(api.Door("D21", "fire"), api.DoorBody{On: &yes})
	c.post(api.Door("D31", "force"), api.DoorBody{})
	c.stop()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if !f.Type().IsRegular() {
			t.Errorf("%s was left behind", f.Name())
		}
	}
	c = mustCity(t, dir)
	s := c.state()
	if d := s.Doors["D31"]; d.Leaf != "open" || !d.Forced || d.Lock != "locked" || d.Pulses != 0 {
		t.Errorf("D31: %+v", d)
	}
	if d := s.Doors["D21"]; d.Leaf != "closed" || d.Lock != "released" || d.Pulses != 0 {
		t.Errorf("D21: %+v", d)
	}
	p := c.program("DC-31")
	p.say("GET D31.contact")
	if got := p.hear(); got != "LEVEL D31.contact 1" {
		t.Error(got)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := mustCity(t, dir).state().Doors["D31"]; d.Leaf != "closed" {
		t.Errorf("a torn state file gave %+v", d)
	}
}

func TestRefusals(t *testing.T) {
	c := mustCity(t, t.TempDir())
	cases := []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"unknown door", "/v1/doors/D99/open", `{}`, 404, problem.UnknownDoor},
		{"unknown reader", "/v1/readers/X/card", `{"number":"P07"}`, 404, problem.UnknownReader},
		{"unknown controller", "/v1/clock", `{"controller":"X","skew":"1s"}`, 404, problem.UnknownController},
		{"unknown card", "/v1/readers/D31-in/card", `{"number":"7"}`, 404, problem.UnknownCard},
		{"no card", "/v1/readers/D31-in/card", ``, 400, problem.BadBody},
		{"bad bits", "/v1/readers/D31-in/card", `{"bits":"26:00"}`, 400, problem.BadBody},
		{"id too large", "/v1/readers/D31-in/card", `{"format":"h10301","facility":1,"id":65536}`, 400, problem.BadBody},
		{"not JSON", "/v1/readers/D31-in/keys", `keys`, 400, problem.BadBody},
		{"unknown field", "/v1/readers/D31-in/keys", `{"key":"1"}`, 400, problem.BadBody},
		{"two bodies", "/v1/readers/D31-in/keys", `{"keys":"1"}{}`, 400, problem.BadBody},
		{"not a key", "/v1/readers/D31-in/keys", `{"keys":"12A"}`, 400, problem.BadBody},
		{"too many keys", "/v1/readers/D31-in/keys", `{"keys":"` + strings.Repeat("1", 33) + `"}`, 400, problem.BadBody},
		{"too large", "/v1/fire", `{"on":true,"doors":["` + strings.Repeat("x", 1<<17) + `"]}`, 413, problem.TooLarge},
		{"fire without on", "/v1/fire", `{}`, 400, problem.BadBody},
		{"fire at an unknown door", "/v1/fire", `{"on":true,"doors":["D31","D99"]}`, 404, problem.UnknownDoor},
		{"unknown act", "/v1/doors/D31/paint", `{}`, 404, problem.NotFound},
		{"closed already", "/v1/doors/D31/close", `{}`, 409, problem.AlreadyClosed},
		{"negative time", "/v1/doors/D31/rex", `{"ms":-1}`, 400, problem.BadBody},
		{"stall a Wiegand reader", "/v1/readers/D21-in/stall", `{"ms":1}`, 422, problem.NotSupported},
		{"glitch an OSDP reader", "/v1/readers/D31-in/fault", `{"kind":"glitch"}`, 422, problem.NotSupported},
		{"wipe a Wiegand reader", "/v1/readers/D21-in/wipe", `{}`, 422, problem.NotSupported},
		{"input without on", "/v1/readers/D31-in/input", `{}`, 400, problem.BadBody},
		{"finger without slot", "/v1/readers/D31-in/finger", `{}`, 400, problem.BadBody},
		{"finger nobody asked for", "/v1/readers/D31-in/finger", `{"slot":1}`, 409, problem.NotAsked},
		{"clock without a verb", "/v1/clock", `{}`, 400, problem.BadBody},
		{"clock with two verbs", "/v1/clock", `{"set":"2026-06-15T09:00:00+09:00","advance":"1s"}`, 400, problem.BadBody},
		{"clock back by advance", "/v1/clock", `{"advance":"-1s"}`, 400, problem.BadBody},
		{"no such address", "/v2/fire", `{}`, 404, problem.NotFound},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			status, code := postTCP(t, c.http+k.path, "application/json", "", k.body)
			if status != k.status || code != k.code {
				t.Errorf("%d %s, want %d %s", status, code, k.status, k.code)
			}
		})
	}
	if d := c.state().Doors["D31"]; d.Fire {
		t.Error("a refused request raised the fire at one of its doors")
	}
	if _, code := postTCP(t, c.http+"/v1/fire", "text/plain", "", `{"on":true}`); code != problem.BadBody {
		t.Errorf("a web page's simple request was taken: %s", code)
	}
	if _, code := postTCP(t, c.http+"/v1/fire", "application/json", "evil.example", `{"on":true}`); code != problem.Forbidden {
		t.Errorf("a foreign host name was taken: %s", code)
	}
	for _, q := range []string{"", "door=D31", "door=D31&lock=maybe", "reader=D31-in", "door=D31&lock=locked&timeout=1h", "door=D31&lock=locked&since=x"} {
		var v any
		if err := c.ctl.Get(t.Context(), "/v1/wait?"+q, &v); !api.Refused(err, problem.BadBody) {
			t.Errorf("wait %q: %v", q, err)
		}
	}
	var v any
	if err := c.ctl.Get(t.Context(), "/v1/wait?door=D31&lock=released&timeout=20ms", &v); !api.Refused(err, problem.Timeout) {
		t.Errorf("a wait in vain: %v", err)
	}
}

// postTCP posts as a stranger's script does and gives status and error code;
// both sentences must be there.
func postTCP(t *testing.T, url, contentType, host, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Error problem.Error }
	if err := json.Unmarshal(data, &f); err != nil || f.Error.JA == "" || f.Error.EN == "" {
		t.Fatalf("the answer explains nothing: %s", data)
	}
	return res.StatusCode, f.Error.Code
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "localhost:0"} {
		err := sim.Run(t.Context(), sim.Config{Settings: "../configs/sim.yaml", Dir: t.TempDir(), Listen: addr, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// TestClockFiles: what programs built with simtime read.
func TestClockFiles(t *testing.T) {
	c := mustCity(t, t.TempDir())
	base := time.Date(2026, 6, 15, 0, 0, 0, 0, time.UTC)
	c.post("/v1/clock", api.ClockBody{Set: base.Format(time.RFC3339)})
	c.post("/v1/clock", api.ClockBody{Advance: "90m"})
	c.post("/v1/clock", api.ClockBody{Controller: "DC-31", Skew: "-2m"})
	s := c.state().Clock
	if d := s.Simulated.Sub(base.Add(90 * time.Minute)); d < 0 || d > time.Minute {
		t.Errorf("the simulated clock is %v", s.Simulated)
	}
	if s.Skew["DC-31"] != "-2m0s" || s.Skew["DC-21"] != "0s" {
		t.Errorf("the skews are %v", s.Skew)
	}
	file, err := os.ReadFile(filepath.Join(c.dir, "clock"))
	if err != nil || len(file) != 16 {
		t.Fatalf("%d bytes, %v", len(file), err)
	}
	off := time.Duration(binary.LittleEndian.Uint64(file))
	if d := time.Now().Add(off).Sub(base.Add(90 * time.Minute)); d < 0 || d > time.Minute {
		t.Errorf("the file says %v", time.Now().Add(off))
	}
	skew, err := os.ReadFile(filepath.Join(c.dir, "DC-31.skew"))
	if err != nil || int64(binary.LittleEndian.Uint64(skew)) != int64(-2*time.Minute) {
		t.Errorf("the skew file is % x, %v", skew, err)
	}
	yes := true
	c.post(api.Door("D31", "tamper"), api.DoorBody{Open: &yes})
	tl := c.timeline("D31")
	if w := tl.Entries[len(tl.Entries)-1].Wall; w.Before(base) || w.After(base.Add(2*time.Hour)) {
		t.Errorf("the timeline's wall time is %v", w)
	}
}

func TestEvents(t *testing.T) {
	c := mustCity(t, t.TempDir())
	type page struct {
		Events []world.Event
		Last   uint64
	}
	get := func(query string) page {
		var p page
		if err := c.ctl.Get(t.Context(), "/v1/events?"+query, &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := get("")
	if len(first.Events) != 1 || first.Events[0].Kind != "started" || first.Last != 1 {
		t.Fatalf("%+v", first)
	}
	if p := get("after=1&timeout=10ms"); len(p.Events) != 0 {
		t.Errorf("%+v", p)
	}
	heard := make(chan page, 1)
	go func() { heard <- get("after=1&timeout=30s") }()
	c.post(api.Reader("D31-in", "card"), api.CardBody{Number: "0000012345"})
	p := <-heard
	if len(p.Events) != 1 || p.Events[0].Seq != 2 || p.Events[0].Reader != "D31-in" || p.Events[0].Kind != "card" {
		t.Errorf("%+v", p)
	}
	if strings.Contains(p.Events[0].Detail, "0618") || strings.Contains(p.Events[0].Detail, "12345") {
		t.Error("the event holds the card number")
	}
}

func TestCardBits(t *testing.T) {
	got, err := sim.CardBits("h10301", 12, 12345)
	if err != nil || got != "26:06181cc0" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := sim.CardBits("h10301", 12, 1<<16); err == nil {
		t.Error("an id of 17 bits was accepted")
	}
}
