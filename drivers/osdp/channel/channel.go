// Package channel is the cryptography of OSDP's secure channel (OSDP 2.x,
// annex D), seen from the controller. It is pure: no frame, no clock, no random
// source of its own.
//
//	controller                                   reader
//	   CHLNG  RND.A ───────────────────────────▶
//	          ◀─────────── CCRYPT  cUID, RND.B, AES(S-ENC, RND.A‖RND.B)
//	   SCRYPT AES(S-ENC, RND.B‖RND.A) ─────────▶
//	          ◀─────────── RMAC_I  AES(S-MAC2, AES(S-MAC1, SCRYPT's))
//	   every message after: data AES-CBC, IV = ¬ the other side's last MAC;
//	   4 bytes of a MAC over all from SOM on, chained through both sides
//
// Vocabulary: SCBK, the reader's own key; SCBK-D, the published one; S-ENC,
// S-MAC1 and S-MAC2, the keys of one session; C-MAC and R-MAC, the last MAC of
// the controller and of the reader.
//
// Values are compared in constant time. A Session is a value: copying it keeps
// the old one good, so a state machine can hold it.
package channel

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
)

// Sizes in bytes.
const (
	NonceSize  = 8  // RND.A and RND.B
	BlockSize  = 16 // of AES; cryptograms and whole MACs
	MACSize    = 4  // of a MAC, what travels
	CCryptSize = 8 + NonceSize + BlockSize
)

// ErrProof means that the other end does not know the key.
var ErrProof = errors.New("the reader did not prove that it knows the key")

// ErrPadding means that decrypted data does not end as annex D wants.
var ErrPadding = errors.New("wrong padding under the secure channel")

// Session is a secure channel: being made after Begin, in use after Finish.
type Session struct {
	enc, mac1, mac2 cipher.Block
	rndA            [NonceSize]byte
	server          [BlockSize]byte // our cryptogram
	cmac, rmac      [BlockSize]byte
}

// Begin derives the session's keys from the reader's key and our challenge.
func Begin(k Key, rndA [NonceSize]byte) Session {
	return Session{rndA: rndA, enc: derive(k, 0x82, rndA), mac1: derive(k, 0x01, rndA), mac2: derive(k, 0x02, rndA)}
}

// derive is AES(SCBK, 01 kind RND.A[0..5] 0…), itself made a cipher.
func derive(k Key, kind byte, rndA [NonceSize]byte) cipher.Block {
	block := [BlockSize]byte{0x01, kind}
	copy(block[2:8], rndA[:6])
	mustAES(k[:]).Encrypt(block[:], block[:])
	return mustAES(block[:])
}

// mustAES cannot fail: the length is 16 by type.
func mustAES(k []byte) cipher.Block {
	b, err := aes.NewCipher(k)
	if err != nil {
		panic(err)
	}
	return b
}

// Challenged judges the data of CCRYPT (cUID, RND.B, the reader's cryptogram)
// and returns the cryptogram for SCRYPT. ErrProof: the reader has another key.
func (s Session) Challenged(ccrypt []byte) (Session, [BlockSize]byte, error) {
	if len(ccrypt) != CCryptSize {
		return s, [BlockSize]byte{}, ErrProof
	}
	rndB, theirs := ccrypt[8:16], ccrypt[16:]
	var want [BlockSize]byte
	copy(want[:8], s.rndA[:])
	copy(want[8:], rndB)
	s.enc.Encrypt(want[:], want[:])
	if subtle.ConstantTimeCompare(want[:], theirs) != 1 {
		return s, [BlockSize]byte{}, ErrProof
	}
	copy(s.server[:8], rndB)
	copy(s.server[8:], s.rndA[:])
	s.enc.Encrypt(s.server[:], s.server[:])
	return s, s.server, nil
}

// Finish judges the data of RMAC_I; after it the session is in use. Some
// readers send a value of their own here, but then the first MACs would differ,
// so it is refused at once.
func (s Session) Finish(rmacI []byte) (Session, error) {
	want := s.server
	s.mac1.Encrypt(want[:], want[:])
	s.mac2.Encrypt(want[:], want[:])
	if subtle.ConstantTimeCompare(want[:], rmacI) != 1 {
		return s, ErrProof
	}
	s.rmac = want
	return s, nil
}

// Seal encrypts the data of a command; nil stays nil, because commands without
// data carry a MAC only.
func (s Session) Seal(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	out := append(make([]byte, 0, (len(data)/BlockSize+1)*BlockSize), data...)
	out = append(out, 0x80)
	for len(out)%BlockSize != 0 {
		out = append(out, 0)
	}
	iv := inverted(s.rmac)
	cipher.NewCBCEncrypter(s.enc, iv[:]).CryptBlocks(out, out)
	return out
}

// Sign is the MAC of a command: of all its bytes from SOM to the end of the
// data, its length field counting the MAC and the check too.
func (s Session) Sign(message []byte) (Session, [MACSize]byte) {
	s.cmac = s.mac(s.rmac, message)
	return s, [MACSize]byte(s.cmac[:])
}

// Verify judges the MAC of a reply to the command signed last; false leaves the
// session as it was.
func (s Session) Verify(message, mac []byte) (Session, bool) {
	want := s.mac(s.cmac, message)
	if subtle.ConstantTimeCompare(want[:MACSize], mac) != 1 {
		return s, false
	}
	s.rmac = want
	return s, true
}

// Open decrypts the data of a verified reply, into new bytes.
func (s Session) Open(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, nil // a needless SCS_18, as some readers send
	}
	if len(data)%BlockSize != 0 {
		return nil, ErrPadding
	}
	out := make([]byte, len(data))
	iv := inverted(s.cmac)
	cipher.NewCBCDecrypter(s.enc, iv[:]).CryptBlocks(out, data)
	for n := len(out) - 1; n >= 0; n-- {
		switch out[n] {
		case 0x80:
			return out[:n], nil
		case 0:
		default:
			return nil, ErrPadding
		}
	}
	return nil, ErrPadding
}

// mac is CBC over the blocks with S-MAC1, the last one with S-MAC2; a last
// block that is not full is padded with 80 00….
func (s Session) mac(iv [BlockSize]byte, message []byte) [BlockSize]byte {
	for len(message) > BlockSize {
		subtle.XORBytes(iv[:], iv[:], message[:BlockSize])
		s.mac1.Encrypt(iv[:], iv[:])
		message = message[BlockSize:]
	}
	subtle.XORBytes(iv[:], iv[:], message)
	if len(message) < BlockSize {
		iv[len(message)] ^= 0x80
	}
	s.mac2.Encrypt(iv[:], iv[:])
	return iv
}

func inverted(m [BlockSize]byte) [BlockSize]byte {
	for i := range m {
		m[i] = ^m[i]
	}
	return m
}
