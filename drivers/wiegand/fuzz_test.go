package wiegand_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/wiegand"
)

// Whatever bits come, a card that is of a format is the card of its numbers.
func FuzzFormat(f *testing.F) {
	for i, l := range layouts {
		c, err := l.format.Card(l.numbers...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), c.Bits())
	}
	f.Fuzz(func(t *testing.T, which uint8, bits []byte) {
		format := layouts[int(which)%len(layouts)].format
		c, err := drivers.NewCard(bits, format.Bits)
		if err != nil {
			return
		}
		told, err := format.Numbers(c)
		if err != nil {
			return
		}
		var numbers []uint64
		for _, n := range told {
			numbers = append(numbers, n.Value)
		}
		if again, err := format.Card(numbers...); err != nil || again != c {
			t.Errorf("%s: %s became %s, %v", format.Name, c.Key(), again.Key(), err)
		}
	})
}

// Whatever settings call a format, it is refused or it works.
func FuzzFormatNamed(f *testing.F) {
	for _, s := range []string{"H10301", "w58", "raw40", "w037", "raw-1", "rawraw", "w\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		format, err := wiegand.FormatNamed(name)
		if err != nil {
			return
		}
		if !strings.EqualFold(format.Name, name) {
			t.Errorf("%q is %q", name, format.Name)
		}
		if _, err := wiegand.NewDecoder(wiegand.Rules{Formats: []wiegand.Format{format}}); err != nil {
			t.Error(err)
		}
	})
}

// Whatever edges come, the decoder gives frames of known lengths only, counts
// each of them, and after silence reads the next card.
//
// Each byte is an edge: bit 0 the line, bit 1 the level, bits 2-7 the time since
// the one before, by powers of two from 1 µs; 63 is a gap in the numbers.
func FuzzDecoder(f *testing.F) {
	pulse := func(line byte) []byte { return []byte{line | 9<<2, line | 2 | 5<<2} }
	card := card26(f, 1, 2)
	var good []byte
	for _, b := range text(card) {
		good = append(good, pulse(byte(b-'0'))...)
	}
	f.Add(good)
	f.Add(slices.Concat(good[:20], []byte{15 << 2}, good))
	f.Add([]byte{0, 1, 2, 3, 63 << 2, 0xFF, 0x00})
	rules := wiegand.Rules{Keypad: true, Entries: []wiegand.Entry{wiegand.BufferedKeys(4), wiegand.Buffered26(0, 4)}, Raw: 60}
	f.Fuzz(func(t *testing.T, edges []byte) {
		dec, err := wiegand.NewDecoder(rules)
		if err != nil {
			t.Fatal(err)
		}
		at, frames := time.Hour, uint64(0)
		check := func(f wiegand.Frame, ok bool) {
			if !ok {
				return
			}
			frames++
			n := f.Card.Len()
			known := slices.Contains([]int{26, 34, 37}, n) || n >= rules.Raw
			if f.Key == 0 && f.Keys.IsZero() && !known || f.Key != 0 && n != 0 || !f.Keys.IsZero() && strings.Trim(f.Keys.Typed(), "0123456789") != "" {
				t.Fatalf("a frame of %d bits, key %q, %d keys", n, f.Key, len(f.Keys.Typed()))
			}
		}
		for _, e := range edges {
			if e>>2 == 63 {
				dec.Gap(at)
				continue
			}
			at += time.Microsecond << (e >> 2 & 15)
			check(dec.Edge(int(e&1), e&2 != 0, at))
		}
		check(dec.Edge(0, true, at+ms))
		check(dec.Edge(1, true, at+ms))
		at += time.Second
		check(dec.Silence(at))
		p := &player{t: t, dec: dec, at: at}
		if p.play(text(card) + "_"); !slices.Equal(p.got, []string{card.Key()}) {
			t.Errorf("a good card came as %v, %s", p.got, dec.Reason())
		}
		if dec.Counts().Frames != frames+1 {
			t.Errorf("%d frames, counts %+v", frames+1, dec.Counts())
		}
	})
}
