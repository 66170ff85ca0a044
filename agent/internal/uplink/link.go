// Package uplink carries the journal to the hub and the hub's word back.
//
//	journal ─▶ sender ─ batches ─▶ paho ═ mutual TLS ═▶ broker ─▶ hub
//	journal ◀── receipts ─┐                                │
//	clock   ◀── answers ──┼── signed, each checked here ◀──┘
//	decide  ◀── policy ───┤
//	decide  ◀── orders ───┘
//
// paho is a dumb pipe: QoS 0, clean session, no store, no reconnect of its own.
// Its tokens and the broker's PUBACKs mean nothing; only a signed receipt does
// [T-52]. When nothing moves for a while, sending goes back to the last receipt.
package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"sekimori/internal/record"
)

const (
	connectTimeout = 10 * time.Second
	writeTimeout   = 10 * time.Second
	keepAlive      = 20 * time.Second
	inbox          = 256 // messages waiting for the session; more and TCP waits
)

// message is one MQTT message from the hub.
type message struct {
	channel record.Channel
	payload []byte
}

// link is one connection to the broker, from its making to its loss.
type link struct {
	client mqtt.Client
	device record.DeviceID
	in     chan message
	lost   chan error // one slot
}

// dial connects and subscribes to the device's own topics. The connection ends
// with ctx at the latest, whatever state it is in.
func dial(ctx context.Context, c *Config) (*link, error) {
	l := &link{device: c.Device, in: make(chan message, inbox), lost: make(chan error, 1)}
	opts := mqtt.NewClientOptions().
		AddBroker("ssl://" + c.Server).
		SetClientID(string(c.Device)).
		SetProtocolVersion(4).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetKeepAlive(keepAlive).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return open(ctx, c) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.lose(err) })
	l.client = mqtt.NewClient(opts)
	connected := l.client.Connect()
	<-connected.Done() // it ends with ctx
	if err := connected.Error(); err != nil {
		l.close()
		return nil, fmt.Errorf("connect to %s: %w", c.Server, err)
	}
	filters := map[string]byte{}
	for _, channel := range record.ToDevice {
		filters[record.Topic(c.Device, channel)] = 0
	}
	if err := wait(ctx, l.client.SubscribeMultiple(filters, l.receive(ctx))); err != nil {
		l.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return l, nil
}

// open makes the TLS connection, which the end of ctx closes.
func open(ctx context.Context, c *Config) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dial := c.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	raw, err := dial(limited, c.Server)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, c.TLS())
	if err := conn.HandshakeContext(limited); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &guarded{Conn: conn, release: context.AfterFunc(ctx, func() { raw.Close() })}, nil
}

// receive only hands over: a handler that blocks or publishes would stop paho.
// When the session is slower than the network for long, the link is given up
// and the next one starts from what the hub holds.
func (l *link) receive(ctx context.Context) mqtt.MessageHandler {
	return func(_ mqtt.Client, m mqtt.Message) {
		device, channel, err := record.ParseTopic(m.Topic())
		if err != nil || device != l.device {
			return
		}
		select {
		case l.in <- message{channel, m.Payload()}:
		case <-ctx.Done():
		case <-time.After(writeTimeout):
			l.lose(errors.New("messages from the hub came faster than they were handled"))
		}
	}
}

func (l *link) lose(err error) {
	select {
	case l.lost <- err:
	default:
	}
}

// publish hands bytes to the socket; that they left says nothing of arrival.
func (l *link) publish(ctx context.Context, c record.Channel, payload []byte) error {
	return wait(ctx, l.client.Publish(record.Topic(l.device, c), 0, false, payload))
}

func (l *link) close() { l.client.Disconnect(100) }

func wait(ctx context.Context, t mqtt.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(connectTimeout):
		return errors.New("no answer from the broker")
	}
}
