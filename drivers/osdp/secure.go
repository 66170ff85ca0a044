package osdp

import (
	"fmt"
	"time"

	"sekimori/drivers/osdp/channel"
)

// trial is the key of the next handshake and what its security block says: 1
// for a reader's own key, 0 for SCBK-D. Only commissioning can make it 0. It is
// nil for a reader in clear text.
func (l *Link) trial() (*Key, byte) {
	if l.installed != nil {
		return l.installed.trial(l.candidate)
	}
	return l.cfg.Key, 1
}

// frame is the bytes of a command in the present state of the conversation.
func (l *Link) frame(c Command) ([]byte, error) {
	f := Frame{Mark: !l.cfg.NoMark, Addr: l.cfg.Address, Ctrl: l.seq, Code: c.Code(), Data: c.appendData(nil)}
	if !l.cfg.Checksum {
		f.Ctrl |= ctrlCRC
	}
	switch c.(type) {
	case Chlng, SCrypt:
		_, kind := l.trial()
		block := byte(scs11)
		if l.phase == prove {
			block = scs13
		}
		f.Ctrl |= ctrlSCB
		f.SCB = []byte{3, block, kind}
	default:
		if l.secured {
			return l.seal(f)
		}
	}
	return f.Append(make([]byte, 0, 64))
}

// seal puts a command under the session: encrypted data if there is any, and a
// MAC.
func (l *Link) seal(f Frame) ([]byte, error) {
	f.Ctrl |= ctrlSCB
	f.SCB = []byte{2, scs15}
	if len(f.Data) > 0 {
		f.SCB = []byte{2, scs17}
	}
	f.Data = append(l.session.Seal(f.Data), make([]byte, channel.MACSize)...)
	b, err := f.Append(make([]byte, 0, 64))
	if err != nil {
		return nil, err
	}
	start := btoi(f.Mark)
	end := len(b) - 1 - btoi(f.CRC()) - channel.MACSize
	var mac [channel.MACSize]byte
	l.session, mac = l.session.Sign(b[start:end])
	return appendCheck(append(b[:end], mac[:]...), start, f.CRC()), nil
}

// unseal judges the MAC of an answer and decrypts its data; false is a forgery,
// and the session is as it was.
func (l *Link) unseal(f Frame) (Frame, bool) {
	n := len(f.Data) - channel.MACSize
	if n < 0 {
		return f, false
	}
	f.Mark = false
	b, err := f.Append(make([]byte, 0, 64))
	if err != nil {
		return f, false
	}
	end := len(b) - 1 - btoi(f.CRC()) - channel.MACSize
	s, ok := l.session.Verify(b[:end], f.Data[n:])
	if !ok {
		return f, false
	}
	f.Data = f.Data[:n]
	if f.SCB[1] == scs18 {
		if f.Data, err = s.Open(f.Data); err != nil {
			return f, false
		}
	}
	l.session = s
	return f, true
}

// shortest is the bytes of the shortest answer, an ACK.
func (l *Link) shortest() int {
	n := minLen + btoi(!l.cfg.Checksum)
	if l.secured {
		n += 2 + channel.MACSize
	}
	return n
}

// verdict is what to do with a frame that came as an answer.
type verdict uint8

const (
	take   verdict = iota // it is the answer, and as authentic as it can be now
	skip                  // it is not meant for this state: listen on
	forged                // somebody on the line, or a reader that gave up its session
)

// judge decides by the state of the secure channel whether f may be an answer,
// and opens it.
func (l *Link) judge(f Frame) (Frame, verdict) {
	if l.secured {
		return l.judgeSecured(f)
	}
	key, kind := l.trial()
	wanted := map[phase]byte{challenge: scs12, prove: scs14}[l.phase]
	if f.Secure() {
		switch {
		case wanted == 0 || f.SCB[1] != wanted || len(f.SCB) != 3:
			return f, skip
		case l.phase == challenge && f.SCB[2] != kind:
			return f, forged // it proves a key that nobody asked for
		}
		return f, take // RMAC_I's third byte says nothing that its proof does not
	}
	if f.Code == codeNAK || key == nil || l.phase == identify && f.Code == codePDID {
		return f, take
	}
	return f, skip
}

func (l *Link) judgeSecured(f Frame) (Frame, verdict) {
	switch {
	case f.Secure() && (f.SCB[1] == scs16 || f.SCB[1] == scs18):
		g, ok := l.unseal(f)
		if !ok {
			return f, forged
		}
		return g, take
	case f.Secure():
		return f, skip
	case f.Code == codeNAK:
		return f, take // a reader that lost its session has no other way to say so
	case f.Code == codeACK && l.phase == install:
		return f, take // some readers drop the session with their old key; the new key is proven next
	}
	return f, forged
}

// challenged takes CCRYPT and goes on to SCRYPT.
func (l *Link) challenged(r CCrypt, now time.Duration) {
	s, crypt, err := l.session.Challenged(r.appendData(nil))
	if err != nil {
		l.noProof("the reader does not know our key", now)
		return
	}
	l.session = s
	l.answered(now)
	l.phase = prove
	l.begin(SCrypt{crypt}, now)
}

// proven takes RMAC_I: the session is in use from the next command on.
func (l *Link) proven(r RMacI, now time.Duration) {
	s, err := l.session.Finish(r.MAC[:])
	if err != nil {
		l.noProof("the reader's answer to our proof is wrong", now)
		return
	}
	l.session, l.secured = s, true
	l.answered(now)
	l.failures, l.health.Refused = 0, false
	l.phase = capabilities
	if l.installed != nil {
		l.established()
	}
}

// noProof ends a handshake that failed. Outside commissioning that is an alarm
// and the same handshake again, later; never one with another key.
func (l *Link) noProof(why string, now time.Duration) {
	if l.installed != nil {
		l.nextCandidate(why, now)
		return
	}
	l.refuse(why, now)
}

// refuse tells the alarm and waits before the same handshake is tried again.
func (l *Link) refuse(why string, now time.Duration) {
	l.giveUp(why, now)
	l.health.Refused = true
	l.due = now + min(slowRetry<<min(l.failures, 8), maxBackoff)
	l.failures++
}

// forgery: a message that the other end cannot have sent, or should not have.
func (l *Link) forgery(f Frame, now time.Duration) {
	l.health.Noise++
	switch {
	case !l.secured:
		l.noProof("the reader answers for another key than the one asked for", now)
	case l.installed != nil:
		l.restart(now) // the same key again, until the deadline
		l.due = now + slowRetry
	case f.Secure():
		l.refuse("an answer with a wrong MAC", now)
	default:
		l.refuse(fmt.Sprintf("an answer in clear text (%02X) within the secure channel", f.Code), now)
	}
}
