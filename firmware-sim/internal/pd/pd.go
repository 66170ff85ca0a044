package pd

import (
	"bytes"
	"time"

	"sekimori/firmware-sim/internal/cards"
)

// Commands and replies this reader knows.
const (
	CmdPoll  = 0x60
	CmdID    = 0x61
	CmdCap   = 0x62
	CmdLStat = 0x64
	CmdOut   = 0x68
	CmdLED   = 0x69
	CmdBuz   = 0x6A

	ReplyAck    = 0x40
	ReplyNak    = 0x41
	ReplyPDID   = 0x45
	ReplyPDCap  = 0x46
	ReplyLStatR = 0x48
	ReplyRaw    = 0x50
	ReplyKeypad = 0x53
	ReplyBusy   = 0x79
)

// Reasons of NAK.
const (
	nakLength   = 2
	nakUnknown  = 3
	nakSequence = 4
	nakSecurity = 5
)

// QueueLimit is how many events the reader holds for its controller; further
// ones are lost, as in a real reader.
const QueueLimit = 64

// OfflineAfter is the silence after which both ends call the link lost.
const OfflineAfter = 8 * time.Second

type event struct {
	code byte
	data []byte
}

// PD is one reader. It is not safe for concurrent use, reads no clock and does
// no I/O.
//
//	power-up ──(seq 0)──▶ seq 0 ──1──▶ 1 ──2──▶ 2 ──3──▶ 3 ──1──▶ …
//	           same number again: the cached reply, nothing is done twice
//	           any other number:  NAK 4; seq 0 starts the link over
type PD struct {
	addr   byte
	serial uint32

	linked bool   // a command with seq 0 came since power-up
	last   byte   // its number, or a later one
	cached []byte // the reply to it

	queue       []event
	tamper      bool
	powered     bool // the power-up was not told yet
	tellStatus  bool // LSTATR answers the next poll
	panel       panel
	heard       time.Duration // last good command
	everHeard   bool
	busy        int // answer BUSY this many times
	Polls       uint64
	SeqErrors   uint64
	Repeats     uint64
	EventsLost  uint64
	Initialised uint64 // how often the link was started over
}

// New is a reader just powered up.
func New(addr byte, serial uint32) *PD {
	p := &PD{addr: addr, serial: serial}
	p.PowerCycle()
	return p
}

// Addr is its address on the line.
func (p *PD) Addr() byte { return p.addr }

// PowerCycle forgets the link, the queue and the LED. The first poll afterwards
// is answered by LSTATR with the power bit set.
func (p *PD) PowerCycle() {
	p.linked, p.cached, p.queue, p.busy = false, nil, nil, 0
	p.everHeard = false
	p.panel.perm, p.panel.temp = blink{}, blink{}
	p.powered, p.tellStatus = true, true
}

// Busy makes the reader answer BUSY to the next n commands.
func (p *PD) Busy(n int) { p.busy = n }

// Card queues a card; false means the queue was full and it is lost.
func (p *PD) Card(b cards.Bits) bool {
	format := byte(0) // raw bits
	if n := b.Len(); n == 26 || n == 34 || n == 37 {
		format = 1 // parity, data, parity
	}
	n := b.Len()
	data := append([]byte{0, format, byte(n), byte(n >> 8)}, b.Bytes()...)
	return p.push(event{ReplyRaw, data})
}

// Keys queues typed keys: '0'-'9', '*' and '#'.
func (p *PD) Keys(keys string) bool {
	data := []byte{0, byte(len(keys))}
	for _, k := range []byte(keys) {
		switch k {
		case '#':
			k = 0x0D
		case '*':
			k = 0x7F
		}
		data = append(data, k)
	}
	return p.push(event{ReplyKeypad, data})
}

func (p *PD) push(e event) bool {
	if len(p.queue) >= QueueLimit {
		p.EventsLost++
		return false
	}
	p.queue = append(p.queue, e)
	return true
}

