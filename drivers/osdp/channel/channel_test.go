package channel_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sekimori/drivers/osdp/channel"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The worked example of the specification's annex D: SCBK-D, RND.A B0…B7,
// RND.B A0…A7.
const (
	rndA   = "B0B1B2B3B4B5B6B7"
	rndB   = "A0A1A2A3A4A5A6A7"
	client = "FDE5D2F428EC16312471EA3C02BD7796" // AES(S-ENC, RND.A‖RND.B)
	server = "26D3356E07762D262801FC8E6665A891" // AES(S-ENC, RND.B‖RND.A)
	rmacI  = "B2A30057EB98BA2229EC1F875662B524"
	cuid   = "0000000000000000"
)

func session(t testing.TB) channel.Session {
	t.Helper()
	s := channel.Begin(channel.Default, [8]byte(unhex(t, rndA)))
	s, crypt, err := s.Challenged(unhex(t, cuid+rndB+client))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.ToUpper(hex.EncodeToString(crypt[:])); got != server {
		t.Fatalf("server cryptogram %s, want %s", got, server)
	}
	s, err = s.Finish(unhex(t, rmacI))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHandshakeOfTheSpecification(t *testing.T) { session(t) }

func TestEveryWrongBitOfAProofIsRefused(t *testing.T) {
	begun := channel.Begin(channel.Default, [8]byte(unhex(t, rndA)))
	good := unhex(t, cuid+rndB+client)
	for i := 8 * 8; i < 8*len(good); i++ { // the cUID is not proven
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, err := begun.Challenged(bad); !errors.Is(err, channel.ErrProof) {
			t.Fatalf("bit %d of CCRYPT wrong: %v", i, err)
		}
	}
	for n := range len(good) {
		if _, _, err := begun.Challenged(good[:n]); !errors.Is(err, channel.ErrProof) {
			t.Fatalf("CCRYPT cut to %d: %v", n, err)
		}
	}
	s, _, err := begun.Challenged(good)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 128 {
		bad := unhex(t, rmacI)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := s.Finish(bad); !errors.Is(err, channel.ErrProof) {
			t.Fatalf("bit %d of RMAC_I wrong: %v", i, err)
		}
	}
	if _, err := s.Finish(nil); !errors.Is(err, channel.ErrProof) {
		t.Errorf("no RMAC_I: %v", err)
	}
}

// That a right MAC of a reader is accepted is shown one level up, where a model
// of a reader with cryptography of its own answers.
func TestMACsChainThroughBothSides(t *testing.T) {
	s := session(t)
	poll := unhex(t, "53 00 0E00 0D 02 15 60")
	fresh := s
	s, first := fresh.Sign(poll)
	if same, again := fresh.Sign(poll); again != first || same != s {
		t.Error("the same message in the same state has another MAC")
	}
	if _, second := s.Sign(unhex(t, "53 00 0E00 0E 02 15 60")); second == first {
		t.Error("another sequence number has the same MAC")
	}
	reply := unhex(t, "53 80 0E00 0D 02 16 40")
	for i := range 32 {
		forged := [4]byte{0xDE, 0xAD, 0xBE, byte(i)}
		after, ok := s.Verify(reply, forged[:])
		if ok || after != s {
			t.Fatal("a guessed MAC was accepted or changed the session")
		}
	}
	for _, n := range []int{0, 3, 5} {
		if _, ok := s.Verify(reply, make([]byte, n)); ok {
			t.Errorf("a MAC of %d bytes was accepted", n)
		}
	}
}

func TestDataIsHiddenAndPaddingIsChecked(t *testing.T) {
	s := session(t)
	for n := range 40 {
		data := bytes.Repeat([]byte{byte(n), 0x80, 0}, 14)[:n]
		sealed := s.Seal(data)
		if n == 0 {
			if sealed != nil {
				t.Error("no data became some")
			}
			continue
		}
		if len(sealed)%16 != 0 || len(sealed) <= n || bytes.Contains(sealed, data) && n > 3 {
			t.Fatalf("%d bytes became %d", n, len(sealed))
		}
	}
	for _, n := range []int{1, 15, 17, 31} {
		if _, err := s.Open(make([]byte, n)); !errors.Is(err, channel.ErrPadding) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if d, err := s.Open(nil); d != nil || err != nil {
		t.Errorf("an empty SCS_18: %v %v", d, err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{4})
	f.Add(make([]byte, 32), make([]byte, 48))
	f.Fuzz(func(t *testing.T, data, message []byte) {
		s := session(t)
		if plain, err := s.Open(data); err == nil && len(data) > 0 && len(plain) >= len(data) {
			t.Fatalf("%d bytes opened to %d", len(data), len(plain))
		}
		signed, mac := s.Sign(message)
		if _, ok := signed.Verify(append(message, 1), mac[:]); ok && len(message) > 0 {
			t.Fatal("a command's MAC passes for a reply's")
		}
	})
}

func TestKeysHideThemselves(t *testing.T) {
	k, err := channel.ParseKey("00:11:22:33 44556677 8899AABBCCDDEEFF")
	if err != nil || k[15] != 0xFF {
		t.Fatalf("%v", err)
	}
	js, _ := json.Marshal(map[string]any{"k": k, "p": &k})
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "k", k, "p", &k)
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %x %s %d %v", k, k, k, k, k, k, &k), fmt.Sprint([]channel.Key{k}), string(js), log.String()} {
		if low := strings.ToLower(s); strings.Contains(low, "2233") || strings.Contains(low, "34 51") || strings.Contains(low, "0x22") {
			t.Errorf("%q shows the key", s)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for text, want := range map[string]error{
		"": channel.ErrKeyText, "00112233": channel.ErrKeyText, strings.Repeat("zz", 16): channel.ErrKeyText,
		"303132333435363738393A3B3C3D3E3F": channel.ErrKeyPublic, strings.Repeat("00", 16): channel.ErrKeyWeak, strings.Repeat("A7", 16): channel.ErrKeyWeak,
	} {
		if _, err := channel.ParseKey(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
	if a, b := channel.NewKey(), channel.NewKey(); a.Equal(b) || a.Check() != nil {
		t.Error("new keys are not keys")
	}
}
