package uart_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/uart"
)

// port is one end of a pipe.
type port struct{ net.Conn }

func (port) Idle() {}

// echo answers each line of 12 bytes with the same.
type echo struct{ heard []byte }

func (e *echo) Feed(x byte, _ time.Duration) []byte {
	if e.heard = append(e.heard, x); len(e.heard) < 12 {
		return nil
	}
	out := e.heard
	e.heard = nil
	return out
}

func run(t *testing.T, cfg uart.Config) (*uart.Line, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	cfg.Log = slog.New(slog.DiscardHandler)
	l := uart.New(cfg, port{there}, &echo{})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		here.Close()
	})
	return l, here
}

// ask sends a line and tells how long the whole answer took; silence of half a
// second is no answer.
func ask(t *testing.T, c net.Conn) (took time.Duration, ok bool) {
	t.Helper()
	start := time.Now()
	if _, err := c.Write([]byte("twelve bytes")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 12)
	_, err := io.ReadFull(c, b)
	return time.Since(start), err == nil && string(b) == "twelve bytes"
}

// A paced line is never faster than its wire: 12 bytes there and 12 back take 25
// ms at 9600 baud, and the device's time comes on top.
func TestLinePaces(t *testing.T) {
	const wire = 24 * 10 * time.Second / 9600
	_, c := run(t, uart.Config{Baud: 9600, Think: 10 * time.Millisecond})
	for range 3 {
		if took, ok := ask(t, c); !ok || took < wire+10*time.Millisecond {
			t.Errorf("answered %v after %v, the wire alone takes %v", ok, took, wire)
		}
	}
}

func TestLineFaults(t *testing.T) {
	l, c := run(t, uart.Config{Baud: 9600, Unpaced: true})
	l.Stall(150*time.Millisecond, 1)
	if took, ok := ask(t, c); !ok || took < 150*time.Millisecond {
		t.Errorf("stalled: answered %v after %v", ok, took)
	}
	if _, ok := ask(t, c); !ok {
		t.Error("silent after the stall")
	}
	l.Connect(false)
	if _, ok := ask(t, c); ok || l.Connected() {
		t.Error("answered without a cable")
	}
	l.Connect(true)
	if _, ok := ask(t, c); !ok {
		t.Error("silent with the cable back")
	}
}
