package brokerlink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"sekimori/internal/record"
)

// Client is the Link over MQTT 3.1.1 and mutual TLS.
type Client struct {
	cfg     Config
	inbox   chan Message
	started atomic.Bool
	current atomic.Pointer[attachment] // nil while there is no connection
}

var _ Link = (*Client)(nil)

// attachment is one connection, from CONNECT to its end. paho's own
// reconnection is not used: each connection gets a new client, which carries
// nothing over.
type attachment struct {
	client mqtt.Client
	conn   *conn
}

// New checks cfg. Run makes the connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, inbox: make(chan Message, inboxSize)}, nil
}

// Run implements Link.
func (c *Client) Run(ctx context.Context, handle Handler) error {
	if !c.started.CompareAndSwap(false, true) {
		return errors.New("broker link: Run was called twice")
	}
	var handler sync.WaitGroup
	handler.Go(func() {
		for {
			select {
			case m := <-c.inbox:
				handle(ctx, m)
			case <-ctx.Done():
				return
			}
		}
	})
	defer handler.Wait()
	delay := firstDelay
	for ctx.Err() == nil {
		began := time.Now()
		err := c.hold(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.state(false, err)
		if time.Since(began) > maxDelay {
			delay = firstDelay
		}
		c.cfg.Log.Warn("broker link: down", "addr", c.cfg.Addr, "err", err, "next_attempt_within", delay)
		select {
		// Jitter, so that many clients do not come back in step.
		case <-time.After(delay/2 + rand.N(delay/2)):
		case <-ctx.Done():
		}
		delay = min(2*delay, maxDelay)
	}
	return nil
}

// hold makes one connection and keeps it until it ends, which is the error.
func (c *Client) hold(ctx context.Context) error {
	a := &attachment{}
	a.client = mqtt.NewClient(c.options(ctx, a))
	defer func() {
		c.current.Store(nil)
		a.client.Disconnect(100) // milliseconds for a polite DISCONNECT
	}()
	if err := wait(ctx, a.client.Connect(), dialTimeout+writeTimeout); err != nil {
		return fmt.Errorf("connect to %s: %w", c.cfg.Addr, err)
	}
	if err := a.subscribe(ctx); err != nil {
		return err
	}
	c.current.Store(a)
	c.state(true, nil)
	c.cfg.Log.Info("broker link: up", "addr", c.cfg.Addr)
	select {
	case <-a.conn.ended:
		return a.conn.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe asks for everything at once: there is no stored session, so each
// connection asks anew.
func (a *attachment) subscribe(ctx context.Context) error {
	token := a.client.SubscribeMultiple(filters(), nil)
	if err := wait(ctx, token, dialTimeout); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	// A refusal is not an error to paho.
	for filter, granted := range token.(*mqtt.SubscribeToken).Result() {
		if granted > 2 {
			return fmt.Errorf("subscribe: broker refuses %s: check the rights of the hub's certificate", filter)
		}
	}
	return nil
}

func (c *Client) options(ctx context.Context, a *attachment) *mqtt.ClientOptions {
	o := mqtt.NewClientOptions()
	o.AddBroker("ssl://" + c.cfg.Addr)
	o.SetClientID(hubID)
	o.SetProtocolVersion(4)
	o.SetCleanSession(true)
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetOrderMatters(true)
	o.SetKeepAlive(keepAlive)
	o.SetPingTimeout(pingTimeout)
	o.SetWriteTimeout(writeTimeout)
	o.SetConnectTimeout(dialTimeout)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		raw, err := c.dial(ctx)
		if err != nil {
			return nil, err
		}
		a.conn = newConn(raw)
		return a.conn, nil
	})
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { c.take(ctx, a, m) })
	return o
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: c.cfg.TLS}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := d.DialContext(ctx, "tcp", c.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return raw, nil
}

// take hands a message over and blocks while the inbox is full: paho then reads
// nothing more, TCP slows the broker down, and the broker its devices. It runs
// on paho's goroutine, so it must not publish, and must not outlive the
// connection.
func (c *Client) take(ctx context.Context, a *attachment, m mqtt.Message) {
	device, channel, err := record.ParseTopic(m.Topic())
	if err != nil || m.Retained() {
		c.cfg.Log.Warn("broker link: message dropped, not a live message of a device", "topic", m.Topic(), "retained", m.Retained())
		return
	}
	select {
	case c.inbox <- Message{Topic: m.Topic(), Device: device, Channel: channel, Payload: m.Payload()}:
	case <-a.conn.ended:
	case <-ctx.Done():
	}
}

// Publish implements Link.
func (c *Client) Publish(ctx context.Context, topic string, payload []byte) error {
	a := c.current.Load()
	if a == nil {
		return ErrNotConnected
	}
	token := a.client.Publish(topic, 0, false, payload)
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("publish to %s: %w: %w", topic, ErrNotConnected, err)
		}
		return nil
	case <-a.conn.ended:
		return fmt.Errorf("publish to %s: %w: %w", topic, ErrNotConnected, a.conn.err)
	case <-ctx.Done():
		return fmt.Errorf("publish to %s: %w", topic, ctx.Err())
	}
}

func (c *Client) state(up bool, err error) {
	if c.cfg.OnState != nil {
		c.cfg.OnState(up, err)
	}
}

// wait waits for a token of paho, which knows neither contexts nor errors that
// come with a timeout.
func wait(ctx context.Context, t mqtt.Token, limit time.Duration) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-timeout.C:
		return errors.New("no answer in time")
	case <-ctx.Done():
		return ctx.Err()
	}
}
