package wiegand_test

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/wiegand"
)

// cardOf is the last n bits of v as a card.
func cardOf(t testing.TB, v uint64, n int) drivers.Card {
	t.Helper()
	var raw [8]byte
	for i := range 8 {
		raw[i] = byte(v << (64 - n) >> (56 - 8*i))
	}
	c, err := drivers.NewCard(raw[:], n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// even and odd are the parity bits that make the ones of v under mask even or
// odd, by popcount and not by the driver's pictures.
func even(v, mask uint64) uint64 { return uint64(bits.OnesCount64(v&mask)) & 1 }
func odd(v, mask uint64) uint64  { return 1 ^ even(v, mask) }

// The layouts as their makers print them: numbers of bits counted from the
// last one, masks in hexadecimal.
var layouts = []struct {
	format  wiegand.Format
	numbers []uint64
	frame   func(n []uint64) uint64
}{
	{wiegand.H10301, []uint64{118, 1603}, func(n []uint64) uint64 {
		v := n[0]<<17 | n[1]<<1
		return v | even(v, 0x1FFE000)<<25 | odd(v, 0x1FFE)
	}},
	{wiegand.H10306, []uint64{0xABCD, 1}, func(n []uint64) uint64 {
		v := n[0]<<17 | n[1]<<1
		return v | even(v, 0x1FFFE0000)<<33 | odd(v, 0x1FFFE)
	}},
	{wiegand.C1000, []uint64{0x9A5, 123456}, func(n []uint64) uint64 {
		v := n[0]<<21 | n[1]<<1
		v |= even(v, 0x1_B6DB6DB6) << 33
		v |= odd(v, 0x3_6DB6DB6C)
		return v | odd(v, 0x3_FFFFFFFF)<<34
	}},
	{wiegand.H10304, []uint64{0xBEEF, 0x5A5A5}, func(n []uint64) uint64 {
		v := n[0]<<20 | n[1]<<1
		return v | even(v, 0x3FFFF<<18)<<36 | odd(v, 0x3FFFF<<1)
	}},
	{wiegand.H10302, []uint64{0x5_5A5A_5A5A}, func(n []uint64) uint64 {
		v := n[0] << 1
		return v | even(v, 0x3FFFF<<18)<<36 | odd(v, 0x3FFFF<<1)
	}},
	{wiegand.C1000x48, []uint64{0x2ABCDE, 0x456789}, func(n []uint64) uint64 {
		v := n[0]<<24 | n[1]<<1
		v |= even(v, 0x1B6D_B6DB6DB6) << 46
		v |= odd(v, 0x36DB_6DB6DB6C)
		return v | odd(v, 0x7FFF_FFFFFFFF)<<47
	}},
}

func TestLayouts(t *testing.T) {
	if len(layouts) != len(wiegand.KnownFormats()) {
		t.Errorf("%d formats are tested, %d are known", len(layouts), len(wiegand.KnownFormats()))
	}
	for _, l := range layouts {
		f := l.format
		limits := []uint64{}
		for _, x := range f.Fields {
			limits = append(limits, 1<<x.Len-1)
		}
		for _, numbers := range [][]uint64{l.numbers, make([]uint64, len(limits)), limits} {
			want := cardOf(t, l.frame(numbers), f.Bits)
			if got, err := f.Card(numbers...); err != nil || got != want {
				t.Errorf("%s %x: %s, %v, want %s", f.Name, numbers, got.Key(), err, want.Key())
			}
			var got []uint64
			told, err := f.Numbers(want)
			for _, n := range told {
				got = append(got, n.Value)
			}
			if err != nil || !slices.Equal(got, numbers) {
				t.Errorf("%s %x: told %v, %v", f.Name, numbers, told, err)
			}
			// Every single bit that is lost or turned is noticed.
			for i := range f.Bits {
				if _, err := f.Numbers(cardOf(t, l.frame(numbers)^1<<i, f.Bits)); err == nil {
					t.Errorf("%s %x: bit %d turned, and no parity tells", f.Name, numbers, i)
				}
			}
		}
		if _, err := f.Card(append(slices.Clone(limits[:len(limits)-1]), limits[len(limits)-1]+1)...); err == nil {
			t.Errorf("%s: a number that does not fit was taken", f.Name)
		}
		if _, err := f.Card(); err == nil {
			t.Errorf("%s: a card of no number", f.Name)
		}
	}
}

// A 26-bit frame as published with its numbers: facility code 118, card 1603.
//
//	1 01110110 0000011001000011 0
//	│ facility card             odd over the last 12
//	even over the first 12
func TestPublishedH10301(t *testing.T) {
	c, err := wiegand.H10301.Card(118, 1603)
	if err != nil || text(c) != "1"+"01110110"+"0000011001000011"+"0" {
		t.Errorf("%s, %v", text(c), err)
	}
}

func TestFormatNamed(t *testing.T) {
	for name, want := range map[string]string{
		"H10301": "H10301 26 2", "h10302": "H10302 37 2", "c1000": "C1000 35 3", "C1000-48": "C1000-48 48 3",
		"raw32": "raw32 32 0", "raw40": "raw40 40 0", "raw56": "raw56 56 0", "raw64": "raw64 64 0", "raw256": "raw256 256 0",
		"w26": "w26 26 2", "w34": "w34 34 2", "w37": "w37 37 2", "w58": "w58 58 2", "w66": "w66 66 2",
	} {
		f, err := wiegand.FormatNamed(name)
		if got := fmt.Sprint(f.Name, " ", f.Bits, " ", len(f.Parity)); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	for _, bad := range []string{"", "w", "raw", "raw8", "raw257", "w8", "w-34", "w034", "raw+40", "H1", "w99999999999999999999"} {
		if f, err := wiegand.FormatNamed(bad); err == nil {
			t.Errorf("%q is %+v", bad, f)
		}
	}
}

// The card of a chip's number is the same whether a serial reader's number was
// given a form or a door reader sent it in that form [T-22].
func TestNamedFormatsAreTheFormsOfCards(t *testing.T) {
	uid := []byte{0x04, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6}
	for _, name := range []string{"w26", "w34", "w37", "w58", "w66", "raw32", "raw40", "raw56", "raw64"} {
		form, err := drivers.ParseForm(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := form.Of(uid)
		if err != nil {
			t.Fatal(err)
		}
		format, err := wiegand.FormatNamed(name)
		if err != nil {
			t.Fatal(err)
		}
		dec, err := wiegand.NewDecoder(wiegand.Rules{Formats: []wiegand.Format{format}})
		if err != nil {
			t.Fatal(err)
		}
		p := &player{t: t, dec: dec, at: time.Hour}
		if p.play(text(c) + "_"); !slices.Equal(p.got, []string{c.Key()}) {
			t.Errorf("%s: %s came as %v %+v", name, c.Key(), p.got, dec.Counts())
		}
	}
}

func TestRawLengths(t *testing.T) {
	for _, c := range []struct {
		raw    int
		script string
		got    string
		counts wiegand.Counts
	}{
		{0, strings.Repeat("01", 20) + "_", "[]", wiegand.Counts{Excess: 1}},
		{30, strings.Repeat("01", 20) + "_", "[40:5555555555]", wiegand.Counts{Frames: 1}},
		{30, strings.Repeat("0", 29) + "_", "[]", wiegand.Counts{Lengths: 1}},
		{30, strings.Repeat("0", 26) + "_", "[]", wiegand.Counts{Parities: 1}}, // a known length stays known
		{30, strings.Repeat("0", 300) + "_", "[]", wiegand.Counts{Excess: 1}},
	} {
		dec, err := wiegand.NewDecoder(wiegand.Rules{Raw: c.raw})
		if err != nil {
			t.Fatal(err)
		}
		p := &player{t: t, dec: dec, at: time.Hour}
		if p.play(c.script); fmt.Sprint(p.got) != c.got || dec.Counts() != c.counts {
			t.Errorf("raw from %d, %d bits: %v %+v, want %s %+v", c.raw, len(c.script)-1, p.got, dec.Counts(), c.got, c.counts)
		}
	}
}

func TestContradictingFormatsAreRefused(t *testing.T) {
	bad := func(f wiegand.Format) wiegand.Rules { return wiegand.Rules{Formats: []wiegand.Format{f}} }
	nine := strings.Repeat(".", 7)
	for name, r := range map[string]wiegand.Rules{
		"field beyond":    bad(wiegand.Format{Name: "x", Bits: 9, Fields: []wiegand.Field{{"n", 5, 5}}}),
		"field of 65":     bad(wiegand.Format{Name: "x", Bits: 99, Fields: []wiegand.Field{{"n", 0, 65}}}),
		"field of none":   bad(wiegand.Format{Name: "x", Bits: 9, Fields: []wiegand.Field{{"n", 0, 0}}}),
		"field on parity": bad(wiegand.Format{Name: "x", Bits: 9, Parity: []wiegand.Parity{{Map: "PX" + nine}}, Fields: []wiegand.Field{{"n", 0, 4}}}),
		"parities cross":  bad(wiegand.Format{Name: "x", Bits: 9, Parity: []wiegand.Parity{{Map: "PX" + nine}, {Map: "XP" + nine}}}),
		"raw of keys":     {Raw: 8},
		"raw of endless":  {Raw: 257},
		"entry and card":  {Entries: []wiegand.Entry{wiegand.Buffered26BCD()}},
		"entry too short": {Entries: []wiegand.Entry{wiegand.BufferedKeys(2)}},
		"entry too long":  {Entries: []wiegand.Entry{wiegand.BufferedKeys(17)}},
		"entry of none":   {Entries: []wiegand.Entry{{Format: wiegand.H10306, Keys: "pin"}}},
		"told by nothing": {Entries: []wiegand.Entry{{Format: wiegand.H10306, Keys: "card", Binary: true, Only: wiegand.Number{Name: "x"}}}},
		"many digits":     {Entries: []wiegand.Entry{wiegand.Buffered26(0, 21)}},
		"half a digit":    {Entries: []wiegand.Entry{{Format: wiegand.Format{Name: "x", Bits: 12, Fields: []wiegand.Field{{"k", 0, 10}}}, Keys: "k"}}},
	} {
		if _, err := wiegand.NewDecoder(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
