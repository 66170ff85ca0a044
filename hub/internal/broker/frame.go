package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// The guard in front of the codec. The codec believes the fixed header: it
// allocates what the remaining length claims (256 MiB from five bytes), reads
// short fields as zeros and accepts reserved flags. Here a header is judged
// before a byte of its packet is read, and a decoded packet must account for
// every byte of its length. MQTT 3.1.1 (OASIS, 2014) sections 2.2 and 3.

var (
	errMalformed = errors.New("malformed packet")
	errOversized = errors.New("oversized packet")
	errForbidden = errors.New("feature not offered")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// maxSubscribe bounds the topics of one SUBSCRIBE or UNSUBSCRIBE.
const maxSubscribe = 16

// readHeader reads and judges a fixed header. limit is the largest remaining
// length it accepts.
func readHeader(r io.ByteReader, limit int) (packets.FixedHeader, error) {
	first, err := r.ReadByte()
	if err != nil {
		return packets.FixedHeader{}, err
	}
	fh := packets.FixedHeader{
		MessageType: first >> 4,
		Dup:         first&0x08 != 0,
		Qos:         first >> 1 & 0x03,
		Retain:      first&0x01 != 0,
	}
	if err := judgeFlags(fh, first&0x0f); err != nil {
		return fh, err
	}
	if fh.RemainingLength, err = readLength(r); err != nil {
		return fh, err
	}
	return fh, judgeLength(fh, limit)
}

// judgeFlags holds the reserved bits to table 2.2 [MQTT-2.2.2-2].
func judgeFlags(fh packets.FixedHeader, flags byte) error {
	switch fh.MessageType {
	case packets.Publish:
		if fh.Qos == 3 {
			return malformed("PUBLISH with QoS 3") // [MQTT-3.3.1-4]
		}
		if fh.Dup && fh.Qos == 0 {
			return malformed("PUBLISH with DUP and QoS 0") // [MQTT-3.3.1-2]
		}
		if fh.Qos == 2 || fh.Retain {
			return fmt.Errorf("%w: PUBLISH with QoS 2 or RETAIN", errForbidden)
		}
	case packets.Subscribe, packets.Unsubscribe:
		if flags != 2 {
			return malformed("reserved flags %#x", flags)
		}
	case packets.Connect, packets.Puback, packets.Pingreq, packets.Disconnect:
		if flags != 0 {
			return malformed("reserved flags %#x", flags)
		}
	case packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		return fmt.Errorf("%w: QoS 2", errForbidden)
	default: // 0, 15 and what only a server sends
		return malformed("packet type %d from a client", fh.MessageType)
	}
	return nil
}

// readLength decodes the remaining length, at most four bytes [MQTT-2.2.3].
func readLength(r io.ByteReader) (int, error) {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, nil
		}
	}
	return 0, malformed("remaining length of more than four bytes")
}

func judgeLength(fh packets.FixedHeader, limit int) error {
	n, ok := fh.RemainingLength, true
	switch fh.MessageType {
	case packets.Pingreq, packets.Disconnect:
		ok = n == 0
	case packets.Puback:
		ok = n == 2
	}
	if !ok {
		return malformed("%s of %d bytes", packets.PacketNames[fh.MessageType], n)
	}
	if n > limit {
		return fmt.Errorf("%w: %s claims %d bytes, limit %d", errOversized, packets.PacketNames[fh.MessageType], n, limit)
	}
	return nil
}

// frameReader reads packets of one connection. Its buffer grows with the bytes
// that really arrive and is given back after a large packet, so that neither a
// claim nor an idle connection holds memory.
type frameReader struct {
	r   *bufio.Reader
	buf []byte
}

// keepBuffer is how much an idle connection holds on to.
const keepBuffer = 4 << 10

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, 2<<10)}
}

// started waits for the first byte of a packet; atOnce tells that it was there.
func (f *frameReader) buffered() bool { return f.r.Buffered() > 0 }

// await blocks until a packet begins.
func (f *frameReader) await() error {
	_, err := f.r.Peek(1)
	return err
}

// next reads one packet. Errors are errMalformed, errOversized, errForbidden or
// the connection's own. A CONNECT of another protocol level comes back together
// with errMalformed if its tail cannot be read as 3.1.1, so that the caller can
// still name the version.
func (f *frameReader) next(limit int) (packets.ControlPacket, error) {
	fh, err := readHeader(f.r, limit)
	if err != nil {
		return nil, err
	}
	body, err := f.body(fh.RemainingLength)
	if err != nil {
		return nil, noEOF(err)
	}
	cp, err := packets.NewControlPacketWithHeader(fh)
	if err != nil {
		return nil, malformed("%v", err)
	}
	if err := cp.Unpack(bytes.NewReader(body)); err != nil {
		return cp, malformed("%s: %v", packets.PacketNames[fh.MessageType], err)
	}
	return cp, account(cp, fh.RemainingLength)
}

func (f *frameReader) body(n int) ([]byte, error) {
	if cap(f.buf) > keepBuffer {
		f.buf = nil
	}
	f.buf = f.buf[:0]
	for len(f.buf) < n {
		step := min(n-len(f.buf), max(keepBuffer, len(f.buf)))
		have := len(f.buf)
		if cap(f.buf)-have < step {
			grown := make([]byte, have, have+step)
			copy(grown, f.buf)
			f.buf = grown
		}
		f.buf = f.buf[:have+step]
		if _, err := io.ReadFull(f.r, f.buf[have:]); err != nil {
			return nil, err
		}
	}
	return f.buf, nil
}

// account refuses a packet whose fields do not add up to its length: the codec
// pads what is missing with zeros and ignores what is left over.
func account(cp packets.ControlPacket, length int) error {
	want := length
	switch p := cp.(type) {
	case *packets.ConnectPacket:
		want = connectLength(p)
	case *packets.SubscribePacket:
		want = 2
		for _, t := range p.Topics {
			want += 2 + len(t) + 1
		}
		if p.MessageID == 0 || len(p.Topics) == 0 || len(p.Topics) > maxSubscribe {
			return malformed("SUBSCRIBE with id %d and %d topics", p.MessageID, len(p.Topics))
		}
	case *packets.UnsubscribePacket:
		want = 2
		for _, t := range p.Topics {
			want += 2 + len(t)
		}
		if p.MessageID == 0 || len(p.Topics) == 0 || len(p.Topics) > maxSubscribe {
			return malformed("UNSUBSCRIBE with id %d and %d topics", p.MessageID, len(p.Topics))
		}
	case *packets.PublishPacket:
		if p.Qos > 0 && p.MessageID == 0 {
			return malformed("PUBLISH with QoS 1 and id 0") // [MQTT-2.3.1-1]
		}
	}
	if want != length {
		return malformed("fields of %d bytes in a packet of %d", want, length)
	}
	return nil
}

func connectLength(p *packets.ConnectPacket) int {
	n := 2 + len(p.ProtocolName) + 1 + 1 + 2 + 2 + len(p.ClientIdentifier)
	if p.WillFlag {
		n += 2 + len(p.WillTopic) + 2 + len(p.WillMessage)
	}
	if p.UsernameFlag {
		n += 2 + len(p.Username)
	}
	if p.PasswordFlag {
		n += 2 + len(p.Password)
	}
	return n
}

// noEOF marks an end in the middle of a packet as what it is.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encode renders a packet for the wire. Writing to memory does not fail.
func encode(p packets.ControlPacket) []byte {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return nil
	}
	return b.Bytes()
}

func encodePublish(topic string, payload []byte) []byte {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = topic, payload
	return encode(p)
}
