package wiegand_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/wiegand"
)

const us, ms = time.Microsecond, time.Millisecond

// card26 is an H10301 card, its parity reckoned with popcounts and not with the
// driver's maps.
func card26(t testing.TB, facility byte, number uint16) drivers.Card {
	t.Helper()
	data := uint32(facility)<<16 | uint32(number)
	even := uint32(bits.OnesCount32(data>>12)) & 1
	odd := uint32(bits.OnesCount32(data&0xFFF))&1 ^ 1
	v := (even<<25 | data<<1 | odd) << 6
	c, err := drivers.NewCard([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}, 26)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// play feeds frames written as text: '0' and '1' are pulses 50 µs wide and 1 ms
// apart, '_' is 40 ms of silence, and the other marks are faults.
type player struct {
	t   *testing.T
	dec *wiegand.Decoder
	at  time.Duration
	got []string
}

func (p *player) note(f wiegand.Frame, ok bool) {
	switch {
	case ok && f.Key != 0:
		p.got = append(p.got, string(rune(f.Key)))
	case ok && !f.Keys.IsZero():
		p.got = append(p.got, f.Keys.Typed())
	case ok:
		p.got = append(p.got, f.Card.Key())
	}
}

func (p *player) edge(line int, high bool, after time.Duration) {
	p.at += after
	p.note(p.dec.Edge(line, high, p.at))
}

func (p *player) pulse(line int, width time.Duration) {
	p.edge(line, false, ms)
	p.edge(line, true, width)
}

func (p *player) play(s string) {
	for _, c := range s {
		switch c {
		case '0', '1':
			p.pulse(int(c-'0'), 50*us)
		case 'g': // a spike on D1
			p.pulse(1, 3*us)
		case 'l': // a pulse far too long
			p.pulse(0, 5*ms)
		case 'x': // both lines low at once
			p.edge(0, false, ms)
			p.edge(1, false, 10*us)
			p.edge(0, true, 40*us)
			p.edge(1, true, 40*us)
		case '=': // both lines move at the same moment
			p.edge(0, false, ms)
			p.edge(1, false, 0)
			p.edge(0, true, 50*us)
			p.edge(1, true, 0)
		case 'c': // a spike on D1 inside a good pulse on D0
			p.edge(0, false, ms)
			p.edge(1, false, 10*us)
			p.edge(1, true, 3*us)
			p.edge(0, true, 40*us)
		case 'G':
			p.dec.Gap(p.at)
		case '_':
			p.at += 40 * ms
			p.note(p.dec.Silence(p.at))
		default:
			p.t.Fatalf("%q in a script", c)
		}
	}
}

func text(c drivers.Card) string {
	var b strings.Builder
	for i := range c.Len() {
		b.WriteByte('0' + c.Bits()[i/8]>>(7-i%8)&1)
	}
	return b.String()
}

func TestDecoder(t *testing.T) {
	good := text(card26(t, 1, 2))
	key := card26(t, 1, 2).Key()
	// 34 bits: data 8000 0001, even parity 1 over the first half, odd 0 over the last.
	good34 := "1" + "1000000000000000" + "0000000000000001" + "0"
	// 37 bits: only the middle data bit, which both parities cover: even 1, odd 0.
	good37 := "1" + strings.Repeat("0", 17) + "1" + strings.Repeat("0", 17) + "0"
	flip := func(s string, i int) string { return s[:i] + string('0'+'1'-s[i]) + s[i+1:] }
	type counts = wiegand.Counts
	for _, c := range []struct {
		name, script string
		got          []string
		counts       counts
	}{
		{"26 bits", good + "_", []string{key}, counts{Frames: 1}},
		{"34 bits", good34 + "_", []string{"34:c000000080"}, counts{Frames: 1}},
		{"37 bits", good37 + "_", []string{"37:8000200000"}, counts{Frames: 1}},
		{"two in a row", good + "_" + good + "_", []string{key, key}, counts{Frames: 2}},
		{"even parity", flip(good, 0) + "_", nil, counts{Parities: 1}},
		{"odd parity", flip(good, 25) + "_", nil, counts{Parities: 1}},
		{"wrong data bit", flip(good, 14) + "_", nil, counts{Parities: 1}},
		{"34 parity", flip(good34, 20) + "_", nil, counts{Parities: 1}},
		{"37 parity, middle", flip(good37, 18) + "_", nil, counts{Parities: 1}},
		{"one bit short", good[1:] + "_", nil, counts{Lengths: 1}},
		{"one bit long", good + "0_", nil, counts{Lengths: 1}},
		{"endless", strings.Repeat("0", 1000) + "_", nil, counts{Excess: 1}},
		{"longer than any", good37 + "0_", nil, counts{Excess: 1}},
		{"shorter than any", "010_", nil, counts{Short: 1}},
		{"exactly together", good[:9] + "=" + good[10:] + "_", nil, counts{Overlaps: 1}},
		{"a spike inside", good[:9] + "g" + good[9:] + "_", []string{key}, counts{Frames: 1, Glitches: 1}},
		{"a spike alone", "g_" + good + "_", []string{key}, counts{Frames: 1, Glitches: 1}},
		{"crosstalk spike", good[:7] + strings.Replace(good[7:], "0", "c", 1) + "_", []string{key}, counts{Frames: 1, Glitches: 1}},
		{"overlap", good[:9] + "x" + good[10:] + "_" + good + "_", []string{key}, counts{Frames: 1, Overlaps: 1}},
		{"long pulse", "l" + good[1:] + "_", nil, counts{Long: 1}},
		{"gap inside", good[:9] + "G" + good[9:] + "_" + good + "_", []string{key}, counts{Frames: 1, Gaps: 1}},
		{"gap before", "G" + good + "_", nil, counts{Gaps: 1}},
		{"keys of 4 bits", "0111_1010_1011_", []string{"7", "*", "#"}, counts{Frames: 3}},
		{"keys of 8 bits", "10000111_01001011_", []string{"7", "#"}, counts{Frames: 2}},
		{"8 bits not inverted", "01110111_", nil, counts{Parities: 1}},
		{"no such key", "1100_", nil, counts{Parities: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dec, err := wiegand.NewDecoder(wiegand.Rules{Keypad: true})
			if err != nil {
				t.Fatal(err)
			}
			p := &player{t: t, dec: dec, at: time.Hour}
			p.play(c.script)
			if fmt.Sprint(p.got) != fmt.Sprint(c.got) || dec.Counts() != c.counts {
				t.Errorf("got %v %+v (%s), want %v %+v", p.got, dec.Counts(), dec.Reason(), c.got, c.counts)
			}
		})
	}
}

func TestOtherFormatsAreSettings(t *testing.T) {
	dec, err := wiegand.NewDecoder(wiegand.Rules{Formats: []wiegand.Format{
		{Name: "32 bare", Bits: 32},
		{Name: "12 odd over every second bit", Bits: 12, Parity: []wiegand.Parity{{Odd: true, Map: "X.X.X.X.X.XP"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, dec: dec, at: time.Hour}
	p.play(strings.Repeat("01", 16) + "_100000000000_110000000000_100000000001_0111_")
	if want := "[32:55555555 12:8000 12:c000]"; fmt.Sprint(p.got) != want {
		t.Errorf("got %v, want %s", p.got, want)
	}
	// Without a keypad 4 bits are noise.
	if c := dec.Counts(); c.Parities != 1 || c.Short != 1 {
		t.Errorf("counts %+v", c)
	}
}

func TestReceiptStampsAreNotMeasured(t *testing.T) {
	dec, err := wiegand.NewDecoder(wiegand.Rules{MinPulse: -1})
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, dec: dec, at: time.Hour}
	for _, b := range text(card26(t, 1, 2)) { // every edge was waiting when it was read
		p.edge(int(b-'0'), false, 0)
		p.edge(int(b-'0'), true, 0)
	}
	p.play("_")
	if fmt.Sprint(p.got) != fmt.Sprint([]string{card26(t, 1, 2).Key()}) {
		t.Errorf("got %v %+v", p.got, dec.Counts())
	}
}

// Stamps of receipt may all be equal; the order of the edges still tells that
// both lines were low at once.
func TestOverlapIsKnownByOrder(t *testing.T) {
	dec, err := wiegand.NewDecoder(wiegand.Rules{MinPulse: -1})
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, dec: dec, at: time.Hour}
	frame := text(card26(t, 1, 2))
	p.play(frame[:12])
	for _, e := range []struct {
		line int
		high bool
	}{{0, false}, {1, false}, {0, true}, {1, true}} {
		p.edge(e.line, e.high, 0)
	}
	if p.play(frame[14:] + "_"); p.got != nil || dec.Counts() != (wiegand.Counts{Overlaps: 1}) {
		t.Errorf("got %v %+v", p.got, dec.Counts())
	}
}

func TestContradictingRulesAreRefused(t *testing.T) {
	for name, r := range map[string]wiegand.Rules{
		"pulses":       {MinPulse: 3 * ms},
		"silence":      {Silence: ms},
		"short format": {Formats: []wiegand.Format{{Name: "x", Bits: 8}}},
		"map length":   {Formats: []wiegand.Format{{Name: "x", Bits: 9, Parity: []wiegand.Parity{{Map: "PX"}}}}},
		"map letter":   {Formats: []wiegand.Format{{Name: "x", Bits: 9, Parity: []wiegand.Parity{{Map: "PXXXYXXXX"}}}}},
		"two of one":   {Formats: []wiegand.Format{wiegand.H10301, {Name: "x", Bits: 26}}},
	} {
		if _, err := wiegand.NewDecoder(r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever the edges, the decoder neither panics nor invents: a frame it gives
// has a known length, and every pulse ends up in a frame or in a count.
func TestRandomEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dec, err := wiegand.NewDecoder(wiegand.Rules{Keypad: true})
	if err != nil {
		t.Fatal(err)
	}
	var at time.Duration
	frames := uint64(0)
	check := func(f wiegand.Frame, ok bool) {
		if !ok {
			return
		}
		frames++
		if n := f.Card.Len(); (f.Key == 0) == f.Card.IsZero() || n != 0 && n != 26 && n != 34 && n != 37 {
			t.Fatalf("a frame of %d bits and key %q", n, f.Key)
		}
	}
	for range 300000 {
		at += time.Duration(rng.ExpFloat64() * float64(2*ms))
		switch rng.IntN(40) {
		case 0:
			dec.Gap(at)
		case 1:
			at += 30 * ms
		default:
			check(dec.Edge(rng.IntN(4)-1, rng.IntN(2) == 0, at))
		}
		check(dec.Silence(at))
	}
	if c := dec.Counts(); c.Frames != frames || c.Noise() == 0 {
		t.Errorf("%d frames, counts %+v", frames, c)
	}
}

func BenchmarkDecode26(b *testing.B) {
	dec, err := wiegand.NewDecoder(wiegand.Rules{})
	if err != nil {
		b.Fatal(err)
	}
	frame := text(card26(b, 1, 2))
	at := time.Hour
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range frame {
			dec.Edge(int(c-'0'), false, at+950*us)
			at += ms
			dec.Edge(int(c-'0'), true, at)
		}
		at += 30 * ms
		if _, ok := dec.Silence(at); !ok {
			b.Fatal("no frame")
		}
	}
}
