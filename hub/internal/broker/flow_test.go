package broker_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// The hub is absent while a device sends far more than a lane holds: the device
// is made to wait, nothing is lost and nothing changes place. [T-52]
func TestBackPressureLosesNothing(t *testing.T) {
	f := start(t, func(c *broker.Config) { c.Limits.LaneMessages = 8; c.Limits.LaneBytes = 64 << 10 })
	d := f.device("DC-31")
	const n = 2_000
	payload := strings.Repeat("x", 8<<10)
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := d.Publish("sekimori/1/DC-31/up", fmt.Appendf(nil, "%d %s", i, payload)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select {
	case err := <-sent:
		t.Fatalf("16 MB went somewhere without a hub: %v", err)
	case <-time.After(300 * time.Millisecond): // long enough to fill every buffer on loopback
	}
	hub := f.hub()
	for i := range n {
		m, err := hub.ReceivePublish()
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if got, _, _ := strings.Cut(string(m.Payload), " "); got != fmt.Sprint(i) {
			t.Fatalf("message %s in place of %d", got, i)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// While one device waits for a hub that is slow, another keeps its pings and
// gets its receipts, and its single message overtakes the backlog.
func TestOneDeviceDoesNotStopAnother(t *testing.T) {
	f := start(t)
	busy, quiet, hub := f.device("DC-31"), f.device("DC-32"), f.hub()
	if err := quiet.Subscribe("sekimori/1/DC-32/receipt"); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with its connection
		for busy.Publish("sekimori/1/DC-31/up", make([]byte, 32<<10)) == nil {
		}
	}()
	time.Sleep(200 * time.Millisecond) // the hub reads nothing: let all buffers fill
	if err := quiet.Ping(); err != nil {
		t.Fatal(err)
	}
	if err := hub.Publish("sekimori/1/DC-32/receipt", []byte("r")); err != nil {
		t.Fatal(err)
	}
	if m, err := quiet.ReceivePublish(); err != nil || string(m.Payload) != "r" {
		t.Fatalf("receipt: %v %v", m, err)
	}
	if err := quiet.Publish("sekimori/1/DC-32/up", []byte("one")); err != nil {
		t.Fatal(err)
	}
	for before := 0; ; before++ {
		m, err := hub.ReceivePublish()
		if err != nil {
			t.Fatal(err)
		}
		if m.TopicName == "sekimori/1/DC-32/up" {
			break
		}
		// What lies in the sockets of the hub cannot be overtaken; a backlog can.
		if before > 1_000 {
			t.Fatal("the quiet device starves")
		}
	}
}

// A device that never reads is disconnected and found; the hub and another
// device go on meanwhile.
func TestSlowConsumer(t *testing.T) {
	f := start(t)
	good := f.pair()
	deaf := f.device("DC-31")
	if err := deaf.Subscribe("sekimori/1/DC-31/policy"); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		for range 50 {
			if err := good.hub.Publish("sekimori/1/DC-31/policy", make([]byte, 32<<10)); err != nil {
				t.Fatal(err)
			}
		}
		good.roundTrip()
	}
	f.awaitFinding(broker.KindSlowConsumer, "DC-31")
	if err := deaf.Ended(); err != nil {
		t.Error(err)
	}
}

// [002-23(3)ア] [T-50]
func TestTakeover(t *testing.T) {
	f := start(t)
	good := f.pair()
	first := f.device("DC-31")
	second := f.device("DC-31")
	if err := first.Ended(); err != nil {
		t.Errorf("the first connection goes on: %v", err)
	}
	if err := second.Ping(); err != nil {
		t.Errorf("the second connection does not: %v", err)
	}
	x := f.awaitFinding(broker.KindTakeover, "DC-31")
	if !strings.Contains(x.Detail, "127.0.0.1") {
		t.Errorf("finding %+v names no address", x)
	}
	good.roundTrip()
}

func TestMessagesOutliveTheirConnection(t *testing.T) {
	f := start(t)
	first := f.device("DC-31")
	publishAcked(t, first, "a")
	first.Close()
	second := f.device("DC-31")
	publishAcked(t, second, "b")
	hub := f.hub()
	for _, want := range []string{"a", "b"} {
		if m, err := hub.ReceivePublish(); err != nil || string(m.Payload) != want {
			t.Fatalf("got %v %v, want %s", m, err, want)
		}
	}
}

// publishAcked sends one message with QoS 1 and waits for the PUBACK, which
// means that the broker has it, and nothing else [T-52].
func publishAcked(t *testing.T, c *brokertest.Client, payload string) {
	t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.MessageID = "sekimori/1/DC-31/up", []byte(payload), 1, 7
	if err := c.Send(p); err != nil {
		t.Fatal(err)
	}
	answer, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if ack, ok := answer.(*packets.PubackPacket); !ok || ack.MessageID != 7 {
		t.Fatalf("got %v, want PUBACK 7", answer)
	}
}

// Small questions do not queue behind a backlog of events.
func TestAskOvertakesBacklog(t *testing.T) {
	f := start(t)
	d := f.device("DC-31")
	for i := range 50 {
		publishAcked(t, d, fmt.Sprint(i))
	}
	if err := d.Publish("sekimori/1/DC-31/ask", []byte("?")); err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(); err != nil { // the question has arrived
		t.Fatal(err)
	}
	hub := f.hub()
	for i := range 3 {
		m, err := hub.ReceivePublish()
		if err != nil {
			t.Fatal(err)
		}
		if m.TopicName == "sekimori/1/DC-31/ask" {
			return
		}
		t.Logf("message %d: %s", i, m.TopicName)
	}
	t.Error("the question waits behind the backlog")
}

func TestNothingIsKeptForTheAbsent(t *testing.T) {
	f := start(t)
	hub := f.hub()
	if err := hub.Publish("sekimori/1/DC-31/policy", []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := hub.Ping(); err != nil { // it was handled
		t.Fatal(err)
	}
	d := f.device("DC-31")
	if err := d.Subscribe("sekimori/1/DC-31/policy"); err != nil {
		t.Fatal(err)
	}
	if err := hub.Publish("sekimori/1/DC-31/policy", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if m, err := d.ReceivePublish(); err != nil || string(m.Payload) != "new" {
		t.Fatalf("got %v %v, want new", m, err)
	}
}

func TestUpdateEndsSessions(t *testing.T) {
	f := start(t)
	good := f.pair()
	revoked, retired := f.ca.Device(t, "DC-31"), f.ca.Device(t, "DC-33")
	a, b := f.connect(revoked, "DC-31"), f.connect(retired, "DC-33")
	if err := f.srv.Update(broker.Access{Revoked: []string{revoked.Serial}, Allow: []string{"DC-31", "DC-32"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*brokertest.Client{a, b} {
		if err := c.Ended(); err != nil {
			t.Error(err)
		}
	}
	f.awaitFinding(broker.KindRevokedCertificate, "DC-31")
	f.awaitFinding(broker.KindUnknownDevice, "DC-33")
	if c, err := brokertest.Connect(f.addr, f.tls(revoked), "DC-31"); err == nil {
		c.Close()
		t.Error("a revoked certificate came in")
	}
	// A new certificate of the same device is welcome.
	f.device("DC-31")
	good.roundTrip()
}

func TestUpdateRefusedChangesNothing(t *testing.T) {
	f := start(t)
	good := f.pair()
	for _, u := range []broker.Access{
		{Allow: []string{"#"}}, {Revoked: []string{"xyz"}}, {ClientCA: "no PEM"}, {ServerCert: "no PEM"},
	} {
		if err := f.srv.Update(u); err == nil {
			t.Errorf("update %v was taken", u)
		}
	}
	good.roundTrip()
	f.device("DC-31")
}

func TestUpdateReplacesAuthorityAndServerCertificate(t *testing.T) {
	f := start(t)
	next := brokertest.NewCA(t)
	server := next.Server(t)
	if err := f.srv.Update(broker.Access{ClientCA: f.ca.PEM + next.PEM, ServerCert: server.Cert, ServerKey: broker.Secret(server.Key)}); err != nil {
		t.Fatal(err)
	}
	pair := next.Device(t, "DC-31")
	c, err := brokertest.Connect(f.addr, next.ClientTLS(&pair), "DC-31")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A client that says nothing for one and a half keepalives is gone
// [MQTT-3.1.2-24].
func TestKeepalive(t *testing.T) {
	f := start(t)
	c, err := brokertest.Dial(f.addr, f.tls(f.ca.Device(t, "DC-31")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := brokertest.ConnectPacket("DC-31")
	p.Keepalive = 1
	if err := c.Open(p); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Ended(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < time.Second || took > 4*time.Second {
		t.Errorf("ended after %s, want 1.5 s", took)
	}
}

// A packet that begins and does not end is not waited for.
func TestSlowPacket(t *testing.T) {
	f := start(t, func(c *broker.Config) { c.Limits.Packet = 200 * time.Millisecond })
	c := f.device("DC-31")
	if _, err := c.Conn.Write([]byte{0x30, 0x7f, 0x00}); err != nil {
		t.Fatal(err)
	}
	if err := c.Ended(); err != nil {
		t.Fatal(err)
	}
}

func TestUnauthenticatedLimit(t *testing.T) {
	f := start(t, func(c *broker.Config) { c.Limits.MaxUnauthAddr = 8 })
	good := f.pair()
	for range 20 {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	f.awaitFinding(broker.KindFlood, "")
	good.roundTrip()
}

// An identity that keeps offending is shut out, an address only slowed down,
// and a flood makes few findings.
func TestOffenders(t *testing.T) {
	f := start(t, func(c *broker.Config) {
		c.Limits.ViolationBurst, c.Limits.ViolationRate = 5, 1
		c.Limits.Aggregate = 500 * time.Millisecond
	})
	good := f.pair()
	bad := f.ca.Device(t, "DC-31")
	for range 5 {
		c, err := brokertest.Connect(f.addr, f.tls(bad), "DC-31")
		if err != nil {
			t.Fatal(err)
		}
		f.refusedBytes(t, c, []byte{0, 0})
		c.Close()
	}
	if c, err := brokertest.Connect(f.addr, f.tls(bad), "DC-31"); err == nil {
		c.Close()
		t.Error("the offender came in again")
	}
	f.awaitFinding(broker.KindFlood, "DC-31")
	for range 20 {
		if c, err := brokertest.Connect(f.addr, f.ca.ClientTLS(nil), "DC-31"); err == nil {
			c.Close()
			t.Error("came in without a certificate")
		}
	}
	f.awaitFinding(broker.KindFlood, "")
	f.device("DC-33") // from the slowed address
	good.roundTrip()
	total, rows := 0, 0
	for _, x := range f.findings() {
		if x.Kind == broker.KindNoCertificate {
			total, rows = total+x.Count, rows+1
		}
	}
	if rows == 0 || total < rows || rows > 15 {
		t.Errorf("%d findings count %d attempts", rows, total)
	}
}

func TestPortBusy(t *testing.T) {
	f := start(t)
	server := f.ca.Server(t)
	_, err := broker.Listen(broker.Config{Listen: f.addr, Access: broker.Access{
		ClientCA: f.ca.PEM, ServerCert: server.Cert, ServerKey: broker.Secret(server.Key),
	}}, func(broker.Finding) {}, slog.New(slog.DiscardHandler))
	var e *broker.Error
	if !errors.As(err, &e) || e.Code != broker.CodePortBusy || !strings.Contains(e.Sentence(), "ポート") {
		t.Fatalf("got %v", err)
	}
}

func TestKeyShowsItselfNowhere(t *testing.T) {
	cfg := broker.Config{Access: broker.Access{ServerKey: "-----BEGIN PRIVATE KEY-----"}}
	for _, shown := range []string{fmt.Sprint(cfg), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), fmt.Sprintf("%s %q %x", cfg.ServerKey, cfg.ServerKey, cfg.ServerKey)} {
		if strings.Contains(shown, "BEGIN") || strings.Contains(shown, "2d2d") {
			t.Errorf("key shown: %s", shown)
		}
	}
}

// The publish → hub path: one device, one hub, both over TLS.
func BenchmarkLatency(b *testing.B) {
	f := start(b)
	p := f.pair()
	for b.Loop() {
		p.roundTrip()
	}
}

func BenchmarkThroughput(b *testing.B) {
	f := start(b)
	d, hub := f.device("DC-31"), f.hub()
	payload := make([]byte, 512)
	b.SetBytes(int64(len(payload)))
	b.ResetTimer()
	go func() { // ends with its connection
		for range b.N {
			if d.Publish("sekimori/1/DC-31/up", payload) != nil {
				return
			}
		}
	}()
	for range b.N {
		if _, err := hub.ReceivePublish(); err != nil {
			b.Fatal(err)
		}
	}
}

// A connection does not outlive its certificate by more than a ping. [T-51]
func TestCertificateEndsWhileConnected(t *testing.T) {
	t.Parallel()
	f := start(t)
	c := f.connect(f.ca.Client(t, "device", "DC-31", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(2*time.Second)
	}), "DC-31")
	for deadline := time.Now().Add(10 * time.Second); c.Ping() == nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an expired certificate keeps its connection")
		}
	}
	f.awaitFinding(broker.KindExpiredCertificate, "DC-31")
}
