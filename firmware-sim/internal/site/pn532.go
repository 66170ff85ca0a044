package site

import (
	"encoding/hex"

	"sekimori/firmware-sim/internal/nfc"
	"sekimori/internal/settings"
)

// Speed is the module's baud rate: as written, or as the maker sends it.
func (r Reader) Speed() int {
	switch {
	case r.Baud != 0:
		return r.Baud
	case r.Kind == PN532:
		return 115200
	}
	return 57600
}

// Chips is what the cards have for a PN532 module, by number and by name;
// Validate has checked it.
func (s Site) Chips() map[string]nfc.Chip {
	m := map[string]nfc.Chip{}
	for _, c := range s.Cards {
		if c.UID == "" && c.IDm == "" {
			continue
		}
		chip := c.chip()
		m[c.Number] = chip
		if c.Name != "" {
			m[c.Name] = chip
		}
	}
	return m
}

func (c Card) chip() nfc.Chip {
	chip := nfc.Chip{UID: unhex(c.UID), IDm: unhex(c.IDm), Secure: c.Key != "", Application: unhex(c.Application)}
	if chip.Application == nil {
		chip.Application = nfc.NTAG424()
	}
	copy(chip.Key[:], unhex(c.Key))
	if c.Diversified {
		chip.Key = nfc.Diversify(chip.Key, append(append([]byte(nil), chip.UID...), unhex(c.System)...))
	}
	return chip
}

// unhex reads hexadecimal digits; nil for none and for what is not.
func unhex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

const maxSystem = 24 // with a UID of 7 the 31 bytes of AN10922

// validateChip checks the numbers and the key of a card for PN532 modules. It
// quotes no key.
func (c Card) validateChip(v *settings.Validator, path string) {
	sized := func(field, text, ja, en string, sizes ...int) {
		b := unhex(text)
		for _, n := range sizes {
			if len(b) == n {
				return
			}
		}
		if text != "" {
			v.Fault(path+field, settings.Message{Code: "card-chip", JA: field + " は" + ja + "です。", EN: field + " is " + en + ".",
				FixJA: "16進数で書き直してください。", FixEN: "Write it in hexadecimal digits."})
		}
	}
	sized("uid", c.UID, "16進数8・14・20桁", "8, 14 or 20 hexadecimal digits", 4, 7, 10)
	sized("idm", c.IDm, "16進数16桁", "16 hexadecimal digits", 8)
	sized("key", c.Key, "16進数32桁", "32 hexadecimal digits", 16)
	sized("application", c.Application, "16進数6桁(AID)か10〜32桁(DF 名)", "6 hexadecimal digits (AID) or 10 to 32 (DF name)",
		3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	if b := unhex(c.System); c.System != "" && (len(b) == 0 || len(b) > maxSystem) {
		v.Fault(path+"system", settings.Message{Code: "card-chip", JA: "system は16進数48桁までです。", EN: "system has at most 48 hexadecimal digits.",
			FixJA: "短くしてください。", FixEN: "Make it shorter."})
	}
	if c.Key != "" && len(unhex(c.UID)) != 7 || c.Key == "" && (c.Diversified || c.System != "" || c.Application != "") {
		v.Fault(path+"key", settings.Message{Code: "card-key",
			JA:    "key は uid 14桁のカードだけのもので、diversified・system・application には key が要ります。",
			EN:    "key is for cards with a uid of 14 digits; diversified, system and application need a key.",
			FixJA: "uid を14桁にするか、鍵のほうを消してください。", FixEN: "Give a uid of 14 digits, or remove the key."})
	}
}
