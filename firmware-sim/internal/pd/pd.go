package pd

import (
	"bytes"
	"crypto/rand"
	"time"

	"sekimori/firmware-sim/internal/cards"
)

// QueueLimit is how many events the reader holds for its controller; further
// ones are lost, as in a real reader.
const QueueLimit = 64

// OfflineAfter is the silence after which both ends call the link lost, and the
// reader ends its secure channel. KEEPACTIVE puts it off.
const OfflineAfter = 8 * time.Second

// Security is what a reader asks of its controller.
type Security string

const (
	Clear   Security = "clear"   // knows no secure channel
	Install Security = "install" // fresh from the factory: answers in clear, and by SCBK-D until it has a key
	Own     Security = "key"     // has its own key; refuses SCBK-D, and everything but ID and CAP in clear
)

// Config is one reader as it comes out of its box.
type Config struct {
	Addr       byte
	Serial     uint32
	Baud       int // what it speaks until COMSET
	Security   Security
	Key        Key          // with Own
	AllowClear bool         // with Own: answers in clear too, as careless readers do
	Biometric  bool         // has a finger sensor
	Random     func([]byte) // of RND.B; the system's if nil
}

// Kept is what a reader remembers without power.
type Kept struct {
	Addr     byte
	Baud     int
	Security Security
	Key      Key
}

type event struct {
	code byte
	data []byte
}

// PD is one reader. It is not safe for concurrent use, reads no clock and does
// no I/O.
//
//	power-up ──(seq 0)──▶ seq 0 ──1──▶ 1 ──2──▶ 2 ──3──▶ 3 ──1──▶ …
//	           same bytes again: the cached reply, nothing is done twice
//	           any other number:  NAK 4; seq 0 starts the link over, in clear
//
//	clear ──CHLNG──▶ challenged ──SCRYPT──▶ secure ──┐ every command with a MAC
//	  ▲                  │ wrong cryptogram          │
//	  └──────────────────┴── wrong MAC, clear command, seq 0, 8 s of silence
type PD struct {
	box  Config
	kept Kept

	linked  bool   // a command with seq 0 came since power-up
	last    byte   // its number, or a later one
	asked   []byte // the last command
	cached  []byte // the reply to it
	session *session

	queue      []event
	tamper     bool
	input      bool
	powered    bool // the power-up was not told yet
	tellStatus bool // LSTATR answers the next poll
	tellInput  bool // ISTATR does
	panel      panel
	sensor     sensor
	file       transfer
	rxSize     int // ACURXSIZE; 0 if never told

	alive     time.Duration // until when silence is no fault
	everHeard bool
	busy      int // answer BUSY this many times
	stranger  int // prove a wrong key this many times

	Counts Counts
}

// Counts is what happened since the reader was made.
type Counts struct {
	Polls       uint64 // answered, not counting repeats
	Repeats     uint64 // answered from the cache
	SeqErrors   uint64
	Restarts    uint64 // links begun with seq 0
	EventsLost  uint64 // the queue was full
	Handshakes  uint64 // secure channels made
	BadMACs     uint64 // commands whose MAC or padding was wrong
	BadProofs   uint64 // controllers that did not know the key
	Refusals    uint64 // NAK 5 and 6: less security than the reader wants, or more than it has
	KeysSet     uint64
	FilesTaken  uint64
	FingersRead uint64
}

// New is a reader just powered up.
func New(c Config) *PD {
	if c.Security == "" {
		c.Security = Clear
	}
	if c.Random == nil {
		c.Random = func(b []byte) { _, _ = rand.Read(b) } // it never fails
	}
	p := &PD{box: c}
	p.Wipe()
	return p
}

// Wipe makes the reader what it was in its box: address, speed and key.
func (p *PD) Wipe() { p.Restore(p.box.kept()) }

func (c Config) kept() Kept {
	return Kept{Addr: c.Addr, Baud: c.Baud, Security: c.Security, Key: c.Key}
}

// Boxed tells that the reader has learnt nothing since it left its box.
func (p *PD) Boxed() bool { return p.kept == p.box.kept() }

// Restore powers the reader up with what it remembered.
func (p *PD) Restore(k Kept) {
	p.kept = k
	p.PowerCycle()
}

// Kept is what the reader would remember without power.
func (p *PD) Kept() Kept { return p.kept }

// PowerCycle forgets the link, the queue and the LED. The first poll afterwards
// is answered by LSTATR with the power bit set.
func (p *PD) PowerCycle() {
	p.linked, p.asked, p.cached, p.queue, p.busy = false, nil, nil, nil, 0
	p.session, p.everHeard, p.rxSize = nil, false, 0
	p.panel, p.sensor, p.file = panel{buzzes: p.panel.buzzes, buzzCmds: p.panel.buzzCmds, outCmds: p.panel.outCmds}, sensor{}, transfer{}
	p.powered, p.tellStatus, p.tellInput = true, true, false
}

// Busy makes the reader answer BUSY to the next n commands.
func (p *PD) Busy(n int) { p.busy = n }

// Stranger makes another reader of the same make answer the next n challenges:
// one that has not this reader's key. A session in use ends.
func (p *PD) Stranger(n int) {
	p.stranger = n
	p.session = nil
}

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
		p.Counts.EventsLost++
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

// Input closes or opens the contact wired to the reader.
func (p *PD) Input(on bool) {
	if p.input != on {
		p.input, p.tellInput = on, true
	}
}

