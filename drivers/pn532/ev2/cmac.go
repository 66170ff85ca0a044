package ev2

import (
	"crypto/aes"
	"crypto/cipher"
)

// cipherOf is the block cipher under k; no key at all counts as one of zeros,
// which proves nothing.
func cipherOf(k Key) cipher.Block {
	var bytes [KeySize]byte
	if k.secret != nil {
		bytes = k.secret()
	}
	c, _ := aes.NewCipher(bytes[:]) // fails for keys of other lengths only
	return c
}

// CMAC is AES-CMAC of NIST SP 800-38B.
func CMAC(k Key, message []byte) [block]byte {
	m := append([]byte(nil), message...)
	whole := len(m) > 0 && len(m)%block == 0
	if !whole {
		m = append(m, 0x80)
		for len(m)%block != 0 {
			m = append(m, 0)
		}
	}
	return finish(k, m, whole)
}

// finish is the CMAC of m, which is padded to whole blocks; whole tells that
// none of it is padding.
func finish(k Key, m []byte, whole bool) [block]byte {
	c := cipherOf(k)
	var sub [block]byte
	c.Encrypt(sub[:], sub[:])
	double(&sub) // K1
	if !whole {
		double(&sub) // K2
	}
	var mac [block]byte
	for ; len(m) > 0; m = m[block:] {
		last := len(m) == block
		for i := range mac {
			mac[i] ^= m[i]
			if last {
				mac[i] ^= sub[i]
			}
		}
		c.Encrypt(mac[:], mac[:])
	}
	return mac
}

// double multiplies by x in GF(2^128), SP 800-38B §6.1, in constant time.
func double(b *[block]byte) {
	carry := b[0] >> 7
	for i := range block - 1 {
		b[i] = b[i]<<1 | b[i+1]>>7
	}
	b[block-1] = b[block-1]<<1 ^ 0x87*carry
}

// short is the MAC as cards send it: the bytes at odd places (AN12196 §4.3).
func short(mac [block]byte) []byte {
	out := make([]byte, 0, block/2)
	for i := 1; i < block; i += 2 {
		out = append(out, mac[i])
	}
	return out
}

// decrypt is AES-CBC of whole blocks.
func decrypt(k Key, iv [block]byte, data []byte) []byte {
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(cipherOf(k), iv[:]).CryptBlocks(out, data)
	return out
}

func encrypt(k Key, iv [block]byte, data []byte) []byte {
	out := make([]byte, len(data))
	cipher.NewCBCEncrypter(cipherOf(k), iv[:]).CryptBlocks(out, data)
	return out
}
