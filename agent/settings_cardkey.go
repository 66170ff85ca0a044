package agent

import (
	"encoding/hex"
	"fmt"

	"sekimori/drivers"
	"sekimori/drivers/pn532"
	"sekimori/internal/settings"
)

// CardKeySettings is which key of a card proves it, and how it comes from the key
// that sekimori-agent readers card-key keeps. Left out: key 0 of an NTAG 424 DNA,
// diversified per card from its UID (NXP AN10922).
type CardKeySettings struct {
	Number        int    `yaml:"number" settings:"min=0,max=13"`
	Application   string `yaml:"application"` // hexadecimal: DESFire AID of 3 bytes, or ISO DF name of 5 to 16
	System        string `yaml:"system"`      // hexadecimal, at most 21 bytes: what the issuer put behind the UID
	Undiversified bool   `yaml:"undiversified"`
}

// Validate checks the two hexadecimal fields.
func (k *CardKeySettings) Validate(v *settings.Validator) {
	if n, ok := hexLen(k.Application); !ok || k.Application != "" && n != 3 && (n < 5 || n > 16) {
		v.Fault("application", settings.Message{Code: "bad-application",
			JA: fmt.Sprintf("application の %q は書き方が違います", k.Application), EN: "application is a DESFire AID or an ISO DF name in hexadecimal.",
			FixJA: "DESFire の AID(16進6桁)か ISO DF 名(16進10〜32桁)を書いてください", FixEN: "Write 6 hexadecimal digits, or 10 to 32."})
	}
	if n, ok := hexLen(k.System); !ok || n > 21 {
		v.Fault("system", settings.Message{Code: "bad-system",
			JA: fmt.Sprintf("system の %q は書き方が違います", k.System), EN: "system is at most 21 bytes in hexadecimal.",
			FixJA: "発行者が決めた値を16進42桁までで書いてください", FixEN: "Write up to 42 hexadecimal digits."})
	}
}

func hexLen(text string) (n int, ok bool) {
	b, err := hex.DecodeString(text)
	return len(b), err == nil
}

// proof is what the driver asks of cards; a card that cannot is refused by name.
func (k *CardKeySettings) proof(key pn532.SiteKey) pn532.Proof {
	p := pn532.Proof{Key: key, Demand: drivers.ProofCryptographic}
	if k == nil {
		return p
	}
	p.KeyNumber, p.Undiversified = byte(k.Number), k.Undiversified
	p.Application, _ = hex.DecodeString(k.Application) // checked by Validate
	p.System, _ = hex.DecodeString(k.System)
	return p
}
