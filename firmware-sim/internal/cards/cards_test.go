package cards_test

import (
	"fmt"
	"strings"
	"testing"

	"sekimori/firmware-sim/internal/cards"
)

// TestEncode pins the bits of each format, worked out by hand [T-22].
func TestEncode(t *testing.T) {
	cases := []struct {
		name         string
		format       string
		facility, id uint64
		want         string
	}{
		// 12 = 00001100, 12345 = 0011000000111001. First half 000011000011:
		// four ones, even parity 0. Last half 000000111001: four ones, odd parity 1.
		// 0 00001100 00110000 00111001 1 -> 00000110 00011000 00011100 11
		{"fixture card of P07", "h10301", 12, 12345, "26:06181cc0"},
		{"all zero: odd parity is 1", "h10301", 0, 0, "26:00000040"},
		{"all one: twelve ones are even", "h10301", 255, 65535, "26:7fffffc0"},
		// 1 0000000000000000 at the end of the first half flips the even bit.
		{"34 bits, facility 1", "h10306", 1, 0, "34:8000800040"},
		{"34 bits, id 1", "h10306", 0, 1, "34:0000000080"},
		// 35 data bits: bit 17 is covered by both halves.
		{"37 bits, middle bit", "h10302", 0, 1 << 17, "37:8000200000"},
		{"37 bits, facility 1", "h10304", 1, 0, "37:8000800008"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := cards.Encode(c.format, c.facility, c.id)
			if err != nil {
				t.Fatal(err)
			}
			if got.Text() != c.want {
				t.Errorf("got %s, want %s", got.Text(), c.want)
			}
			back, err := cards.ParseBits(got.Text())
			if err != nil || back != got {
				t.Errorf("the text form does not read back: %v", err)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, c := range []struct {
		format       string
		facility, id uint64
	}{{"h10301", 256, 0}, {"h10301", 0, 65536}, {"h10302", 1, 0}, {"em4100", 0, 0}} {
		if _, err := cards.Encode(c.format, c.facility, c.id); err == nil {
			t.Errorf("%v was accepted", c)
		}
	}
	for _, s := range []string{"", "26", "26:", "x:00", "26:zz", "26:00", "0:", "-1:00", "9999:00"} {
		if _, err := cards.ParseBits(s); err == nil {
			t.Errorf("bits %q were accepted", s)
		}
	}
}

func TestBitsRedactThemselves(t *testing.T) {
	b, err := cards.Encode("h10301", 12, 12345)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%s", "%x", "%#v", "%+v"} {
		if got := fmt.Sprintf(verb, b); strings.Contains(got, "0618") || !strings.Contains(got, "redacted") {
			t.Errorf("%s gives the number away: %s", verb, got)
		}
	}
}

func TestTable(t *testing.T) {
	row := cards.Card{Number: "0000012345", Name: "P07", Format: "h10301", Facility: 12, ID: 12345}
	table, err := cards.NewTable([]cards.Card{row})
	if err != nil {
		t.Fatal(err)
	}
	a, okA := table.Lookup("0000012345")
	b, okB := table.Lookup("P07")
	if !okA || !okB || a != b {
		t.Error("number and name must find the same card")
	}
	if _, ok := table.Lookup(""); ok {
		t.Error("an empty key found a card")
	}
	if _, err := cards.NewTable([]cards.Card{row, row}); err == nil {
		t.Error("a number given twice was accepted")
	}
}
