//go:build linux && !simtime

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// [T-40, T-52] The programs under strace. `kill -9` alone would pass with every
// sync deleted, because the page cache outlives a process; the system calls show
// that the journal is on the disk before the lock moves, and the commit before
// the receipt is sent.
func TestTraceSyncBeforeLockAndReceipt(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatalf("%v: run scripts/need.sh strace", err)
	}
	c := prepare(t, baseDay(9, 0, 0))
	c.importThisYear()
	hub := c.traced(c.hub)
	c.startAll()
	c.waitReady()
	// From here on one device, which says nothing of its own accord for a minute.
	c.agents["DC-31"].kill()
	c.agents["DC-21"].kill()
	c.write("DC-21.yaml", strings.Replace(c.read("DC-21.yaml"), "heartbeat: 1s", "heartbeat: 60s", 1))
	agent := c.traced(c.agents["DC-21"])
	c.agents["DC-21"].start()
	eventually(t, 20*time.Second, "DC-21 listening to its reader", func() bool { return strings.Contains(agent.read(t), "EDGE D21.d1 1 ") })

	t.Run("journal before lock", func(t *testing.T) {
		const passages = 3
		for range passages {
			c.pass("D21-in", "0000012345", "")
		}
		text := agent.read(t)
		if n, err := syncedBeforeUnlock(text); err != nil || n != passages {
			t.Errorf("%d unlocks for %d passages: %v", n, passages, err)
		}
		mustFind(t, text, func(text string) error { _, err := syncedBeforeUnlock(text); return err })
	})
	t.Run("commit before receipt", func(t *testing.T) {
		_, port, err := net.SplitHostPort(c.mqtt)
		if err != nil {
			t.Fatal(err)
		}
		quiet := hub.quiet(t, port)
		c.ctl.card("D21-in", "0000099999") // refused: one event and nothing else
		var text string
		eventually(t, 20*time.Second, "a receipt", func() bool {
			text = hub.read(t)[quiet:]
			return !errors.Is(committedBeforeReceipt(text, port), errIncomplete)
		})
		if err := committedBeforeReceipt(text, port); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		mustFind(t, text, func(text string) error { return committedBeforeReceipt(text, port) })
	})
}

// mustFind: the judgement must see what is wrong with doctored traces.
func mustFind(t *testing.T, text string, judge func(string) error) {
	t.Helper()
	elsewhere := strings.NewReplacer(".seg>", ".tmp>", "hub.db-wal>", "hub.db>")
	var syncs, others, other, failed strings.Builder
	for line := range strings.Lines(text) {
		if !syncLine.MatchString(line) {
			others.WriteString(line)
			other.WriteString(line)
			failed.WriteString(line)
			continue
		}
		syncs.WriteString(line)
		other.WriteString(elsewhere.Replace(line))
		failed.WriteString(strings.Replace(line, "= 0\n", "= -1 EIO (Input/output error)\n", 1))
	}
	for what, doctored := range map[string]string{
		"without its syncs":                     others.String(),
		"with its syncs after everything else":  others.String() + syncs.String(),
		"with its syncs before everything else": syncs.String() + others.String(),
		"with another file synced":              other.String(),
		"with syncs that failed":                failed.String(),
		"of nothing":                            "",
	} {
		if judge(doctored) == nil {
			t.Errorf("a trace %s passes", what)
		}
	}
}

var syncLine = regexp.MustCompile(`\bf(data)?sync(\(| resumed>)`)

// tracing is a program under strace.
type tracing struct{ file string }

// traced puts a program under strace. Both are one process group, which ends
// with the test.
func (c *city) traced(p *proc) *tracing {
	c.t.Helper()
	tr := &tracing{file: p.log + ".trace"}
	if err := os.WriteFile(tr.file, nil, 0o600); err != nil { // there before the first look
		c.t.Fatal(err)
	}
	p.args = append([]string{
		"-f", "--seccomp-bpf", "-qq", "-ttt", "-yy", "-s", "6000", "-o", tr.file, "-e", "signal=none",
		"-e", "trace=fsync,fdatasync,sync_file_range,read,recvfrom,recvmsg,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg", p.path,
	}, p.args...)
	p.path = "strace"
	c.t.Cleanup(func() {
		if p.cmd != nil {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // gone already is fine too
		}
	})
	return tr
}

// read returns the whole lines of the trace so far.
func (tr *tracing) read(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(tr.file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:bytes.LastIndexByte(b, '\n')+1]) // strace may be writing the next line
}

// quiet waits until nothing of size has gone over the hub's link to the broker
// for a while, and returns the length of the trace then.
func (tr *tracing) quiet(t *testing.T, port string) (length int) {
	t.Helper()
	since, before := time.Now(), -1
	eventually(t, 30*time.Second, "a quiet link", func() bool {
		text := tr.read(t)
		n := 0
		for _, c := range parseTrace(text) {
			if c.onLink(port) && c.result >= messageSize {
				n++
			}
		}
		if n != before {
			since, before = time.Now(), n
		}
		length = len(text)
		time.Sleep(50 * time.Millisecond)
		return n > 0 && time.Since(since) > 1500*time.Millisecond
	})
	return length
}

