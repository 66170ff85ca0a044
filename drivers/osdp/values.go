package osdp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"sekimori/drivers"
)

// Codes of commands and replies (OSDP 2.x, annexes A and B).
const (
	codePoll  = 0x60
	codeID    = 0x61
	codeCap   = 0x62
	codeLStat = 0x64
	codeLED   = 0x69
	codeBuz   = 0x6A

	codeACK    = 0x40
	codeNAK    = 0x41
	codePDID   = 0x45
	codePDCap  = 0x46
	codeLStatR = 0x48
	codeRaw    = 0x50
	codeKeypad = 0x53
	codeBusy   = 0x79
)

// Reasons in a NAK.
const (
	NakCheck    = 1 // wrong check value
	NakLength   = 2 // wrong command length
	NakUnknown  = 3 // unknown command
	NakSequence = 4 // unexpected sequence number
	NakNoSecure = 5 // secure channel is not supported
	NakSecure   = 6 // secure channel is demanded
)

// Command is something the controller asks of a reader.
type Command interface {
	Code() byte
	appendData([]byte) []byte
}

// Commands without settings.
type (
	Poll  struct{} // anything to report?
	ID    struct{} // who are you? → PDID
	Cap   struct{} // what can you do? → PDCap
	LStat struct{} // tamper and power → LStatR
)

func (Poll) Code() byte  { return codePoll }
func (ID) Code() byte    { return codeID }
func (Cap) Code() byte   { return codeCap }
func (LStat) Code() byte { return codeLStat }

func (Poll) appendData(b []byte) []byte  { return b }
func (ID) appendData(b []byte) []byte    { return append(b, 0) } // standard form of the answer
func (Cap) appendData(b []byte) []byte   { return append(b, 0) } // standard form of the answer
func (LStat) appendData(b []byte) []byte { return b }

// Color of a lamp.
type Color byte

// The colours of OSDP 2.x.
const (
	Black Color = iota
	Red
	Green
	Amber
)

// Blink is a lamp pattern: On and Off times in units of 100 ms.
type Blink struct {
	On, Off           byte
	OnColor, OffColor Color
}

// LED sets the lamp of a reader: what it shows for good, and over that, for a
// while, something else.
type LED struct {
	Permanent Blink
	Temporary *Blink // nil: end what is shown for a while
	For       uint16 // how long Temporary lasts, ×100 ms
}

func (LED) Code() byte { return codeLED }

func (l LED) appendData(b []byte) []byte {
	b = append(b, 0, 0) // reader 0, lamp 0
	if t := l.Temporary; t == nil {
		b = append(b, 1, 0, 0, 0, 0, 0, 0) // cancel
	} else {
		b = append(b, 2, t.On, t.Off, byte(t.OnColor), byte(t.OffColor))
		b = binary.LittleEndian.AppendUint16(b, l.For)
	}
	p := l.Permanent
	return append(b, 1, p.On, p.Off, byte(p.OnColor), byte(p.OffColor))
}

// Buz sounds the buzzer: On and Off in units of 100 ms, Count times.
type Buz struct{ On, Off, Count byte }

func (Buz) Code() byte { return codeBuz }

func (z Buz) appendData(b []byte) []byte {
	return append(b, 0, 2, z.On, z.Off, z.Count) // reader 0, default tone
}

// Reply is what a reader answers.
type Reply interface{ reply() }

type (
	// Ack: done, nothing to report.
	Ack struct{}
	// Nak: refused, with one of the Nak reasons.
	Nak struct{ Reason byte }
	// Busy: ask again, the command has not been looked at.
	Busy struct{}
	// PDID is who the reader is.
	PDID struct {
		Vendor         [3]byte // IEEE OUI
		Model, Version byte
		Serial         uint32
		Firmware       [3]byte
	}
	// PDCap is what the reader can do, by function code.
	PDCap struct{ Functions []Capability }
	// Capability is one entry of PDCap.
	Capability struct{ Function, Compliance, Count byte }
	// LStatR is the state of the reader's case and supply.
	LStatR struct{ Tamper, PowerFail bool }
	// Raw is a card as the reader received it.
	Raw struct {
		Reader, Format byte
		Card           drivers.Card
	}
	// Keypad is keys in the order they were pressed.
	Keypad struct {
		Reader byte
		Keys   drivers.Keys
	}
	// Other is a reply this driver has no use for.
	Other struct{ Code byte }
)

