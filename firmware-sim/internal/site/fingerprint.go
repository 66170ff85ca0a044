package site

import (
	"fmt"
	"strconv"

	"sekimori/firmware-sim/internal/finger"
	"sekimori/internal/settings"
)

// Template is a finger by name at its place in a module.
type Template struct {
	Slot   int    `yaml:"slot" settings:"required,min=1,max=199"`
	Finger string `yaml:"finger" settings:"required,max=32"`
}

// capacity of an R503: pages 0 to 199.
const capacity = 200

// Module is a fingerprint module as it comes out of its box; Validate has
// checked it.
func (r Reader) Module() finger.Config {
	password, _ := strconv.ParseUint(r.Password, 16, 32)
	c := finger.Config{Address: 0xFFFFFFFF, Password: uint32(password), Capacity: capacity, Templates: map[int]string{}}
	for _, t := range r.Templates {
		c.Templates[t.Slot] = t.Finger
	}
	return c
}

func (r Reader) validateModule(v *settings.Validator, path func(string) string) {
	if r.Port == "" {
		v.Fault(path("port"), settings.Message{Code: "missing-port",
			JA: "照合装置と PN532 には port が要ります。", EN: "A fingerprint or PN532 module needs a port.",
			FixJA: "線の名前を書いてください(例 fp0、nfc0)。", FixEN: "Name its serial line, such as fp0."})
	}
	if _, err := strconv.ParseUint(r.Password, 16, 32); err != nil || len(r.Password) != 8 {
		v.Fault(path("password"), settings.Message{Code: "module-password",
			JA: "照合装置のパスワードは16進数8桁です。", EN: "A module's password is 8 hexadecimal digits.",
			FixJA: "'00000000' のように書いてください。", FixEN: "Write it like '00000000'."})
	}
	seen := map[int]bool{}
	for i, t := range r.Templates {
		if seen[t.Slot] {
			v.Fault(path(fmt.Sprintf("templates[%d].slot", i)), settings.Message{Code: "same-slot",
				JA: fmt.Sprintf("%d 番は2回書かれています。", t.Slot), EN: fmt.Sprintf("slot %d is written twice.", t.Slot),
				FixJA: "番号を変えてください。", FixEN: "Change one of them."})
		}
		seen[t.Slot] = true
	}
}
