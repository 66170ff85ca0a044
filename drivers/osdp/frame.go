package osdp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A frame on the wire (IEC 60839-11-5, OSDP 2.x, clause 5.9):
//
//	[FF] 53 ADDR LEN_L LEN_H CTRL [SCB] CODE DATA… CRC_L CRC_H | CKSUM
//	 │    │  │    │            │    │
//	 │    │  │    │            │    └ security block: its length, type, data
//	 │    │  │    │            └ bits 0-1 sequence, bit 2 CRC, bit 3 SCB follows
//	 │    │  │    └ bytes from SOM to the end of the check
//	 │    │  └ 0-126, 127 for all; bit 7 marks a reply
//	 │    └ start of message
//	 └ mark: an idle byte some transceivers need; not counted, not checked
const (
	mark       = 0xFF
	som        = 0x53
	headLen    = 5
	minLen     = headLen + 1 + 1 // code and checksum
	maxLen     = 1440            // the specification's largest message
	replyBit   = 0x80
	ctrlSeq    = 0x03
	ctrlCRC    = 0x04
	ctrlSCB    = 0x08
	Broadcast  = 0x7F // the address every reader listens to
	maxAddress = 0x7E
)

// Why bytes are not a frame.
var (
	ErrShort  = errors.New("osdp: the frame is not complete")
	ErrStart  = errors.New("osdp: no start of message")
	ErrLength = errors.New("osdp: impossible length")
	ErrCheck  = errors.New("osdp: wrong check value")
)

// Frame is one message of either direction. Data may hold a card number or
// typed keys, so a Frame shows only its outline when printed.
type Frame struct {
	Mark  bool   // an idle byte precedes it
	Addr  byte   // 0-126, or Broadcast
	Reply bool   // from a reader
	Ctrl  byte   // sequence and flags, see Seq, CRC and Secure
	SCB   []byte // security block with its own length byte; nil when there is none
	Code  byte   // command or reply
	Data  []byte // under a secure channel this includes the MAC
}

// Seq is the sequence number, 0 to 3.
func (f Frame) Seq() byte { return f.Ctrl & ctrlSeq }

// CRC tells that the check is CRC-16 and not the one-byte checksum.
func (f Frame) CRC() bool { return f.Ctrl&ctrlCRC != 0 }

// Secure tells that the frame has a security block.
func (f Frame) Secure() bool { return f.Ctrl&ctrlSCB != 0 }

// Format shows an outline without the data.
func (f Frame) Format(s fmt.State, _ rune) {
	kind := "command"
	if f.Reply {
		kind = "reply"
	}
	fmt.Fprintf(s, "%s %02X address %d sequence %d, %d data bytes [redacted]", kind, f.Code, f.Addr, f.Seq(), len(f.Data))
}

// MarshalText shows the same outline, for encoders.
func (f Frame) MarshalText() ([]byte, error) { return fmt.Append(nil, f), nil }

// Append adds the bytes of f to b. The flags in Ctrl and the presence of SCB
// must agree; an SCB without its flag, or a wrong length, is ErrLength.
func (f Frame) Append(b []byte) ([]byte, error) {
	check := 1
	if f.CRC() {
		check = 2
	}
	n := headLen + len(f.SCB) + 1 + len(f.Data) + check
	if n > maxLen || f.Addr > Broadcast || f.Secure() != (len(f.SCB) > 0) || f.Secure() && int(f.SCB[0]) != len(f.SCB) {
		return b, ErrLength
	}
	if f.Mark {
		b = append(b, mark)
	}
	start := len(b)
	addr := f.Addr
	if f.Reply {
		addr |= replyBit
	}
	b = append(b, som, addr, byte(n), byte(n>>8), f.Ctrl)
	b = append(b, f.SCB...)
	b = append(b, f.Code)
	b = append(b, f.Data...)
	return appendCheck(b, start, f.CRC()), nil
}

// appendCheck adds the check of the bytes from start on.
func appendCheck(b []byte, start int, crc bool) []byte {
	if crc {
		return binary.LittleEndian.AppendUint16(b, crc16(b[start:]))
	}
	return append(b, checksum(b[start:]))
}

// Parse reads the frame at the beginning of b and tells how many bytes it took,
// with its mark. ErrShort asks for more bytes; after any other error n is how
// many bytes cannot begin a frame and should be thrown away. Slices of the
// Frame alias b.
func Parse(b []byte) (f Frame, n int, err error) {
	if len(b) > 0 && b[0] == mark {
		f.Mark, n = true, 1
	}
	p := b[n:]
	if len(p) == 0 {
		return f, 0, ErrShort
	}
	if p[0] != som {
		return f, n + btoi(n == 0), ErrStart
	}
	if len(p) < headLen {
		return f, 0, ErrShort
	}
	size := int(binary.LittleEndian.Uint16(p[2:]))
	f.Addr, f.Reply, f.Ctrl = p[1]&^replyBit, p[1]&replyBit != 0, p[4]
	check := 1 + btoi(f.CRC())
	if size < minLen-1+check || size > maxLen {
		return f, n + 1, ErrLength
	}
	if len(p) < size {
		return f, 0, ErrShort
	}
	body := p[headLen : size-check]
	if !checked(p[:size], f.CRC()) {
		return f, n + 1, ErrCheck
	}
	if f.Secure() {
		// The block has a length and a type, and a code follows it.
		if body[0] < 2 || int(body[0]) >= len(body) {
			return f, n + 1, ErrLength
		}
		f.SCB, body = body[:body[0]], body[body[0]:]
	}
	f.Code, f.Data = body[0], body[1:]
	return f, n + size, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func checked(p []byte, crc bool) bool {
	if !crc {
		return checksum(p[:len(p)-1]) == p[len(p)-1]
	}
	return crc16(p[:len(p)-2]) == binary.LittleEndian.Uint16(p[len(p)-2:])
}

// checksum is the two's complement of the low byte of the sum.
func checksum(p []byte) byte {
	var sum byte
	for _, b := range p {
		sum += b
	}
	return -sum
}

// crcTable holds CRC-16/AUG-CCITT: polynomial 1021, not reflected.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// crc16 starts at 1D0F, as OSDP annex C says and captured frames confirm.
func crc16(p []byte) uint16 {
	c := uint16(0x1D0F)
	for _, b := range p {
		c = c<<8 ^ crcTable[byte(c>>8)^b]
	}
	return c
}
