package pn532_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"

	"sekimori/drivers/pn532/ev2"
)

// applet is the AES application of a card, as AN12196 describes it from the
// reader's side.
type applet struct {
	key  []byte   // its own
	uid  []byte   // in silicon
	name []byte   // ISO DF name
	step int      // commands heard since it was selected
	tear int      // at this command it is not heard; 0: never
	tape [][]byte // if set, what it says instead of computing
	said [][]byte // what it said, for another card's tape

	rndB     byte
	enc, mac []byte
}

func newApplet(key, uid []byte) *applet { return &applet{key: key, uid: uid, name: ev2.NTAG424()} }

func cbc(key, iv, data []byte, seal bool) []byte {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(data))
	if seal {
		cipher.NewCBCEncrypter(b, iv).CryptBlocks(out, data)
	} else {
		cipher.NewCBCDecrypter(b, iv).CryptBlocks(out, data)
	}
	return out
}

func cmac(key, data []byte) []byte {
	k, err := ev2.NewKey(key)
	if err != nil {
		panic(err)
	}
	m := ev2.CMAC(k, data)
	return m[:]
}

func odd(mac []byte) (out []byte) {
	for i := 1; i < len(mac); i += 2 {
		out = append(out, mac[i])
	}
	return out
}

var zeros = make([]byte, 16)

func (a *applet) take(apdu []byte) (answer []byte, heard bool) {
	if apdu[1] == 0xA4 || apdu[1] == 0x5A {
		a.step = 0
	}
	a.step++
	if a.step == a.tear {
		return nil, false
	}
	if a.tape != nil {
		return a.tape[a.step-1], true
	}
	answer = a.compute(apdu)
	a.said = append(a.said, answer)
	return answer, true
}

func (a *applet) compute(apdu []byte) []byte {
	var data []byte
	if len(apdu) > 6 {
		data = apdu[5 : len(apdu)-1]
	}
	switch apdu[1] {
	case 0xA4:
		if !bytes.Equal(data, a.name) {
			return []byte{0x6A, 0x82}
		}
		return []byte{0x90, 0x00}
	case 0x71:
		a.rndB += 0x31 // a new challenge each time
		return append(cbc(a.key, zeros, a.challenge(), true), 0x91, 0xAF)
	case 0xAF:
		return a.second(data)
	case 0x51:
		return a.number(data)
	}
	return []byte{0x91, 0x1C}
}

func (a *applet) challenge() []byte {
	b := make([]byte, 16)
	for i := range b {
		b[i] = a.rndB + byte(i)*7
	}
	return b
}

var ti = []byte{0xDF, 0x05, 0x55, 0x22}

func (a *applet) second(data []byte) []byte {
	b := a.challenge()
	plain := cbc(a.key, zeros, data, false)
	if !bytes.Equal(plain[16:], append(append([]byte(nil), b[1:]...), b[0])) {
		return []byte{0x91, 0xAE}
	}
	rndA := plain[:16]
	sv := append([]byte(nil), rndA[:2]...)
	for i := range 6 {
		sv = append(sv, rndA[2+i]^b[i])
	}
	sv = append(append(sv, b[6:]...), rndA[8:]...)
	a.enc = cmac(a.key, append([]byte{0xA5, 0x5A, 0, 1, 0, 0x80}, sv...))
	a.mac = cmac(a.key, append([]byte{0x5A, 0xA5, 0, 1, 0, 0x80}, sv...))
	out := append(append(append([]byte(nil), ti...), rndA[1:]...), rndA[0])
	return append(cbc(a.key, zeros, append(out, make([]byte, 12)...), true), 0x91, 0x00)
}

func (a *applet) number(mac []byte) []byte {
	if !bytes.Equal(mac, odd(cmac(a.mac, append([]byte{0x51, 0, 0}, ti...)))) {
		return []byte{0x91, 0x1E}
	}
	counter := []byte{1, 0}
	iv := cbc(a.enc, zeros, append(append(append([]byte{0x5A, 0xA5}, ti...), counter...), make([]byte, 8)...), true)
	plain := append(append([]byte(nil), a.uid...), 0x80)
	sealed := cbc(a.enc, iv, append(plain, make([]byte, 16-len(plain))...), true)
	signed := append(append(append([]byte{0x00}, counter...), ti...), sealed...)
	return append(append(sealed, odd(cmac(a.mac, signed))...), 0x91, 0x00)
}

// issued is a card as the municipality hands it out: its key made from the site
// key and its UID.
func issued(site string, uid []byte, system ...byte) *chip {
	input := append(append([]byte{0x01}, uid...), system...)
	padded := append(input, 0x80)
	padded = append(padded, make([]byte, 32-len(padded))...) // two blocks, whatever the length (AN10922)
	return &chip{uid: uid, app: newApplet(diversified(site, padded), uid)}
}

// diversified is AES-CBC over two blocks, the last one with subkey K2 of SP
// 800-38B, which is AES(0) doubled twice.
func diversified(site string, padded []byte) []byte {
	raw := unhex(site)
	sub := cbc(raw, zeros, zeros, true)
	for range 2 {
		top := sub[0] >> 7
		for i := range sub {
			sub[i] <<= 1
			if i+1 < len(sub) {
				sub[i] |= sub[i+1] >> 7
			}
		}
		if top == 1 {
			sub[15] ^= 0x87
		}
	}
	block := bytes.Clone(padded)
	for i := range sub {
		block[16+i] ^= sub[i]
	}
	return cbc(raw, zeros, block, true)[16:]
}
