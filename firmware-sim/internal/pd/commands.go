package pd

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Commands and replies this reader knows.
const (
	CmdPoll       = 0x60
	CmdID         = 0x61
	CmdCap        = 0x62
	CmdLStat      = 0x64
	CmdIStat      = 0x65
	CmdOStat      = 0x66
	CmdRStat      = 0x67
	CmdOut        = 0x68
	CmdLED        = 0x69
	CmdBuz        = 0x6A
	CmdText       = 0x6B
	CmdComSet     = 0x6E
	CmdBioRead    = 0x73
	CmdBioMatch   = 0x74
	CmdKeySet     = 0x75
	CmdChallenge  = 0x76
	CmdCryptogram = 0x77
	CmdRxSize     = 0x7B
	CmdFile       = 0x7C
	CmdMFG        = 0x80
	CmdAbort      = 0xA2
	CmdKeepActive = 0xA7

	ReplyAck       = 0x40
	ReplyNak       = 0x41
	ReplyPDID      = 0x45
	ReplyPDCap     = 0x46
	ReplyLStatR    = 0x48
	ReplyIStatR    = 0x49
	ReplyOStatR    = 0x4A
	ReplyRStatR    = 0x4B
	ReplyRaw       = 0x50
	ReplyKeypad    = 0x53
	ReplyCom       = 0x54
	ReplyBioRead   = 0x57
	ReplyBioMatch  = 0x58
	ReplyCCrypt    = 0x76
	ReplyRMAC      = 0x78
	ReplyBusy      = 0x79
	ReplyFileStat  = 0x7A
	ReplyMFGReport = 0x90
)

// Reasons of NAK.
const (
	nakLength    = 2
	nakUnknown   = 3
	nakSequence  = 4
	nakNoSecure  = 5
	nakSecurity  = 6
	nakBioType   = 7
	nakBioFormat = 8
	nakRecord    = 9
)

// handler is one command: how many bytes of data it has, and what it does.
type handler struct {
	least, most int
	do          func(p *PD, data []byte, now time.Duration) (byte, []byte)
}

const anyLength = maxFrame

var handlers = map[byte]handler{
	CmdPoll:  {0, 0, (*PD).poll},
	CmdID:    {1, 1, func(p *PD, _ []byte, _ time.Duration) (byte, []byte) { return ReplyPDID, p.identity() }},
	CmdCap:   {1, 1, func(p *PD, _ []byte, _ time.Duration) (byte, []byte) { return ReplyPDCap, p.capabilities() }},
	CmdLStat: {0, 0, func(p *PD, _ []byte, _ time.Duration) (byte, []byte) { return ReplyLStatR, p.status() }},
	CmdIStat: {0, 0, func(p *PD, _ []byte, _ time.Duration) (byte, []byte) { return ReplyIStatR, p.inputs() }},
	CmdOStat: {0, 0, func(p *PD, _ []byte, now time.Duration) (byte, []byte) {
		return ReplyOStatR, []byte{flag(p.panel.output.on(now))}
	}},
	CmdRStat:      {0, 0, func(p *PD, _ []byte, _ time.Duration) (byte, []byte) { return ReplyRStatR, []byte{2 * flag(p.tamper)} }},
	CmdOut:        {4, anyLength, func(p *PD, d []byte, now time.Duration) (byte, []byte) { return done(p.panel.out(d, now)) }},
	CmdLED:        {14, anyLength, func(p *PD, d []byte, now time.Duration) (byte, []byte) { return done(p.panel.led(d, now)) }},
	CmdBuz:        {5, 5, func(p *PD, d []byte, _ time.Duration) (byte, []byte) { return done(p.panel.buz(d)) }},
	CmdText:       {6, anyLength, func(p *PD, d []byte, now time.Duration) (byte, []byte) { return done(p.panel.write(d, now)) }},
	CmdComSet:     {5, 5, (*PD).comSet},
	CmdBioRead:    {4, 4, (*PD).bioRead},
	CmdBioMatch:   {6, anyLength, (*PD).bioMatch},
	CmdKeySet:     {18, 18, (*PD).keySet},
	CmdRxSize:     {2, 2, (*PD).receiveSize},
	CmdFile:       {fileHeader, anyLength, (*PD).takeFile},
	CmdMFG:        {3, anyLength, (*PD).manufacturer},
	CmdAbort:      {0, 0, (*PD).abort},
	CmdKeepActive: {2, 2, (*PD).keepActive},
}

// do carries out a command whose security is settled.
func (p *PD) do(code byte, data []byte, now time.Duration) (byte, []byte) {
	h, known := handlers[code]
	switch {
	case !known:
		return nak(nakUnknown)
	case len(data) < h.least || len(data) > h.most:
		return nak(nakLength)
	}
	return h.do(p, data, now)
}

