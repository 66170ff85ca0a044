package nfc

import (
	"bytes"
	"io"
	"time"
)

// Chip is what answers in a card's place. A card may have both numbers, as
// hybrid cards do.
type Chip struct {
	UID []byte // ISO 14443A: 4, 7 or 10 bytes; nil for none
	IDm []byte // FeliCa: 8 bytes; nil for none

	Secure      bool   // it holds a key, and a UID of 7 bytes
	Key         Key    // of Secure
	Application []byte // of Secure: DF name, or DESFire AID of 3 bytes

	Clone bool // says the numbers and pretends to prove a key it does not have
}

// NTAG424 is the DF name of an NTAG 424 DNA's application.
func NTAG424() []byte { return []byte{0xD2, 0x76, 0x00, 0x00, 0x85, 0x01, 0x01} }

// card is a chip in the field.
type card struct {
	chip   Chip
	until  time.Duration // 0: until taken away
	halted bool          // says nothing until InSelect, or until it has lost its power
	applet applet
}

func newCard(c Chip, until time.Duration, random io.Reader) *card {
	k := &card{chip: c, until: until, applet: applet{chip: c, random: random}}
	if c.Clone {
		k.applet.fresh(k.applet.chip.Key[:])
	}
	return k
}

// power is the field going off and on.
func (k *card) power() {
	k.halted, k.applet.selected = false, false
	k.applet.end(swOK)
}

// halt ends the talk with the card.
func (k *card) halt() {
	k.power()
	k.halted = true
}

// ats of an NTAG 424 DNA, behind its own length.
var ats = []byte{0x06, 0x75, 0x77, 0x81, 0x02, 0x80}

// typeA is the card as InListPassiveTarget tells it at 106 kbit/s: SENS_RES 2,
// SEL_RES 1, length of the UID, UID, ATS.
func (k *card) typeA(rats bool) []byte {
	head := []byte{0x00, 0x04, 0x08} // 4 bytes: as a MIFARE Classic
	switch {
	case k.isoDEP():
		head = []byte{0x03, 0x44, 0x20}
	case len(k.chip.UID) == 7:
		head = []byte{0x00, 0x44, 0x00} // as an NTAG 21x
	case len(k.chip.UID) == 10:
		head = []byte{0x00, 0x84, 0x00}
	}
	b := append(append(head, byte(len(k.chip.UID))), k.chip.UID...)
	if k.isoDEP() && rats {
		b = append(b, ats...)
	}
	return b
}

func (k *card) isoDEP() bool { return k.chip.Secure }

// felica is POL_RES: its length, 01, IDm, PMm, and the system code where asked.
func (k *card) felica(poll []byte) []byte {
	pmm := []byte{0x01, 0x20, 0x22, 0x04, 0x27, 0x67, 0x4E, 0xFF}
	b := append(append([]byte{0, 0x01}, k.chip.IDm...), pmm...)
	if poll[3] == 0x01 {
		b = append(b, systemCode...)
	}
	b[0] = byte(len(b))
	return b
}

// systemCode is the one of transport tickets.
var systemCode = []byte{0x00, 0x03}

// answersPoll tells whether a polling request (00, system code 2, request, slots)
// is meant for such a card; FF is any.
func answersPoll(poll []byte) bool {
	return len(poll) == 5 && poll[0] == 0 && (poll[1] == 0xFF || poll[1] == systemCode[0]) && (poll[2] == 0xFF || poll[2] == systemCode[1])
}

// meant tells whether a listing names this UID, with cascade tags, or any.
func (k *card) meant(name []byte) bool {
	const cascade = 0x88
	u := k.chip.UID
	switch {
	case len(name) == 0:
		return true
	case len(u) == 7:
		return bytes.Equal(name, append([]byte{cascade}, u...))
	case len(u) == 10:
		full := append([]byte{cascade, u[0], u[1], u[2], cascade}, u[3:]...)
		return bytes.Equal(name, full)
	}
	return bytes.Equal(name, u)
}
