package drivers_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/osdp"
	"sekimori/drivers/pn532"
	"sekimori/drivers/wiegand"
)

func number(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func form(t testing.TB, text string) drivers.Form {
	t.Helper()
	f, err := drivers.ParseForm(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bitsOf writes a card as readers' manuals do.
func bitsOf(c drivers.Card) string {
	var b strings.Builder
	for i := range c.Len() {
		b.WriteByte('0' + c.Bits()[i/8]>>(7-i%8)&1)
	}
	return b.String()
}

func TestFormVectors(t *testing.T) {
	const uid = "04A1B2C3" // 0000 0100 1010 0001 1011 0010 1100 0011
	for _, v := range []struct{ form, number, bits string }{
		{"uid", uid, "00000100101000011011001011000011"},
		{"uid-reversed", uid, "11000011101100101010000100000100"},
		{"w26", uid, "0" + "101000011011" + "001011000011" + "0"},          // A1B2C3: 6 ones, even with 0; 5 ones, odd with 0
		{"w26-reversed", uid, "0" + "101100101010" + "000100000100" + "1"}, // B2A104: 6 ones; 2 ones, odd with 1
		{"w26-high", uid, "1" + "000001001010" + "000110110010" + "0"},     // 04A1B2: 3 ones, even with 1; 5 ones
		{"w34", uid, "0" + "0000010010100001" + "1011001011000011" + "1"},  // 4 ones; 8 ones, odd with 1
		// Three zeros before. The 18th bit, a 0, counts in both halves: 3 ones,
		// even with 1; 9 ones, odd with 0.
		{"w37", uid, "1" + "00000000100101000" + "0" + "11011001011000011" + "0"},
		{"raw24", uid, "101000011011001011000011"},
		{"raw40", uid, "00000000" + "00000100101000011011001011000011"},
	} {
		c, err := form(t, v.form).Of(number(t, v.number))
		if err != nil {
			t.Errorf("%s: %v", v.form, err)
			continue
		}
		if got := bitsOf(c); got != v.bits {
			t.Errorf("%s of %s: %s, want %s", v.form, v.number, got, v.bits)
		}
	}
}

// H10301 of facility 5, card 53 (both as published calculators give them): the
// layout the hub knows by facility and number is the w26 of 05 0035.
func TestFormIsH10301(t *testing.T) {
	c, err := form(t, "w26").Of([]byte{0x05, 0x00, 0x35})
	if err != nil || c.Key() != "26:02801ac0" {
		t.Errorf("%s, %v", c.Key(), err)
	}
}

func TestFormWords(t *testing.T) {
	for _, text := range []string{"uid", "uid-reversed", "w26", "w26-high", "w26-reversed", "w26-high-reversed", "w34", "w37", "w58", "w66", "raw8", "raw32-reversed", "raw80"} {
		if got := form(t, text).String(); got != text {
			t.Errorf("%s became %s", text, got)
		}
	}
	for _, text := range []string{"", "w", "w9", "w83", "w026", "w+26", "raw7", "raw81", "uid26", "uid-high", "w26-w26", "w26-reversed-reversed", "w26-high-high", "W26", "w26 ", "h10301"} {
		if f, err := drivers.ParseForm(text); err == nil {
			t.Errorf("%q became %s", text, f)
		}
	}
}

func TestFormRefuses(t *testing.T) {
	for _, n := range []int{0, 11} {
		if _, err := (drivers.Form{}).Of(make([]byte, n)); err == nil {
			t.Errorf("a number of %d bytes", n)
		}
	}
	for _, f := range []drivers.Form{{Parity: true}, {High: true}, {Keep: 7}, {Keep: -8}, {Keep: 81}} {
		if _, err := f.Of([]byte{1}); err == nil {
			t.Errorf("%+v", f)
		}
	}
	odd, _ := drivers.NewCard([]byte{1, 2, 3, 0x80}, 25)
	if c, err := form(t, "w26").Recast(odd); err == nil {
		t.Errorf("25 bits became %s", c.Key())
	}
}

// The same card at four readers of four makes: one key, so one 資格番号 [T-22].
func TestOneCardIsOneNumber(t *testing.T) {
	for _, c := range []struct{ uid, form string }{
		{"1A2B3C4D", "w26"}, {"1A2B3C4D", "w26-reversed"}, {"1A2B3C4D", "w34"}, {"1A2B3C4D", "w34-reversed"}, {"001B3C4D", "w37"},
		{"04958CAA5C5E80", "w26"}, {"04958CAA5C5E80", "w34-high"}, {"04958CAA5C5E80", "w58"}, {"04958CAA5C5E80", "w58-reversed"},
		{"012E4CD5A6F01122", "w66"}, {"012E4CD5A6F01122", "w34"}, {"00000000", "w34"}, {"1A2B3C4D", "uid"}, {"012E4CD5A6F01122", "uid"},
	} {
		f := form(t, c.form)
		uid := number(t, c.uid)
		want := sentByHand(uid, c.form)
		keys := map[string]string{}
		keys["PN532"] = atPN532(t, f, uid).Key()
		recast, err := f.Recast(atOSDP(t, fmt.Sprintf("%0*b", 8*len(uid), uid), uid))
		if err != nil {
			t.Errorf("%s as %s: %v", c.uid, c.form, err)
			continue
		}
		keys["OSDP, raw UID"] = recast.Key()
		if f.Parity {
			keys["Wiegand"] = atWiegand(t, want).Key()
			keys["OSDP, Wiegand bits"] = atOSDP(t, want, nil).Key()
		}
		expected := atOSDP(t, want, nil).Key()
		for reader, key := range keys {
			if key != expected {
				t.Errorf("%s as %s: %s at %s, want %s", c.uid, c.form, key, reader, expected)
			}
		}
	}
}

// sentByHand is what a door reader sends for a UID, reckoned with text.
func sentByHand(uid []byte, form string) string {
	b := slices.Clone(uid)
	if strings.HasSuffix(form, "-reversed") {
		slices.Reverse(b)
	}
	var all string
	for _, x := range b {
		all += fmt.Sprintf("%08b", x)
	}
	var n int
	if _, err := fmt.Sscanf(form, "w%d", &n); err != nil {
		return all
	}
	n -= 2
	switch {
	case len(all) < n:
		all = strings.Repeat("0", n-len(all)) + all
	case strings.Contains(form, "-high"):
		all = all[:n]
	default:
		all = all[len(all)-n:]
	}
	half := (n + 1) / 2
	even := strings.Count(all[:half], "1") % 2
	odd := 1 - strings.Count(all[n-half:], "1")%2
	return fmt.Sprint(even) + all + fmt.Sprint(odd)
}

// atPN532 lets a module answer a conversation, one command after the other.
func atPN532(t *testing.T, f drivers.Form, uid []byte) drivers.Card {
	t.Helper()
	link := pn532.NewLink(pn532.Config{Reader: "C1", Form: f})
	link, _ = link.Step(pn532.Opened{}, 0)
	var now time.Duration
	for range 20 {
		var e pn532.Effects
		now = max(now, link.Due())
		link, e = link.Step(pn532.Tick{}, now)
		var s pn532.Scanner
		s.Feed(e.Send)
		command, ok := s.Next()
		if !ok {
			t.Fatal("nothing was asked")
		}
		link, _ = link.Step(pn532.Heard{Frame: pn532.Frame{Kind: pn532.KindACK}}, now)
		link, e = link.Step(pn532.Heard{Frame: answerTo(command.Data, uid)}, now)
		if len(e.Readings) > 0 {
			return e.Readings[0].Card
		}
	}
	t.Fatal("no card was read")
	return drivers.Card{}
}

func answerTo(command, uid []byte) pn532.Frame {
	data := []byte{command[0] + 1}
	felica := len(uid) == 8
	switch {
	case command[0] == 0x02:
		data = append(data, 0x32, 1, 6, 7)
	case command[0] == 0x4A && felica != (command[2] > 0):
		data = append(data, 0)
	case command[0] == 0x4A && felica:
		data = append(append(append(data, 1, 1, 18, 1), uid...), make([]byte, 8)...)
	case command[0] == 0x4A:
		data = append(append(data, 1, 1, 0, 4, 8, byte(len(uid))), uid...)
	}
	return pn532.Frame{TFI: 0xD5, Data: data}
}

// atWiegand plays pulses.
func atWiegand(t *testing.T, bits string) drivers.Card {
	t.Helper()
	d, err := wiegand.NewDecoder(wiegand.Rules{Formats: append(wiegand.StandardFormats(), wired(58), wired(66))})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Second
	for _, b := range bits {
		at += time.Millisecond
		d.Edge(int(b-'0'), false, at)
		d.Edge(int(b-'0'), true, at+50*time.Microsecond)
	}
	f, ok := d.Silence(at + time.Second)
	if !ok {
		t.Fatalf("%d bits are no frame: %+v", len(bits), d.Counts())
	}
	return f.Card
}

// wired is the format of n bits with a parity bit at each end.
func wired(n int) wiegand.Format {
	half := strings.Repeat("X", n/2-1)
	rest := strings.Repeat(".", n/2)
	return wiegand.Format{Name: fmt.Sprint("w", n), Bits: n, Parity: []wiegand.Parity{
		{Map: "P" + half + rest}, {Odd: true, Map: rest + half + "P"},
	}}
}

// atOSDP reads osdp_RAW: reader 0, format 0, bit count, bits left-aligned. With
// a UID its bytes are sent, otherwise the bits.
func atOSDP(t *testing.T, bits string, uid []byte) drivers.Card {
	t.Helper()
	if uid == nil {
		uid = make([]byte, (len(bits)+7)/8)
		for i, b := range bits {
			uid[i/8] |= byte(b-'0') << (7 - i%8)
		}
	} else {
		bits = strings.Repeat("0", 8*len(uid))
	}
	reply, err := osdp.ParseReply(0x50, append([]byte{0, 0, byte(len(bits)), 0}, uid...))
	if err != nil {
		t.Fatal(err)
	}
	raw, ok := reply.(osdp.Raw)
	if !ok {
		t.Fatalf("%T", reply)
	}
	return raw.Card
}

func FuzzForm(f *testing.F) {
	f.Add("w26-reversed", []byte{4, 1, 2, 3})
	f.Add("raw32-high", []byte{4, 1, 2, 3, 4, 5, 6})
	f.Add("uid", []byte{1})
	f.Fuzz(func(t *testing.T, text string, number []byte) {
		form, err := drivers.ParseForm(text)
		if err != nil {
			return
		}
		if again, err := drivers.ParseForm(form.String()); err != nil || again != form {
			t.Errorf("%q became %q, %v", text, form, err)
		}
		was := bytes.Clone(number)
		c, err := form.Of(number)
		if err != nil {
			return
		}
		if !bytes.Equal(was, number) {
			t.Error("the number was changed in place")
		}
		want := form.Keep
		if want == 0 {
			want = 8 * len(number)
		}
		if form.Parity {
			want += 2
			if again, err := form.Recast(c); err != nil || again != c {
				t.Errorf("a card in its form became another: %v", err)
			}
		}
		if c.Len() != want {
			t.Errorf("%s of %d bytes has %d bits", form, len(number), c.Len())
		}
	})
}
