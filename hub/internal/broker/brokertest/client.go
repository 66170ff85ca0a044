package brokertest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Client is a bare MQTT 3.1.1 client: it sends exactly the packets it is told
// to, right or wrong, and waits for answers with a deadline. Tests that want a
// well-behaved link use brokerlink.
type Client struct {
	Conn    net.Conn
	Timeout time.Duration // of each Receive
}

// Dial opens TLS to addr and does not send CONNECT yet. TLS 1.3 lets a client
// finish before it is judged: a refusal shows at the first Receive.
func Dial(addr string, cfg *tls.Config) (*Client, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: cfg}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &Client{Conn: conn, Timeout: 5 * time.Second}, nil
}

// Connect sends a CONNECT as id and waits for its CONNACK.
func Connect(addr string, cfg *tls.Config, id string) (*Client, error) {
	c, err := Dial(addr, cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Open(ConnectPacket(id)); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ConnectPacket is a CONNECT as the broker wants it.
func ConnectPacket(id string) *packets.ConnectPacket {
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.CleanSession, p.ClientIdentifier, p.Keepalive = true, id, 30
	return p
}

// Open sends p and returns nil if the broker accepts it.
func (c *Client) Open(p *packets.ConnectPacket) error {
	if err := c.Send(p); err != nil {
		return err
	}
	answer, err := c.Receive()
	if err != nil {
		return err
	}
	ack, ok := answer.(*packets.ConnackPacket)
	if !ok {
		return fmt.Errorf("got %T, want CONNACK", answer)
	}
	if ack.ReturnCode != packets.Accepted {
		return fmt.Errorf("connect: %w", packets.ConnErrors[ack.ReturnCode])
	}
	return nil
}

// Send writes a packet.
func (c *Client) Send(p packets.ControlPacket) error {
	if err := p.Write(c.Conn); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Receive waits for the next packet.
func (c *Client) Receive() (packets.ControlPacket, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	p, err := packets.ReadPacket(c.Conn)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return p, nil
}

// Publish sends payload with QoS 0.
func (c *Client) Publish(topic string, payload []byte) error {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = topic, payload
	return c.Send(p)
}

// Subscribe asks for filters and waits for the SUBACK. Nothing may be on its
// way to the client yet.
func (c *Client) Subscribe(filters ...string) error {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.MessageID, p.Topics, p.Qoss = 1, filters, make([]byte, len(filters))
	if err := c.Send(p); err != nil {
		return err
	}
	answer, err := c.Receive()
	if err != nil {
		return err
	}
	if _, ok := answer.(*packets.SubackPacket); !ok {
		return fmt.Errorf("got %T, want SUBACK", answer)
	}
	return nil
}

// ReceivePublish waits for the next message and skips everything else.
func (c *Client) ReceivePublish() (*packets.PublishPacket, error) {
	for {
		p, err := c.Receive()
		if err != nil {
			return nil, err
		}
		if m, ok := p.(*packets.PublishPacket); ok {
			return m, nil
		}
	}
}

// Ping asks for a sign of life and waits for it.
func (c *Client) Ping() error {
	if err := c.Send(packets.NewControlPacket(packets.Pingreq)); err != nil {
		return err
	}
	p, err := c.Receive()
	if err != nil {
		return err
	}
	if _, ok := p.(*packets.PingrespPacket); !ok {
		return fmt.Errorf("got %T, want PINGRESP", p)
	}
	return nil
}

// Ended waits until the broker has closed the connection.
func (c *Client) Ended() error {
	for {
		_, err := c.Receive()
		var timeout net.Error
		switch {
		case err == nil:
		case errors.As(err, &timeout) && timeout.Timeout():
			return fmt.Errorf("connection is still open: %w", err)
		default:
			return nil
		}
	}
}

// Close cuts the connection.
func (c *Client) Close() { _ = c.Conn.Close() }
