package broker_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// hostile is one attack: it runs beside a well-behaved pair and must leave
// exactly this finding and no connection.
type hostile struct {
	name     string
	kind     broker.Kind
	identity string
	attack   func(t *testing.T, f *fixture)
}

// open connects as DC-31 and then sends bytes; the broker must hang up.
func sending(b ...byte) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) { f.refusedBytes(t, f.device("DC-31"), b) }
}

func (f *fixture) refusedBytes(t *testing.T, c *brokertest.Client, b []byte) {
	t.Helper()
	// The broker may hang up before it has read everything.
	_, _ = c.Conn.Write(b)
	if err := c.Ended(); err != nil {
		t.Error(err)
	}
}

// connecting opens TLS as DC-31 and sends a CONNECT that edit has spoilt; the
// broker must answer with code, or hang up without a word for code 0.
func connecting(code byte, edit func(*packets.ConnectPacket)) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		c, err := brokertest.Dial(f.addr, f.tls(f.ca.Device(t, "DC-31")))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p := brokertest.ConnectPacket("DC-31")
		edit(p)
		if err := c.Send(p); err != nil {
			t.Fatal(err)
		}
		if code != 0 {
			answer, err := c.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if ack, ok := answer.(*packets.ConnackPacket); !ok || ack.ReturnCode != code {
				t.Errorf("answer %v, want CONNACK %d", answer, code)
			}
		}
		if err := c.Ended(); err != nil {
			t.Error(err)
		}
	}
}

// presenting tries to come in with another certificate, or with none.
func presenting(pair func(t *testing.T, f *fixture) *brokertest.Pair, id string) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		if c, err := brokertest.Connect(f.addr, f.ca.ClientTLS(pair(t, f)), id); err == nil {
			c.Close()
			t.Error("came in")
		}
	}
}

