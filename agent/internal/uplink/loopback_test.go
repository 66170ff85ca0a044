package uplink_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"testing"
	"time"

	"sekimori/agent/internal/uplink"
	"sekimori/internal/record"
)

// listen serves h on loopback over TCP and mutual TLS.
func (h *hub) listen(t testing.TB) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.serves.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.serves.Go(func() { h.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); h.cut(); h.serves.Wait() })
	return l.Addr().String()
}

// start runs an uplink over loopback until the test ends.
func start(t testing.TB, h *hub, b *box, w *world, signer *record.Signer, conf *tls.Config) {
	t.Helper()
	c := uplink.Config{
		Device: device, Server: h.listen(t), TLS: func() *tls.Config { return conf.Clone() },
		Boot: record.BootID{7}, Signer: signer, Receipts: func() []record.PublicKey { return []record.PublicKey{h.signer.Public()} },
		Outbox: b, Clock: w, Facts: w, Witness: w, Policies: w, Orders: w,
		Status: func() record.Status { return record.Status{} }, Heard: func(context.Context) {},
		Every: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- uplink.Run(ctx, c) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (b *box) wait(t testing.TB, e record.Epoch, seq uint64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); b.ack(e) < seq; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d acknowledged", b.ack(e), seq)
		}
	}
}

// Over a real socket with mutual TLS, and again after the cable was cut.
func TestLoopback(t *testing.T) {
	p, signer := newPKI(t), newSigner(t)
	h, b := newHub(t, p.server, signer.Public()), newBox()
	start(t, h, b, &world{}, signer, p.client)
	b.add(epochA, 3000)
	b.wait(t, epochA, 3000)
	h.cut()
	b.add(epochA, 3000)
	b.wait(t, epochA, 6000)
	if n := len(h.events); n != 6000 {
		t.Fatalf("%d events at the hub", n)
	}
}

// A backlog of small events, each batch signed, checked and acknowledged at once.
func BenchmarkBacklog(b *testing.B) {
	p, signer := newPKI(b), newSigner(b)
	h, j := newHub(b, p.server, signer.Public()), newBox()
	start(b, h, j, &world{}, signer, p.client)
	j.add(epochA, 1)
	j.wait(b, epochA, 1)
	const events = 20_000
	seq := uint64(1)
	for b.Loop() {
		j.add(epochA, events)
		seq += events
		j.wait(b, epochA, seq)
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