// Online tells whether the controller was heard lately.
func (p *PD) Online(now time.Duration) bool { return p.everHeard && now < p.alive }

// Handle answers one good frame. No answer (nil) means silence: the frame was
// for another reader, or is itself a reply.
func (p *PD) Handle(f Frame, now time.Duration) []byte {
	if f.Reply || (f.Addr != p.kept.Addr && f.Addr != Broadcast) {
		return nil
	}
	if p.everHeard && now >= p.alive {
		p.session = nil
	}
	p.alive, p.everHeard = max(p.alive, now+OfflineAfter), true
	if p.busy > 0 {
		p.busy--
		return Frame{Addr: p.kept.Addr, Reply: true, CRC: f.CRC, Code: ReplyBusy}.Encode()
	}
	asked := f.Encode()
	switch {
	case f.Seq == 0:
		p.linked, p.session = true, nil
		p.Counts.Restarts++
	case p.linked && f.Seq == p.last && bytes.Equal(asked, p.asked):
		p.Counts.Repeats++
		return bytes.Clone(p.cached)
	case !p.linked || f.Seq != p.last%3+1:
		p.Counts.SeqErrors++
		return p.plain(f, ReplyNak, nakSequence)
	}
	p.last, p.asked = f.Seq, asked
	p.cached = p.exchange(f, now)
	return bytes.Clone(p.cached)
}

// plain is a reply without secure channel.
func (p *PD) plain(f Frame, code byte, data ...byte) []byte {
	return p.frame(f, code, data).Encode()
}

func (p *PD) frame(f Frame, code byte, data []byte) Frame {
	return Frame{Addr: p.kept.Addr, Reply: true, Seq: f.Seq, CRC: f.CRC, Code: code, Data: data}
}

// exchange judges the security of a new command, does it and wraps its reply.
func (p *PD) exchange(f Frame, now time.Duration) []byte {
	kind := byte(0)
	if len(f.Security) > 1 {
		kind = f.Security[1]
	}
	switch {
	case f.Security != nil && p.kept.Security == Clear:
		return p.refuse(f, nakNoSecure)
	case kind == scsChallenge && f.Code == CmdChallenge:
		return p.challenge(f)
	case kind == scsCryptogram && f.Code == CmdCryptogram:
		return p.cryptogram(f)
	case kind == scsCommandMAC || kind == scsCommandEnc:
		return p.secured(f, kind == scsCommandEnc, now)
	case f.Security != nil, f.Code == CmdChallenge, f.Code == CmdCryptogram, p.session != nil, !p.clearAllowed(f.Code):
		return p.refuse(f, nakSecurity)
	}
	reply := p.frame(f, 0, nil) // from the address that was asked: COMSET may change it
	reply.Code, reply.Data = p.do(f.Code, f.Data, now)
	return reply.Encode()
}

// refuse answers in clear; a session there was is over.
func (p *PD) refuse(f Frame, why byte) []byte {
	p.session = nil
	p.Counts.Refusals++
	return p.plain(f, ReplyNak, why)
}

func (p *PD) clearAllowed(code byte) bool {
	return p.kept.Security != Own || p.box.AllowClear || code == CmdID || code == CmdCap
}

// challenge answers CHLNG by CCRYPT: client UID 8, RND.B 8, cryptogram 16.
func (p *PD) challenge(f Frame) []byte {
	if len(f.Data) != nonceSize || len(f.Security) != 3 {
		return p.plain(f, ReplyNak, nakLength)
	}
	which, key := f.Security[2], p.kept.Key
	if which == 0 {
		key = DefaultKey
	}
	if which == 0 != (p.kept.Security == Install) {
		return p.refuse(f, nakSecurity) // the key meant is not one the reader has
	}
	if p.stranger > 0 {
		p.stranger--
		p.box.Random(key[:])
	}
	var rndB [nonceSize]byte
	p.box.Random(rndB[:])
	p.session = newSession(key, [nonceSize]byte(f.Data), rndB)
	proof := p.session.client()
	data := append(append(p.identity()[:8:8], rndB[:]...), proof[:]...)
	reply := p.frame(f, ReplyCCrypt, data)
	reply.Security = []byte{3, scsCCrypt, which}
	return reply.Encode()
}

// cryptogram answers SCRYPT by RMAC_I; the channel is in use then.
func (p *PD) cryptogram(f Frame) []byte {
	if p.session == nil || p.session.proved {
		return p.refuse(f, nakSecurity)
	}
	first, ok := p.session.finish(f.Data)
	if !ok {
		p.Counts.BadProofs++
		return p.refuse(f, nakSecurity)
	}
	p.Counts.Handshakes++
	reply := p.frame(f, ReplyRMAC, first[:])
	reply.Security = []byte{3, scsRMAC, 1}
	return reply.Encode()
}

// secured opens a command of the session, does it and closes its reply.
func (p *PD) secured(f Frame, encrypted bool, now time.Duration) []byte {
	s := p.session
	if s == nil || !s.proved || len(f.Data) < macSize {
		return p.refuse(f, nakSecurity)
	}
	data, mac := f.Data[:len(f.Data)-macSize], f.Data[len(f.Data)-macSize:]
	ok := true
	if encrypted {
		data, ok = s.decrypt(data)
	}
	if !s.check(f.signed(), mac) || !ok {
		p.Counts.BadMACs++
		return p.refuse(f, nakSecurity)
	}
	reply := p.frame(f, 0, nil)
	reply.Code, reply.Data = p.do(f.Code, data, now)
	return s.seal(reply)
}