// [T-50] [T-51] [002-22(8)]
var attacks = []hostile{
	{"no certificate", broker.KindNoCertificate, "", presenting(
		func(*testing.T, *fixture) *brokertest.Pair { return nil }, "DC-31")},
	{"foreign CA", broker.KindForeignCertificate, "", presenting(
		func(t *testing.T, _ *fixture) *brokertest.Pair {
			p := brokertest.NewCA(t).Device(t, "DC-31")
			return &p
		}, "DC-31")},
	{"foreign CA, expired", broker.KindForeignCertificate, "", presenting(
		func(t *testing.T, _ *fixture) *brokertest.Pair {
			p := brokertest.NewCA(t).Client(t, "device", "DC-31", brokertest.Expired)
			return &p
		}, "DC-31")},
	{"expired", broker.KindExpiredCertificate, "DC-31", presenting(
		func(t *testing.T, f *fixture) *brokertest.Pair {
			p := f.ca.Client(t, "device", "DC-31", brokertest.Expired)
			return &p
		}, "DC-31")},
	{"server certificate as client", broker.KindForeignCertificate, "", presenting(
		func(t *testing.T, f *fixture) *brokertest.Pair { p := f.ca.Server(t); return &p }, "DC-31")},
	{"unit that is none", broker.KindForeignCertificate, "", presenting(
		func(t *testing.T, f *fixture) *brokertest.Pair {
			p := f.ca.Client(t, "console", "DC-31")
			return &p
		}, "DC-31")},
	{"name with a wildcard", broker.KindForeignCertificate, "", presenting(
		func(t *testing.T, f *fixture) *brokertest.Pair { p := f.ca.Client(t, "device", "+"); return &p }, "+")},
	{"device that calls itself hub", broker.KindUnknownDevice, "hub", presenting(
		func(t *testing.T, f *fixture) *brokertest.Pair { p := f.ca.Device(t, "hub"); return &p }, "hub")},
	{"device not in service", broker.KindUnknownDevice, "DC-99", presenting(
		func(t *testing.T, f *fixture) *brokertest.Pair { p := f.ca.Device(t, "DC-99"); return &p }, "DC-99")},
	{"another client id", broker.KindClientID, "DC-31", connecting(packets.ErrRefusedIDRejected,
		func(p *packets.ConnectPacket) { p.ClientIdentifier = "DC-32" })},
	{"MQTT 5", broker.KindProtocolVersion, "DC-31", func(t *testing.T, f *fixture) {
		c, err := brokertest.Dial(f.addr, f.tls(f.ca.Device(t, "DC-31")))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f.refusedBytes(t, c, brokertest.ConnectV5("DC-31"))
	}},
	{"MQTT 3.1", broker.KindProtocolVersion, "DC-31", connecting(packets.ErrRefusedBadProtocolVersion,
		func(p *packets.ConnectPacket) { p.ProtocolName, p.ProtocolVersion = "MQIsdp", 3 })},
	{"will", broker.KindForbiddenFeature, "DC-31", connecting(packets.ErrRefusedNotAuthorised,
		func(p *packets.ConnectPacket) {
			p.WillFlag, p.WillTopic, p.WillMessage = true, "sekimori/1/DC-31/up", []byte("on")
		})},
	{"stored session", broker.KindForbiddenFeature, "DC-31", connecting(packets.ErrRefusedNotAuthorised,
		func(p *packets.ConnectPacket) { p.CleanSession = false })},
	{"password", broker.KindForbiddenFeature, "DC-31", connecting(packets.ErrRefusedBadUsernameOrPassword,
		func(p *packets.ConnectPacket) { p.UsernameFlag, p.Username = true, "admin" })},
	{"publish before CONNECT", broker.KindMalformedPacket, "DC-31", func(t *testing.T, f *fixture) {
		c, err := brokertest.Dial(f.addr, f.tls(f.ca.Device(t, "DC-31")))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f.refusedBytes(t, c, publish("sekimori/1/DC-31/up", 0))
	}},
	{"CONNECT of 5 KiB", broker.KindOversizedPacket, "DC-31", connecting(0,
		func(p *packets.ConnectPacket) { p.UsernameFlag, p.Username = true, strings.Repeat("x", 5<<10) })},
	{"second CONNECT", broker.KindMalformedPacket, "DC-31", func(t *testing.T, f *fixture) {
		c := f.device("DC-31")
		if err := c.Send(brokertest.ConnectPacket("DC-31")); err != nil {
			t.Fatal(err)
		}
		if err := c.Ended(); err != nil {
			t.Error(err)
		}
	}},
	{"publish as another device", broker.KindWrongTopic, "DC-31", sending(publish("sekimori/1/DC-32/up", 0)...)},
	{"publish a receipt", broker.KindWrongTopic, "DC-31", sending(publish("sekimori/1/DC-31/receipt", 0)...)},
	{"publish below its topic", broker.KindWrongTopic, "DC-31", sending(publish("sekimori/1/DC-31/up/x", 0)...)},
	{"publish to a wildcard", broker.KindWrongTopic, "DC-31", sending(publish("sekimori/1/+/up", 0)...)},
	{"publish to $SYS", broker.KindWrongTopic, "DC-31", sending(publish("$SYS/broker", 0)...)},
	{"publish retained", broker.KindForbiddenFeature, "DC-31", sending(publish("sekimori/1/DC-31/up", 1)...)},
	{"publish with QoS 2", broker.KindForbiddenFeature, "DC-31", sending(publish("sekimori/1/DC-31/up", 4)...)},
	{"subscribe to everything", broker.KindWrongTopic, "DC-31", sending(subscribe("#")...)},
	{"subscribe to all receipts", broker.KindWrongTopic, "DC-31", sending(subscribe("sekimori/1/+/receipt")...)},
	{"subscribe to another's orders", broker.KindWrongTopic, "DC-31", sending(subscribe("sekimori/1/DC-32/order")...)},
	{"subscribe to its own uplink", broker.KindWrongTopic, "DC-31", sending(subscribe("sekimori/1/DC-31/up")...)},
	{"one wrong filter among right ones", broker.KindWrongTopic, "DC-31", sending(subscribe("sekimori/1/DC-31/order", "sekimori/1/+/up")...)},
	{"shared subscription", broker.KindWrongTopic, "DC-31", sending(subscribe("$share/g/sekimori/1/DC-31/order")...)},
	{"MQTT 5 SUBSCRIBE without options", broker.KindMalformedPacket, "DC-31", sending(0x82, 0x07, 0x00, 0x01, 0x00, 0x00, 0x02, 'a', '/')},
	{"reserved flags", broker.KindMalformedPacket, "DC-31", sending(0xc1, 0x00)},
	{"type 0", broker.KindMalformedPacket, "DC-31", sending(0x00, 0x00)},
	{"PINGREQ with a body", broker.KindMalformedPacket, "DC-31", sending(0xc0, 0x01, 0x00)},
	{"length of five bytes", broker.KindMalformedPacket, "DC-31", sending(0x30, 0xff, 0xff, 0xff, 0xff, 0x7f)},
	{"claim of 256 MiB", broker.KindOversizedPacket, "DC-31", sending(0x30, 0xff, 0xff, 0xff, 0x7f)},
	{"topic longer than its packet", broker.KindMalformedPacket, "DC-31", sending(0x30, 0x04, 0xff, 0xff, 'a', 'b')},
	{"plain TCP", broker.KindPlainTCP, "", func(t *testing.T, f *fixture) {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := &brokertest.Client{Conn: conn, Timeout: 5 * time.Second}
		if err := c.Open(brokertest.ConnectPacket("DC-31")); err == nil {
			t.Error("came in without TLS")
		}
	}},
	{"TLS 1.2", broker.KindHandshakeFailed, "", func(t *testing.T, f *fixture) {
		cfg := f.tls(f.ca.Device(t, "DC-31"))
		cfg.MinVersion, cfg.MaxVersion = 0x0303, 0x0303
		if c, err := brokertest.Dial(f.addr, cfg); err == nil {
			c.Close()
			t.Error("handshake succeeded")
		}
	}},
	{"silence instead of TLS", broker.KindSlowConnect, "", func(t *testing.T, f *fixture) {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := &brokertest.Client{Conn: conn, Timeout: 5 * time.Second}
		if err := c.Ended(); err != nil {
			t.Error(err)
		}
	}},
	{"slow-loris CONNECT", broker.KindSlowConnect, "DC-31", func(t *testing.T, f *fixture) {
		c, err := brokertest.Dial(f.addr, f.tls(f.ca.Device(t, "DC-31")))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f.refusedBytes(t, c, []byte{0x10, 0x40, 0x00, 0x04, 'M'})
	}},
	{"flood of pings", broker.KindFlood, "DC-31", func(t *testing.T, f *fixture) {
		c := f.device("DC-31")
		var pings []byte
		for range 400 {
			pings = append(pings, 0xc0, 0x00)
		}
		f.refusedBytes(t, c, pings)
	}},
}

