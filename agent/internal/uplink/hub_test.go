package uplink_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sekimori/internal/record"
)

const device = record.DeviceID("DC-31")

// pki is a CA with one certificate for the hub and one for the device.
type pki struct{ server, client *tls.Config }

func newPKI(t testing.TB) pki {
	t.Helper()
	caPub, caKey, _ := ed25519.GenerateKey(rand.Reader)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), KeyUsage: x509.KeyUsageCertSign}
	issue := func(serial int64, name string, usage x509.ExtKeyUsage) tls.Certificate {
		pub, key, _ := ed25519.GenerateKey(rand.Reader)
		leaf := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, pub, caKey)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caPub, caKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pki{
		server: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{issue(2, "hub.test", x509.ExtKeyUsageServerAuth)},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool},
		client: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{issue(3, string(device), x509.ExtKeyUsageClientAuth)},
			RootCAs: pool, ServerName: "hub.test"},
	}
}

func newSigner(t testing.TB) *record.Signer {
	t.Helper()
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	s, err := record.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hub is an MQTT 3.1.1 broker and the hub behind it, for one device. It answers
// as an honest hub unless a test changes how.
type hub struct {
	t      testing.TB
	tls    *tls.Config
	signer *record.Signer
	key    record.PublicKey // of the device

	mu     sync.Mutex
	conn   net.Conn // guarded by mu; the newest
	order  []record.Epoch
	held   map[record.Epoch]uint64
	heads  []record.BatchHead
	events [][]byte
	asks   []record.Ask
	conns  int
	onAsk  func(record.Ask)                     // nil: answer
	onUp   func(record.BatchHead, record.Batch) // nil: hold and receipt
	change func(*record.Answer) (send bool)     // nil: as it is
	write  sync.Mutex                           // held by one packet
	serves sync.WaitGroup                       //
}

func newHub(t testing.TB, conf *tls.Config, deviceKey record.PublicKey) *hub {
	return &hub{t: t, tls: conf, signer: newSigner(t), key: deviceKey, held: map[record.Epoch]uint64{}}
}

// with runs f while nothing else looks at h.
func (h *hub) with(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// serve is one connection, until it ends.
func (h *hub) serve(raw net.Conn) {
	conn := tls.Server(raw, h.tls)
	defer raw.Close()
	in := bufio.NewReader(conn)
	for {
		p, err := packets.ReadPacket(in)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packets.ConnectPacket:
			h.with(func() { h.conn = conn; h.conns++ })
			h.send(conn, packets.NewControlPacket(packets.Connack))
		case *packets.SubscribePacket:
			ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
			ack.MessageID, ack.ReturnCodes = p.MessageID, make([]byte, len(p.Topics))
			h.send(conn, ack)
		case *packets.PingreqPacket:
			h.send(conn, packets.NewControlPacket(packets.Pingresp))
		case *packets.PublishPacket:
			h.published(p.TopicName, p.Payload)
		case *packets.DisconnectPacket:
			return
		}
	}
}

func (h *hub) send(conn net.Conn, p packets.ControlPacket) {
	h.write.Lock()
	defer h.write.Unlock()
	_ = p.Write(conn) // a lost connection shows at the reading side
}

func (h *hub) publish(c record.Channel, payload []byte) {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = record.Topic(device, c), payload
	h.mu.Lock()
	conn := h.conn
	h.mu.Unlock()
	h.send(conn, p)
}

func (h *hub) seal(s *record.Signer, t record.PayloadType, v any) []byte {
	b, err := record.Seal(s, t, v)
	if err != nil {
		h.t.Error(err)
	}
	return b
}

func (h *hub) published(topic string, payload []byte) {
	switch topic {
	case record.Topic(device, record.ChannelAsk):
		var a record.Ask
		if _, err := record.Unseal([]record.PublicKey{h.key}, record.TypeAsk, payload, &a); err != nil {
			h.t.Errorf("ask: %v", err)
			return
		}
		var on func(record.Ask)
		h.with(func() { h.asks = append(h.asks, a); on = h.onAsk })
		if on != nil {
			on(a)
			return
		}
		h.answer(a)
	case record.Topic(device, record.ChannelUp):
		b, err := record.DecodeBatch(payload)
		if err != nil {
			h.t.Errorf("batch: %v", err)
			return
		}
		head, err := b.Verify(h.key)
		if err != nil {
			h.t.Errorf("batch: %v", err)
			return
		}
		var on func(record.BatchHead, record.Batch)
		h.with(func() { h.heads = append(h.heads, head); on = h.onUp })
		if on != nil {
			on(head, b)
			return
		}
		h.take(head, b)
		h.receipt(nil)
	default:
		h.t.Errorf("published to %s", topic)
	}
}

// take holds what follows what is held.
func (h *hub) take(head record.BatchHead, b record.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	have, known := h.held[head.Epoch]
	if !known {
		h.order = append(h.order, head.Epoch)
		h.held[head.Epoch] = 0
	}
	for i, e := range b.Events {
		if seq := head.First + uint64(i); seq == have+1 {
			have = seq
			h.events = append(h.events, e)
		}
	}
	h.held[head.Epoch] = have
}

func (h *hub) heldNow() []record.Held {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []record.Held
	for _, e := range h.order {
		out = append(out, record.Held{Epoch: e, Seq: h.held[e]})
	}
	return out
}

func (h *hub) answer(a record.Ask) {
	answer := record.Answer{Device: device, Nonce: a.Nonce, HubTime: time.Now(), Held: h.heldNow()}
	var change func(*record.Answer) bool
	h.with(func() { change = h.change })
	if change == nil || change(&answer) {
		h.publish(record.ChannelAnswer, h.seal(h.signer, record.TypeAnswer, answer))
	}
}

// receipt tells what is held, changed by change.
func (h *hub) receipt(change func(*record.Receipt)) {
	r := record.Receipt{Device: device, Held: h.heldNow(), HubTime: time.Now()}
	if change != nil {
		change(&r)
	}
	h.publish(record.ChannelReceipt, h.seal(h.signer, record.TypeReceipt, r))
}

func (h *hub) policy(m record.PolicyMessage) {
	b, err := json.Marshal(m)
	if err != nil {
		h.t.Fatal(err)
	}
	h.publish(record.ChannelPolicy, b)
}

// pipe is a dialler whose other end is served by h.
func (h *hub) pipe(context.Context, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	h.serves.Go(func() { h.serve(theirs) })
	return ours, nil
}

func (h *hub) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn != nil {
		h.conn.(*tls.Conn).NetConn().Close()
	}
}

// mute is a broker that makes a TLS connection and then says nothing.
func mute(h *hub, raw net.Conn) {
	defer raw.Close()
	conn := tls.Server(raw, h.tls)
	var b [1024]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
	}
}
