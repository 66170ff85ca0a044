package uplink

import (
	"fmt"
	"net"
)

// maxPacket bounds what a broker can make this device hold at once: MQTT lets a
// packet be 256 MiB, and the library would allocate it on the broker's word. The
// largest packet of an honest hub is a policy chunk in base64.
const maxPacket = 256 << 10

// guarded is a connection that ends when a packet of more than maxPacket is
// announced. It follows the frames: a type byte, a length of one to four bytes,
// the body. One goroutine reads.
type guarded struct {
	net.Conn
	release func() bool // of the watch over the context

	state  frameState
	length int // of the body, as far as it was read
	shift  uint
	body   int // bytes of it still to come
}

type frameState uint8

const (
	atType frameState = iota
	atLength
	atBody
)

func (g *guarded) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if bad := g.follow(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

func (g *guarded) follow(p []byte) error {
	for len(p) > 0 {
		switch g.state {
		case atType:
			g.state, g.length, g.shift, p = atLength, 0, 0, p[1:]
		case atLength:
			g.length |= int(p[0]&0x7F) << g.shift
			g.shift += 7
			more := p[0]&0x80 != 0
			p = p[1:]
			if g.length > maxPacket || more && g.shift > 21 {
				return fmt.Errorf("the broker announced a packet of %d bytes or more", g.length)
			}
			if more {
				continue
			}
			if g.state, g.body = atBody, g.length; g.body == 0 {
				g.state = atType
			}
		case atBody:
			n := min(g.body, len(p))
			g.body -= n
			p = p[n:]
			if g.body == 0 {
				g.state = atType
			}
		}
	}
	return nil
}

func (g *guarded) Close() error {
	g.release()
	return g.Conn.Close()
}