// Every attack leaves its finding, and another device's round trips go on.
func TestHostile(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, func(c *broker.Config) { c.Limits.Handshake = 500 * time.Millisecond })
			good := f.pair()
			done := make(chan struct{})
			go func() { defer close(done); a.attack(t, f) }()
			for running := true; running; {
				good.roundTrip()
				select {
				case <-done:
					running = false
				default:
				}
			}
			good.roundTrip()
			x := f.awaitFinding(a.kind, a.identity)
			if x.Remote != "127.0.0.1" || x.Count < 1 || x.Detail == "" || x.At.IsZero() {
				t.Errorf("finding %+v", x)
			}
			for _, x := range f.findings() {
				if x.Kind != a.kind || x.Identity != a.identity {
					t.Errorf("also found %+v", x)
				}
			}
		})
	}
}

// publish is a PUBLISH of one byte to topic with the given flags.
func publish(topic string, flags byte) []byte {
	b := []byte{0x30 | flags, 0, byte(len(topic) >> 8), byte(len(topic))}
	b = append(b, topic...)
	if flags&6 != 0 {
		b = append(b, 0, 1) // packet id
	}
	b = append(b, 'x')
	b[1] = byte(len(b) - 2)
	return b
}

// subscribe is a SUBSCRIBE to topics.
func subscribe(topics ...string) []byte {
	b := []byte{0x82, 0, 0, 1}
	for _, topic := range topics {
		b = append(b, byte(len(topic)>>8), byte(len(topic)))
		b = append(b, topic...)
		b = append(b, 0)
	}
	b[1] = byte(len(b) - 2)
	return b
}
