package nfc

import (
	"bytes"
	"encoding/binary"
	"io"
)

// Statuses of an answer.
const (
	swISO       = 0x9000
	swNoFile    = 0x6A82
	swOK        = 0x9100
	swMore      = 0x91AF
	swIllegal   = 0x911C
	swIntegrity = 0x911E
	swNoKey     = 0x9140
	swLength    = 0x917E
	swNoApp     = 0x91A0
	swRefused   = 0x91AE
)

// Commands.
const (
	insSelect     = 0x5A
	insFirst      = 0x71
	insAdditional = 0xAF
	insCardUID    = 0x51
)

// keys is how many keys the application has, all of them the same here: 14 of a
// DESFire's, 5 of an NTAG 424's.
func (a *applet) keys() byte {
	if len(a.chip.Application) == 3 {
		return 14
	}
	return 5
}

// applet is the application of a card that proves its key with
// AuthenticateEV2First and then says its UID under the session (AN12196 §6, §7).
//
//	idle ── select ─▶ selected ── 71 ─▶ asked ── AF, right ─▶ open ── 51 ─▶ open
//	                     ▲                 └── AF, wrong ─┐             wrong MAC ─┐
//	                     └────────────────────────────────┴───────────────────────┘
type applet struct {
	chip   Chip
	random io.Reader

	selected bool
	asked    bool
	open     bool
	rndB     [block]byte
	ti       [4]byte
	enc, mac Key
	counter  uint16
}

// exchange takes an ISO 7816 command and gives the card's answer.
func (a *applet) exchange(c []byte) []byte {
	if len(c) < 4 {
		return status(swLength)
	}
	if c[0] == 0x00 && c[1] == 0xA4 {
		return a.selectName(c)
	}
	data, ok := native(c)
	switch {
	case c[0] != 0x90:
		return status(swIllegal)
	case !ok:
		return a.end(swLength)
	}
	switch c[1] {
	case insSelect:
		return a.selectAID(data)
	case insFirst:
		return a.first(data)
	case insAdditional:
		return a.second(data)
	case insCardUID:
		return a.uid(data)
	}
	return a.end(swIllegal)
}

// native unwraps 90 INS 00 00 [Lc data] 00.
func native(c []byte) ([]byte, bool) {
	switch {
	case len(c) == 5 && c[4] == 0:
		return nil, true
	case len(c) > 6 && int(c[4]) == len(c)-6 && c[len(c)-1] == 0:
		return c[5 : len(c)-1], true
	}
	return nil, false
}

func status(sw uint16, data ...byte) []byte { return binary.BigEndian.AppendUint16(data, sw) }

// end loses the session, as every error does.
func (a *applet) end(sw uint16) []byte {
	a.asked, a.open = false, false
	return status(sw)
}

func (a *applet) selectName(c []byte) []byte {
	a.selected = c[2] == 0x04 && len(c) > 5 && len(c) >= 5+int(c[4]) && bytes.Equal(c[5:5+int(c[4])], a.chip.Application)
	if !a.selected {
		return a.end(swNoFile)
	}
	return a.end(swISO)
}

// selectAID takes a DESFire AID, least significant byte first.
func (a *applet) selectAID(data []byte) []byte {
	app := a.chip.Application
	a.selected = len(data) == 3 && len(app) == 3 && data[0] == app[2] && data[1] == app[1] && data[2] == app[0]
	if !a.selected {
		return a.end(swNoApp)
	}
	return a.end(swOK)
}

func (a *applet) fresh(b []byte) {
	if _, err := io.ReadFull(a.random, b); err != nil {
		panic("nfc: no random numbers: " + err.Error()) // crypto/rand never fails
	}
}

// first is AuthenticateEV2First: key number, length of the reader's
// capabilities, those.
func (a *applet) first(data []byte) []byte {
	switch {
	case !a.selected:
		return a.end(swRefused)
	case len(data) < 2 || len(data) != 2+int(data[1]) || data[1] > 6:
		return a.end(swLength)
	case data[0] >= a.keys():
		return a.end(swNoKey)
	}
	a.end(swOK)
	a.fresh(a.rndB[:])
	a.asked = true
	return status(swMore, a.chip.Key.encrypt(make([]byte, block), a.rndB[:])...)
}

// second takes E(K, RndA ‖ RndB') and answers E(K, TI ‖ RndA' ‖ capabilities).
func (a *applet) second(data []byte) []byte {
	if !a.asked || len(data) != 2*block {
		return a.end(swRefused)
	}
	a.asked = false
	plain := a.chip.Key.decrypt(make([]byte, block), data)
	rndA := [block]byte(plain)
	if !bytes.Equal(plain[block:], turned(a.rndB)) && !a.chip.Clone {
		return a.end(swRefused)
	}
	a.fresh(a.ti[:])
	a.open, a.counter = true, 0
	a.enc, a.mac = a.session(rndA, 0xA5, 0x5A), a.session(rndA, 0x5A, 0xA5)
	out := append(append(a.ti[:len(a.ti):len(a.ti)], turned(rndA)...), make([]byte, 12)...)
	return status(swOK, a.chip.Key.encrypt(make([]byte, block), out)...)
}

func turned(b [block]byte) []byte { return append(bytes.Clone(b[1:]), b[0]) }

// session is a key for the talk (AN12196 §4.2): CMAC over a label, 00 01 00 80,
// RndA[15:14], RndA[13:8] xor RndB[15:10], RndB[9:0], RndA[7:0], written there
// with the first byte as number 15.
func (a *applet) session(rndA [block]byte, label1, label2 byte) Key {
	v := []byte{label1, label2, 0x00, 0x01, 0x00, 0x80, rndA[0], rndA[1]}
	for i := range 6 {
		v = append(v, rndA[2+i]^a.rndB[i])
	}
	v = append(append(v, a.rndB[6:]...), rndA[8:]...)
	return a.chip.Key.cmac(v, 0)
}

// uid is GetCardUID: a MAC of 8 in, the padded UID in cipher and a MAC out.
func (a *applet) uid(data []byte) []byte {
	if !a.open {
		return a.end(swRefused)
	}
	if !bytes.Equal(data, a.mac.mac8(a.signed(insCardUID, nil))) {
		return a.end(swIntegrity)
	}
	a.counter++
	iv := binary.LittleEndian.AppendUint16(append([]byte{0x5A, 0xA5}, a.ti[:]...), a.counter)
	iv = a.enc.encrypt(make([]byte, block), append(iv, make([]byte, 8)...))
	plain := append(bytes.Clone(a.chip.UID), 0x80)
	plain = append(plain, make([]byte, block-len(plain))...)
	sealed := a.enc.encrypt(iv, plain)
	return status(swOK, append(sealed, a.mac.mac8(a.signed(swOK&0xFF, sealed))...)...)
}

// signed is what a MAC covers: command code or status, counter, TI, data.
func (a *applet) signed(code byte, data []byte) []byte {
	m := binary.LittleEndian.AppendUint16([]byte{code}, a.counter)
	return append(append(m, a.ti[:]...), data...)
}
