//go:build interop && linux

package interop

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// patience is how long anything may take: libosdp waits a second here and there
// before it tries again.
const patience = 20 * time.Second

// key is a reader's own, and other is one that it has not. Made for these tests.
const (
	key   = "000102030405060708090a0b0c0d0e0f"
	other = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
)

// peer is a running libosdp, control panel or peripheral device.
type peer struct {
	t     *testing.T
	in    io.WriteCloser
	lines chan message
	seen  []message
}

// message is one line of peer.py.
type message struct {
	Kind string `json:"kind"`

	Online   bool   `json:"online"` // state
	Secure   bool   `json:"secure"`
	Path     string `json:"path"`  // port
	Event    string `json:"event"` // event: card, keys, status, mfg
	Command  any    `json:"command"`
	Order    string `json:"order"` // ordered
	Accepted bool   `json:"accepted"`
	Why      string `json:"why"` // failed
	Type     any    `json:"type"`
	Report   string `json:"report"`
	Data     string `json:"data"`
	Length   int    `json:"length"`
	Vendor   int    `json:"vendor"`
	Serial   int    `json:"serial"`
	OnColor  int    `json:"on_color"`
}

// mustEnv is what scripts/interop.sh sets.
func mustEnv(t *testing.T, name string) string {
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run `make interop`", name)
	}
	return v
}

func startPeer(t *testing.T, role, port string, baud, address int, more ...string) *peer {
	t.Helper()
	args := append([]string{"testdata/peer.py", role, port, strconv.Itoa(baud), strconv.Itoa(address)}, more...)
	cmd := exec.Command(mustEnv(t, "LIBOSDP_PYTHON"), args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+mustEnv(t, "LIBOSDP_DIR"), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stderr = &logged{t: t, who: "libosdp " + role}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, in: in, lines: make(chan message, 1024)}
	go p.listen(out)
	t.Cleanup(func() {
		p.in.Close()
		for range p.lines { // until the program has ended
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("libosdp's %s: %v", role, err)
		}
	})
	return p
}

func (p *peer) listen(out io.Reader) {
	defer close(p.lines)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var m message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			m = message{Kind: "text", Why: lines.Text()}
		}
		p.lines <- m
	}
}

// wait gives the first message that fits, of those that came already too.
func (p *peer) wait(what string, fits func(message) bool) message {
	p.t.Helper()
	for i, m := range p.seen {
		if fits(m) {
			p.seen = append(p.seen[:i:i], p.seen[i+1:]...)
			return m
		}
	}
	limit := time.After(patience)
	for {
		select {
		case m, running := <-p.lines:
			switch {
			case !running:
				p.t.Fatalf("libosdp ended before %s", what)
			case fits(m):
				return m
			case m.Kind == "failed":
				p.t.Fatalf("libosdp: %s", m.Why)
			}
			p.seen = append(p.seen, m)
		case <-limit:
			p.t.Fatalf("%s did not come within %v; other messages: %+v", what, patience, p.seen)
		}
	}
}

func (p *peer) state(online, secure bool) {
	p.t.Helper()
	p.wait("online "+strconv.FormatBool(online)+", secure "+strconv.FormatBool(secure), func(m message) bool {
		return m.Kind == "state" && m.Online == online && m.Secure == secure
	})
}

func (p *peer) event(name string) message {
	p.t.Helper()
	return p.wait("event "+name, func(m message) bool { return m.Kind == "event" && m.Event == name })
}

// do gives an order, which libosdp must accept.
func (p *peer) do(order string, with map[string]any) {
	p.t.Helper()
	p.post(order, with)
	if m := p.wait("order "+order, func(m message) bool { return m.Kind == "ordered" && m.Order == order }); !m.Accepted {
		p.t.Fatalf("libosdp refused %s", order)
	}
}

func (p *peer) post(order string, with map[string]any) {
	p.t.Helper()
	o := map[string]any{"do": order}
	for k, v := range with {
		o[k] = v
	}
	if err := json.NewEncoder(p.in).Encode(o); err != nil {
		p.t.Fatal(err)
	}
}

// logged writes what a program says to the test's log.
type logged struct {
	t   *testing.T
	who string
}

func (l *logged) Write(b []byte) (int, error) {
	l.t.Logf("%s: %s", l.who, b)
	return len(b), nil
}