func (Ack) reply()    {}
func (Nak) reply()    {}
func (Busy) reply()   {}
func (PDID) reply()   {}
func (PDCap) reply()  {}
func (LStatR) reply() {}
func (Raw) reply()    {}
func (Keypad) reply() {}
func (Other) reply()  {}

// ErrReply is a well-formed frame whose reply contradicts itself.
var ErrReply = errors.New("osdp: malformed reply")

// ParseReply reads the code and data of a reply. Data longer than a reply needs
// is accepted where the specification reserves room for more.
func ParseReply(code byte, d []byte) (Reply, error) {
	short := func(n int) error {
		if len(d) >= n {
			return nil
		}
		return fmt.Errorf("%w: %02X with %d bytes, want %d", ErrReply, code, len(d), n)
	}
	switch code {
	case codeACK:
		return Ack{}, nil
	case codeBusy:
		return Busy{}, nil
	case codeNAK:
		if err := short(1); err != nil {
			return nil, err
		}
		return Nak{Reason: d[0]}, nil
	case codePDID:
		if err := short(12); err != nil {
			return nil, err
		}
		return PDID{
			Vendor: [3]byte(d), Model: d[3], Version: d[4],
			Serial: binary.LittleEndian.Uint32(d[5:]), Firmware: [3]byte(d[9:]),
		}, nil
	case codePDCap:
		return parseCaps(d)
	case codeLStatR:
		if err := short(2); err != nil {
			return nil, err
		}
		return LStatR{Tamper: d[0] != 0, PowerFail: d[1] != 0}, nil
	case codeRaw:
		if err := short(4); err != nil {
			return nil, err
		}
		return parseRaw(d)
	case codeKeypad:
		if err := short(2); err != nil {
			return nil, err
		}
		return parseKeypad(d)
	}
	return Other{Code: code}, nil
}

func parseCaps(d []byte) (Reply, error) {
	if len(d)%3 != 0 {
		return nil, fmt.Errorf("%w: capabilities in %d bytes", ErrReply, len(d))
	}
	var c PDCap
	for ; len(d) > 0; d = d[3:] {
		c.Functions = append(c.Functions, Capability{d[0], d[1], d[2]})
	}
	return c, nil
}

// parseRaw: reader, format (0 as is, 1 Wiegand with parity), 16 bits of length
// in bits, the bits left-aligned.
func parseRaw(d []byte) (Reply, error) {
	bits, data := int(binary.LittleEndian.Uint16(d[2:])), d[4:]
	if bits == 0 || len(data) != (bits+7)/8 {
		return nil, fmt.Errorf("%w: %d bits in %d bytes", ErrReply, bits, len(data))
	}
	card, err := drivers.NewCard(data, bits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReply, err)
	}
	return Raw{Reader: d[0], Format: d[1], Card: card}, nil
}

// parseKeypad: reader, number of keys, keys in ASCII with 0D for '#' and 7F for
// '*'. Function keys (F1 and the like, sent as letters) mean nothing to us and
// are left out.
func parseKeypad(d []byte) (Reply, error) {
	n, data := int(d[1]), d[2:]
	if n != len(data) {
		return nil, fmt.Errorf("%w: %d keys in %d bytes", ErrReply, n, len(data))
	}
	var typed []byte
	for _, k := range data {
		switch {
		case k >= '0' && k <= '9' || k == '*' || k == '#':
			typed = append(typed, k)
		case k == 0x0D:
			typed = append(typed, '#')
		case k == 0x7F:
			typed = append(typed, '*')
		}
	}
	keys, err := drivers.NewKeys(string(typed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReply, err)
	}
	return Keypad{Reader: d[0], Keys: keys}, nil
}
