package pn532

import (
	"fmt"
)

// Command codes of UM0701-02 §7; an answer has the code + 1.
const (
	cmdFirmware    = 0x02 // GetFirmwareVersion
	cmdSAM         = 0x14 // SAMConfiguration
	cmdRF          = 0x32 // RFConfiguration
	cmdExchange    = 0x40 // InDataExchange
	cmdListPassive = 0x4A // InListPassiveTarget
	cmdRelease     = 0x52 // InRelease
)

// wake brings the chip out of power-down and of the low-battery mode in which
// it starts: bytes with many edges, then time for its oscillator (UM0701-02
// §6.3.2.3, AN10609 §3). libnfc sends the same sixteen.
var wake = []byte{0x55, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// Fixed commands.
var (
	samNormal = []byte{cmdSAM, 0x01}                  // no secure access module
	firmware  = []byte{cmdFirmware}                   //
	rfOff     = []byte{cmdRF, 0x01, 0x00}             // item 1: field off; the next listing turns it on
	release   = []byte{cmdRelease, 0x00}              // all targets
	askOnce   = []byte{cmdRF, 0x05, 0xFF, 0x01, 0x00} // item 5: retries of ATR (endless), PSL 1, activation 0: do not wait for a card
)

// Technology is a way a card talks.
type Technology string

// The technologies a reader can listen for.
const (
	ISO14443A Technology = "iso14443a" // MIFARE, DESFire, NTAG: 106 kbit/s
	FeliCa212 Technology = "felica212" // FeliCa at 212 kbit/s, which every FeliCa card speaks
	FeliCa424 Technology = "felica424" // FeliCa at 424 kbit/s
)

// Technologies lists the valid values.
func Technologies() []Technology { return []Technology{ISO14443A, FeliCa212, FeliCa424} }

// list is the command that looks for one card of a technology: MaxTg, BrTy, and
// for FeliCa the polling request: time slot code, any system, no request, slot 0.
func (t Technology) list() []byte {
	switch t {
	case FeliCa212:
		return []byte{cmdListPassive, 1, 0x01, 0x00, 0xFF, 0xFF, 0x00, 0x00}
	case FeliCa424:
		return []byte{cmdListPassive, 1, 0x02, 0x00, 0xFF, 0xFF, 0x00, 0x00}
	}
	return []byte{cmdListPassive, 1, 0x00}
}

// Target is a card in the field.
type Target struct {
	Technology Technology
	Number     []byte // UID of 4, 7 or 10 bytes, or IDm of 8, as the card sends it
	ISODEP     bool   // it takes ISO 14443-4 commands
}

// selResISODEP is the bit of SEL_RES (SAK) for ISO 14443-4 (ISO 14443-3 §6.4.3.4).
const selResISODEP = 0x20

// ParseTarget reads the answer to a listing behind its code: the number of
// targets, and of the first one Tg and what the technology says. ok is false
// when no card is there.
func ParseTarget(t Technology, answer []byte) (target Target, ok bool, err error) {
	if len(answer) == 0 || answer[0] > 2 {
		return Target{}, false, fmt.Errorf("%w: list of targets", errAnswer)
	}
	if answer[0] == 0 {
		return Target{}, false, nil
	}
	if len(answer) < 3 || answer[1] != 1 {
		return Target{}, false, fmt.Errorf("%w: target", errAnswer)
	}
	if t == ISO14443A {
		target, err = parseA(answer[2:])
	} else {
		target, err = parseFeliCa(t, answer[2:])
	}
	return target, err == nil, err
}

// parseA reads SENS_RES 2, SEL_RES 1, length of NFCID1, NFCID1, and of an
// ISO 14443-4 card the ATS. The chip has removed cascade tags and checked each BCC.
func parseA(b []byte) (Target, error) {
	if len(b) < 4 {
		return Target{}, fmt.Errorf("%w: type A card of %d bytes", errAnswer, len(b))
	}
	n := int(b[3])
	if n != 4 && n != 7 && n != 10 || len(b) < 4+n {
		return Target{}, fmt.Errorf("%w: UID of %d bytes", errAnswer, n)
	}
	return Target{Technology: ISO14443A, Number: b[4 : 4+n : 4+n], ISODEP: b[2]&selResISODEP != 0}, nil
}

// parseFeliCa reads POL_RES: its length with this byte (18, or 20 with a system
// code), response code 01, IDm 8, PMm 8.
func parseFeliCa(t Technology, b []byte) (Target, error) {
	if n := int(b[0]); n != 18 && n != 20 || len(b) < n || b[1] != 0x01 {
		return Target{}, fmt.Errorf("%w: FeliCa card of %d bytes", errAnswer, len(b))
	}
	return Target{Technology: t, Number: b[2:10:10]}, nil
}

// random tells whether the card makes up its number each time it gets power: a
// single-size UID that begins with 08 (ISO 14443-3 §6.4.4).
func (t Target) random() bool {
	return t.Technology == ISO14443A && len(t.Number) == 4 && t.Number[0] == 0x08
}

// same tells whether two listings can be one card that stayed. FeliCa answers at
// both speeds. Of two cards with made-up numbers nobody can say; they count as
// one, so that a card that rests is one reading.
func (t Target) same(o Target) bool {
	if t.random() && o.random() {
		return true
	}
	return string(t.Number) == string(o.Number) && (t.Technology == ISO14443A) == (o.Technology == ISO14443A)
}

// apdu sends an ISO 7816 command to the card that was listed.
func apdu(command []byte) []byte { return append([]byte{cmdExchange, 1}, command...) }

// exchanged is the card's answer to an apdu, behind the code: the chip's status,
// then the data. Any status but 00 is a card that was not heard (UM0701-02 §7.1);
// bit 6, more data to come, is none that these commands have.
func exchanged(answer []byte) ([]byte, error) {
	if len(answer) == 0 {
		return nil, fmt.Errorf("%w: exchange without status", errAnswer)
	}
	if answer[0] != 0 {
		return nil, fmt.Errorf("the card is not heard: chip status %02X", answer[0])
	}
	return answer[1:], nil
}

// Firmware is what the chip says of itself.
type Firmware struct {
	IC       byte // 0x32 for a PN532
	Version  byte
	Revision byte
	Support  byte // bit 0 ISO 14443A, bit 1 ISO 14443B, bit 2 ISO 18092
}

// IsPN532 tells whether the chip is one.
func (f Firmware) IsPN532() bool { return f.IC == 0x32 }

// String is for operators: "PN532 firmware 1.6".
func (f Firmware) String() string {
	return fmt.Sprintf("PN5%02X firmware %d.%d", f.IC, f.Version, f.Revision)
}

func parseFirmware(b []byte) (Firmware, error) {
	if len(b) != 4 {
		return Firmware{}, fmt.Errorf("%w: firmware version of %d bytes", errAnswer, len(b))
	}
	return Firmware{IC: b[0], Version: b[1], Revision: b[2], Support: b[3]}, nil
}
