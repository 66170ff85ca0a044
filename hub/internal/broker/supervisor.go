package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"sekimori/internal/clock"
)

// ChildCommand is the argument that makes sekimori-hub the broker's child.
const ChildCommand = "broker-child"

// SupervisorConfig is how the hub keeps its broker running.
type SupervisorConfig struct {
	Broker  Config
	Command []string // program and arguments of the child; empty means this program with ChildCommand
	Log     *slog.Logger

	// The functions are called one at a time. Findings that arrive while
	// OnFinding runs wait in the child, which counts instead of queueing. Run
	// cannot return while one of them blocks.
	OnReady   func(addr string) // the child listens (again)
	OnFinding func(Finding)
	OnExit    func(err error) // the child ended and will be started again
}

// Supervisor runs the broker as a child process and starts it again when it
// ends. The parent opens no port; the child has no store, no environment but
// what its clock needs, and no key but the broker's TLS key.
type Supervisor struct {
	cfg SupervisorConfig

	mu     sync.Mutex
	broker Config         // with every Update so far, for the next start
	stdin  io.WriteCloser // of the running child, or nil
}

// Back-off between starts; a child that ran for steady starts it afresh.
const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	steady     = 30 * time.Second
	stopGrace  = 5 * time.Second // from the end of stdin to the kill
)

// NewSupervisor checks cfg as far as that needs no child.
func NewSupervisor(cfg SupervisorConfig) (*Supervisor, error) {
	if _, err := newAccess(cfg.Broker.Access); err != nil {
		return nil, err
	}
	if len(cfg.Command) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return nil, fail(CodeChild, "own executable: %w", err)
		}
		cfg.Command = []string{exe, ChildCommand}
	}
	return &Supervisor{cfg: cfg, broker: cfg.Broker}, nil
}

// Update changes who may come in, in the running child and in those to come.
// On error (*Error) nothing has changed.
func (s *Supervisor) Update(u Access) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	merged := s.broker.Access.merge(u)
	if _, err := newAccess(merged); err != nil {
		return err
	}
	s.broker.Access = merged
	if s.stdin == nil {
		return nil
	}
	if err := writeLine(s.stdin, u); err != nil {
		// The child is ending; the next one starts with the new lists.
		s.cfg.Log.Debug("broker: child did not take an update", "err", err)
	}
	return nil
}

// merge is a with the fields that u carries replaced.
func (a Access) merge(u Access) Access {
	if u.Allow != nil {
		a.Allow = u.Allow
	}
	if u.Revoked != nil {
		a.Revoked = u.Revoked
	}
	if u.ClientCA != "" {
		a.ClientCA = u.ClientCA
	}
	if u.ServerCert != "" {
		a.ServerCert, a.ServerKey = u.ServerCert, u.ServerKey
	}
	return a
}

// Run keeps the child running until ctx ends, and returns when the last child
// has exited. An error before the broker was ever ready (a port that is taken,
// a program that cannot be started) is returned at once, for a person to act
// on; later ones are reported by OnExit and tried again.
func (s *Supervisor) Run(ctx context.Context) error {
	delay, everReady, started := firstDelay, false, time.Now()
	for {
		began := time.Now()
		ready, err := s.runOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		everReady = everReady || ready
		if !everReady {
			if portBusy(err) && time.Since(started) < portPatience && pause(ctx, firstDelay) == nil {
				continue
			}
			return err
		}
		if time.Since(began) >= steady {
			delay = firstDelay
		}
		s.cfg.Log.Error("broker: child ended", "err", err, "next_start_in", delay)
		if s.cfg.OnExit != nil {
			s.cfg.OnExit(err)
		}
		if pause(ctx, delay) != nil {
			return nil
		}
		delay = min(2*delay, maxDelay)
	}
}

// portPatience is how long a port may be held at the start: the child of a hub
// that was killed a moment ago is still going.
const portPatience = 3 * time.Second