// Tamper opens or closes the reader's case.
func (p *PD) Tamper(open bool) {
	if p.tamper != open {
		p.tamper, p.tellStatus = open, true
	}
}

// Tampered tells whether the case is open.
func (p *PD) Tampered() bool { return p.tamper }

// Queued is how many events wait for a poll.
func (p *PD) Queued() int { return len(p.queue) }

// Online tells whether the controller was heard lately.
func (p *PD) Online(now time.Duration) bool { return p.everHeard && now-p.heard < OfflineAfter }

// Look is what the person at the reader sees now.
func (p *PD) Look(now time.Duration) Look { return p.panel.look(now) }

// Handle answers one good frame. No answer (nil) means silence: the frame was
// for another reader, or is itself a reply.
func (p *PD) Handle(f Frame, now time.Duration) []byte {
	if f.Reply || (f.Addr != p.addr && f.Addr != Broadcast) {
		return nil
	}
	p.heard, p.everHeard = now, true
	if p.busy > 0 {
		p.busy--
		return Frame{Addr: p.addr, Reply: true, CRC: f.CRC, Code: ReplyBusy}.Encode()
	}
	switch {
	case f.Seq == 0:
		p.linked = true
		p.Initialised++
	case !p.linked || (f.Seq != p.last && f.Seq != p.last%3+1):
		p.SeqErrors++
		return p.reply(f, ReplyNak, nakSequence)
	case f.Seq == p.last:
		p.Repeats++
		return bytes.Clone(p.cached)
	}
	p.last = f.Seq
	code, data := p.do(f, now)
	p.cached = p.reply(f, code, data...)
	return bytes.Clone(p.cached)
}

func (p *PD) reply(f Frame, code byte, data ...byte) []byte {
	return Frame{Addr: p.addr, Reply: true, Seq: f.Seq, CRC: f.CRC, Code: code, Data: data}.Encode()
}

func (p *PD) do(f Frame, now time.Duration) (byte, []byte) {
	if f.Security != nil {
		return ReplyNak, []byte{nakSecurity}
	}
	ok := true
	switch f.Code {
	case CmdPoll:
		if ok = len(f.Data) == 0; ok {
			p.Polls++
			return p.poll()
		}
	case CmdLStat:
		if ok = len(f.Data) == 0; ok {
			return ReplyLStatR, p.status()
		}
	case CmdID:
		if ok = len(f.Data) == 1; ok {
			return ReplyPDID, p.identity()
		}
	case CmdCap:
		if ok = len(f.Data) == 1; ok {
			return ReplyPDCap, capabilities()
		}
	case CmdLED:
		ok = p.panel.led(f.Data, now)
	case CmdBuz:
		ok = p.panel.buz(f.Data)
	case CmdOut:
		ok = p.panel.out(f.Data)
	default:
		return ReplyNak, []byte{nakUnknown}
	}
	if !ok {
		return ReplyNak, []byte{nakLength}
	}
	return ReplyAck, nil
}

// poll gives the status first when it changed, then the oldest event.
func (p *PD) poll() (byte, []byte) {
	if p.tellStatus {
		return ReplyLStatR, p.status()
	}
	if len(p.queue) == 0 {
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

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// identity is vendor 3, model, version, serial 4 (low byte first), firmware 3.
// The vendor bytes are a locally administered prefix: nobody's product.
func (p *PD) identity() []byte {
	s := p.serial
	return []byte{0x02, 0x53, 0x4B, 1, 1, byte(s), byte(s >> 8), byte(s >> 16), byte(s >> 24), 1, 0, 0}
}

// capabilities are triples of function, compliance, number.
func capabilities() []byte {
	return []byte{
		2, 1, 1, // one output
		3, 1, 1, // card data as bits
		4, 1, 1, // one LED, on and off and timed
		5, 1, 1, // a buzzer
		8, 1, 0, // CRC-16
		9, 0, 0, // no Secure Channel
		10, 0xA0, 0x05, // takes frames of 1440 bytes
		14, 0, 1, // one reader
	}
}
