package keyring_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/agent/internal/keyring"
)

var key = keyring.Secret("sixteen secrets!")

func TestPrepareThenKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	ring := keyring.Open(dir, "DC-31")
	fresh := func() keyring.Secret { return key }
	if _, found, err := ring.Get("D31-in", keyring.UseOSDP); found || err != nil {
		t.Fatalf("an empty ring: %v %v", found, err)
	}
	if err := ring.Keep("D31-in", keyring.UseOSDP); err == nil {
		t.Fatal("kept what was not prepared")
	}
	if _, err := ring.Prepare("D31-in", keyring.UseOSDP, fresh); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := ring.Get("D31-in", keyring.UseOSDP); found {
		t.Fatal("a key that no reader has proved is in use")
	}
	// Cut short, begun again by the next program: the same key.
	again, err := keyring.Open(dir, "DC-31").Prepare("D31-in", keyring.UseOSDP, func() keyring.Secret { return keyring.Secret("another 16 bytes") })
	if err != nil || !bytes.Equal(again, key) {
		t.Fatalf("prepared anew: %v", err)
	}
	if err := ring.Keep("D31-in", keyring.UseOSDP); err != nil {
		t.Fatal(err)
	}
	got, found, err := ring.Get("D31-in", keyring.UseOSDP)
	if err != nil || !found || !bytes.Equal(got, key) {
		t.Fatalf("kept: %v %v", found, err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Fatalf("left behind: %v", files)
	}
	if info, _ := files[0].Info(); info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
}

// [001-4.5(1)] A secret is of one device, one reader and one use.
func TestSecretOfAnother(t *testing.T) {
	dir := t.TempDir()
	ring := keyring.Open(dir, "DC-31")
	if err := ring.Put("D31-in", keyring.UseOSDP, key); err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyring.Open(dir, "DC-21").Get("D31-in", keyring.UseOSDP); !errors.Is(err, keyring.ErrForeign) {
		t.Errorf("another device: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "D31-in.osdp"), filepath.Join(dir, "D31-out.osdp")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Get("D31-out", keyring.UseOSDP); !errors.Is(err, keyring.ErrForeign) {
		t.Errorf("another reader: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "D31-out.osdp"), filepath.Join(dir, "D31-in.cards")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Get("D31-in", keyring.UseCards); !errors.Is(err, keyring.ErrForeign) {
		t.Errorf("another use: %v", err)
	}
	if err := ring.Put("D31-in", keyring.UseFingerprint, key); err == nil {
		t.Error("a password of 16 bytes")
	}
}

// [001-4.5(1)] Nothing that can be printed gives a secret away, errors neither.
func TestSecretsRedactThemselves(t *testing.T) {
	var said bytes.Buffer
	slog.New(slog.NewJSONHandler(&said, nil)).Info("x", "secret", key)
	fmt.Fprintf(&said, "%v %s %x %q %#v %+v", key, key, key, key, key, struct{ K keyring.Secret }{key})
	text, err := json.Marshal(key)
	said.Write(text)
	dir := t.TempDir()
	ring := keyring.Open(dir, "DC-31")
	for _, damaged := range []string{"", string(key), `{"device":"DC-31","reader":"D31-in","use":"osdp","secret":"c2l4dGVlbiBzZWNyZXRz"}`} {
		if err := os.WriteFile(filepath.Join(dir, "D31-in.osdp"), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := ring.Get("D31-in", keyring.UseOSDP)
		if err == nil {
			t.Errorf("%q was read", damaged)
		}
		fmt.Fprint(&said, err)
	}
	for _, give := range []string{"sixteen", "73697874", "c2l4"} {
		if strings.Contains(said.String(), give) || err != nil {
			t.Errorf("given away: %s, %v", said.String(), err)
		}
	}
}
