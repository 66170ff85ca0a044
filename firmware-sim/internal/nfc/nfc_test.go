package nfc_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/nfc"
)

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// say sends bytes written as hex and gives the answer the same way.
func say(m *nfc.Module, now time.Duration, text string) string {
	var out []byte
	for _, x := range unhex(text) {
		out = append(out, m.Feed(x, now)...)
	}
	return hex.EncodeToString(out)
}

type line struct{ what, send, want string }

// talk holds a dialogue written by hand: 00 00FF | length, -length | D4 code
// parameters | -sum | 00.
func talk(t *testing.T, m *nfc.Module, lines []line) {
	t.Helper()
	for _, l := range lines {
		if got, want := say(m, 0, l.send), strings.ReplaceAll(l.want, " ", ""); got != want {
			t.Errorf("%s:\n got %s\nwant %s", l.what, got, want)
		}
	}
}

const (
	wake    = "5555 0000000000000000000000000000"
	ack     = "0000ff00ff00"
	sam     = "0000ff 03fd d41401 17 00"
	once    = "0000ff 06fa d43205ff0100 f5 00" // RFConfiguration 5: do not wait for a card
	listA   = "0000ff 04fc d44a0100 e1 00"
	list212 = "0000ff 09f7 d44a010100ffff0100 e1 00" // any system, tell the system code
	release = "0000ff 03fd d45200 da 00"
	nobody  = ack + "0000ff 03fd d54b00 e0 00"
)

// mustAwake is a module as a driver leaves it before the first look.
func mustAwake(t *testing.T) *nfc.Module {
	t.Helper()
	m := nfc.New(nil)
	talk(t, m, []line{
		{"wake-up", wake, ""},
		{"SAMConfiguration", sam, ack + "0000ff 02fe d515 16 00"},
		{"RFConfiguration", once, ack + "0000ff 02fe d533 f8 00"},
	})
	return m
}

func TestSetUp(t *testing.T) {
	m := nfc.New(nil)
	talk(t, m, []line{
		{"asleep", sam, ""},
		{"wake-up", wake, ""},
		{"SAMConfiguration", sam, ack + "0000ff 02fe d515 16 00"},
		{"Diagnose, line", "0000ff 09f7 d400006c69626e6663 be 00", ack + "0000ff 09f7 d501006c69626e6663 bc 00"},
		{"GetFirmwareVersion", "0000ff 02fe d402 2a 00", ack + "0000ff 06fa d50332010607 e8 00"},
		{"SetParameters", "0000ff 03fd d41214 06 00", ack + "0000ff 02fe d513 18 00"},
		{"WriteRegister", "0000ff 05fb d40863025a 65 00", ack + "0000ff 02fe d509 22 00"},
		{"ReadRegister", "0000ff 04fc d4066302 c1 00", ack + "0000ff 03fd d5075a ca 00"},
		{"NACK: again", "0000ffff0000", "0000ff 03fd d5075a ca 00"},
		{"unknown command", "0000ff 02fe d4ee 3e 00", ack + "0000ff01ff7f8100"},
		{"the sum of the data is wrong", "0000ff 02fe d402 2b 00", ""},
		{"the sum of the length is wrong", "0000ff 02ff d402 2a 00", ""},
		{"extended frame", "0000ff ffff 0002fe d402 2a 00", ack + "0000ff 06fa d50332010607 e8 00"},
		{"no such configuration", "0000ff 04fc d4327701 82 00", ack + "0000ff01ff7f8100"},
		{"field on", "0000ff 04fc d4320101 f8 00", ack + "0000ff 02fe d533 f8 00"},
		{"GetGeneralStatus", "0000ff 02fe d404 28 00", ack + "0000ff 06fa d50500010000 25 00"},
		{"PowerDown", "0000ff 03fd d41610 06 00", ack + "0000ff 03fd d51700 14 00"},
		{"asleep again", sam, ""},
		{"wake-up again", wake, ""},
		{"SAMConfiguration again", sam, ack + "0000ff 02fe d515 16 00"},
	})
}

