package pd

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
)

// Key is a reader's base key (SCBK), AES-128. It redacts itself wherever it is
// printed or logged; only Hex gives it away, for the simulator's own file.
type Key [16]byte

// DefaultKey is SCBK-D, the key the standard publishes for readers that have
// none of their own yet.
var DefaultKey = Key{'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?'}

// ParseKey reads 32 hexadecimal digits. Its error does not repeat them.
func ParseKey(text string) (Key, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(Key{}) {
		return Key{}, errors.New("a key is 32 hexadecimal digits")
	}
	return Key(b), nil
}

// Hex is the key itself.
func (k Key) Hex() string { return hex.EncodeToString(k[:]) }

const redacted = "[key]"

// Format and LogValue keep the key out of logs and messages.
func (Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }
func (Key) LogValue() slog.Value       { return slog.StringValue(redacted) }

// Security block types. The reader's own are even.
const (
	scsChallenge  = 0x11 // CHLNG; data byte: 0 SCBK-D, 1 SCBK
	scsCCrypt     = 0x12 // CCRYPT; the same byte
	scsCryptogram = 0x13 // SCRYPT
	scsRMAC       = 0x14 // RMAC_I; data byte 1: the controller has proved itself
	scsCommandMAC = 0x15 // command, MAC
	scsReplyMAC   = 0x16 // reply, MAC
	scsCommandEnc = 0x17 // command, MAC, data encrypted
	scsReplyEnc   = 0x18 // reply, MAC, data encrypted
)

const (
	macSize   = 4
	nonceSize = 8
	block     = aes.BlockSize
)

// session is the reader's half of a secure channel.
//
//	CHLNG  RND.A                          keys of the session from SCBK and RND.A
//	CCRYPT cUID, RND.B, AES(S-ENC, A‖B)   the reader proves itself
//	SCRYPT AES(S-ENC, B‖A)                the controller proves itself
//	RMAC_I AES(S-MAC2, AES(S-MAC1, that)) first IV of the MAC chain
//
// The MAC of each message is CBC over all of it but MAC and check, with S-MAC1
// and for the last block S-MAC2, from the other side's last MAC on; data is
// CBC with S-ENC from the complement of the same value on.
type session struct {
	enc, mac1, mac2 cipher.Block
	rndA, rndB      [nonceSize]byte
	command, reply  [block]byte // the last MAC of each side
	proved          bool        // both ends have
	byDefault       bool        // made with SCBK-D
}

func newSession(k Key, rndA, rndB [nonceSize]byte) *session {
	s := &session{rndA: rndA, rndB: rndB, byDefault: k == DefaultKey}
	for kind, to := range map[byte]*cipher.Block{0x82: &s.enc, 0x01: &s.mac1, 0x02: &s.mac2} {
		seed := [block]byte{1, kind}
		copy(seed[2:], rndA[:6])
		*to = aesOf(aesBlock(aesOf(k), seed))
	}
	return s
}

// aesOf cannot fail: every key has 16 bytes.
func aesOf(k [block]byte) cipher.Block {
	c, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err)
	}
	return c
}

func aesBlock(c cipher.Block, in [block]byte) (out [block]byte) {
	c.Encrypt(out[:], in[:])
	return out
}

func joined(a, b [nonceSize]byte) (out [block]byte) {
	copy(out[:], a[:])
	copy(out[nonceSize:], b[:])
	return out
}

// client is the reader's cryptogram.
func (s *session) client() [block]byte { return aesBlock(s.enc, joined(s.rndA, s.rndB)) }

// finish judges the controller's cryptogram and gives R-MAC-I.
func (s *session) finish(cryptogram []byte) ([block]byte, bool) {
	want := aesBlock(s.enc, joined(s.rndB, s.rndA))
	if subtle.ConstantTimeCompare(want[:], cryptogram) != 1 {
		return [block]byte{}, false
	}
	s.reply = aesBlock(s.mac2, aesBlock(s.mac1, want))
	s.proved = true
	return s.reply, true
}

// mac chains on from iv over the message, which is never empty.
func (s *session) mac(iv [block]byte, message []byte) [block]byte {
	for ; len(message) > block; message = message[block:] {
		iv = aesBlock(s.mac1, mixed(iv, message[:block]))
	}
	if len(message) < block {
		message = append(append([]byte{}, message...), 0x80)
	}
	return aesBlock(s.mac2, mixed(iv, message))
}

func mixed(iv [block]byte, with []byte) [block]byte {
	for i, x := range with {
		iv[i] ^= x
	}
	return iv
}

// check judges the MAC of a command and moves the chain on.
func (s *session) check(message, mac []byte) bool {
	want := s.mac(s.reply, message)
	if subtle.ConstantTimeCompare(want[:macSize], mac) != 1 {
		return false
	}
	s.command = want
	return true
}

// decrypt opens the data of a command. It comes before check, because both
// start from the reader's last MAC; its result is used only if check agrees.
func (s *session) decrypt(data []byte) ([]byte, bool) {
	if len(data) == 0 || len(data)%block != 0 {
		return nil, false
	}
	out := make([]byte, len(data))
	iv := complement(s.reply)
	cipher.NewCBCDecrypter(s.enc, iv[:]).CryptBlocks(out, data)
	for n := len(out) - 1; n >= 0; n-- {
		if out[n] == 0x80 {
			return out[:n], true
		}
		if out[n] != 0 {
			break
		}
	}
	return nil, false
}

// encrypt closes the data of a reply.
func (s *session) encrypt(data []byte) []byte {
	out := append(append([]byte{}, data...), 0x80)
	for len(out)%block != 0 {
		out = append(out, 0)
	}
	iv := complement(s.command)
	cipher.NewCBCEncrypter(s.enc, iv[:]).CryptBlocks(out, out)
	return out
}

func complement(m [block]byte) [block]byte {
	for i := range m {
		m[i] = ^m[i]
	}
	return m
}

// seal is a reply inside the session.
func (s *session) seal(f Frame) []byte {
	f.Security = []byte{2, scsReplyMAC}
	if len(f.Data) > 0 {
		f.Security[1] = scsReplyEnc
		f.Data = s.encrypt(f.Data)
	}
	n := len(f.Data)
	f.Data = append(f.Data, make([]byte, macSize)...) // counted in the length that the MAC covers
	s.reply = s.mac(s.command, f.signed())
	copy(f.Data[n:], s.reply[:macSize])
	return f.Encode()
}

// signed is what the MAC at the end of f's data covers: everything before it,
// from the start of the message on.
func (f Frame) signed() []byte {
	b := f.Encode()[1:]
	end := len(b) - 1 - macSize
	if f.CRC {
		end--
	}
	return b[:end]
}

// SpoilMAC makes the MAC of an encoded message wrong and its check right; false
// if it has none.
func SpoilMAC(message []byte) ([]byte, bool) {
	f, err := Decode(message[1:])
	if err != nil || len(f.Security) < 2 || f.Security[1] < scsCommandMAC || len(f.Data) < macSize {
		return message, false
	}
	f.Data[len(f.Data)-1] ^= 0x5A
	return f.Encode(), true
}
