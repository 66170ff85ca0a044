package broker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// The test program is also the child, and the parent that gets killed.
const parentCommand = "broker-parent"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case broker.ChildCommand:
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			if err := broker.RunChild(context.Background(), os.Stdin, os.Stdout, log); err != nil {
				os.Exit(1)
			}
			os.Exit(0)
		case parentCommand:
			parent()
		}
	}
	os.Exit(m.Run())
}

// parent supervises a broker until it is killed, and says on stdout where the
// broker listens.
func parent() {
	var cfg broker.Config
	if err := json.NewDecoder(os.Stdin).Decode(&cfg); err != nil {
		panic(err)
	}
	s, err := broker.NewSupervisor(broker.SupervisorConfig{
		Broker: cfg, Log: slog.New(slog.DiscardHandler), OnReady: func(addr string) { fmt.Println(addr) },
	})
	if err != nil {
		panic(err)
	}
	panic(s.Run(context.Background()))
}

func childConfig(t *testing.T, ca *brokertest.CA) broker.Config {
	server := ca.Server(t)
	return broker.Config{Listen: "127.0.0.1:0", Access: broker.Access{
		Allow: []string{"DC-31", "DC-32"}, ClientCA: ca.PEM, ServerCert: server.Cert, ServerKey: broker.Secret(server.Key),
	}}
}

func TestUpdateRefusedBySupervisor(t *testing.T) {
	ca := brokertest.NewCA(t)
	s, err := broker.NewSupervisor(broker.SupervisorConfig{Broker: childConfig(t, ca), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var e *broker.Error
	if err := s.Update(broker.Access{Allow: []string{"DC/31"}}); !errors.As(err, &e) || e.Code != broker.CodeConfig {
		t.Errorf("got %v", err)
	}
}

// A port that is taken ends the hub's start with a sentence for a person.
func TestChildReportsBusyPort(t *testing.T) {
	ca := brokertest.NewCA(t)
	cfg := childConfig(t, ca)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.Listen = taken.Addr().String()
	s, err := broker.NewSupervisor(broker.SupervisorConfig{Broker: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var e *broker.Error
	if err := s.Run(context.Background()); !errors.As(err, &e) || e.Code != broker.CodePortBusy || e.Sentence() == "" {
		t.Fatalf("got %v", err)
	}
}

// The parent is killed: the child goes with it.
func TestParentDeath(t *testing.T) {
	ca := brokertest.NewCA(t)
	cfg, err := json.Marshal(childConfig(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], parentCommand)
	cmd.Stdin = strings.NewReader(string(cfg))
	addr := startAndReadLine(t, cmd)
	assertOpen(t, addr)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "killed", as told
	awaitClosed(t, addr)
}

// The end of stdin alone ends the child, on every system.
func TestChildEndsWithStdin(t *testing.T) {
	ca := brokertest.NewCA(t)
	cfg, err := json.Marshal(childConfig(t, ca))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], broker.ChildCommand)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = stdin.Write(append(cfg, '\n')) }()
	var report struct{ Ready string }
	if err := json.Unmarshal([]byte(startAndReadLine(t, cmd)), &report); err != nil {
		t.Fatal(err)
	}
	assertOpen(t, report.Ready)
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
	awaitClosed(t, report.Ready)
}

func startAndReadLine(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func assertOpen(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func awaitClosed(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		conn.Close()
	}
	t.Fatalf("something still listens on %s", addr)
}
