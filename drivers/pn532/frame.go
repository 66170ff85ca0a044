package pn532

import (
	"bytes"
	"errors"
	"fmt"
)

// Directions of an information frame (UM0701-02 §6.2.1.1).
const (
	tfiToChip   = 0xD4
	tfiFromChip = 0xD5
	tfiError    = 0x7F // alone in its frame: the chip could not read the command
)

// maxData is the longest content of a frame, without its TFI: 264 bytes and
// the command code (UM0701-02 §6.2.1.2), with some room for other makers.
const maxData = 288

// Kind is what a frame is.
type Kind uint8

// The kinds of UM0701-02 §6.2.1.
const (
	KindInfo Kind = iota // a command or an answer
	KindACK              // heard well; from the host also: stop what you do
	KindNACK             // heard badly: say it again
)

// Frame is one frame of the chip's high speed UART.
//
//	00   00 FF   LEN LCS                TFI DATA … DCS   00
//	│    │       │   │                  │          │     postamble
//	│    │       │   │                  │          TFI + DATA + DCS = 0 (mod 256)
//	│    │       │   │                  D4 to the chip, D5 from it
//	│    │       │   LEN + LCS = 0      first byte of DATA: command code, or code + 1
//	│    │       length of TFI and DATA
//	│    start code
//	preamble, which may be longer and may be missing
//
// An extended frame has FF FF and a length of two bytes in place of LEN. ACK is
// 00 FF and NACK is FF 00 in place of all between start code and postamble.
type Frame struct {
	Kind     Kind
	Extended bool // has, or gets, a length of two bytes
	TFI      byte // of KindInfo
	Data     []byte
}

// ErrFrame is a frame whose checksums or lengths are wrong.
var ErrFrame = errors.New("damaged frame")

// errShort says that the frame may go on beyond what has come.
var errShort = errors.New("the frame is not complete")

// IsError tells that the chip could not read the command it was sent.
func (f Frame) IsError() bool { return f.Kind == KindInfo && f.TFI == tfiError && len(f.Data) == 0 }

var startCode = []byte{0x00, 0xFF}

// Append formats f behind dst, with preamble and postamble. A command of more
// than 254 bytes becomes an extended frame by itself.
func Append(dst []byte, f Frame) []byte {
	dst = append(append(dst, 0x00), startCode...)
	switch f.Kind {
	case KindACK:
		return append(dst, 0x00, 0xFF, 0x00)
	case KindNACK:
		return append(dst, 0xFF, 0x00, 0x00)
	}
	n := 1 + len(f.Data)
	if f.Extended || n > 0xFF {
		high, low := byte(n>>8), byte(n)
		dst = append(dst, 0xFF, 0xFF, high, low, -(high + low))
	} else {
		dst = append(dst, byte(n), -byte(n))
	}
	dst = append(append(dst, f.TFI), f.Data...)
	return append(dst, -sum(f.TFI, f.Data), 0x00)
}

func sum(tfi byte, data []byte) byte {
	s := tfi
	for _, b := range data {
		s += b
	}
	return s
}

// Decode reads one frame, b beginning with its start code, and tells how many
// bytes it takes without the postamble.
func Decode(b []byte) (Frame, int, error) {
	if len(b) < 4 {
		return Frame{}, 0, errShort
	}
	switch {
	case !bytes.HasPrefix(b, startCode):
		return Frame{}, 0, fmt.Errorf("%w: no start code", ErrFrame)
	case b[2] == 0x00 && b[3] == 0xFF:
		return Frame{Kind: KindACK}, 4, nil
	case b[2] == 0xFF && b[3] == 0x00:
		return Frame{Kind: KindNACK}, 4, nil
	}
	f, n, head := Frame{}, int(b[2]), 4
	if b[2] == 0xFF && b[3] == 0xFF {
		head = 7
		if len(b) < head {
			return Frame{}, 0, errShort
		}
		f.Extended, n = true, int(b[4])<<8|int(b[5])
		if b[4]+b[5]+b[6] != 0 {
			return Frame{}, 0, fmt.Errorf("%w: length checksum", ErrFrame)
		}
	} else if b[2]+b[3] != 0 {
		return Frame{}, 0, fmt.Errorf("%w: length checksum", ErrFrame)
	}
	if n < 1 || n > maxData {
		return Frame{}, 0, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	size := head + n + 1
	if len(b) < size {
		return Frame{}, 0, errShort
	}
	f.TFI, f.Data = b[head], bytes.Clone(b[head+1:head+n])
	if sum(f.TFI, f.Data)+b[size-1] != 0 {
		return Frame{}, 0, fmt.Errorf("%w: data checksum", ErrFrame)
	}
	return f, size, nil
}

// Scanner finds frames in what a line delivers, whatever stands before, between
// and behind them. Zeros between frames are preambles and postambles; all else
// that is no frame is noise, and counted.
type Scanner struct {
	buf   []byte
	noise uint64
	dirty bool // rubbish since the last frame has been counted
}

// Feed adds bytes from the line.
func (s *Scanner) Feed(b []byte) { s.buf = append(s.buf, b...) }

// Next takes the next frame; ok is false when none is complete.
func (s *Scanner) Next() (f Frame, ok bool) {
	for {
		at := bytes.Index(s.buf, startCode)
		if at < 0 {
			// The last byte may be the first half of a start code.
			keep := 0
			if n := len(s.buf); n > 0 && s.buf[n-1] == startCode[0] {
				keep = 1
			}
			s.drop(len(s.buf) - keep)
			return Frame{}, false
		}
		s.drop(at)
		f, n, err := Decode(s.buf)
		switch {
		case errors.Is(err, errShort):
			return Frame{}, false
		case err != nil:
			s.noise, s.dirty = s.noise+1, true
			s.buf = s.buf[len(startCode):]
		default:
			s.buf, s.dirty = s.buf[n:], false
			return f, true
		}
	}
}

// drop throws n bytes away. If they are not all zeros they are rubbish, which is
// one noise between two frames, however long and in whatever portions it comes.
func (s *Scanner) drop(n int) {
	if !s.dirty && bytes.ContainsFunc(s.buf[:n], func(r rune) bool { return r != 0 }) {
		s.noise, s.dirty = s.noise+1, true
	}
	s.buf = s.buf[n:]
}

// Reset forgets the frame that has begun, for a line that has been silent too
// long for it to go on.
func (s *Scanner) Reset() {
	s.drop(len(s.buf))
	s.buf, s.dirty = nil, false
}

// TakeNoise is how much noise came since it was last asked.
func (s *Scanner) TakeNoise() uint64 {
	n := s.noise
	s.noise = 0
	return n
}
