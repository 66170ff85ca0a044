package ev2_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sekimori/drivers/pn532/ev2"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustKey(t testing.TB, s string) ev2.Key {
	t.Helper()
	k, err := ev2.ParseKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The examples of NIST SP 800-38B, appendix D.1.
func TestCMACVectors(t *testing.T) {
	key := mustKey(t, "2b7e151628aed2a6abf7158809cf4f3c")
	const text = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
	for n, want := range map[int]string{
		0:  "bb1d6929e95937287fa37d129b756746",
		16: "070a16b46b4d4144f79bdd9dd04a287c",
		40: "dfa66747de9ae63030ca32611497c827",
		64: "51f0bebf7e3b9d92fc49741779363cfe",
	} {
		mac := ev2.CMAC(key, unhex(t, text)[:n])
		if got := hex.EncodeToString(mac[:]); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

// AN10922 §2.2.1: UID 04782E21801D80, application 3042F5, system "NXP Abu".
func TestDiversifyVector(t *testing.T) {
	site := mustKey(t, "00112233445566778899AABBCCDDEEFF")
	got, err := ev2.Diversify(site, unhex(t, "04782E21801D80 3042F5 4E585020416275"))
	if err != nil {
		t.Fatal(err)
	}
	if !ev2.Same(got, mustKey(t, "A8DD63A3B89D54B37CA802473FDA9175")) {
		t.Error("not the published card key")
	}
	// A short input is filled to two blocks, which plain CMAC does not do.
	alone, err := ev2.Diversify(site, unhex(t, "04782E21801D80"))
	if err != nil {
		t.Fatal(err)
	}
	plain := ev2.CMAC(site, unhex(t, "01 04782E21801D80"))
	if k, _ := ev2.NewKey(plain[:]); ev2.Same(k, alone) {
		t.Error("a short input was not filled to two blocks")
	}
	full, err := ev2.Diversify(site, make([]byte, ev2.MaxInput))
	if err != nil {
		t.Fatal(err)
	}
	whole := ev2.CMAC(site, append([]byte{1}, make([]byte, ev2.MaxInput)...))
	if k, _ := ev2.NewKey(whole[:]); !ev2.Same(k, full) {
		t.Error("an input of 31 bytes is two whole blocks")
	}
	for _, n := range []int{0, 32} {
		if _, err := ev2.Diversify(site, make([]byte, n)); err == nil {
			t.Errorf("an input of %d bytes", n)
		}
	}
}

// AN12196 §6.6 (rev. 1.5, table 14): AuthenticateEV2First with key 0, all zero.
func TestHandshakeVector(t *testing.T) {
	key := mustKey(t, strings.Repeat("00", 16))
	if got, want := ev2.FirstCommand(0), unhex(t, "90 71 00 00 02 00 00 00"); !bytes.Equal(got, want) {
		t.Errorf("first command % X, want % X", got, want)
	}
	rndA := [16]byte(unhex(t, "13C5DB8A5930439FC3DEF9A4C675360F"))
	first := unhex(t, "A04C124213C186F22399D33AC2A30215 91AF")
	h, send, err := ev2.Challenge(key, first, rndA)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "90AF000020 35C3E05A752E0144BAC0DE51C1F22C56B34408A23D8AEA266CAB947EA8E0118D 00")
	if !bytes.Equal(send, want) {
		t.Errorf("second command % X, want % X", send, want)
	}
	second := unhex(t, "3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F08120663 9100")
	s, err := h.Finish(second)
	if err != nil {
		t.Fatal(err)
	}
	if want := ev2.MustSession("1309C877509E5A215007FF0ED19CA564", "4C6626F5E72EA694202139295C7A7FC7", "9D00C4DF"); !ev2.SameSession(s, want) {
		t.Error("not the published session keys and transaction identifier")
	}
	for i := range second {
		bad := bytes.Clone(second)
		bad[i] ^= 0x01
		if _, err := h.Finish(bad); !errors.Is(err, ev2.ErrRefused) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

// AN12196 §7.3 (rev. 1.5), GetCardUID in full mode.
func TestCardUIDVector(t *testing.T) {
	s := ev2.MustSession("2B4D963C014DC36F24F69A50A394F875", "379D32130CE61705DD5FD8C36B95D764", "DF055522")
	if got, want := s.UIDCommand(), unhex(t, "90 51 00 00 08 8E2C155ADDA99BE3 00"); !bytes.Equal(got, want) {
		t.Errorf("command % X, want % X", got, want)
	}
	answer := unhex(t, "70756055688505B52A5E26E59E329CD6 595F672298EA41B7 9100")
	uid, err := s.UID(answer)
	if err != nil || !bytes.Equal(uid, unhex(t, "04958CAA5C5E80")) {
		t.Errorf("UID % X, %v", uid, err)
	}
	for i := range answer {
		bad := bytes.Clone(answer)
		bad[i] ^= 0x80
		if _, err := s.UID(bad); !errors.Is(err, ev2.ErrRefused) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestSelectCommands(t *testing.T) {
	for _, c := range []struct{ application, want string }{
		{"D2760000850101", "00 A4 04 0C 07 D2760000850101 00"}, // NTAG 424 DNA, AN12196 §6.2
		{"F58842", "90 5A 00 00 03 4288F5 00"},                 // DESFire: the last byte first
	} {
		got, err := ev2.SelectCommand(unhex(t, c.application))
		if err != nil || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: % X, %v; want %s", c.application, got, err, c.want)
		}
	}
	for _, n := range []int{0, 1, 2, 4, 17} {
		if _, err := ev2.SelectCommand(make([]byte, n)); err == nil {
			t.Errorf("a name of %d bytes", n)
		}
	}
}

func TestKeysRedactThemselves(t *testing.T) {
	const secret = "00112233445566778899aabbccddeeff"
	k := mustKey(t, secret)
	h, _, err := ev2.Challenge(k, append(unhex(t, secret), 0x91, 0xAF), [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{k, &k, []ev2.Key{k}, struct{ K ev2.Key }{k}, struct{ k ev2.Key }{k}, h} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "k", v)
		enc, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		texts := []string{log.String(), string(enc)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		for _, text := range texts {
			low := strings.ToLower(text)
			if strings.Contains(low, secret) || strings.Contains(text, "17 34 51") || strings.Contains(low, "0x11, 0x22") {
				t.Errorf("%s shows the key", text)
			}
		}
	}
	if _, err := ev2.ParseKey(secret[:30] + "zz"); err == nil || strings.Contains(err.Error(), "0011") {
		t.Errorf("parse: %v", err)
	}
}

// FuzzAnswers: whatever a card says, nothing panics, and only the published
// answers are taken.
func FuzzAnswers(f *testing.F) {
	f.Add(unhex(f, "A04C124213C186F22399D33AC2A3021591AF"))
	f.Add(unhex(f, "3FA64DB5446D1F34CD6EA311167F5E4985B89690C04A05F17FA7AB2F081206639100"))
	f.Add(unhex(f, "70756055688505B52A5E26E59E329CD6595F672298EA41B79100"))
	f.Add([]byte{0x91})
	good := unhex(f, "70756055688505B52A5E26E59E329CD6595F672298EA41B79100")
	f.Fuzz(func(t *testing.T, answer []byte) {
		key := mustKey(t, strings.Repeat("00", 16))
		if h, _, err := ev2.Challenge(key, answer, [16]byte{7}); err == nil {
			if _, err := h.Finish(answer); err == nil {
				t.Error("one answer passed for both")
			}
		}
		s := ev2.MustSession("2B4D963C014DC36F24F69A50A394F875", "379D32130CE61705DD5FD8C36B95D764", "DF055522")
		if _, err := s.UID(answer); err == nil && !bytes.Equal(answer, good) {
			t.Errorf("% X passed for a signed number", answer)
		}
	})
}
