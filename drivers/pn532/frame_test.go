package pn532_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"sekimori/drivers/pn532"
)

// The frames of UM0701-02 §6.2.1 and §7, and of libnfc's talk with the chip.
var vectors = []struct {
	name, bytes string
	frame       pn532.Frame
}{
	{"ACK", "00 00FF 00FF 00", pn532.Frame{Kind: pn532.KindACK}},
	{"NACK", "00 00FF FF00 00", pn532.Frame{Kind: pn532.KindNACK}},
	{"error",
		"00 00FF" + // preamble, start code
			"01 FF" + // LEN, LCS
			"7F" + // specific application level error
			"81 00", // DCS, postamble
		pn532.Frame{TFI: 0x7F, Data: []byte{}}},
	{"SAMConfiguration",
		"00 00FF" +
			"03 FD" + // LEN, LCS
			"D4" + // to the chip
			"14 01" + // code, mode: normal
			"17 00",
		pn532.Frame{TFI: 0xD4, Data: []byte{0x14, 0x01}}},
	{"GetFirmwareVersion", "00 00FF 02FE D4 02 2A 00", pn532.Frame{TFI: 0xD4, Data: []byte{0x02}}},
	{"firmware version",
		"00 00FF" +
			"06 FA" +
			"D5" + // from the chip
			"03" + // code + 1
			"32 01 06 07" + // IC, version, revision, support
			"E8 00",
		pn532.Frame{TFI: 0xD5, Data: []byte{0x03, 0x32, 0x01, 0x06, 0x07}}},
	{"InRelease", "00 00FF 03FD D4 52 00 DA 00", pn532.Frame{TFI: 0xD4, Data: []byte{0x52, 0x00}}},
	{"InListPassiveTarget, type A", "00 00FF 04FC D4 4A 01 00 E1 00", pn532.Frame{TFI: 0xD4, Data: []byte{0x4A, 0x01, 0x00}}},
	{"a type A card",
		"00 00FF" +
			"0C F4" +
			"D5 4B" +
			"01" + // NbTg
			"01" + // Tg
			"0004" + // SENS_RES (ATQA)
			"08" + // SEL_RES (SAK)
			"04" + // length of NFCID1
			"DEADBEEF" + // NFCID1
			"96 00",
		pn532.Frame{TFI: 0xD5, Data: []byte{0x4B, 1, 1, 0, 4, 8, 4, 0xDE, 0xAD, 0xBE, 0xEF}}},
	{"extended, short",
		"00 00FF" +
			"FFFF" + // extended
			"0002 FE" + // LENM, LENL, LCS
			"D5 03 28 00",
		pn532.Frame{Extended: true, TFI: 0xD5, Data: []byte{0x03}}},
	{"extended, 264 bytes", "00 00FF FFFF 0109 F6 D5 41" + strings.Repeat("00", 263) + "EA 00",
		pn532.Frame{Extended: true, TFI: 0xD5, Data: append([]byte{0x41}, make([]byte, 263)...)}},
}

func same(a, b pn532.Frame) bool {
	return a.Kind == b.Kind && a.Extended == b.Extended && a.TFI == b.TFI && bytes.Equal(a.Data, b.Data)
}

func TestFrameVectors(t *testing.T) {
	for _, v := range vectors {
		want := unhex(v.bytes)
		if got := pn532.Append(nil, v.frame); !bytes.Equal(got, want) {
			t.Errorf("%s: formatted % X, want % X", v.name, got, want)
		}
		f, n, err := pn532.Decode(want[1:])
		if err != nil || n != len(want)-2 || !same(f, v.frame) {
			t.Errorf("%s: %+v of %d bytes, %v", v.name, f, n, err)
		}
		if f.IsError() != (v.name == "error") {
			t.Errorf("%s: IsError %v", v.name, f.IsError())
		}
	}
}

func TestLongCommandIsExtended(t *testing.T) {
	for n, extended := range map[int]bool{1: false, 254: false, 255: true, 264: true} {
		b := pn532.Append(nil, pn532.Frame{TFI: 0xD4, Data: make([]byte, n)})
		f, _, err := pn532.Decode(b[1:])
		if err != nil || f.Extended != extended || len(f.Data) != n {
			t.Errorf("%d bytes: extended %v, %v", n, f.Extended, err)
		}
	}
}

