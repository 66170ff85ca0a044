package wiegand_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sekimori/drivers/wiegand"
)

// nibbles is a text of hexadecimal digits as bits.
func nibbles(hex string) string {
	var b strings.Builder
	for _, c := range hex {
		fmt.Fprintf(&b, "%04b", strings.IndexRune("0123456789ABCDEF", c))
	}
	return b.String()
}

// withParity puts the two parities of a 26-bit frame around 24 bits of data.
func withParity(data string) string {
	first := strings.Count(data[:12], "1") % 2
	last := 1 - strings.Count(data[12:], "1")%2
	return fmt.Sprint(first) + data + fmt.Sprint(last)
}

func TestBufferedKeypads(t *testing.T) {
	only := func(entries ...wiegand.Entry) wiegand.Rules {
		return wiegand.Rules{Formats: []wiegand.Format{wiegand.H10306}, Entries: entries, Keypad: true}
	}
	card := card26(t, 7, 1234)
	pinOf := func(n int) string { return text(card26(t, 0, uint16(n))) }
	for _, c := range []struct {
		name   string
		rules  wiegand.Rules
		script string
		got    string
		noise  uint64
	}{
		{"binary", only(wiegand.Buffered26(0, 4)), pinOf(1234), "1234", 0},
		{"binary, zeros put back", only(wiegand.Buffered26(0, 4)), pinOf(42), "0042", 0},
		{"binary, as it comes", only(wiegand.Buffered26(0, 0)), pinOf(42), "42", 0},
		{"binary, longer than usual", only(wiegand.Buffered26(0, 4)), pinOf(65534), "65534", 0},
		{"binary, the keypad's word for none", only(wiegand.Buffered26(0, 4)), pinOf(65535), "", 1},
		{"binary, parity", only(wiegand.Buffered26(0, 4)), "1" + pinOf(1234)[1:], "", 1},
		{"a card beside it", wiegand.Rules{Entries: []wiegand.Entry{wiegand.Buffered26(0, 4)}}, text(card), card.Key(), 0},
		{"BCD", only(wiegand.Buffered26BCD()), withParity(nibbles("004217")), "004217", 0},
		{"BCD, filled up", only(wiegand.Buffered26BCD()), withParity(nibbles("0042FF")), "0042", 0},
		{"BCD, filled up before", only(wiegand.Buffered26BCD()), withParity(nibbles("FF0042")), "0042", 0},
		{"BCD, ended", only(wiegand.Buffered26BCD()), withParity(nibbles("0042BF")), "0042", 0},
		{"BCD, a hole", only(wiegand.Buffered26BCD()), withParity(nibbles("00F421")), "", 1},
		{"BCD, no key", only(wiegand.Buffered26BCD()), withParity(nibbles("00C421")), "", 1},
		{"BCD, cleared", only(wiegand.Buffered26BCD()), withParity(nibbles("00A421")), "", 1},
		{"BCD, nothing typed", only(wiegand.Buffered26BCD()), withParity(nibbles("FFFFFF")), "", 1},
		{"BCD, parity", only(wiegand.Buffered26BCD()), "1" + nibbles("000000") + "1", "", 1},
		{"4 keys", only(wiegand.BufferedKeys(4)), nibbles("0042"), "0042", 0},
		{"16 keys", only(wiegand.BufferedKeys(16)), nibbles("0123456789012345"), "0123456789012345", 0},
		{"another number of keys", only(wiegand.BufferedKeys(4)), nibbles("00421"), "", 1},
		{"several lengths", only(wiegand.BufferedKeys(4), wiegand.BufferedKeys(6)), nibbles("004217"), "004217", 0},
		{"a single key beside it", only(wiegand.BufferedKeys(4)), nibbles("7"), "7", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dec, err := wiegand.NewDecoder(c.rules)
			if err != nil {
				t.Fatal(err)
			}
			p := &player{t: t, dec: dec, at: time.Hour}
			p.play(c.script + "_")
			if got := strings.Join(p.got, " "); got != c.got || dec.Counts().Noise() != c.noise {
				t.Errorf("got %q %+v, want %q and %d noise", got, dec.Counts(), c.got, c.noise)
			}
		})
	}
}

func TestFramesKeepKeysToThemselves(t *testing.T) {
	dec, err := wiegand.NewDecoder(wiegand.Rules{Formats: []wiegand.Format{wiegand.H10306}, Entries: []wiegand.Entry{wiegand.BufferedKeys(5)}})
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, dec: dec, at: time.Hour}
	p.play(nibbles("73915"))
	f, ok := dec.Silence(p.at + time.Second)
	if !ok || f.Keys.Typed() != "73915" {
		t.Fatalf("%v %v", f, ok)
	}
	marshalled, err := f.MarshalText()
	for _, shown := range []string{fmt.Sprint(f), fmt.Sprintf("%+v %#v", f, &f), string(marshalled)} {
		if err != nil || strings.Contains(shown, "73915") {
			t.Errorf("%q, %v", shown, err)
		}
	}
}
