package people

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
)

// CardKey is one text per distinct card: number of bits and the bits as a
// reader gives them, most significant first, left-aligned, in hexadecimal. It is
// what drivers.Card.Key gives on the other side of the wire; two reader types
// that read one card give one key [T-22].
func CardKey(c Card) (string, error) {
	switch c.Layout {
	case "h10301":
		if c.Bits != "" || c.UID != "" || c.Facility > 0xff || c.ID > 0xffff || c.Facility < 0 || c.ID < 0 {
			return "", fmt.Errorf("h10301: facility 0-255, id 0-65535, no bits, no uid")
		}
		return h10301(uint32(c.Facility), uint32(c.ID)), nil
	case "raw":
		if c.Facility != 0 || c.ID != 0 || c.UID != "" {
			return "", fmt.Errorf("raw: bits only")
		}
		return rawKey(c.Bits)
	case "uid":
		if c.Facility != 0 || c.ID != 0 || c.Bits != "" {
			return "", fmt.Errorf("uid: uid only")
		}
		return uidKey(c.UID)
	}
	return "", fmt.Errorf("unknown card format %q", c.Layout)
}

// h10301 is the 26-bit format of HID (H10301):
//
//	P ffffffff iiiiiiiiiiiiiiii p
//	│ └ facility └ id           └ odd parity over the last 12 data bits
//	└ even parity over the first 12 data bits
func h10301(facility, id uint32) string {
	data := facility<<16 | id // 24 bits
	even := uint32(bits.OnesCount32(data>>12)) & 1
	odd := ^uint32(bits.OnesCount32(data&0xfff)) & 1
	word := even<<25 | data<<1 | odd
	return fmt.Sprintf("26:%08x", word<<6) // left-aligned in 4 bytes
}

// rawKey takes bits as a reader's manual writes them, "1010…".
func rawKey(text string) (string, error) {
	n := len(text)
	if n == 0 || n > 512 || strings.Trim(text, "01") != "" {
		return "", fmt.Errorf("raw: 1 to 512 digits 0 and 1")
	}
	b := make([]byte, (n+7)/8)
	for i, c := range text {
		if c == '1' {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	return fmt.Sprintf("%d:%s", n, hex.EncodeToString(b)), nil
}

// uidKey takes the number of a chip: an ISO 14443 UID of 4, 7 or 10 bytes, or a
// FeliCa IDm of 8.
func uidKey(text string) (string, error) {
	b, err := hex.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("uid: hexadecimal digits")
	}
	switch len(b) {
	case 4, 7, 8, 10:
		return fmt.Sprintf("%d:%x", 8*len(b), b), nil
	}
	return "", fmt.Errorf("uid: 4, 7, 8 or 10 bytes")
}