func portBusy(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodePortBusy
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runOnce starts one child and returns when it has exited, always with an error
// unless ctx ended.
func (s *Supervisor) runOnce(ctx context.Context) (ready bool, err error) {
	// On Linux the child dies with the thread that started it (Pdeathsig), so
	// this thread must live as long as the child is wanted.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	cmd := exec.Command(s.cfg.Command[0], s.cfg.Command[1:]...)
	cmd.Env = childEnv(os.Environ())
	cmd.Stderr = &logWriter{log: s.cfg.Log}
	dieWithParent(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return false, fail(CodeChild, "stdin: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return false, fail(CodeChild, "stdout: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return false, fail(CodeChild, "start: %w", err)
	}

	var reader sync.WaitGroup
	var failed error
	reader.Go(func() { ready, failed = s.listen(stdout) })
	stop := context.AfterFunc(ctx, func() { s.endChild(cmd, stdin, &reader) })
	s.greet(stdin)
	reader.Wait() // Wait closes the pipe, so everything must be read before
	s.hangUp(stdin)
	err = cmd.Wait()
	stop()
	if failed != nil {
		return ready, failed
	}
	return ready, fail(CodeChild, "child exited: %w", errors.Join(errExited, err))
}

var errExited = errors.New("process ended")

// greet sends the configuration and makes stdin the place for updates.
func (s *Supervisor) greet(stdin io.WriteCloser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := writeLine(stdin, s.broker); err == nil {
		s.stdin = stdin
	} // else the child has ended, which its stdout tells
}

func (s *Supervisor) hangUp(stdin io.Closer) {
	// Closing comes first: it ends an Update that waits for a child that does
	// not read. A pipe that is closed twice says so; nothing follows from it.
	_ = stdin.Close()
	s.mu.Lock()
	s.stdin = nil
	s.mu.Unlock()
}

// endChild asks the child to leave and, if it does not, ends it.
func (s *Supervisor) endChild(cmd *exec.Cmd, stdin io.Closer, reader *sync.WaitGroup) {
	s.hangUp(stdin)
	gone := make(chan struct{})
	go func() { reader.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(stopGrace):
		s.cfg.Log.Error("broker: child did not stop, killing it")
		_ = cmd.Process.Kill() // fails only if it is gone
		<-gone
	}
}

// listen reads the child's reports until its stdout ends.
func (s *Supervisor) listen(stdout io.Reader) (ready bool, failed error) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r report
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			s.cfg.Log.Error("broker: child said what cannot be read", "err", err)
			continue
		}
		switch {
		case r.Ready != "":
			ready = true
			s.pinAddress(r.Ready)
			if s.cfg.OnReady != nil {
				s.cfg.OnReady(r.Ready)
			}
		case r.Finding != nil:
			if s.cfg.OnFinding != nil {
				s.cfg.OnFinding(*r.Finding)
			}
		case r.Failure != nil:
			failed = &Error{Code: r.Failure.Code, Cause: errors.New(r.Failure.Cause)}
		}
	}
	return ready, failed
}

// pinAddress makes the next child listen where this one does, also if the port
// was chosen by the system: devices come back to it.
func (s *Supervisor) pinAddress(addr string) {
	s.mu.Lock()
	s.broker.Listen = addr
	s.mu.Unlock()
}

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode for the broker's child: %w", err)
	}
	if _, err = w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write to the broker's child: %w", err)
	}
	return nil
}

// childEnv is what the child may see of our environment: nothing that could
// hold a secret.
func childEnv(env []string) []string {
	out := []string{}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case slices.Contains(clock.Env(), name), // the simulator's clock
			strings.EqualFold(name, "SystemRoot"), // Windows cannot start a program without
			name == "GOCOVERDIR", name == "TZ":
			out = append(out, e)
		}
	}
	return out
}

// logWriter takes the child's log, line by line, into ours.
type logWriter struct {
	log *slog.Logger
	buf []byte
}

func (l *logWriter) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p...)
	for {
		line, rest, found := bytes.Cut(l.buf, []byte{'\n'})
		if !found && len(l.buf) <= maxLogLine {
			return len(p), nil
		}
		if !found {
			line, rest = l.buf[:maxLogLine], l.buf[maxLogLine:]
		}
		l.log.Warn("broker child", "line", string(line))
		l.buf = append(l.buf[:0], rest...)
	}
}

const maxLogLine = 4 << 10
