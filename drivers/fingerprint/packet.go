package fingerprint

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind is a packet's identifier (PID).
type Kind byte

// The kinds of the manuals. KindData and KindEnd carry pictures and templates:
// they are known here only so that they can be told from noise and dropped.
const (
	KindCommand Kind = 0x01
	KindData    Kind = 0x02
	KindAnswer  Kind = 0x07
	KindEnd     Kind = 0x08
)

// Packet is one packet of the wire:
//
//	EF 01 | address 4 | kind 1 | length 2 | payload | sum 2     all big-endian
//
// length counts payload and sum; sum is that of kind, both length bytes and the
// payload, modulo 65536.
type Packet struct {
	Address uint32
	Kind    Kind
	Payload []byte // 1 to MaxPayload bytes
}

// MaxPayload is the largest packet size a module can be set to.
const MaxPayload = 256

const (
	header   = 0xEF01
	headLen  = 9 // header, address, kind, length
	checkLen = 2
)

var (
	// ErrShort means that more bytes are needed.
	ErrShort = errors.New("the packet is not complete")
	// ErrDamaged means that the bytes are no packet: wrong header, kind,
	// length or sum.
	ErrDamaged = errors.New("no packet")
)

// Append appends p's bytes to b.
func (p Packet) Append(b []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, header)
	b = binary.BigEndian.AppendUint32(b, p.Address)
	b = append(b, byte(p.Kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Payload)+checkLen))
	b = append(b, p.Payload...)
	return binary.BigEndian.AppendUint16(b, sum(b[start+6:]))
}

func sum(b []byte) (s uint16) {
	for _, x := range b {
		s += uint16(x)
	}
	return s
}

// Parse reads the packet at the beginning of b and tells how many bytes it took.
// With ErrDamaged, n is how many bytes can be skipped: up to the next byte that
// may begin a packet. The payload is a slice of b.
func Parse(b []byte) (p Packet, n int, err error) {
	if len(b) == 0 {
		return Packet{}, 0, ErrShort
	}
	if b[0] != header>>8 || len(b) > 1 && b[1] != header&0xFF {
		return Packet{}, toHeader(b), fmt.Errorf("%w: no header", ErrDamaged)
	}
	if len(b) < headLen {
		return Packet{}, 0, ErrShort
	}
	kind, length := Kind(b[6]), int(binary.BigEndian.Uint16(b[7:]))
	switch {
	case kind != KindCommand && kind != KindData && kind != KindAnswer && kind != KindEnd:
		return Packet{}, toHeader(b), fmt.Errorf("%w: kind %#02x", ErrDamaged, byte(kind))
	case length < 1+checkLen || length > MaxPayload+checkLen:
		return Packet{}, toHeader(b), fmt.Errorf("%w: length %d", ErrDamaged, length)
	case len(b) < headLen+length:
		return Packet{}, 0, ErrShort
	}
	end := headLen + length
	if sum(b[6:end-checkLen]) != binary.BigEndian.Uint16(b[end-checkLen:]) {
		return Packet{}, toHeader(b), fmt.Errorf("%w: sum", ErrDamaged)
	}
	return Packet{Address: binary.BigEndian.Uint32(b[2:]), Kind: kind, Payload: b[headLen : end-checkLen]}, end, nil
}

// toHeader is how many bytes lie before the next possible packet, at least 1.
func toHeader(b []byte) int {
	for i := 1; i < len(b); i++ {
		if b[i] == header>>8 && (i+1 == len(b) || b[i+1] == header&0xFF) {
			return i
		}
	}
	return len(b)
}

// Scanner finds packets in a stream of bytes. Bytes that are no packet are
// skipped and counted as noise, one for each run of them: a damaged packet is
// one event to an operator, however long it is.
type Scanner struct {
	buf     []byte
	read    int // bytes of buf already used
	skipped bool
	noise   uint64
}

// Feed adds received bytes. Packets from Next are invalid after it.
func (s *Scanner) Feed(p []byte) {
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.read:])], p...)
	s.read = 0
}

// Next returns the next complete packet, or false when more bytes are needed.
func (s *Scanner) Next() (Packet, bool) {
	for s.read < len(s.buf) {
		p, n, err := Parse(s.buf[s.read:])
		if errors.Is(err, ErrShort) {
			return Packet{}, false
		}
		s.read += n
		if err == nil {
			s.skipped = false
			return p, true
		}
		s.skip()
	}
	return Packet{}, false
}

func (s *Scanner) skip() {
	if !s.skipped {
		s.noise++
		s.skipped = true
	}
}

// Reset gives up an unfinished packet; it counts as noise.
func (s *Scanner) Reset() {
	if len(s.buf) > s.read {
		s.skip()
	}
	s.buf, s.read, s.skipped = s.buf[:0], 0, false
}

// TakeNoise returns how many runs of noise there were since the last call.
func (s *Scanner) TakeNoise() uint64 {
	n := s.noise
	s.noise = 0
	return n
}