// Each bit of each vector matters, but those that make it another good frame.
func TestDamageIsFound(t *testing.T) {
	for _, v := range vectors {
		good := unhex(v.bytes)
		for i := 3; i < len(good)-1; i++ { // start code and postamble are framing
			for bit := range 8 {
				bad := bytes.Clone(good)
				bad[i] ^= 1 << bit
				if f, _, err := pn532.Decode(bad[1:]); err == nil && same(f, v.frame) {
					t.Errorf("%s: byte %d bit %d changed and the frame is the same", v.name, i, bit)
				}
			}
		}
	}
	for _, b := range []string{"0100 01FF D5 2B", "00FF 00 00", "00FF 02FE D503 29", "00FF 02FD D503 28", "00FF FFFF 0002FD D50328", "00FF FFFF FFFF02 D5"} {
		if _, _, err := pn532.Decode(unhex(b)); !errors.Is(err, pn532.ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", b, err)
		}
	}
}

// scanAll feeds b in portions and gives all frames and the noise.
func scanAll(b []byte, portion int) (frames []pn532.Frame, noise uint64) {
	var s pn532.Scanner
	for p := range slices.Chunk(b, portion) {
		s.Feed(p)
		for f, ok := s.Next(); ok; f, ok = s.Next() {
			frames = append(frames, f)
		}
	}
	s.Reset()
	return frames, s.TakeNoise()
}

func TestScannerTakesWhatLinesDeliver(t *testing.T) {
	ack, answer := "00FF00FF", "00FF06FA D503 32010607 E8"
	for name, c := range map[string]struct {
		bytes  string
		frames int
		noise  uint64
	}{
		"as specified":            {"00" + ack + "00 00" + answer + "00", 2, 0},
		"no preamble, postamble":  {ack + answer, 2, 0},
		"long preambles":          {"0000000000" + ack + "00000000" + answer + "000000", 2, 0},
		"echo of a wake-up":       {"5555000000" + ack + "00" + answer, 2, 1},
		"rubbish between":         {ack + "A5C3" + answer, 2, 1},
		"start code in rubbish":   {"00FF1234 00" + ack + answer, 2, 1},
		"damaged, then good":      {"00FF06FA D503 32010607 E9 00" + ack, 1, 1},
		"cut off":                 {ack + "00FF06FA D503 32", 1, 1},
		"cut off, then a new one": {"00FF06FA D5 00" + ack + "00" + answer + "00", 0, 0}, // see below
		"nothing":                 {"", 0, 0},
		"zeros":                   {"000000000000", 0, 0},
	} {
		for _, portion := range []int{1, 2, 3, 7, 1000} {
			frames, noise := scanAll(unhex(c.bytes), portion)
			if name == "cut off, then a new one" {
				// The bytes of the next frame are taken for the rest of this one;
				// the checksum finds out, and what follows is heard.
				if len(frames) == 0 || noise == 0 {
					t.Errorf("%s in %d: %d frames, noise %d", name, portion, len(frames), noise)
				}
				continue
			}
			if len(frames) != c.frames || noise != c.noise {
				t.Errorf("%s in %d: %d frames, noise %d, want %d and %d", name, portion, len(frames), noise, c.frames, c.noise)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(v.bytes)[1:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, n, err := pn532.Decode(b)
		if err != nil {
			return
		}
		want := append(append([]byte{0}, b[:n]...), 0)
		if got := pn532.Append(nil, frame); !bytes.Equal(got, want) {
			t.Errorf("% X became % X", want, got)
		}
	})
}

// FuzzScanner: the portions in which a line delivers change nothing, and a good
// frame behind any rubbish and a pause is heard.
func FuzzScanner(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(v.bytes), 3)
	}
	f.Add(unhex("5555 0000FF 00FF00 A5 0000FF06FAD5033201"), 5)
	f.Fuzz(func(t *testing.T, b []byte, portion int) {
		if portion < 1 {
			portion = 1
		}
		whole, _ := scanAll(b, max(len(b), 1))
		parts, _ := scanAll(b, portion)
		if !slices.EqualFunc(whole, parts, same) {
			t.Errorf("%d frames at once, %d in portions of %d", len(whole), len(parts), portion)
		}
		var s pn532.Scanner
		s.Feed(b)
		for _, ok := s.Next(); ok; _, ok = s.Next() {
		}
		s.Reset()
		s.Feed(unhex("0000FF00FF00"))
		if got, ok := s.Next(); !ok || got.Kind != pn532.KindACK {
			t.Error("an ACK behind a pause was not heard")
		}
	})
}
