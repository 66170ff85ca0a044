package site

import (
	"sekimori/firmware-sim/internal/pd"
	"sekimori/internal/settings"
)

// validateOSDP checks that a reader has a key exactly if it is to use one.
func (r Reader) validateOSDP(v *settings.Validator, path func(field string) string) {
	keyed := r.Kind == OSDP && r.Secure == string(pd.Own)
	_, err := pd.ParseKey(r.Key)
	switch {
	case keyed && err != nil:
		v.Fault(path("key"), settings.Message{Code: "reader-key",
			JA: "secure: key には 16 進 32 桁の key が要ります。", EN: "secure: key needs a key of 32 hexadecimal digits.",
			FixJA: "試験用の鍵を書くか、secure: install にしてください。", FixEN: "Write a key made for tests, or use secure: install."})
	case !keyed && (r.Key != "" || r.AllowClear):
		v.Fault(path("key"), settings.Message{Code: "reader-key-unused",
			JA: "key と allow_clear は secure: key の OSDP 読取装置だけのものです。", EN: "key and allow_clear are for OSDP readers with secure: key.",
			FixJA: "消すか、secure: key にしてください。", FixEN: "Remove it, or write secure: key."})
	case r.Kind != OSDP && (r.Secure != string(pd.Clear) || r.Biometric):
		v.Fault(path("secure"), settings.Message{Code: "osdp-only",
			JA: "secure と biometric は OSDP の読取装置だけのものです。", EN: "secure and biometric are for OSDP readers.",
			FixJA: "消すか、kind: osdp にしてください。", FixEN: "Remove them, or write kind: osdp."})
	}
}

// Device is an OSDP reader as it comes out of its box, on a line of that speed;
// Validate has checked it.
func (r Reader) Device(serial uint32, baud int) pd.Config {
	c := pd.Config{Addr: byte(r.Address), Serial: serial, Baud: baud, Security: pd.Security(r.Secure),
		AllowClear: r.AllowClear, Biometric: r.Biometric}
	if c.Security == pd.Own {
		c.Key, _ = pd.ParseKey(r.Key)
	}
	return c
}
