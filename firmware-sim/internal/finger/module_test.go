package finger_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/finger"
)

func box(templates map[int]string) *finger.Module {
	return finger.New(finger.Config{Address: 0xFFFFFFFF, Capacity: 200, Templates: templates})
}

// say sends bytes written as hex and gives the answer the same way.
func say(m *finger.Module, now time.Duration, text string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	var out []byte
	for _, x := range b {
		out = append(out, m.Feed(x, now)...)
	}
	return hex.EncodeToString(out)
}

type line struct{ what, send, want string }

// talk holds a dialogue written by hand: EF01 | address | kind | length |
// payload | sum of kind, length and payload.
func talk(t *testing.T, m *finger.Module, now time.Duration, lines []line) {
	t.Helper()
	for _, l := range lines {
		if got, want := say(m, now, l.send), strings.ReplaceAll(l.want, " ", ""); got != want {
			t.Errorf("%s:\n got %s\nwant %s", l.what, got, want)
		}
	}
}

const (
	ok      = "ef01 ffffffff 07 0003 00 000a"
	verify0 = "ef01 ffffffff 01 0007 13 00000000 001b"
	getImg  = "ef01 ffffffff 01 0003 01 0005"
	img2tz1 = "ef01 ffffffff 01 0004 02 01 0008"
	img2tz2 = "ef01 ffffffff 01 0004 02 02 0009"
	search  = "ef01 ffffffff 01 0008 04 01 0001 00c7 00d6"
	count   = "ef01 ffffffff 01 0003 1d 0021"
)

func TestSearch(t *testing.T) {
	m := box(map[int]string{7: "P07", 8: "P08"})
	m.Touch("P07", time.Second)
	talk(t, m, 0, []line{
		{"VfyPwd", verify0, ok},
		{"ReadSysPara", "ef01 ffffffff 01 0003 0f 0013",
			"ef01 ffffffff 07 0013 00 0000 0000 00c8 0003 ffffffff 0002 0006 04e9"},
		{"GetImage", getImg, ok},
		{"Img2Tz", img2tz1, ok},
		{"Search 1 to 199", search, "ef01 ffffffff 07 0007 00 0007 0078 008d"},
		{"Search 8 on", "ef01 ffffffff 01 0008 04 01 0008 00c0 00d6", "ef01 ffffffff 07 0007 09 0000 0000 0017"},
		{"TemplateNum", count, "ef01 ffffffff 07 0005 00 0002 000e"},
		{"AuraLED", "ef01 ffffffff 01 0007 35 03 00 02 00 0042", ok},
	})
	if l := m.Light(); l != (finger.Light{Mode: 3, Color: 2}) {
		t.Errorf("light %+v", l)
	}
	talk(t, m, time.Second, []line{{"GetImage after the finger is lifted", getImg, "ef01 ffffffff 07 0003 02 000c"}})
	m.Touch("nobody", 2*time.Second)
	talk(t, m, time.Second, []line{
		{"GetImage", getImg, ok},
		{"Img2Tz", img2tz1, ok},
		{"Search", search, "ef01 ffffffff 07 0007 09 0000 0000 0017"},
	})
}

func TestEnrolCompareDelete(t *testing.T) {
	m := box(nil)
	m.Touch("P11", time.Hour)
	talk(t, m, 0, []line{
		{"GetImage", getImg, ok}, {"Img2Tz 1", img2tz1, ok}, {"GetImage", getImg, ok}, {"Img2Tz 2", img2tz2, ok},
		{"RegModel", "ef01 ffffffff 01 0003 05 0009", ok},
		{"Store 1 at 11", "ef01 ffffffff 01 0006 06 01 000b 0019", ok},
		{"Store at 200", "ef01 ffffffff 01 0006 06 01 00c8 00d6", "ef01 ffffffff 07 0003 0b 0015"},
		{"ReadConList", "ef01 ffffffff 01 0004 1f 00 0024", "ef01 ffffffff 07 0023 00 0008" + strings.Repeat("00", 30) + "0032"},
		{"LoadChar 2 from 11", "ef01 ffffffff 01 0006 07 02 000b 001b", ok},
		{"Match", "ef01 ffffffff 01 0003 03 0007", "ef01 ffffffff 07 0005 00 0078 0084"},
	})
	if m.Writes() != 1 || m.Templates()[11] != "P11" {
		t.Errorf("%d writes, %v", m.Writes(), m.Templates())
	}
	m.Touch("P05", time.Hour)
	talk(t, m, 0, []line{
		{"GetImage", getImg, ok}, {"Img2Tz 1", img2tz1, ok},
		{"RegModel of two fingers", "ef01 ffffffff 01 0003 05 0009", "ef01 ffffffff 07 0003 0a 0014"},
		{"Match of two fingers", "ef01 ffffffff 01 0003 03 0007", "ef01 ffffffff 07 0005 08 0000 0014"},
	})
	m.Fail(finger.Lie, 1)
	deletion := line{"DeletChar 11", "ef01 ffffffff 01 0007 0c 000b 0001 0020", ok}
	talk(t, m, 0, []line{deletion, {"TemplateNum after the lie", count, "ef01 ffffffff 07 0005 00 0001 000d"},
		deletion, {"TemplateNum", count, "ef01 ffffffff 07 0005 00 0000 000c"},
		{"LoadChar of nothing", "ef01 ffffffff 01 0006 07 02 000b 001b", "ef01 ffffffff 07 0003 0c 0016"}})
}