func TestCards(t *testing.T) {
	for _, c := range []struct {
		name string
		chip nfc.Chip
		list string
		want string
	}{
		{"4 bytes", nfc.Chip{UID: unhex("deadbeef")}, listA, "0000ff 0cf4 d54b 01 01 0004 08 04 deadbeef 96 00"},
		{"7 bytes", nfc.Chip{UID: unhex("04010203040506")}, listA, "0000ff 0ff1 d54b 01 01 0044 00 07 04010203040506 7a 00"},
		{"10 bytes", nfc.Chip{UID: unhex("01020304050607080910")}, listA, "0000ff 12ee d54b 01 01 0084 00 0a 01020304050607080910 13 00"},
		{"a card with a key, its ATS", nfc.Chip{UID: unhex("04010203040506"), Secure: true}, listA,
			"0000ff 15eb d54b 01 01 0344 20 07 04010203040506 067577810280 62 00"},
		{"FeliCa", nfc.Chip{IDm: unhex("0123456789abcdef")}, list212,
			"0000ff 18e8 d54b 01 01 14 01 0123456789abcdef 012022042767 4eff 0003 e4 00"},
		{"FeliCa is no type A", nfc.Chip{IDm: unhex("0123456789abcdef")}, listA, "0000ff 03fd d54b00 e0 00"},
		{"type A is no FeliCa", nfc.Chip{UID: unhex("deadbeef")}, list212, "0000ff 03fd d54b00 e0 00"},
		{"another system", nfc.Chip{IDm: unhex("0123456789abcdef")}, "0000ff 09f7 d44a010100fe000100 e1 00", "0000ff 03fd d54b00 e0 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := mustAwake(t)
			m.Present(c.chip, 0, 0)
			got := say(m, 0, c.list)
			want := strings.ReplaceAll(ack+c.want, " ", "")
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A card that was released is silent until it has lost its power.
func TestRelease(t *testing.T) {
	m := mustAwake(t)
	found := ack + "0000ff 0cf4 d54b 01 01 0004 08 04 deadbeef 96 00"
	talk(t, m, []line{{"nobody there", listA, nobody}})
	m.Present(nfc.Chip{UID: unhex("deadbeef")}, 0, time.Second)
	talk(t, m, []line{
		{"found", listA, found},
		{"and again", listA, found},
		{"by its UID", "0000ff 08f8 d44a0100deadbeef a9 00", found},
		{"another UID", "0000ff 08f8 d44a0100deadbee0 b8 00", nobody},
		{"found", listA, found},
		{"released", release, ack + "0000ff 03fd d55300 d8 00"},
		{"halted", listA, nobody},
		{"field off", "0000ff 04fc d4320100 f9 00", ack + "0000ff 02fe d533 f8 00"},
		{"found", listA, found},
		{"no ISO-DEP card", "0000ff 05fb d4400190ff 5c 00", ack + "0000ff 03fd d54101 e9 00"},
		{"no such target", "0000ff 04fc d4400290 5a 00", ack + "0000ff 03fd d54127 c3 00"},
	})
	if got := say(m, time.Second, listA); got != strings.ReplaceAll(nobody, " ", "") {
		t.Errorf("its time is over: %s", got)
	}
}

// With endless retries, as after power, a listing waits for the card.
func TestWaits(t *testing.T) {
	m := nfc.New(nil)
	talk(t, m, []line{{"wake-up", wake, ""}, {"waits", listA, ack}})
	if got := m.Present(nfc.Chip{IDm: make([]byte, 8)}, 0, 0); got != nil {
		t.Errorf("a FeliCa card: %x", got)
	}
	if got, want := m.Present(nfc.Chip{UID: unhex("deadbeef")}, 0, 0), unhex("0000ff 0cf4 d54b 01 01 0004 08 04 deadbeef 96 00"); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	m.Remove()
	talk(t, m, []line{{"waits", listA, ack}, {"stop", ack, ""}})
	if got := m.Present(nfc.Chip{UID: unhex("deadbeef")}, 0, 0); got != nil {
		t.Errorf("was told to stop: %x", got)
	}
}

func TestAutoPoll(t *testing.T) {
	const poll = "0000ff 06fa d46001011011 a9 00" // one round, 150 ms, MIFARE, FeliCa 212
	m := mustAwake(t)
	talk(t, m, []line{{"nobody there", poll, ack + "0000ff 03fd d56100 ca 00"}})
	m.Present(nfc.Chip{IDm: unhex("0123456789abcdef")}, 0, 0)
	talk(t, m, []line{{"FeliCa", poll, ack + "0000ff 18e8 d561 01 11 13 01 1201 0123456789abcdef 0120220427674eff af 00"}})
}

func TestFaults(t *testing.T) {
	m := mustAwake(t)
	for _, kind := range []string{nfc.Sums, nfc.Silent} {
		if !m.Fail(kind, 1) {
			t.Fatalf("no fault %s", kind)
		}
	}
	const version = "0000ff 02fe d402 2a 00"
	talk(t, m, []line{
		{"silent", version, ""},
		{"wrong sum", version, ack + "0000ff 06fa d50332010607 b2 00"},
		{"said again, right", "0000ffff0000", "0000ff 06fa d50332010607 e8 00"},
	})
	if m.Fail("fire", 1) {
		t.Error("a fault that there is not")
	}
	m.PowerCut()
	talk(t, m, []line{{"no power", version, ""}})
}

// exchange wraps an ISO 7816 command for target 1 and unwraps the answer.
func exchange(t *testing.T, m *nfc.Module, command string) string {
	t.Helper()
	c := append([]byte{0xD4, 0x40, 0x01}, unhex(command)...)
	var s byte
	for _, x := range c {
		s += x
	}
	got := say(m, 0, fmt.Sprintf("0000ff%02x%02x%x%02x00", len(c), byte(-len(c)), c, -s))
	head := len(ack) + len("0000ff0000d54100")
	if len(got) < head+4 || got[head-6:head] != "d54100"[:6] {
		t.Fatalf("%s: %s", command, got)
	}
	return got[head : len(got)-4]
}

// fixed gives random numbers that were written down.
type fixed struct{ bytes.Buffer }

// The authentication of AN12196 (NTAG 424 DNA) table 14, byte by byte, through
// the module: key of zeros, RndB b9e2…, TI 9d00c4df.
func TestAuthenticate(t *testing.T) {
	var r fixed
	r.Write(unhex("B9E2FC789B64BF237CCCAA20EC7E6E48 9D00C4DF"))
	m := nfc.New(&r)
	talk(t, m, []line{{"wake-up", wake, ""}})
	m.Present(nfc.Chip{UID: unhex("04DE5F1EACC040"), Secure: true, Application: nfc.NTAG424()}, 0, 0)
	say(m, 0, listA)
	for _, l := range []line{
		{"before selection", "9071000002000000", "91ae"},
		{"another application", "00a4040c07d276000085010200", "6a82"},
		{"NDEF application", "00a4040c07d276000085010100", "9000"},
		{"no such key", "9071000002050000", "9140"},
		{"first", "9071000002000000", "a04c124213c186f22399d33ac2a30215 91af"},
		{"second", "90af000020 35c3e05a752e0144bac0de51c1f22c56b34408a23d8aea266cab947ea8e0118d 00",
			"3fa64db5446d1f34cd6ea311167f5e4985b89690c04a05f17fa7ab2f08120663 9100"},
		{"a number without a MAC", "90510000080000000000000000 00", "911e"},
		{"the session is over", "90510000080000000000000000 00", "91ae"},
		{"unknown", "9060000000", "911c"},
		{"a length that is none", "9071000009000000", "917e"},
	} {
		if got, want := exchange(t, m, l.send), strings.ReplaceAll(l.want, " ", ""); got != want {
			t.Errorf("%s:\n got %s\nwant %s", l.what, got, want)
		}
	}
}

// Torn exchanges, and a card that has gone, are time-outs of the chip.
func TestTorn(t *testing.T) {
	m := mustAwake(t)
	m.Present(nfc.Chip{UID: unhex("04DE5F1EACC040"), Secure: true, Application: unhex("f58842")}, 0, 0)
	say(m, 0, listA)
	m.Fail(nfc.Torn, 1)
	const sel = "0000ff 0cf4 d440 01 905a0000034288f500 3f 00" // AID F58842, last byte first
	talk(t, m, []line{
		{"torn", sel, ack + "0000ff 03fd d54101 e9 00"},
		{"there", sel, ack + "0000ff 05fb d541009100 59 00"},
	})
	m.Remove()
	talk(t, m, []line{{"gone", sel, ack + "0000ff 03fd d54101 e9 00"}})
}

// AN10922 §2.2.1: the worked example of an AES-128 key.
func TestDiversify(t *testing.T) {
	got := nfc.Diversify(nfc.Key(unhex("00112233445566778899AABBCCDDEEFF")), unhex("04782E21801D80 3042F5 4E585020416275"))
	if want := nfc.Key(unhex("A8DD63A3B89D54B37CA802473FDA9175")); got != want {
		t.Error("the key of AN10922's example is another")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", got, got, got, got); strings.Contains(text, "168") || strings.Contains(strings.ToLower(text), "a8dd") {
		t.Errorf("a key is printed: %s", text)
	}
}

// FuzzFeed: no bytes from the wire upset the module, and it still answers.
func FuzzFeed(f *testing.F) {
	for _, seed := range []string{wake + sam + once + listA + list212 + release, "0000ff 02fe d402 2a 00", "0000ffffff0002fed4022a00", "0000ffff0000"} {
		f.Add(unhex(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := nfc.New(nil)
		say(m, 0, wake)
		m.Present(nfc.Chip{UID: unhex("04DE5F1EACC040"), IDm: make([]byte, 8), Secure: true, Application: nfc.NTAG424()}, 0, 0)
		for _, x := range b {
			m.Feed(x, 0)
		}
		say(m, 0, wake)
		say(m, 0, strings.Repeat("00", 300)) // ends a frame that was begun
		if got := say(m, 0, sam); !strings.HasSuffix(got, "0000ff02fed5151600") && m.Status(0).Awake {
			t.Errorf("dead after %x: %s", b, got)
		}
	})
}

// FuzzExchange: no command upsets a card.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{"9071000002000000", "00a4040c07d276000085010100", "9060000000"} {
		f.Add(unhex(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := nfc.New(nil)
		say(m, 0, wake)
		m.Present(nfc.Chip{UID: unhex("04DE5F1EACC040"), Secure: true, Application: nfc.NTAG424()}, 0, 0)
		say(m, 0, listA)
		exchange(t, m, "00a4040c07d276000085010100")
		if len(b) > 200 {
			return
		}
		if got := exchange(t, m, hex.EncodeToString(b)); len(got) < 4 {
			t.Errorf("%x: %s", b, got)
		}
	})
}

// AN12196 §7.3 (rev. 1.5): GetCardUID under a session, byte by byte.
func TestCardUID(t *testing.T) {
	got := nfc.UnderSession(unhex("04958CAA5C5E80"),
		nfc.Key(unhex("2B4D963C014DC36F24F69A50A394F875")), nfc.Key(unhex("379D32130CE61705DD5FD8C36B95D764")), [4]byte(unhex("DF055522")),
		unhex("90 51 00 00 08 8E2C155ADDA99BE3 00"))
	if want := unhex("70756055688505B52A5E26E59E329CD6 595F672298EA41B7 9100"); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// [T-22] A clone says the same number, plays the dialogue to its end, and what
// it answers is not what a holder of the key would have said.
func TestClone(t *testing.T) {
	var r fixed
	r.Write(unhex("0123456789ABCDEF0123456789ABCDEF B9E2FC789B64BF237CCCAA20EC7E6E48 9D00C4DF")) // its own key, RndB, TI
	m := nfc.New(&r)
	talk(t, m, []line{{"wake-up", wake, ""}})
	m.Present(nfc.Chip{UID: unhex("04010203040506"), Secure: true, Application: nfc.NTAG424(), Clone: true}, 0, 0)
	talk(t, m, []line{{"listed", listA, ack + "0000ff 15eb d54b 01 01 0344 20 07 04010203040506 067577810280 62 00"}})
	exchange(t, m, "00a4040c07d276000085010100")
	first := exchange(t, m, "9071000002000000")
	if len(first) != 36 || !strings.HasSuffix(first, "91af") || strings.HasPrefix(first, "a04c1242") {
		t.Errorf("first: %s", first)
	}
	second := exchange(t, m, "90af00002035c3e05a752e0144bac0de51c1f22c56b34408a23d8aea266cab947ea8e0118d00")
	if len(second) != 68 || !strings.HasSuffix(second, "9100") || strings.HasPrefix(second, "3fa64db5") {
		t.Errorf("second: %s", second)
	}
}
