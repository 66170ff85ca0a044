// Package pd is the device side of OSDP: a reader that is polled.
//
// It was written from the facts of the protocol alone and shares nothing with
// the controller's driver, so that a mistake in one is not hidden by the same
// mistake in the other.
//
//	FF | 53 ADDR LEN_L LEN_H CTRL [SCB…] CODE DATA… CRC_L CRC_H
//	mark └───────────── LEN counts these ─────────────────────┘
//
//	ADDR  0–126; a reply sets bit 7; 7F is broadcast
//	CTRL  bits 0-1 sequence, bit 2 CRC-16 (else a one-byte sum), bit 3 security block
//
//	SCB   length, type (SCS_11…18), data: only in the secure channel, where
//	      four bytes of a MAC come before the check
package pd

import "errors"

// Frame is one message of the line.
type Frame struct {
	Addr     byte   // 0–127, without the reply bit
	Reply    bool   // from the reader
	Seq      byte   // 0–3
	CRC      bool   // CRC-16; otherwise the one-byte sum
	Security []byte // the whole security block, its length byte first; nil without
	Code     byte   // command or reply
	Data     []byte
}

const (
	som      = 0x53
	mark     = 0xFF
	maxFrame = 1440
	flagCRC  = 0x04
	flagSCB  = 0x08
	replyBit = 0x80
	// Broadcast is the address every reader hears.
	Broadcast = 0x7F
)

// Errors of Decode.
var (
	ErrLength = errors.New("frame length does not fit its content")
	ErrCheck  = errors.New("frame check does not match")
)

// crc16 is CRC-16/AUG-CCITT: polynomial 1021, start 1D0F.
func crc16(b []byte) uint16 {
	crc := uint16(0x1D0F)
	for _, x := range b {
		crc ^= uint16(x) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

func sum8(b []byte) byte {
	var s byte
	for _, x := range b {
		s += x
	}
	return -s
}

// Encode is the bytes of the frame, mark byte first.
func (f Frame) Encode() []byte {
	addr, ctrl, check := f.Addr, f.Seq&3, 1
	if f.Reply {
		addr |= replyBit
	}
	if f.CRC {
		ctrl |= flagCRC
		check = 2
	}
	if f.Security != nil {
		ctrl |= flagSCB
	}
	n := 5 + len(f.Security) + 1 + len(f.Data) + check
	b := append(make([]byte, 0, n+1), mark, som, addr, byte(n), byte(n>>8), ctrl)
	b = append(b, f.Security...)
	b = append(b, f.Code)
	b = append(b, f.Data...)
	if f.CRC {
		c := crc16(b[1:])
		return append(b, byte(c), byte(c>>8))
	}
	return append(b, sum8(b[1:]))
}

// Decode reads one whole frame, from the start-of-message byte to the check.
func Decode(b []byte) (Frame, error) {
	if len(b) < 7 || b[0] != som || int(b[2])|int(b[3])<<8 != len(b) {
		return Frame{}, ErrLength
	}
	f := Frame{Addr: b[1] &^ replyBit, Reply: b[1]&replyBit != 0, Seq: b[4] & 3, CRC: b[4]&flagCRC != 0}
	n := len(b) - 1 // where the check begins
	ok := sum8(b[:n]) == b[n]
	if f.CRC {
		n = len(b) - 2
		ok = crc16(b[:n]) == uint16(b[n])|uint16(b[n+1])<<8
	}
	if !ok {
		return Frame{}, ErrCheck
	}
	body := b[5:n]
	if b[4]&flagSCB != 0 {
		if len(body) < 1 || body[0] < 2 || int(body[0]) > len(body) {
			return Frame{}, ErrLength
		}
		f.Security = append([]byte(nil), body[:body[0]]...)
		body = body[body[0]:]
	}
	if len(body) < 1 {
		return Frame{}, ErrLength
	}
	f.Code, f.Data = body[0], append([]byte(nil), body[1:]...)
	return f, nil
}

// Scanner finds frames in a stream of bytes and throws the rest away.
type Scanner struct{ buf []byte }

// Feed takes bytes as they come and gives the frames they complete.
func (s *Scanner) Feed(b ...byte) []Frame {
	s.buf = append(s.buf, b...)
	var out []Frame
	for {
		f, n, more := s.next()
		s.buf = s.buf[n:]
		if more {
			return out
		}
		if f != nil {
			out = append(out, *f)
		}
	}
}

// next looks at the start of the buffer: a frame and its size, or how many
// bytes to throw away, or more = true when the rest has to come first.
func (s *Scanner) next() (f *Frame, n int, more bool) {
	for n < len(s.buf) && s.buf[n] != som {
		n++
	}
	b := s.buf[n:]
	if len(b) < 4 {
		return nil, n, true
	}
	size := int(b[2]) | int(b[3])<<8
	if size < 7 || size > maxFrame {
		return nil, n + 1, false
	}
	if len(b) < size {
		return nil, n, true
	}
	frame, err := Decode(b[:size])
	if err != nil {
		return nil, n + 1, false // a true start may hide inside
	}
	return &frame, n + size, false
}

// Pending tells whether part of a frame is waiting for its rest.
func (s *Scanner) Pending() bool { return len(s.buf) > 0 }

// Reset drops what is waiting, as a reader does after a pause inside a frame.
func (s *Scanner) Reset() { s.buf = nil }
