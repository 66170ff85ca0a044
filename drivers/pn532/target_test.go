package pn532_test

import (
	"bytes"
	"testing"

	"sekimori/drivers/pn532"
)

// Answers to InListPassiveTarget behind their code (UM0701-02 §7.3.5).
func TestTargetVectors(t *testing.T) {
	for name, c := range map[string]struct {
		tech   pn532.Technology
		answer string
		want   string // number
		dep    bool
	}{
		"nobody":         {pn532.ISO14443A, "00", "", false},
		"MIFARE Classic": {pn532.ISO14443A, "01 01 0004 08 04 1A2B3C4D", "1A2B3C4D", false}, // NbTg, Tg, SENS_RES, SEL_RES, length, NFCID1
		"NTAG 213":       {pn532.ISO14443A, "01 01 0044 00 07 04112233445566", "04112233445566", false},
		"NTAG 424 DNA":   {pn532.ISO14443A, "01 01 0344 20 07 04958CAA5C5E80 067777710280", "04958CAA5C5E80", true}, // with ATS
		"triple size":    {pn532.ISO14443A, "01 01 00C4 00 0A 04112233445566778899", "04112233445566778899", false},
		"two targets":    {pn532.ISO14443A, "02 01 0004 08 04 1A2B3C4D 02 0004 08 04 01020304", "1A2B3C4D", false},
		"FeliCa 212":     {pn532.FeliCa212, "01 01 12 01 0123456789ABCDEF 0301 4B024F4993FF", "0123456789ABCDEF", false}, // NbTg, Tg, length, response code, IDm, PMm
		"FeliCa with SC": {pn532.FeliCa424, "01 01 14 01 0123456789ABCDEF 0301 4B024F4993FF 0003", "0123456789ABCDEF", false},
	} {
		got, ok, err := pn532.ParseTarget(c.tech, unhex(c.answer))
		if err != nil || ok != (c.want != "") || !bytes.Equal(got.Number, unhex(c.want)) || got.ISODEP != c.dep || ok && got.Technology != c.tech {
			t.Errorf("%s: %+v, %v, %v", name, got, ok, err)
		}
	}
	for _, c := range []struct {
		tech   pn532.Technology
		answer string
	}{
		{pn532.ISO14443A, ""}, {pn532.ISO14443A, "03 01"}, {pn532.ISO14443A, "01"}, {pn532.ISO14443A, "01 01"},
		{pn532.ISO14443A, "01 02 0004 08 04 1A2B3C4D"}, {pn532.ISO14443A, "01 01 0004 08 05 1A2B3C4D5E"},
		{pn532.ISO14443A, "01 01 0004 08 07 1A2B3C4D"}, {pn532.ISO14443A, "01 01 0004 08 00"},
		{pn532.FeliCa212, "01 01 12 02 0123456789ABCDEF 03014B024F4993FF"}, {pn532.FeliCa212, "01 01 12 01 0123"},
		{pn532.FeliCa212, "01 01 13 01 0123456789ABCDEF 03014B024F4993FF 00"}, {pn532.FeliCa212, "01 01 00"},
	} {
		if got, ok, err := pn532.ParseTarget(c.tech, unhex(c.answer)); err == nil || ok {
			t.Errorf("%s %q: %+v", c.tech, c.answer, got)
		}
	}
}

func FuzzTarget(f *testing.F) {
	f.Add(byte(0), unhex("01 01 0344 20 07 04958CAA5C5E80 067777710280"))
	f.Add(byte(1), unhex("01 01 12 01 0123456789ABCDEF 03014B024F4993FF"))
	f.Add(byte(2), unhex("01 01 14 01 0123456789ABCDEF 03014B024F4993FF0003"))
	f.Fuzz(func(t *testing.T, tech byte, b []byte) {
		got, ok, err := pn532.ParseTarget(pn532.Technologies()[int(tech)%3], b)
		if ok != (err == nil && len(b) > 0 && b[0] != 0) {
			t.Errorf("ok %v, %v", ok, err)
		}
		if n := len(got.Number); ok && n != 4 && n != 7 && n != 8 && n != 10 {
			t.Errorf("a number of %d bytes", n)
		}
		if !bytes.Contains(b, got.Number) {
			t.Error("a number that was not in the answer")
		}
	})
}