func nak(why byte) (byte, []byte) { return ReplyNak, []byte{why} }

// done is ACK, or NAK for data whose length contradicts itself.
func done(ok bool) (byte, []byte) {
	if !ok {
		return nak(nakLength)
	}
	return ReplyAck, nil
}

// poll gives what changed at the reader first, then the oldest event.
func (p *PD) poll(_ []byte, now time.Duration) (byte, []byte) {
	p.Counts.Polls++
	p.sensor.expire(p, now)
	switch {
	case p.tellStatus:
		return ReplyLStatR, p.status()
	case p.tellInput:
		return ReplyIStatR, p.inputs()
	case len(p.queue) == 0:
		return ReplyAck, nil
	}
	e := p.queue[0]
	p.queue = p.queue[1:]
	return e.code, e.data
}

// status is tamper, power. The power bit tells once that power had failed; the
// next status, of its own accord, takes it back.
func (p *PD) status() []byte {
	b := []byte{flag(p.tamper), flag(p.powered)}
	p.tellStatus = p.powered
	p.powered = false
	return b
}

func (p *PD) inputs() []byte {
	p.tellInput = false
	return []byte{flag(p.input)}
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// vendor is a locally administered prefix: nobody's product.
var vendor = [3]byte{0x02, 0x53, 0x4B}

// identity is vendor 3, model, version, serial 4 (low byte first), firmware 3.
// Its first 8 bytes are the client UID of the secure channel.
func (p *PD) identity() []byte {
	b := append(vendor[:3:3], 1, 1)
	b = binary.LittleEndian.AppendUint32(b, p.box.Serial)
	return append(b, 1, 0, 0)
}

// capabilities are triples of function, compliance, number.
func (p *PD) capabilities() []byte {
	secure, byDefault := flag(p.kept.Security != Clear), flag(p.kept.Security == Install)
	return []byte{
		1, 1, 1, // one contact
		2, 1, 1, // one output
		3, 1, 0, // card data as bits
		4, 4, 1, // one LED of three colours, timed
		5, 2, 0, // a buzzer, timed
		6, 1, 1, // a line of 16 characters
		8, 1, 0, // CRC-16
		9, secure, byDefault, // AES-128; SCBK-D
		10, maxFrame & 0xFF, maxFrame >> 8, // the longest frame it takes
		13, 0, 1, // one reader
		14, flag(p.box.Biometric), 0, // fingerprints
		16, 2, 0, // SIA OSDP 2.2
	}
}

// speeds are the standard's.
var speeds = map[int]bool{9600: true, 19200: true, 38400: true, 57600: true, 115200: true, 230400: true}

// comSet takes address and speed; what the reader cannot do stays as it was. The
// reply, from the old address, tells what holds from now on.
func (p *PD) comSet(d []byte, _ time.Duration) (byte, []byte) {
	if d[0] < Broadcast {
		p.kept.Addr = d[0]
	}
	if baud := int(binary.LittleEndian.Uint32(d[1:])); speeds[baud] {
		p.kept.Baud = baud
	}
	return ReplyCom, binary.LittleEndian.AppendUint32([]byte{p.kept.Addr}, uint32(p.kept.Baud))
}

// keySet takes type 1, length 16 and the key, in the secure channel only. It
// holds from the next challenge on, and without power.
func (p *PD) keySet(d []byte, _ time.Duration) (byte, []byte) {
	switch {
	case p.session == nil:
		return nak(nakSecurity)
	case d[0] != 1 || d[1] != byte(len(Key{})):
		return nak(nakRecord)
	}
	p.kept.Key, p.kept.Security = Key(d[2:]), Own
	p.Counts.KeysSet++
	return ReplyAck, nil
}

func (p *PD) receiveSize(d []byte, _ time.Duration) (byte, []byte) {
	p.rxSize = int(binary.LittleEndian.Uint16(d))
	return ReplyAck, nil
}

// manufacturer sends back what is meant for this make.
func (p *PD) manufacturer(d []byte, _ time.Duration) (byte, []byte) {
	if !bytes.Equal(d[:3], vendor[:]) {
		return nak(nakRecord)
	}
	return ReplyMFGReport, bytes.Clone(d)
}

// abort ends a file transfer and a wait for a finger.
func (p *PD) abort([]byte, time.Duration) (byte, []byte) {
	p.file, p.sensor = transfer{}, sensor{}
	return ReplyAck, nil
}

// keepActive puts off the end of the link by milliseconds.
func (p *PD) keepActive(d []byte, now time.Duration) (byte, []byte) {
	p.alive = max(p.alive, now+time.Duration(binary.LittleEndian.Uint16(d))*time.Millisecond)
	return ReplyAck, nil
}
