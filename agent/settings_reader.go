package agent

import (
	"fmt"
	"slices"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// ReaderSettings is a reader at a door. Which of the keys count is the driver's
// matter: readerKeys says it.
type ReaderSettings struct {
	ID        string `yaml:"id" settings:"required,id"`
	Direction string `yaml:"direction" settings:"required,enum=in|out"`
	Driver    string `yaml:"driver" settings:"required,enum=osdp|wiegand|pn532|fingerprint"`

	// Link is how far the reader is believed. secure: only after it has proved
	// the key or password it was commissioned with; clear: as it is, and the
	// ledger says so [T-22].
	Link string `yaml:"link" settings:"enum=secure|clear"`

	Bus       string `yaml:"bus"`
	Address   uint32 `yaml:"address"`   // osdp: 0 to 126; fingerprint: the module's, 0 for the maker's 0xFFFFFFFF
	Checksum  bool   `yaml:"checksum"`  // osdp: the reader knows no CRC
	Biometric bool   `yaml:"biometric"` // osdp: the reader compares fingers

	Port  string `yaml:"port"` // path, or usb:<serial number of the adapter>
	Baud  int    `yaml:"baud" settings:"min=9600,max=921600"`
	Level int    `yaml:"security_level" settings:"min=1,max=5"` // fingerprint

	// Form is how the number of a card's chip is written here, so that readers of
	// different makes give one number for one card.
	Form string `yaml:"form"`
	// Proof is what a card must show: uid_only, or cryptographic.
	Proof   string           `yaml:"proof" settings:"enum=uid_only|cryptographic"`
	CardKey *CardKeySettings `yaml:"card_key"` // with proof: cryptographic

	D0     string `yaml:"d0"`
	D1     string `yaml:"d1"`
	LED    string `yaml:"led"`
	Buzzer string `yaml:"buzzer"`
	Tamper string `yaml:"tamper"`
	Hold   string `yaml:"hold"`   // output: the reader keeps its next card to itself
	Keypad *bool  `yaml:"keypad"` // wiegand: short frames are keys; otherwise they are noise

	ActiveLow []string          `yaml:"active_low"` // of led, buzzer, tamper, hold: those that are on at level 0
	Formats   []string          `yaml:"formats"`    // card frames: H10301, C1000, w34, raw32 …
	Entries   []string          `yaml:"entries"`    // frames that are whole keypad entries: see parseEntry
	KeyGap    settings.Duration `yaml:"key_gap" settings:"max=1m"`
}

// The values of link and driver.
const (
	linkSecure = "secure"

	driverOSDP        = "osdp"
	driverWiegand     = "wiegand"
	driverPN532       = "pn532"
	driverFingerprint = "fingerprint"
)

// keys of one driver: what it needs and what it may have.
type keys struct{ needs, may []string }

var readerKeys = map[string]keys{
	driverOSDP:        {needs: []string{"bus"}, may: []string{"link", "address", "checksum", "biometric", "form"}},
	driverWiegand:     {needs: []string{"d0", "d1", "keypad"}, may: []string{"led", "buzzer", "tamper", "hold", "active_low", "formats", "entries", "key_gap"}},
	driverPN532:       {needs: []string{"port"}, may: []string{"baud", "form", "proof", "card_key"}},
	driverFingerprint: {needs: []string{"port"}, may: []string{"baud", "address", "link", "security_level"}},
}

// set tells which of a driver's keys are written.
func (r *ReaderSettings) set() map[string]bool {
	return map[string]bool{
		"link": r.Link != "", "bus": r.Bus != "", "address": r.Address != 0, "checksum": r.Checksum, "biometric": r.Biometric,
		"port": r.Port != "", "baud": r.Baud != 0, "security_level": r.Level != 0, "form": r.Form != "", "proof": r.Proof != "", "card_key": r.CardKey != nil,
		"d0": r.D0 != "", "d1": r.D1 != "", "led": r.LED != "", "buzzer": r.Buzzer != "", "tamper": r.Tamper != "", "keypad": r.Keypad != nil,
		"hold": r.Hold != "", "active_low": len(r.ActiveLow) > 0, "formats": len(r.Formats) > 0, "entries": len(r.Entries) > 0, "key_gap": r.KeyGap.D() != 0,
	}
}

// Validate wants what the driver needs and nothing that belongs to another.
func (r *ReaderSettings) Validate(v *settings.Validator) {
	known, ok := readerKeys[r.Driver]
	if !ok {
		return // told by the enum
	}
	is := r.set()
	for _, key := range known.needs {
		if !is[key] {
			v.Fault(key, missing(r.Driver, key))
		}
		delete(is, key)
	}
	for _, key := range known.may {
		delete(is, key)
	}
	for _, key := range sorted(is) {
		if is[key] {
			v.Fault(key, unused(r.Driver, key))
		}
	}
	if r.Driver == driverOSDP && r.Address > 126 {
		v.Fault("address", settings.Message{Code: "out-of-range",
			JA: fmt.Sprintf("address の %d は 0 から 126 ではありません", r.Address), EN: fmt.Sprintf("address %d is not 0 to 126", r.Address),
			FixJA: "読取装置の番地を確かめてください(sekimori-agent readers probe)", FixEN: "Look the address up with sekimori-agent readers probe."})
	}
	if r.Driver == driverWiegand {
		r.validateWiegand(v)
	}
	if r.CardKey != nil && r.Driver == driverPN532 && r.proof() != record.ProofCryptographic {
		v.Fault("card_key", settings.Message{Code: "unused",
			JA: "card_key は proof: cryptographic のときだけ使います", EN: "card_key is used with proof: cryptographic only.",
			FixJA: "proof: cryptographic を書くか、card_key を消してください", FixEN: "Write proof: cryptographic, or remove card_key."})
	}
	if err := line.CheckName(r.Port); r.Port != "" && err != nil {
		v.Fault("port", settings.Message{Code: "bad-port",
			JA: fmt.Sprintf("port の %q は書き方が違います", r.Port), EN: err.Error(),
			FixJA: "sekimori-agent readers list で名前を確かめてください", FixEN: "sekimori-agent readers list shows the names."})
	}
	if r.Form != "" {
		if _, err := drivers.ParseForm(r.Form); err != nil {
			v.Fault("form", settings.Message{Code: "bad-form",
				JA: fmt.Sprintf("form の %q は書き方が違います", r.Form), EN: err.Error(),
				FixJA: "uid(番号そのまま)、w26・w34(パリティ付き)、raw32(パリティなし)のどれかに、必要なら -high か -reversed を続けてください", FixEN: "Write uid, w26, w34, raw32 … and after it -high or -reversed."})
		}
	}
}

func sorted(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// A Wiegand line does not tell whether there is a keypad, and guessing wrong
// either loses PINs or takes noise for keys; an OSDP reader tells it itself.
func missing(driver, key string) settings.Message {
	m := settings.Message{Code: "required",
		JA: fmt.Sprintf("driver が %s のときは %s が必要です", driver, key), EN: fmt.Sprintf("driver %s needs %s", driver, key),
		FixJA: key + " を書き加えてください", FixEN: "Add " + key + "."}
	if key == "keypad" {
		m.FixJA = "暗証番号の釦があれば keypad: true、なければ keypad: false"
		m.FixEN = "Write keypad: true where there are keys for a PIN, keypad: false where there are none."
	}
	return m
}

func unused(driver, key string) settings.Message {
	m := settings.Message{Code: "unused",
		JA: fmt.Sprintf("driver が %s のときは %s は使いません", driver, key), EN: fmt.Sprintf("driver %s does not use %s", driver, key),
		FixJA: key + " を消してください", FixEN: "Remove " + key + "."}
	switch key {
	case "keypad":
		m.FixJA, m.FixEN = "keypad を消してください。読取装置が自分で知らせます", "Remove keypad: the reader tells it itself."
	case "link":
		m.FixJA, m.FixEN = "link を消してください。この読取装置の線は認証できません(台帳にもそう残ります)", "Remove link: this reader's line cannot prove itself, and the ledger says so."
	}
	return m
}

// secure tells that the reader is believed only after it has proved itself,
// which is so unless the settings say otherwise.
func (r ReaderSettings) secure() bool {
	return (r.Driver == driverOSDP || r.Driver == driverFingerprint) && (r.Link == "" || r.Link == linkSecure)
}

// proof is what the reader can show of who stands before it [T-22].
func (r ReaderSettings) proof() record.Proof {
	switch {
	case r.Driver == driverFingerprint:
		return record.ProofBiometric
	case r.Proof == string(record.ProofCryptographic):
		return record.ProofCryptographic
	}
	return record.ProofUIDOnly
}

func (r ReaderSettings) form() drivers.Form {
	if r.Form == "" {
		return drivers.Form{}
	}
	f, _ := drivers.ParseForm(r.Form) // checked by Validate
	return f
}
