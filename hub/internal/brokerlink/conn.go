package brokerlink

import (
	"fmt"
	"net"
	"sync"
)

// conn is the connection under paho. It does two things that paho does not: it
// tells at once that it has ended, even while a blocked handler keeps paho from
// noticing, and it refuses a packet by its header, before paho allocates what
// the header claims (256 MiB from five bytes).
type conn struct {
	net.Conn
	frames framing

	once  sync.Once
	ended chan struct{} // closed with the first error
	err   error         // why; read after ended
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, ended: make(chan struct{})} }

func (c *conn) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.ended)
	})
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if frameErr := c.frames.take(p[:n]); frameErr != nil {
		n, err = 0, frameErr
	}
	if err != nil {
		c.end(fmt.Errorf("read: %w", err))
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.end(fmt.Errorf("write: %w", err))
	}
	return n, err
}

func (c *conn) Close() error {
	c.end(net.ErrClosed)
	return c.Conn.Close()
}

// framing follows a stream of MQTT packets: type byte, remaining length in up
// to four groups of seven bits, body.
type framing struct {
	inLength bool
	shift    uint
	length   int
	skip     int // bytes of body to come
}

// take accounts for bytes that were read. It fails as soon as a length is known
// to be too large; paho reads headers byte by byte, so that is before the body.
func (f *framing) take(p []byte) error {
	for len(p) > 0 {
		switch {
		case f.skip > 0:
			n := min(f.skip, len(p))
			f.skip -= n
			p = p[n:]
		case !f.inLength:
			*f = framing{inLength: true}
			p = p[1:]
		default:
			f.length |= int(p[0]&0x7f) << f.shift
			f.shift += 7
			last := p[0]&0x80 == 0
			if f.length > maxPacket || !last && f.shift > 21 {
				return fmt.Errorf("broker announces a packet of %d bytes or more, limit %d", f.length, maxPacket)
			}
			if last {
				*f = framing{skip: f.length}
			}
			p = p[1:]
		}
	}
	return nil
}