// [T-23] A module with a password answers nothing before it, and forgets that it
// was given when power goes.
func TestPassword(t *testing.T) {
	m := box(map[int]string{7: "P07"})
	const refused = "ef01 ffffffff 07 0003 21 002b"
	talk(t, m, 0, []line{
		{"SetPwd", "ef01 ffffffff 01 0007 12 0badcafe 029a", ok},
		{"TemplateNum", count, "ef01 ffffffff 07 0005 00 0001 000d"},
	})
	m.PowerCut()
	if m.Bound() || m.Password() != 0x0badcafe {
		t.Errorf("after the cut: bound %v, password %08x", m.Bound(), m.Password())
	}
	talk(t, m, 0, []line{
		{"TemplateNum", count, refused},
		{"the factory's password", verify0, "ef01 ffffffff 07 0003 13 001d"},
		{"TemplateNum", count, refused},
		{"VfyPwd", "ef01 ffffffff 01 0007 13 0badcafe 029b", ok},
		{"TemplateNum", count, "ef01 ffffffff 07 0005 00 0001 000d"},
	})
}

// [T-23] What would move a template or a picture over the wire does nothing.
func TestNothingLeaves(t *testing.T) {
	m := box(map[int]string{7: "P07"})
	for _, code := range []byte{0x08, 0x09, 0x0A, 0x0B} {
		b := []byte{0xEF, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1, 0, 4, code, 1, 0, 6 + code}
		if got := say(m, 0, hex.EncodeToString(b)); got != "ef01ffffffff0700030"+"1000b" {
			t.Errorf("%02x: %s", code, got)
		}
	}
}

func TestFaultsAndNoise(t *testing.T) {
	m := box(map[int]string{7: "P07"})
	m.Touch("P07", time.Hour)
	m.Fail(finger.Blur, 1)
	m.Fail(finger.Sums, 0)
	talk(t, m, 0, []line{
		{"a wrong sum", "ef01 ffffffff 01 0003 01 0006", "ef01 ffffffff 07 0003 01 000b"},
		{"noise before", "ef ef 01 ff 00 ef 13" + getImg, ok},
		{"Img2Tz of a blur", img2tz1, "ef01 ffffffff 07 0003 06 0010"},
		{"another's address", "ef01 00000001 01 0003 01 0005", ""},
		{"an answer is no command", ok, ""},
	})
	m.Fail(finger.Sums, 1)
	if got := say(m, 0, getImg); got == strings.ReplaceAll(ok, " ", "") || !strings.HasPrefix(got, "ef01ffffffff07000300") {
		t.Errorf("spoilt sum: %s", got)
	}
	if m.Fail("fire", 1) {
		t.Error("a fault nobody knows")
	}
}

// FuzzFeed: no bytes bring a module down, and every answer is a packet.
func FuzzFeed(f *testing.F) {
	for _, s := range []string{verify0, getImg, search, count, "ef01ffffffff01ffff", "efef01"} {
		b, _ := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := box(map[int]string{7: "P07"})
		m.Touch("P07", time.Hour)
		for _, x := range b {
			if a := m.Feed(x, 0); a != nil && (len(a) < 12 || !bytes.HasPrefix(a, []byte{0xEF, 1})) {
				t.Fatalf("answered %x", a)
			}
		}
		m.PowerCut()
		if got := say(m, 0, count); m.Password() == 0 && !strings.HasPrefix(got, "ef01ffffffff07000500") {
			t.Fatalf("no answer after it all: %s", got)
		}
	})
}
