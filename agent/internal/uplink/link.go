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

// dial connects and subscribes to the device's own topics.
func dial(ctx context.Context, server string, device record.DeviceID, conf *tls.Config) (*link, error) {
	l := &link{device: device, in: make(chan message, inbox), lost: make(chan error, 1)}
	opts := mqtt.NewClientOptions().
		AddBroker("ssl://" + server).
		SetClientID(string(device)).
		SetProtocolVersion(4).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(writeTimeout).
		SetKeepAlive(keepAlive).
		SetTLSConfig(conf).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.lose(err) })
	l.client = mqtt.NewClient(opts)
	if err := wait(ctx, l.client.Connect()); err != nil {
		l.close()
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	filters := map[string]byte{}
	for _, c := range record.ToDevice {
		filters[record.Topic(device, c)] = 0
	}
	if err := wait(ctx, l.client.SubscribeMultiple(filters, l.receive(ctx))); err != nil {
		l.close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return l, nil
}

// receive only hands over: a handler that blocks or publishes would stop paho.
// When the session is slower than the network for long, the link is given up
// and the next one starts from what the hub holds.
func (l *link) receive(ctx context.Context) mqtt.MessageHandler {
	return func(_ mqtt.Client, m mqtt.Message) {
		_, channel, err := record.ParseTopic(m.Topic())
		if err != nil {
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
