package osdp

import (
	"errors"
	"fmt"

	"sekimori/drivers"
)

// Reply is what a reader answers. ParseReply and the reply's own data are each
// other's inverse but for what has no meaning: the spare bits of a card, other
// codes for '*' and '#', function keys, and room the specification reserves.
type Reply interface {
	Code() byte
	appendData([]byte) []byte
}

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
	// IStatR is the inputs, one byte each: 1 active.
	IStatR struct{ Inputs []byte }
	// OStatR is the outputs, one byte each: 1 active.
	OStatR struct{ Outputs []byte }
	// RStatR is the reader heads: 0 well, 1 not connected, 2 tampered.
	RStatR struct{ Heads []byte }
	// Raw is a card as the reader received it. Format: 0 as is, 1 Wiegand.
	Raw struct {
		Reader, Format byte
		Card           drivers.Card
	}
	// Keypad is keys in the order they were pressed.
	Keypad struct {
		Reader byte
		Keys   drivers.Keys
	}
	// Com is the address and baud from now on.
	Com struct {
		Address byte
		Baud    uint32
	}
	// BioReadR is a scan. Nothing here asks for one [T-23].
	BioReadR struct {
		Reader, Status, Type, Quality byte
		Template                      Blob
	}
	// BioMatchR is how a comparison ended: Status 0 done, 1 nobody came, FF
	// failed; Score 0 unlike to FF alike.
	BioMatchR struct{ Reader, Status, Score byte }
	// CCrypt is the reader's half of a handshake.
	CCrypt struct {
		CUID, RndB [8]byte
		Cryptogram [16]byte
	}
	// RMacI ends a handshake.
	RMacI struct{ MAC [16]byte }
	// FTStat is how a file transfer goes: Delay in ms before the next part,
	// Status 0 go on, 1 done, 2 restarting, 3 still working, below 0 failed;
	// RxSize a new longest command, 0 for as before.
	FTStat struct {
		Control byte
		Delay   uint16
		Status  int16
		RxSize  uint16
	}
	// MfgRep is a vendor's own reply.
	MfgRep struct {
		Vendor [3]byte
		Data   Blob
	}
	// Other is a reply this driver has no use for.
	Other struct {
		Reply byte
		Data  Blob
	}
)

func (Ack) Code() byte       { return codeACK }
func (Nak) Code() byte       { return codeNAK }
func (Busy) Code() byte      { return codeBusy }
func (PDID) Code() byte      { return codePDID }
func (PDCap) Code() byte     { return codePDCap }
func (LStatR) Code() byte    { return codeLStatR }
func (IStatR) Code() byte    { return codeIStatR }
func (OStatR) Code() byte    { return codeOStatR }
func (RStatR) Code() byte    { return codeRStatR }
func (Raw) Code() byte       { return codeRaw }
func (Keypad) Code() byte    { return codeKeypad }
func (Com) Code() byte       { return codeCom }
func (BioReadR) Code() byte  { return codeBioReadR }
func (BioMatchR) Code() byte { return codeBioMatchR }
func (CCrypt) Code() byte    { return codeCCrypt }
func (RMacI) Code() byte     { return codeRMacI }
func (FTStat) Code() byte    { return codeFTStat }
func (MfgRep) Code() byte    { return codeMfgRep }
func (r Other) Code() byte   { return r.Reply }

func (Ack) appendData(b []byte) []byte      { return b }
func (Busy) appendData(b []byte) []byte     { return b }
func (r Nak) appendData(b []byte) []byte    { return append(b, r.Reason) }
func (r IStatR) appendData(b []byte) []byte { return append(b, r.Inputs...) }
func (r OStatR) appendData(b []byte) []byte { return append(b, r.Outputs...) }
func (r RStatR) appendData(b []byte) []byte { return append(b, r.Heads...) }
func (r RMacI) appendData(b []byte) []byte  { return append(b, r.MAC[:]...) }
func (r Other) appendData(b []byte) []byte  { return append(b, r.Data...) }
func (r Com) appendData(b []byte) []byte    { return le.AppendUint32(append(b, r.Address), r.Baud) }
func (r MfgRep) appendData(b []byte) []byte { return append(append(b, r.Vendor[:]...), r.Data...) }

func (r PDID) appendData(b []byte) []byte {
	b = append(append(b, r.Vendor[:]...), r.Model, r.Version)
	return append(le.AppendUint32(b, r.Serial), r.Firmware[:]...)
}

func (r PDCap) appendData(b []byte) []byte {
	for _, f := range r.Functions {
		b = append(b, f.Function, f.Compliance, f.Count)
	}
	return b
}

