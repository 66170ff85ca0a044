package nfc

import (
	"crypto/aes"
	"crypto/cipher"
)

const block = aes.BlockSize

// Key is an AES-128 key.
type Key [16]byte

// String and GoString keep it out of every message.
func (Key) String() string   { return "[redacted]" }
func (Key) GoString() string { return "[redacted]" }

func (k Key) cipher() cipher.Block {
	c, err := aes.NewCipher(k[:])
	if err != nil {
		panic("nfc: AES refuses 16 bytes") // cannot be: the size is in the type
	}
	return c
}

func (k Key) encrypt(iv, data []byte) []byte {
	out := make([]byte, len(data))
	cipher.NewCBCEncrypter(k.cipher(), iv).CryptBlocks(out, data)
	return out
}

func (k Key) decrypt(iv, data []byte) []byte {
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(k.cipher(), iv).CryptBlocks(out, data)
	return out
}

// cmac is NIST SP 800-38B. Messages shorter than least bytes are padded up to
// it: AN10922 wants two blocks where CMAC alone would take one.
func (k Key) cmac(m []byte, least int) [block]byte {
	c := k.cipher()
	var sub [block]byte
	c.Encrypt(sub[:], sub[:])
	sub = doubled(sub)
	if len(m) == 0 || len(m)%block != 0 || len(m) < least {
		m = append(append([]byte(nil), m...), 0x80)
		for len(m)%block != 0 || len(m) < least {
			m = append(m, 0)
		}
		sub = doubled(sub)
	}
	var x [block]byte
	for at := 0; at < len(m); at += block {
		for i := range x {
			x[i] ^= m[at+i]
			if at+block == len(m) {
				x[i] ^= sub[i]
			}
		}
		c.Encrypt(x[:], x[:])
	}
	return x
}

func doubled(b [block]byte) (d [block]byte) {
	for i := range block - 1 {
		d[i] = b[i]<<1 | b[i+1]>>7
	}
	d[block-1] = b[block-1] << 1
	if b[0]&0x80 != 0 {
		d[block-1] ^= 0x87
	}
	return d
}

// mac8 is a MAC as the cards send it: every second byte (AN12196 §4.3).
func (k Key) mac8(m []byte) []byte {
	full := k.cmac(m, 0)
	out := make([]byte, 0, block/2)
	for i := 1; i < block; i += 2 {
		out = append(out, full[i])
	}
	return out
}

// Diversify is one card's key from the site's and what tells the card apart:
// its UID, then whatever the issuer chose, 31 bytes at most (AN10922 §2.2).
func Diversify(site Key, input []byte) Key {
	return site.cmac(append([]byte{0x01}, input...), 2*block)
}
