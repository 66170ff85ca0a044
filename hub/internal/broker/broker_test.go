package broker_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// fixture is a running broker with an authority, a hub and findings.
type fixture struct {
	tb   testing.TB
	ca   *brokertest.CA
	srv  *broker.Server
	addr string

	mu    sync.Mutex
	found []broker.Finding
	news  chan struct{} // closed and replaced with each finding
}

func start(tb testing.TB, edit ...func(*broker.Config)) *fixture {
	tb.Helper()
	f := &fixture{tb: tb, ca: brokertest.NewCA(tb), news: make(chan struct{})}
	server := f.ca.Server(tb)
	cfg := broker.Config{
		Listen: "127.0.0.1:0",
		Access: broker.Access{
			Allow:    []string{"DC-31", "DC-32", "DC-33"},
			ClientCA: f.ca.PEM, ServerCert: server.Cert, ServerKey: broker.Secret(server.Key),
		},
		Limits: broker.Limits{Aggregate: 100 * time.Millisecond},
	}
	for _, e := range edit {
		e(&cfg)
	}
	srv, err := broker.Listen(cfg, f.note, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	f.srv, f.addr = srv, srv.Addr()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := srv.Run(ctx); err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(func() {
		stop()
		running.Wait()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, x := range f.found {
			if x.Kind == broker.KindPanic {
				tb.Errorf("contained panic: %+v", x)
			}
		}
	})
	return f
}

func (f *fixture) note(x broker.Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found = append(f.found, x)
	close(f.news)
	f.news = make(chan struct{})
}

// awaitFinding waits for a finding of kind about identity.
func (f *fixture) awaitFinding(kind broker.Kind, identity string) broker.Finding {
	f.tb.Helper()
	timeout := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		for _, x := range f.found {
			if x.Kind == kind && x.Identity == identity {
				f.mu.Unlock()
				return x
			}
		}
		seen, news := fmt.Sprintf("%+v", f.found), f.news
		f.mu.Unlock()
		select {
		case <-news:
		case <-timeout:
			f.tb.Fatalf("no finding %s about %q; seen: %s", kind, identity, seen)
		}
	}
}

// findings returns what was found so far.
func (f *fixture) findings() []broker.Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]broker.Finding(nil), f.found...)
}

func (f *fixture) tls(pair brokertest.Pair) *tls.Config { return f.ca.ClientTLS(&pair) }

func (f *fixture) device(id string) *brokertest.Client {
	f.tb.Helper()
	return f.connect(f.ca.Device(f.tb, id), id)
}

// hub connects as the hub and subscribes to what devices send.
func (f *fixture) hub() *brokertest.Client {
	f.tb.Helper()
	c := f.connect(f.ca.Hub(f.tb), "hub")
	if err := c.Subscribe("sekimori/1/+/up", "sekimori/1/+/ask"); err != nil {
		f.tb.Fatal(err)
	}
	return c
}

func (f *fixture) connect(pair brokertest.Pair, id string) *brokertest.Client {
	f.tb.Helper()
	c, err := brokertest.Connect(f.addr, f.tls(pair), id)
	if err != nil {
		f.tb.Fatal(err)
	}
	f.tb.Cleanup(c.Close)
	return c
}

// pair is a well-behaved device with the hub that answers it: what must go on
// whatever happens beside it.
type pair struct {
	tb          testing.TB
	device, hub *brokertest.Client
	n           int
}

func (f *fixture) pair() *pair {
	f.tb.Helper()
	p := &pair{tb: f.tb, hub: f.hub(), device: f.device("DC-32")}
	if err := p.device.Subscribe("sekimori/1/DC-32/receipt"); err != nil {
		f.tb.Fatal(err)
	}
	return p
}

// roundTrip sends a message up and a receipt back.
func (p *pair) roundTrip() time.Duration {
	p.tb.Helper()
	p.n++
	began := time.Now()
	want := fmt.Sprintf("event %d", p.n)
	if err := p.device.Publish("sekimori/1/DC-32/up", []byte(want)); err != nil {
		p.tb.Fatal(err)
	}
	for {
		m, err := p.hub.ReceivePublish()
		if err != nil {
			p.tb.Fatalf("hub: %v", err)
		}
		if m.TopicName != "sekimori/1/DC-32/up" {
			continue
		}
		if string(m.Payload) != want {
			p.tb.Fatalf("hub got %q, want %q", m.Payload, want)
		}
		break
	}
	if err := p.hub.Publish("sekimori/1/DC-32/receipt", []byte(want)); err != nil {
		p.tb.Fatal(err)
	}
	m, err := p.device.ReceivePublish()
	if err != nil {
		p.tb.Fatalf("device: %v", err)
	}
	if string(m.Payload) != want {
		p.tb.Fatalf("device got %q, want %q", m.Payload, want)
	}
	return time.Since(began)
}

func TestRoundTrip(t *testing.T) {
	f := start(t)
	p := f.pair()
	for range 100 {
		p.roundTrip()
	}
	if err := p.device.Ping(); err != nil {
		t.Fatal(err)
	}
	if found := f.findings(); len(found) != 0 {
		t.Errorf("findings about good clients: %+v", found)
	}
}
