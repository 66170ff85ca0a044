package nfc_test

import (
	"strings"
	"testing"

	"sekimori/firmware-sim/internal/nfc"
)

// The lines of UM0701-02 §7.3 about a target that has been listed, and what the
// chip says of one that has not.
func TestTargets(t *testing.T) {
	const (
		still    = "0000ff 03fd d40006 26 00" // Diagnose 6: is the card still there?
		deselect = "0000ff 03fd d44401 e7 00"
		choose   = "0000ff 03fd d45401 d7 00"
		psl      = "0000ff 05fb d44e010000 dd 00"
		sel      = "0000ff 10f0 d440 01 00a4040c07d276000085010100 61 00" // DF name of an NTAG 424
		first    = "0000ff 0bf5 d440 01 9071000002000000 e8 00"           // AuthenticateEV2First
		selected = ack + "0000ff 05fb d541 00 9000 5a 00"
		silent   = ack + "0000ff 03fd d54101 e9 00"
	)
	m := mustAwake(t)
	m.Present(nfc.Chip{UID: unhex("04010203040506"), Secure: true, Application: nfc.NTAG424()}, 0, 0)
	talk(t, m, []line{
		{"nothing is listed: Diagnose", still, ack + "0000ff 03fd d50101 29 00"},
		{"nothing is listed: InSelect", choose, ack + "0000ff 03fd d55527 af 00"},
		{"nothing is listed: InPSL", psl, ack + "0000ff 03fd d54f27 b5 00"},
		{"listed", listA, ack + "0000ff 15eb d54b 01 01 0344 20 07 04010203040506 067577810280 62 00"},
		{"Diagnose", still, ack + "0000ff 03fd d50100 2a 00"},
		{"InPSL", psl, ack + "0000ff 03fd d54f00 dc 00"},
		{"one target", "0000ff 02fe d404 28 00", ack + "0000ff 0af6 d505 00 01 01 01000000 00 23 00"},
		{"its application", sel, selected},
		{"deselected", deselect, ack + "0000ff 03fd d54500 e6 00"},
		{"does not hear", sel, silent},
		{"selected again", choose, ack + "0000ff 03fd d55500 d6 00"},
		{"the application is not", first, ack + "0000ff 05fb d541 00 91ae ab 00"},
		{"it is", sel, selected},
		{"released", release, ack + "0000ff 03fd d55300 d8 00"},
		{"released: InSelect", choose, ack + "0000ff 03fd d55527 af 00"},
		{"no such target", "0000ff 03fd d45203 d7 00", ack + "0000ff 03fd d55327 b1 00"},
		{"raw bytes, which no card here takes", "0000ff 03fd d44226 c4 00", ack + "0000ff 03fd d54301 e7 00"},
	})
	if s := m.Status(0); s != (nfc.Status{Awake: true, Field: true, Cards: 1}) {
		t.Errorf("status %+v", s)
	}
	talk(t, m, []line{
		{"field off", "0000ff 04fc d4320100 f9 00", ack + "0000ff 02fe d533 f8 00"},
		{"listed", listA, ack + "0000ff 15eb d54b 01 01 0344 20 07 04010203040506 067577810280 62 00"},
	})
	if s := m.Status(0); s.Targets != 1 {
		t.Errorf("status %+v", s)
	}
	m.Remove()
	talk(t, m, []line{
		{"taken away: Diagnose", still, ack + "0000ff 03fd d50101 29 00"},
		{"taken away: InSelect", choose, ack + "0000ff 03fd d55501 d5 00"},
	})
}

// A long number is asked for by name with a cascade tag before each part of it
// that others follow.
func TestLongNames(t *testing.T) {
	seven, ten := nfc.Chip{UID: unhex("04010203040506")}, nfc.Chip{UID: unhex("01020304050607080910")}
	for _, c := range []struct {
		name  string
		chip  nfc.Chip
		list  string
		found bool
	}{
		{"7", seven, "0000ff 0cf4 d44a0100 88 04010203040506 40 00", true},
		{"7 without tag", seven, "0000ff 0bf5 d44a0100 04010203040506 c8 00", false},
		{"7 of another", seven, "0000ff 0cf4 d44a0100 88 04010203040507 3f 00", false},
		{"10", ten, "0000ff 10f0 d44a0100 88 010203 88 04050607080910 94 00", true},
		{"10 of another", ten, "0000ff 10f0 d44a0100 88 010203 88 04050607080911 93 00", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustAwake(t)
			m.Present(c.chip, 0, 0)
			got := say(m, 0, c.list)
			want := strings.ReplaceAll(nobody, " ", "")
			if c.found {
				want = ack
			}
			if !strings.HasPrefix(got, want) || c.found == strings.HasSuffix(got, "d54b00e000") {
				t.Errorf("%s: %s", c.list, got)
			}
		})
	}
}

// Diagnose 0 says again what it is told; past 255 bytes both frames are extended.
func TestLongEcho(t *testing.T) {
	m := mustAwake(t)
	body := strings.Repeat("00", 253)
	talk(t, m, []line{
		{"256 bytes", "0000ff ffff 0100ff d40000" + body + "2c 00", ack + "0000ff ffff 0100ff d50100" + body + "2a 00"},
		{"ROM", "0000ff 03fd d40001 2b 00", ack + "0000ff 03fd d50100 2a 00"},
		{"no such test", "0000ff 03fd d40009 23 00", ack + "0000ff01ff7f8100"},
	})
}
