package finger

import "encoding/binary"

// Kinds of packet.
const (
	kindCommand = 0x01
	kindAnswer  = 0x07
)

// packet is one frame of the protocol:
//
//	EF 01 | address 4 | kind 1 | length 2 | payload | sum 2
//
// big-endian; the length counts payload and sum, the sum adds kind, length and
// payload.
type packet struct {
	address uint32
	kind    byte
	payload []byte
	sound   bool // the sum is right
}

const (
	headLen    = 9 // up to the length
	sumLen     = 2
	maxPayload = 256
)

func (p packet) bytes() []byte {
	b := binary.BigEndian.AppendUint32([]byte{0xEF, 0x01}, p.address)
	b = append(b, p.kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.payload)+sumLen))
	b = append(b, p.payload...)
	return binary.BigEndian.AppendUint16(b, sum(b[6:]))
}

func sum(b []byte) (s uint16) {
	for _, x := range b {
		s += uint16(x)
	}
	return s
}

// parse gives the packet that b begins with and its length; 0 for one that is
// not complete, -1 for bytes that are none.
func parse(b []byte) (packet, int) {
	if b[0] != 0xEF || len(b) > 1 && b[1] != 0x01 {
		return packet{}, -1
	}
	if len(b) < headLen {
		return packet{}, 0
	}
	n := int(binary.BigEndian.Uint16(b[7:]))
	if n < sumLen || n > maxPayload+sumLen {
		return packet{}, -1
	}
	end := headLen + n
	if len(b) < end {
		return packet{}, 0
	}
	body := b[:end-sumLen]
	return packet{
		address: binary.BigEndian.Uint32(b[2:]), kind: b[6],
		payload: append([]byte(nil), body[headLen:]...),
		sound:   binary.BigEndian.Uint16(b[end-sumLen:]) == sum(body[6:]),
	}, end
}
