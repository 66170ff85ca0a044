//go:build linux

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sekimori/internal/clock"
)

// bin is where TestMain built the programs.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sk-bin")
	if err == nil {
		bin = dir
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: build:", err)
		os.RemoveAll(dir)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build makes the three programs with the tag this test was built with.
func build(dir string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if clock.Simulated {
		args = append(args, "-tags", "simtime")
	}
	args = append(args, "sekimori/agent/cmd/sekimori-agent", "sekimori/hub/cmd/sekimori-hub", "sekimori/firmware-sim/cmd/sekimori-sim")
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// proc is one program that is started, killed and started again.
type proc struct {
	t    *testing.T
	name string
	path string
	args []string
	env  []string
	log  string // file that takes its output, over all starts

	cmd  *exec.Cmd
	done chan struct{}
}

// start starts the program in a process group of its own.
func (p *proc) start() {
	p.t.Helper()
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	p.cmd, p.done = cmd, done
}

// kill ends it as a power cut would: at once, with nothing said.
func (p *proc) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

func (p *proc) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return p.cmd != nil
	}
}

// tail is the end of its log, for a failed test.
func (p *proc) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return fmt.Sprintf("--- %s\n%s\n", p.name, strings.Join(lines[max(0, len(lines)-25):], "\n"))
}

// once runs a program to its end and returns what it wrote.
func once(t *testing.T, env []string, stdin, path string, args ...string) string {
	t.Helper()
	out, err := try(env, stdin, path, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, out)
	}
	return out
}

func try(env []string, stdin, path string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("exit %d", exit.ExitCode())
	}
	return out.String(), err
}

// eventually waits for a condition in real time.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			_, file, line, _ := runtime.Caller(1)
			t.Fatalf("%s:%d: not within %v: %s", filepath.Base(file), line, within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
