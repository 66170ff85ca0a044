package brokerlink_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
	"sekimori/hub/internal/brokerlink"
	"sekimori/hub/internal/brokerlink/linktest"
)

func TestEmbeddedBroker(t *testing.T) {
	linktest.Run(t, func(t *testing.T) linktest.Broker {
		ca := brokertest.NewCA(t)
		server, hub := ca.Server(t), ca.Hub(t)
		e := &embedded{t: t, cfg: broker.Config{
			Listen: "127.0.0.1:0",
			Access: broker.Access{
				Allow: []string{"A-1", "A-2"}, ClientCA: ca.PEM,
				ServerCert: server.Cert, ServerKey: broker.Secret(server.Key),
			},
		}}
		e.start()
		t.Cleanup(e.stop)
		return linktest.Broker{
			Addr: e.cfg.Listen, Hub: ca.ClientTLS(&hub),
			Device: func(id string) *tls.Config { p := ca.Device(t, id); return ca.ClientTLS(&p) },
			Stop:   e.stop, Start: e.start,
		}
	})
}

// embedded runs the broker in this process.
type embedded struct {
	t       *testing.T
	cfg     broker.Config
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (e *embedded) start() {
	srv, err := broker.Listen(e.cfg, func(broker.Finding) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		e.t.Fatal(err)
	}
	e.cfg.Listen = srv.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.running.Go(func() {
		if err := srv.Run(ctx); err != nil {
			e.t.Errorf("broker: %v", err)
		}
	})
}

func (e *embedded) stop() {
	e.cancel()
	e.running.Wait()
}

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := brokerlink.New(brokerlink.Config{})
	for _, field := range []string{"Addr", "TLS", "Log"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v does not name %s", err, field)
		}
	}
}

// A broker that announces 256 MiB is refused by the header: the broker is not
// trusted either.
func TestBrokerAnnouncesTooMuch(t *testing.T) {
	ca := brokertest.NewCA(t)
	server, hub := ca.Server(t), ca.Hub(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{server.TLS}})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { announce(conn) })
		}
	})
	down := make(chan error, 16)
	link, err := brokerlink.New(brokerlink.Config{
		Addr: listener.Addr().String(), TLS: ca.ClientTLS(&hub), Log: slog.New(slog.DiscardHandler),
		OnState: func(up bool, err error) {
			if !up {
				down <- err
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		_ = link.Run(ctx, func(context.Context, brokerlink.Message) { t.Error("a message came") })
	})
	defer func() { stop(); running.Wait(); listener.Close(); serving.Wait() }()
	for {
		select {
		case err := <-down:
			if err != nil && strings.Contains(err.Error(), "announces") {
				return
			}
			t.Logf("down: %v", err)
		case <-time.After(10 * time.Second):
			t.Fatal("the link believes it")
		}
	}
}

// announce accepts a CONNECT and a SUBSCRIBE and then claims a huge packet.
func announce(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 1024)
	for _, answer := range [][]byte{
		{0x20, 2, 0, 0},                // CONNACK
		{0x90, 4, 0, 1, 0, 0},          // SUBACK of two filters
		{0x30, 0xff, 0xff, 0xff, 0x7f}, // PUBLISH of 256 MiB
	} {
		if answer[0] != 0x30 {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
	_, _ = conn.Read(buf) // until the link hangs up
}