// call is a system call of a trace. Begin and end are line numbers: what ended
// on an earlier line than another began was over when that one was made.
type call struct {
	name       string
	target     string // what its first argument, a descriptor, stands for
	text       string // its first line
	begin, end int
	result     int64 // -1 as well where it has not returned
}

var (
	beginLine  = regexp.MustCompile(`^(\d+) +[\d.]+ (\w+)\((?:\d+<(.*?)>[,) ])?`)
	resumeLine = regexp.MustCompile(`^(\d+) +[\d.]+ <\.\.\. (\w+) resumed>`)
	resultText = regexp.MustCompile(`\) += (-?\d+)[^"]*$`)
)

// parseTrace joins the two halves of calls during which another thread ran.
func parseTrace(text string) (calls []call) {
	open := map[string]int{} // thread → its unfinished call
	n := -1
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if m := resumeLine.FindStringSubmatch(line); m != nil {
			if i, ok := open[m[1]]; ok && calls[i].name == m[2] {
				calls[i].finish(line, n)
			}
			delete(open, m[1])
			continue
		}
		m := beginLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := call{name: m[2], target: m[3], text: line, begin: n, end: 1 << 62, result: -1}
		if strings.HasSuffix(line, "<unfinished ...>") {
			open[m[1]] = len(calls)
		} else {
			c.finish(line, n)
		}
		calls = append(calls, c)
	}
	return calls
}

func (c *call) finish(line string, n int) {
	if m := resultText.FindStringSubmatch(line); m != nil {
		c.result, _ = strconv.ParseInt(m[1], 10, 64)
		c.end = n
	}
}

func (c call) isSyncOf(target string) bool {
	return (c.name == "fsync" || c.name == "fdatasync") && c.target == target && c.result == 0
}

func (c call) isWrite() bool {
	return strings.Contains(c.name, "write") || strings.HasPrefix(c.name, "send")
}

// onLink: the hub dials its broker, so the broker's port is the far end.
func (c call) onLink(port string) bool {
	return strings.HasPrefix(c.target, "TCP") && strings.HasSuffix(c.target, "->127.0.0.1:"+port+"]")
}

// messageSize is below every batch, receipt and answer and above every PUBACK
// and ping, TLS included.
const messageSize = 200

// errIncomplete: the trace does not hold what is to be judged.
var errIncomplete = errors.New("not in the trace")

// syncedBetween looks for a sync of what w wrote to, begun after w had returned
// and over before then.
func syncedBetween(calls []call, w, then call) error {
	for _, s := range calls {
		if s.isSyncOf(w.target) && s.begin > w.end && s.end < then.begin {
			return nil
		}
	}
	return fmt.Errorf("no sync of %s between\n%.200s\n%.200s", w.target, w.text, then.text)
}

// syncedBeforeUnlock: before each command to D21's relay a grant of its own was
// written to the journal and synced. It returns the number of commands.
func syncedBeforeUnlock(text string) (unlocks int, err error) {
	calls := parseTrace(text)
	var grant *call
	for i, c := range calls {
		switch {
		case c.name == "pwrite64" && strings.HasSuffix(c.target, ".seg") && strings.Contains(c.text, "access_granted"):
			grant = &calls[i]
		case c.isWrite() && strings.Contains(c.text, `"OUT D21.relay 1\n"`):
			unlocks++
			if grant == nil {
				return unlocks, fmt.Errorf("no grant before %s", c.text)
			}
			if err := syncedBetween(calls, *grant, c); err != nil {
				return unlocks, err
			}
			grant = nil
		}
	}
	if unlocks == 0 {
		return 0, fmt.Errorf("an unlock: %w", errIncomplete)
	}
	return unlocks, nil
}

// committedBeforeReceipt judges a trace in which one batch with one refusal
// arrived on a quiet link: before the first message goes back, the refusal was
// written to the database's log and that was synced.
func committedBeforeReceipt(text, port string) error {
	calls := parseTrace(text)
	var up, row, receipt *call
	for i := range calls {
		c := &calls[i]
		switch {
		case c.onLink(port) && !c.isWrite() && c.result >= messageSize && up == nil:
			up = c
		case up != nil && row == nil && c.begin > up.end && c.name == "pwrite64" && strings.HasSuffix(c.target, "hub.db-wal") && strings.Contains(c.text, "access_denied"):
			row = c
		case up != nil && c.onLink(port) && c.isWrite() && c.result >= messageSize && c.begin > up.end && receipt == nil:
			receipt = c
		}
	}
	switch {
	case up == nil || receipt == nil:
		return fmt.Errorf("a batch and its receipt: %w", errIncomplete)
	case row == nil || row.begin > receipt.begin:
		return errors.New("the receipt was sent before the row was written")
	}
	return syncedBetween(calls, *row, *receipt)
}
