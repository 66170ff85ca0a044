// Package linktest is the contract of brokerlink.Link as a test suite. It runs
// against a real broker: the embedded one today, Mosquitto and others later,
// with nothing changed above the link.
package linktest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/broker/brokertest"
	"sekimori/hub/internal/brokerlink"
	"sekimori/internal/record"
)

// Broker is a running broker as the suite needs it. Devices must be
// in service.
type Broker struct {
	Addr   string
	Hub    *tls.Config                 // presents the hub's certificate
	Device func(id string) *tls.Config // presents a device's certificate
	Stop   func()                      // ends the broker, with every connection
	Start  func()                      // starts it again at Addr
}

// Run runs the suite; newBroker starts a fresh broker that ends with its test.
func Run(t *testing.T, newBroker func(t *testing.T) Broker) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Broker)
	}{
		{"OrderPerDevice", testOrder},
		{"BackPressureLosesNothing", testBackPressure},
		{"HubToDevice", testToDevice},
		{"PublishFromHandler", testPublishFromHandler},
		{"NothingRetained", testNothingRetained},
		{"RightsFollowCertificate", testRights},
		{"ReconnectAfterRestart", testRestart},
		{"PublishWithoutConnection", testNotConnected},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBroker(t)) })
	}
}

// hub is a running link that collects what comes.
type hub struct {
	t    *testing.T
	link *brokerlink.Client
	ups  chan struct{}
	got  chan brokerlink.Message
}

