package osdp_test

import (
	"bytes"
	"crypto/aes"
)

// secrets is a reader's side of the secure channel, written from the
// specification with one AES block at a time; it shares nothing with the driver.
type secrets struct {
	key     []byte // its own key; nil in factory state
	install bool   // takes SCBK-D
	only    bool   // answers POLL and the like under the channel only

	live             bool
	enc, mac1, mac2  []byte
	rndA, rndB       []byte
	lastIn, lastOut  []byte // whole MACs of the controller and of the reader
	installs         int    // keys taken
	clearKeyAck      bool   // answers KEYSET in clear text, as some readers do
	forgetKey        bool   // says ACK to KEYSET and keeps the old key
	wrongMAC, unsafe int    // answers to send with a wrong MAC, in clear text
	counter          byte   // makes RND.B
}

var factoryKey = []byte("0123456789:;<=>?")

// one is AES of one block.
func one(key, block []byte) []byte {
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, 16)
	c.Encrypt(out, block)
	return out
}

func xor(a, b []byte) []byte {
	out := make([]byte, 16)
	for i := range out {
		out[i] = a[i] ^ b[i]
	}
	return out
}

// padded fills the last block with 80 00….
func padded(b []byte, always bool) []byte {
	b = append([]byte(nil), b...)
	if always || len(b)%16 != 0 {
		b = append(b, 0x80)
	}
	for len(b)%16 != 0 {
		b = append(b, 0)
	}
	return b
}

func (s *secrets) mac(iv, message []byte) []byte {
	p := padded(message, false)
	for ; len(p) > 16; p = p[16:] {
		iv = one(s.mac1, xor(iv, p[:16]))
	}
	return one(s.mac2, xor(iv, p))
}

func not(b []byte) []byte { return xor(b, bytes.Repeat([]byte{0xFF}, 16)) }

func (s *secrets) hide(data []byte) []byte {
	var out []byte
	iv := not(s.lastIn)
	for p := padded(data, true); len(p) > 0; p = p[16:] {
		iv = one(s.enc, xor(iv, p[:16]))
		out = append(out, iv...)
	}
	return out
}

func (s *secrets) reveal(data []byte) []byte {
	c, _ := aes.NewCipher(s.enc)
	var out []byte
	iv := not(s.lastOut)
	for ; len(data) >= 16; data = data[16:] {
		b := make([]byte, 16)
		c.Decrypt(b, data[:16])
		out = append(out, xor(b, iv)...)
		iv = data[:16]
	}
	return out[:bytes.LastIndexByte(out, 0x80)]
}

func (s *secrets) begin(key, rndA []byte) {
	part := func(kind byte) []byte {
		return one(key, append(append([]byte{1, kind}, rndA[:6]...), make([]byte, 8)...))
	}
	s.counter++
	s.enc, s.mac1, s.mac2, s.live = part(0x82), part(1), part(2), false
	s.rndA, s.rndB = append([]byte(nil), rndA...), bytes.Repeat([]byte{s.counter}, 8)
}

// secured answers a command whose sequence is right; message is it without its
// check.
func (r *reader) secured(seq int, message, scb []byte, code byte, data []byte) []byte {
	s := &r.hidden
	deny := func(why byte) []byte { return r.frame(seq, answer{0x41, []byte{why}}) }
	switch {
	case code == 0x76 && len(scb) == 3 && scb[1] == 0x11 && len(data) == 8:
		key := s.key
		if scb[2] == 0 {
			key = factoryKey
		}
		if key == nil || scb[2] == 0 && !s.install {
			return deny(6)
		}
		r.note(seq, code, data)
		s.begin(key, data)
		proof := one(s.enc, append(append([]byte(nil), s.rndA...), s.rndB...))
		return r.checked(r.body(seq, []byte{3, 0x12, scb[2]}, answer{0x76, append(append([]byte("CUIDCUID"), s.rndB...), proof...)}, 0))
	case code == 0x77 && len(scb) == 3 && scb[1] == 0x13 && s.enc != nil:
		if !bytes.Equal(data, one(s.enc, append(append([]byte(nil), s.rndB...), s.rndA...))) {
			return deny(6)
		}
		r.note(seq, code, data)
		s.live, s.lastOut = true, one(s.mac2, one(s.mac1, data))
		return r.checked(r.body(seq, []byte{3, 0x14, 1}, answer{0x78, s.lastOut}, 0))
	case scb == nil && s.live:
		s.live = false
		return deny(6)
	case scb == nil && s.only && code != 0x61 && code != 0x62:
		return deny(6)
	case scb == nil:
		r.note(seq, code, data)
		return r.frame(seq, r.act(code, data))
	case !s.live:
		return deny(6)
	}
	return r.underMAC(seq, message, scb, code, data)
}

// underMAC is one exchange of a live session.
func (r *reader) underMAC(seq int, message, scb []byte, code byte, data []byte) []byte {
	s := &r.hidden
	n := len(message) - 4
	mac := s.mac(s.lastOut, message[:n])
	if !bytes.Equal(mac[:4], message[n:]) {
		s.live = false
		return r.frame(seq, answer{0x41, []byte{6}})
	}
	data = data[:len(data)-4]
	if scb[1] == 0x17 {
		data = s.reveal(data)
	} else if len(data) > 0 {
		return r.frame(seq, answer{0x41, []byte{2}}) // no data belongs under SCS_15
	}
	s.lastIn = mac
	r.note(seq, code, data)
	a := answer{0x40, nil}
	if code == 0x75 {
		s.installs++
		if s.clearKeyAck {
			s.adopt(data[2:])
			return r.frame(seq, a)
		}
	} else {
		a = r.act(code, data)
	}
	if s.unsafe > 0 {
		s.unsafe--
		return r.frame(seq, a)
	}
	block := []byte{2, 0x16}
	if len(a.data) > 0 {
		block[1], a.data = 0x18, s.hide(a.data)
	}
	b := r.body(seq, block, a, 4)
	s.lastOut = s.mac(s.lastIn, b)
	out := append(b, s.lastOut[:4]...)
	if s.wrongMAC > 0 {
		s.wrongMAC--
		out[len(out)-1] ^= 1
	}
	if code == 0x75 {
		s.adopt(data[2:])
	}
	return r.checked(out)
}

// adopt makes the key that came by KEYSET the reader's own.
func (s *secrets) adopt(key []byte) {
	s.live = false
	if !s.forgetKey {
		s.key, s.install, s.only = append([]byte(nil), key...), false, true
	}
}

// secureReader holds key; it answers nothing of worth in clear text.
func secureReader(addr byte, key []byte) *reader {
	r := newReader(addr)
	r.hidden.key, r.hidden.only = key, true
	return r
}

// factoryReader is as it came from the factory.
func factoryReader(addr byte) *reader {
	r := newReader(addr)
	r.hidden.install = true
	return r
}