func (r LStatR) appendData(b []byte) []byte {
	return append(b, byte(btoi(r.Tamper)), byte(btoi(r.PowerFail)))
}

func (r Raw) appendData(b []byte) []byte {
	b = le.AppendUint16(append(b, r.Reader, r.Format), uint16(r.Card.Len()))
	return append(b, r.Card.Bits()...)
}

func (r Keypad) appendData(b []byte) []byte {
	typed := r.Keys.Typed()
	b = append(b, r.Reader, byte(len(typed)))
	for _, k := range []byte(typed) {
		switch k {
		case '#':
			k = 0x0D
		case '*':
			k = 0x7F
		}
		b = append(b, k)
	}
	return b
}

func (r BioReadR) appendData(b []byte) []byte {
	b = append(b, r.Reader, r.Status, r.Type, r.Quality)
	return append(le.AppendUint16(b, uint16(len(r.Template))), r.Template...)
}

func (r BioMatchR) appendData(b []byte) []byte { return append(b, r.Reader, r.Status, r.Score) }

func (r CCrypt) appendData(b []byte) []byte {
	return append(append(append(b, r.CUID[:]...), r.RndB[:]...), r.Cryptogram[:]...)
}

func (r FTStat) appendData(b []byte) []byte {
	b = le.AppendUint16(append(b, r.Control), r.Delay)
	return le.AppendUint16(le.AppendUint16(b, uint16(r.Status)), r.RxSize)
}

// ErrReply is a well-formed frame whose reply contradicts itself.
var ErrReply = errors.New("osdp: malformed reply")

// shortest is the length of each reply's data; the specification reserves room
// after some.
var shortest = map[byte]int{
	codeNAK: 1, codePDID: 12, codeLStatR: 2, codeRaw: 4, codeKeypad: 2, codeCom: 5, codeBioReadR: 6, codeBioMatchR: 3,
	codeCCrypt: 32, codeRMacI: 16, codeFTStat: 7, codeMfgRep: 3,
}

// ParseReply reads the code and data of a reply. Slices are copies.
func ParseReply(code byte, d []byte) (Reply, error) {
	switch code { // nearly every answer is one of these
	case codeACK:
		return Ack{}, nil
	case codeBusy:
		return Busy{}, nil
	}
	if len(d) < shortest[code] {
		return nil, fmt.Errorf("%w: %s with %d bytes, want %d", ErrReply, nameOf(code, true), len(d), shortest[code])
	}
	switch code {
	case codeNAK:
		return Nak{d[0]}, nil
	case codePDID:
		return PDID{[3]byte(d), d[3], d[4], le.Uint32(d[5:]), [3]byte(d[9:])}, nil
	case codePDCap:
		return parseCaps(d)
	case codeLStatR:
		return LStatR{Tamper: d[0] != 0, PowerFail: d[1] != 0}, nil
	case codeIStatR:
		return IStatR{append([]byte(nil), d...)}, nil
	case codeOStatR:
		return OStatR{append([]byte(nil), d...)}, nil
	case codeRStatR:
		return RStatR{append([]byte(nil), d...)}, nil
	case codeRaw:
		return parseRaw(d)
	case codeKeypad:
		return parseKeypad(d)
	case codeCom:
		return Com{d[0], le.Uint32(d[1:])}, nil
	case codeBioReadR:
		if len(d) != 6+int(le.Uint16(d[4:])) {
			return nil, fmt.Errorf("%w: a scan of %d bytes in %d", ErrReply, le.Uint16(d[4:]), len(d))
		}
		return BioReadR{d[0], d[1], d[2], d[3], append(Blob(nil), d[6:]...)}, nil
	case codeBioMatchR:
		return BioMatchR{d[0], d[1], d[2]}, nil
	case codeCCrypt:
		return CCrypt{[8]byte(d), [8]byte(d[8:]), [16]byte(d[16:])}, nil
	case codeRMacI:
		return RMacI{[16]byte(d)}, nil
	case codeFTStat:
		return FTStat{d[0], le.Uint16(d[1:]), int16(le.Uint16(d[3:])), le.Uint16(d[5:])}, nil
	case codeMfgRep:
		return MfgRep{[3]byte(d), append(Blob(nil), d[3:]...)}, nil
	}
	return Other{code, append(Blob(nil), d...)}, nil
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

// parseRaw: reader, format, 16 bits of length in bits, the bits left-aligned.
func parseRaw(d []byte) (Reply, error) {
	bits, data := int(le.Uint16(d[2:])), d[4:]
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
