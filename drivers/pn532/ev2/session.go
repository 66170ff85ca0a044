package ev2

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// The status of a card's answer, its last two bytes.
const (
	StatusOK   = 0x9100
	StatusMore = 0x91AF // the card waits for the second half
	StatusISO  = 0x9000 // of ISO 7816 commands
)

// ErrRefused is a card that has answered and has not proved the key: it holds
// another one, it knows no such application, or it only pretends.
var ErrRefused = errors.New("the card does not prove its key")

// Commands of AN12196 §6 and AN12343 §5 as ISO 7816 frames.
const (
	insSelectISO     = 0xA4
	insSelect        = 0x5A
	insAuthenticate  = 0x71
	insAdditional    = 0xAF
	insGetCardUID    = 0x51
	challengeSize    = 16
	uidSize          = 7
	shortMAC         = block / 2
	desfireAIDLength = 3
)

// NTAG424 is the name of an NTAG 424 DNA's application (ISO DF name).
func NTAG424() []byte { return []byte{0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01} }

// SelectCommand selects an application: by a DESFire AID of 3 bytes as the
// issuer writes it (the last byte is sent first), or by an ISO DF name of 5 to
// 16.
func SelectCommand(application []byte) ([]byte, error) {
	switch n := len(application); {
	case n == desfireAIDLength:
		return native(insSelect, []byte{application[2], application[1], application[0]}), nil
	case n >= 5 && n <= 16:
		head := []byte{0x00, insSelectISO, 0x04, 0x0C, byte(n)}
		return append(append(head, application...), 0x00), nil
	}
	return nil, fmt.Errorf("an application name of %d bytes, want 3 (DESFire) or 5 to 16 (ISO)", len(application))
}

// native wraps a command of the card in an ISO 7816 frame.
func native(ins byte, data []byte) []byte {
	f := []byte{0x90, ins, 0x00, 0x00}
	if len(data) > 0 {
		f = append(append(f, byte(len(data))), data...)
	}
	return append(f, 0x00)
}

// Open splits a card's answer into data and status.
func Open(answer []byte) (data []byte, status uint16, err error) {
	n := len(answer) - 2
	if n < 0 {
		return nil, 0, fmt.Errorf("%w: an answer of %d bytes", ErrRefused, len(answer))
	}
	return answer[:n], binary.BigEndian.Uint16(answer[n:]), nil
}

// want takes the data of an answer with this status and length.
func want(answer []byte, status uint16, size int) ([]byte, error) {
	data, got, err := Open(answer)
	if err != nil {
		return nil, err
	}
	if got != status || len(data) != size {
		return nil, fmt.Errorf("%w: status %04X with %d bytes", ErrRefused, got, len(data))
	}
	return data, nil
}

// FirstCommand begins AuthenticateEV2First with one of the application's keys.
func FirstCommand(keyNumber byte) []byte {
	return native(insAuthenticate, []byte{keyNumber, 0x00}) // no reader capabilities
}

// Handshake is an authentication under way.
type Handshake struct {
	key        Key
	rndA, rndB [challengeSize]byte
}

// Challenge takes the card's answer to FirstCommand. random is fresh and from a
// good source: it alone makes a recorded talk useless. What to send comes with
// the handshake.
func Challenge(key Key, answer []byte, random [challengeSize]byte) (Handshake, []byte, error) {
	data, err := want(answer, StatusMore, challengeSize)
	if err != nil {
		return Handshake{}, nil, err
	}
	h := Handshake{key: key, rndA: random}
	var zero [block]byte
	copy(h.rndB[:], decrypt(key, zero, data))
	plain := append(h.rndA[:len(h.rndA):len(h.rndA)], turned(h.rndB)...)
	return h, native(insAdditional, encrypt(key, zero, plain)), nil
}

// turned is the bytes, the first of them last.
func turned(b [challengeSize]byte) []byte { return append(append([]byte(nil), b[1:]...), b[0]) }

// Session is what card and reader share after the proof.
type Session struct {
	enc, mac Key
	ti       [4]byte // transaction identifier
	counter  uint16
}

// Finish takes the card's second answer, which only a holder of the key can
// compute from random.
func (h Handshake) Finish(answer []byte) (Session, error) {
	data, err := want(answer, StatusOK, 2*challengeSize)
	if err != nil {
		return Session{}, err
	}
	plain := decrypt(h.key, [block]byte{}, data) // TI 4, RndA' 16, card capabilities 6, reader capabilities 6
	if subtle.ConstantTimeCompare(plain[4:20], turned(h.rndA)) != 1 {
		return Session{}, fmt.Errorf("%w: its answer does not match the challenge", ErrRefused)
	}
	s := Session{ti: [4]byte(plain)}
	s.enc = h.sessionKey(0xA5, 0x5A)
	s.mac = h.sessionKey(0x5A, 0xA5)
	return s, nil
}

// sessionKey is CMAC over the session vector of AN12196 §4.2: label, 0001, 0080,
// then parts of both random numbers, some of them added.
func (h Handshake) sessionKey(label1, label2 byte) Key {
	sv := []byte{label1, label2, 0x00, 0x01, 0x00, 0x80}
	sv = append(sv, h.rndA[0:2]...)
	for i := range 6 {
		sv = append(sv, h.rndA[2+i]^h.rndB[i])
	}
	sv = append(sv, h.rndB[6:]...)
	sv = append(sv, h.rndA[8:]...)
	return keyOf(CMAC(h.key, sv))
}

// macOver is the short MAC of what is sent under the counter.
func (s Session) macOver(code byte, counter uint16, data []byte) []byte {
	m := []byte{code}
	m = binary.LittleEndian.AppendUint16(m, counter)
	m = append(m, s.ti[:]...)
	return short(CMAC(s.mac, append(m, data...)))
}

// UIDCommand asks for the card's number under the session.
func (s Session) UIDCommand() []byte {
	return native(insGetCardUID, s.macOver(insGetCardUID, s.counter, nil))
}

// UID takes the answer to UIDCommand: the number that the holder of the key has
// in silicon, whatever it said before.
func (s Session) UID(answer []byte) ([]byte, error) {
	data, err := want(answer, StatusOK, block+shortMAC)
	if err != nil {
		return nil, err
	}
	sealed, mac := data[:block], data[block:]
	if subtle.ConstantTimeCompare(mac, s.macOver(StatusOK&0xFF, s.counter+1, sealed)) != 1 {
		return nil, fmt.Errorf("%w: its number is not signed by the session", ErrRefused)
	}
	vector := append([]byte{0x5A, 0xA5}, s.ti[:]...)
	vector = binary.LittleEndian.AppendUint16(vector, s.counter+1)
	vector = append(vector, make([]byte, block-len(vector))...)
	iv := [block]byte(encrypt(s.enc, [block]byte{}, vector))
	plain := decrypt(s.enc, iv, sealed)
	rest := make([]byte, block-uidSize)
	rest[0] = 0x80 // padding of ISO 9797-1 method 2
	if !bytes.Equal(plain[uidSize:], rest) {
		return nil, fmt.Errorf("%w: its number has no 7 bytes", ErrRefused)
	}
	return plain[:uidSize], nil
}
