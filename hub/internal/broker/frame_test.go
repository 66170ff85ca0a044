package broker_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// The guard, byte by byte. MQTT 3.1.1 sections 2.2 and 3.
func TestFrames(t *testing.T) {
	const limit = 1 << 10
	for _, c := range []struct {
		name    string
		bytes   []byte
		packets int
		err     error
	}{
		{"nothing", nil, 0, io.EOF},
		{"two pings", []byte{0xc0, 0, 0xc0, 0}, 2, io.EOF},
		{"ping cut short", []byte{0xc0}, 0, io.ErrUnexpectedEOF},
		{"publish", publish("t", 0), 1, io.EOF},
		{"publish QoS 1", publish("t", 2), 1, io.EOF},
		{"publish QoS 1 DUP", publish("t", 10), 1, io.EOF},
		{"publish with id 0", []byte{0x32, 5, 0, 1, 't', 0, 0}, 0, broker.ErrMalformed},
		{"publish QoS 0 DUP", publish("t", 8), 0, broker.ErrMalformed},
		{"publish QoS 3", publish("t", 6), 0, broker.ErrMalformed},
		{"publish QoS 2", publish("t", 4), 0, broker.ErrForbidden},
		{"publish RETAIN", publish("t", 1), 0, broker.ErrForbidden},
		{"publish cut short", publish("t", 0)[:4], 0, io.ErrUnexpectedEOF},
		{"id cut short", []byte{0x32, 4, 0, 1, 't', 0}, 0, broker.ErrMalformed},
		{"at the limit", large(limit), 1, io.EOF},
		{"over the limit", large(limit + 1), 0, broker.ErrOversized},
		{"subscribe", subscribe("a", "b"), 1, io.EOF},
		{"subscribe to nothing", []byte{0x82, 2, 0, 1}, 0, broker.ErrMalformed},
		{"subscribe without QoS", []byte{0x82, 5, 0, 1, 0, 1, 'a'}, 0, broker.ErrMalformed},
		{"subscribe with id 0", []byte{0x82, 6, 0, 0, 0, 1, 'a', 0}, 0, broker.ErrMalformed},
		{"subscribe with wrong flags", []byte{0x80, 6, 0, 1, 0, 1, 'a', 0}, 0, broker.ErrMalformed},
		{"unsubscribe with a tail", []byte{0xa2, 7, 0, 1, 0, 1, 'a', 0, 0}, 0, broker.ErrMalformed},
		{"PUBREL", []byte{0x62, 2, 0, 1}, 0, broker.ErrForbidden},
		{"PUBACK of three bytes", []byte{0x40, 3, 0, 1, 0}, 0, broker.ErrMalformed},
		{"CONNACK from a client", []byte{0x20, 2, 0, 0}, 0, broker.ErrMalformed},
		{"AUTH of MQTT 5", []byte{0xf0, 0}, 0, broker.ErrMalformed},
		{"empty CONNECT", []byte{0x10, 0}, 0, broker.ErrMalformed},
		{"length without end", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}, 0, broker.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, _, err := broker.ReadFrames(c.bytes, limit)
			if n != c.packets || !errors.Is(err, c.err) {
				t.Errorf("%d packets and %v, want %d and %v", n, err, c.packets, c.err)
			}
		})
	}
}

// large is a PUBLISH of exactly n bytes after its header.
func large(n int) []byte {
	b := []byte{0x30, byte(n&0x7f | 0x80), byte(n >> 7), 0, 1, 't'}
	return append(b, make([]byte, n-3)...)
}

// A claim alone makes nobody allocate.
func TestClaimAllocatesLittle(t *testing.T) {
	claim := []byte{0x30, 0xff, 0xff, 0x1f} // 512 KiB - 1, and then nothing
	_, grew, err := broker.ReadFrames(claim, 512<<10)
	if !errors.Is(err, io.ErrUnexpectedEOF) || grew > 8<<10 {
		t.Errorf("buffer of %d bytes for four received, %v", grew, err)
	}
}

// FuzzPackets feeds bytes to a whole session: guard, codec, rights and router,
// after CONNECT and before it. A panic is contained, so it shows in the log.
func FuzzPackets(f *testing.F) {
	for _, seed := range brokertest.Seeds("DC-31") {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	var panics lockedBuffer
	srv := plainServer(f, slog.New(slog.NewTextHandler(&panics, &slog.HandlerOptions{Level: slog.LevelError})))
	f.Fuzz(func(t *testing.T, connected bool, data []byte) {
		client, served := servePlain(srv, broker.Identity{Role: broker.RoleDevice, Name: "DC-31"})
		drained := make(chan struct{})
		go func() { defer close(drained); _, _ = io.Copy(io.Discard, client) }()
		if connected {
			_ = brokertest.ConnectPacket("DC-31").Write(client)
		}
		_, _ = client.Write(data) // fails when the session has had enough
		client.Close()
		select {
		case <-served:
		case <-time.After(5 * time.Second):
			t.Fatal("the session does not end with its connection")
		}
		<-drained
		if text := panics.String(); text != "" {
			t.Fatal(text)
		}
	})
}

// plainServer is a broker that serves pipes, with a hub that reads everything.
func plainServer(tb testing.TB, log *slog.Logger) *broker.Server {
	tb.Helper()
	ca := brokertest.NewCA(tb)
	server := ca.Server(tb)
	srv, err := broker.Listen(broker.Config{
		Listen: "127.0.0.1:0",
		Access: broker.Access{Allow: []string{"DC-31"}, ClientCA: ca.PEM, ServerCert: server.Cert, ServerKey: broker.Secret(server.Key)},
	}, func(broker.Finding) {}, log)
	if err != nil {
		tb.Fatal(err)
	}
	srv.CloseListener()
	conn, served := servePlain(srv, broker.Identity{Role: broker.RoleHub, Name: broker.HubName})
	tb.Cleanup(func() { conn.Close(); <-served })
	hub := &brokertest.Client{Conn: conn, Timeout: 5 * time.Second}
	if err := hub.Open(brokertest.ConnectPacket(broker.HubName)); err != nil {
		tb.Fatal(err)
	}
	if err := hub.Subscribe("sekimori/1/+/up", "sekimori/1/+/ask"); err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with conn
	return srv
}

func servePlain(srv *broker.Server, id broker.Identity) (net.Conn, <-chan struct{}) {
	client, conn := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.ServePlain(conn, id)
	}()
	return client, served
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