// start runs a link and waits until it is up. A nil handle collects in got.
func start(t *testing.T, b Broker, handle func(*hub) brokerlink.Handler) *hub {
	t.Helper()
	h := &hub{t: t, ups: make(chan struct{}, 16), got: make(chan brokerlink.Message)}
	link, err := brokerlink.New(brokerlink.Config{
		Addr: b.Addr, TLS: b.Hub, Log: slog.New(slog.DiscardHandler),
		OnState: func(up bool, _ error) {
			if up {
				h.ups <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.link = link
	handler := func(ctx context.Context, m brokerlink.Message) {
		select {
		case h.got <- m:
		case <-ctx.Done():
		}
	}
	if handle != nil {
		handler = handle(h)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := link.Run(ctx, handler); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	h.awaitUp()
	return h
}

func (h *hub) awaitUp() {
	h.t.Helper()
	select {
	case <-h.ups:
	case <-time.After(30 * time.Second):
		h.t.Fatal("link does not come up")
	}
}

func (h *hub) next() brokerlink.Message {
	h.t.Helper()
	select {
	case m := <-h.got:
		return m
	case <-time.After(20 * time.Second):
		h.t.Fatal("no message comes")
		return brokerlink.Message{}
	}
}

func (h *hub) publish(topic, payload string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.link.Publish(ctx, topic, []byte(payload)); err != nil {
		h.t.Fatal(err)
	}
}

func device(t *testing.T, b Broker, id string, filters ...string) *brokertest.Client {
	t.Helper()
	c, err := brokertest.Connect(b.Addr, b.Device(id), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if len(filters) > 0 {
		if err := c.Subscribe(filters...); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func send(t *testing.T, c *brokertest.Client, topic, payload string) {
	t.Helper()
	if err := c.Publish(topic, []byte(payload)); err != nil {
		t.Error(err)
	}
}

func expect(t *testing.T, c *brokertest.Client, topic, payload string) {
	t.Helper()
	m, err := c.ReceivePublish()
	if err != nil {
		t.Fatal(err)
	}
	if m.TopicName != topic || string(m.Payload) != payload || m.Retain {
		t.Fatalf("got %s %q retain %v, want %s %q", m.TopicName, m.Payload, m.Retain, topic, payload)
	}
}

func testOrder(t *testing.T, b Broker) {
	const n = 500
	h := start(t, b, nil)
	var senders sync.WaitGroup
	for _, id := range []string{"A-1", "A-2"} {
		c := device(t, b, id)
		senders.Go(func() {
			for i := range n {
				send(t, c, "sekimori/1/"+id+"/up", fmt.Sprint(i))
			}
		})
	}
	seen := map[record.DeviceID]int{}
	for range 2 * n {
		m := h.next()
		if m.Topic != record.Topic(m.Device, record.ChannelUp) || m.Channel != record.ChannelUp || string(m.Payload) != fmt.Sprint(seen[m.Device]) {
			t.Fatalf("got %+v %q, want number %d of %s", m.Topic, m.Payload, seen[m.Device], m.Device)
		}
		seen[m.Device]++
	}
	senders.Wait()
}

// The handler stands still while a device sends more than the buffers hold.
func testBackPressure(t *testing.T, b Broker) {
	const n = 1_500
	h := start(t, b, nil)
	c, other := device(t, b, "A-1"), device(t, b, "A-2", "sekimori/1/A-2/receipt")
	padding := strings.Repeat("x", 8<<10)
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range n {
			send(t, c, "sekimori/1/A-1/up", fmt.Sprintf("%d %s", i, padding))
		}
	})
	time.Sleep(300 * time.Millisecond) // lets every buffer on the way fill
	if err := other.Ping(); err != nil {
		t.Errorf("another device's ping: %v", err)
	}
	h.publish("sekimori/1/A-2/receipt", "r")
	expect(t, other, "sekimori/1/A-2/receipt", "r")
	for i := range n {
		if got, _, _ := strings.Cut(string(h.next().Payload), " "); got != fmt.Sprint(i) {
			t.Fatalf("got message %s in place of %d", got, i)
		}
	}
	sender.Wait()
}

func testToDevice(t *testing.T, b Broker) {
	h := start(t, b, nil)
	topics := []string{"sekimori/1/A-1/receipt", "sekimori/1/A-1/policy", "sekimori/1/A-1/order", "sekimori/1/A-1/answer"}
	c, other := device(t, b, "A-1", topics...), device(t, b, "A-2", "sekimori/1/A-2/policy")
	for _, topic := range topics {
		h.publish(topic, "for A-1")
		expect(t, c, topic, "for A-1")
	}
	for i := range 300 {
		h.publish(topics[1], fmt.Sprint(i))
	}
	for i := range 300 {
		expect(t, c, topics[1], fmt.Sprint(i))
	}
	h.publish("sekimori/1/A-2/policy", "for A-2")
	expect(t, other, "sekimori/1/A-2/policy", "for A-2") // and nothing before it
}

func testPublishFromHandler(t *testing.T, b Broker) {
	start(t, b, func(h *hub) brokerlink.Handler {
		return func(ctx context.Context, m brokerlink.Message) {
			if err := h.link.Publish(ctx, record.Topic(m.Device, record.ChannelAnswer), m.Payload); err != nil {
				t.Errorf("publish: %v", err)
			}
		}
	})
	c := device(t, b, "A-1", "sekimori/1/A-1/answer")
	for i := range 200 {
		send(t, c, "sekimori/1/A-1/ask", fmt.Sprint(i))
	}
	for i := range 200 {
		expect(t, c, "sekimori/1/A-1/answer", fmt.Sprint(i))
	}
}

func testNothingRetained(t *testing.T, b Broker) {
	h := start(t, b, nil)
	h.publish("sekimori/1/A-1/order", "old")
	// A message that comes back proves that the one before it was handled.
	c := device(t, b, "A-2", "sekimori/1/A-2/order")
	h.publish("sekimori/1/A-2/order", "mark")
	expect(t, c, "sekimori/1/A-2/order", "mark")
	late := device(t, b, "A-1", "sekimori/1/A-1/order")
	h.publish("sekimori/1/A-1/order", "new")
	expect(t, late, "sekimori/1/A-1/order", "new")
}

// A device that writes or listens where it must not is not heard and hears
// nothing; whether it is also disconnected is the broker's own affair. [T-50]
func testRights(t *testing.T, b Broker) {
	h := start(t, b, nil)
	good := device(t, b, "A-2", "sekimori/1/A-2/order")
	for _, topic := range []string{"sekimori/1/A-2/up", "sekimori/1/A-2/order", "sekimori/1/A-1/up/x"} {
		send(t, device(t, b, "A-1"), topic, "forged")
	}
	spy := device(t, b, "A-1")
	spy.Timeout = 500 * time.Millisecond
	_ = spy.Subscribe("sekimori/1/A-2/order", "sekimori/1/+/order", "#") // refused one way or the other
	h.publish("sekimori/1/A-2/order", "secret")
	expect(t, good, "sekimori/1/A-2/order", "secret")
	if m, err := spy.ReceivePublish(); err == nil {
		t.Errorf("A-1 overheard %s", m.TopicName)
	}
	send(t, good, "sekimori/1/A-2/up", "true")
	if m := h.next(); string(m.Payload) != "true" {
		t.Errorf("hub got %q on %s", m.Payload, m.Topic)
	}
	if c, err := brokertest.Connect(b.Addr, b.Device("A-1"), "A-2"); err == nil {
		// A broker may accept a foreign client id; it gives no right.
		defer c.Close()
		send(t, c, "sekimori/1/A-2/up", "forged")
	}
	again := device(t, b, "A-2")
	send(t, again, "sekimori/1/A-2/up", "last")
	if m := h.next(); string(m.Payload) != "last" {
		t.Errorf("hub got %q on %s", m.Payload, m.Topic)
	}
}

func testRestart(t *testing.T, b Broker) {
	h := start(t, b, nil)
	before := device(t, b, "A-1")
	send(t, before, "sekimori/1/A-1/up", "before")
	if m := h.next(); string(m.Payload) != "before" {
		t.Fatalf("got %q", m.Payload)
	}
	b.Stop()
	b.Start()
	h.awaitUp()
	after := device(t, b, "A-1", "sekimori/1/A-1/receipt")
	send(t, after, "sekimori/1/A-1/up", "after")
	if m := h.next(); string(m.Payload) != "after" {
		t.Fatalf("got %q", m.Payload)
	}
	h.publish("sekimori/1/A-1/receipt", "r")
	expect(t, after, "sekimori/1/A-1/receipt", "r")
}

func testNotConnected(t *testing.T, b Broker) {
	h := start(t, b, nil)
	b.Stop()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := h.link.Publish(context.Background(), "sekimori/1/A-1/receipt", []byte("r"))
		if errors.Is(err, brokerlink.ErrNotConnected) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("got %v, want ErrNotConnected", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
