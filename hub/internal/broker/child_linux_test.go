package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// The child is killed: it comes back at the same address with the lists as they
// were last set, and its findings reach the parent.
func TestChildIsRestarted(t *testing.T) {
	ca := brokertest.NewCA(t)
	v := supervise(t, childConfig(t, ca))
	addr := await(t, v.ready, "child")
	d31, d33 := ca.Device(t, "DC-31"), ca.Device(t, "DC-33")
	first, err := brokertest.Connect(addr, ca.ClientTLS(&d31), "DC-31")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := v.s.Update(broker.Access{Allow: []string{"DC-31", "DC-33"}, Revoked: []string{d31.Serial}}); err != nil {
		t.Fatal(err)
	}
	if err := first.Ended(); err != nil {
		t.Errorf("live update: %v", err)
	}
	if f := await(t, v.findings, "finding"); f.Kind != broker.KindRevokedCertificate || f.Identity != "DC-31" {
		t.Errorf("finding %+v", f)
	}
	second, err := brokertest.Connect(addr, ca.ClientTLS(&d33), "DC-33")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()

	if err := syscall.Kill(childPID(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := await(t, v.exits, "report of the exit"); !strings.Contains(err.Error(), "killed") {
		t.Errorf("exit reported as %v", err)
	}
	if again := await(t, v.ready, "second child"); again != addr {
		t.Errorf("came back at %s, was at %s", again, addr)
	}
	if err := second.Ended(); err != nil {
		t.Error(err)
	}
	third, err := brokertest.Connect(addr, ca.ClientTLS(&d33), "DC-33")
	if err != nil {
		t.Fatal(err)
	}
	third.Close()
	if c, err := brokertest.Connect(addr, ca.ClientTLS(&d31), "DC-31"); err == nil {
		c.Close()
		t.Error("the revocation was forgotten")
	}
}

// childPID is the one child process of this test.
func childPID(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, task := range tasks {
		children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%s/children", task.Name()))
		if err == nil { // else the thread has ended
			found = append(found, strings.Fields(string(children))...)
		}
	}
	if len(slices.Compact(found)) != 1 {
		t.Fatalf("children %v, want one", found)
	}
	pid, err := strconv.Atoi(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// supervised is a supervisor under test.
type supervised struct {
	t        *testing.T
	s        *broker.Supervisor
	ready    chan string
	findings chan broker.Finding
	exits    chan error
}

func supervise(t *testing.T, cfg broker.Config) *supervised {
	t.Helper()
	v := &supervised{t: t, ready: make(chan string, 8), findings: make(chan broker.Finding, 64), exits: make(chan error, 8)}
	s, err := broker.NewSupervisor(broker.SupervisorConfig{
		Broker: cfg, Log: slog.New(slog.DiscardHandler),
		OnReady: func(addr string) { v.ready <- addr },
		OnFinding: func(f broker.Finding) {
			select {
			case v.findings <- f:
			default: // a storm makes more than anyone here reads
			}
		},
		OnExit: func(err error) { v.exits <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	v.s = s
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return v
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}
