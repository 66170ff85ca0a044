package record_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sekimori/internal/record"
)

var credentialKey = record.CredentialKey(bytes.Repeat([]byte{0xA7}, 32))

// TestSecretsRedactThemselves: whatever way a value is printed or logged, its
// bytes do not come out.
func TestSecretsRedactThemselves(t *testing.T) {
	code := record.NewEnrolCode(edSigner(t, 1).Public())
	copy(code.Secret[:], bytes.Repeat([]byte{0xA7}, 10))
	var log bytes.Buffer
	for _, l := range []*slog.Logger{slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil))} {
		l.Info("x", "key", credentialKey, "code", code, "in", struct{ K record.CredentialKey }{credentialKey}, "pointer", &credentialKey,
			"codeIn", struct{ C record.EnrolCode }{code})
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{credentialKey, &credentialKey, []record.CredentialKey{credentialKey}, struct{ K record.CredentialKey }{credentialKey},
			code, struct{ C record.EnrolCode }{code}} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
	}
	for _, v := range []any{credentialKey, code, map[string]any{"k": credentialKey, "c": code}} {
		b, err := json.Marshal(v)
		if err == nil {
			log.Write(b)
		}
	}
	text := log.String()
	for name, secret := range map[string]string{"hex": "a7a7a7", "HEX": "A7A7A7", "decimal": "167 167", "a list": "167,167", "base64": "p6enp6", "Go syntax": "0xa7, 0xa7",
		"the code's text": code.Text()[:9]} {
		if strings.Contains(text, secret) {
			t.Errorf("the secret came out as %s:\n%s", name, grep(text, secret))
		}
	}
	if !strings.Contains(text, "[credential key]") || !strings.Contains(text, "[enrolment code]") {
		t.Error("nothing was printed at all: the test looks at the wrong text")
	}
}

func grep(text, what string) (out string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			out += line
		}
	}
	return out
}

func TestEnrolCodeIsReadAsPeopleType(t *testing.T) {
	root := edSigner(t, 1).Public()
	for range 50 {
		code := record.NewEnrolCode(root)
		text := code.Text()
		if code.Root != record.HashRoot(root) || len(strings.ReplaceAll(text, "-", "")) != 34 {
			t.Fatalf("code %q", text)
		}
		for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), strings.ReplaceAll(text, "-", " "), "  " + text + "\n",
			strings.ReplaceAll(text, "0", "O"), strings.ReplaceAll(text, "1", "I"), strings.ReplaceAll(text, "1", "l"), strings.ReplaceAll(text, "0", "o")} {
			got, err := record.ParseEnrolCode(typed)
			if err != nil || got != code {
				t.Errorf("%q was not read as %q: %v", typed, text, err)
			}
		}
	}
}

// TestEnrolCodeTypingMistakes: a check byte lets about one mistake in 256 pass
// here (the hub then refuses the secret); all others are told at once.
func TestEnrolCodeTypingMistakes(t *testing.T) {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	text := strings.ReplaceAll(record.NewEnrolCode(edSigner(t, 1).Public()).Text(), "-", "")
	tried, passed := 0, 0
	for i := range text {
		for _, c := range alphabet {
			if typed := text[:i] + string(c) + text[i+1:]; typed != text {
				got, err := record.ParseEnrolCode(typed)
				tried++
				switch {
				case err == nil:
					passed++
				case record.CodeOf(err) != record.CodeEnrolCode || got != (record.EnrolCode{}):
					t.Errorf("%q: %+v, %v", typed, got.Root, err)
				}
			}
		}
	}
	if tried < 1000 || passed > tried/50 {
		t.Errorf("%d of %d typing mistakes passed", passed, tried)
	}
	for _, typed := range []string{"", "-", text[:33], text + "0", text[:33] + "U", text[:33] + "*", "ひらがな", strings.Repeat("0", 1000)} {
		if _, err := record.ParseEnrolCode(typed); record.CodeOf(err) != record.CodeEnrolCode {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestEnrolSecretHash(t *testing.T) {
	a, b := record.NewEnrolCode(edSigner(t, 1).Public()), record.NewEnrolCode(edSigner(t, 1).Public())
	if a.SecretHash() == b.SecretHash() || (record.EnrolCode{Secret: a.Secret}).SecretHash() != a.SecretHash() || strings.Contains(a.SecretHash().String(), hex.EncodeToString(a.Secret[:])) {
		t.Error("the hash the hub keeps does not stand for the secret")
	}
}

func TestKeyListCountsOnlyUnderItsRoot(t *testing.T) {
	root, other := edSigner(t, 1), edSigner(t, 2)
	list := record.KeyList{Root: root.Public(), Serial: 3, Keys: []record.HubKey{{Use: record.UseOrder, Key: other.Public()}, {Use: record.UsePolicy, Key: root.Public()}}}
	sealed, err := record.Seal(root, record.TypeKeyList, list)
	if err != nil {
		t.Fatal(err)
	}
	got, err := record.OpenKeyList(root.Public(), sealed)
	if err != nil || got.Serial != 3 || len(got.For(record.UseOrder)) != 1 || got.For(record.UseOrder)[0].ID() != other.Public().ID() || got.For(record.UseReceipt) != nil {
		t.Errorf("%+v (%v)", got, err)
	}
	if _, err := record.OpenKeyList(other.Public(), sealed); record.CodeOf(err) != record.CodeBadSignature {
		t.Errorf("under another root: %v", err)
	}
	list.Root = other.Public()
	if sealed, err = record.Seal(root, record.TypeKeyList, list); err != nil {
		t.Fatal(err)
	}
	if _, err := record.OpenKeyList(root.Public(), sealed); record.CodeOf(err) != record.CodeBadSignature {
		t.Errorf("a list that names another root: %v", err)
	}
}

// TestTagsAndPINsAreBoundToOneDevice: what one board holds is worthless at
// another.
func TestTagsAndPINsAreBoundToOneDevice(t *testing.T) {
	other := record.CredentialKey(bytes.Repeat([]byte{0x5C}, 32))
	tag := credentialKey.Tag("04A1B2C3D4E5F6")
	if len(tag) != 32 || tag != credentialKey.Tag("04A1B2C3D4E5F6") || tag == credentialKey.Tag("04A1B2C3D4E5F7") || tag == other.Tag("04A1B2C3D4E5F6") {
		t.Errorf("tag %s", tag)
	}
	root := record.NewPINRoot("4649", bytes.Repeat([]byte{1}, 16))
	v := root.Bind(credentialKey)
	for name, c := range map[string]struct {
		key  record.CredentialKey
		pin  string
		want bool
	}{
		"right":          {credentialKey, "4649", true},
		"wrong PIN":      {credentialKey, "4640", false},
		"longer PIN":     {credentialKey, "46490", false},
		"no PIN":         {credentialKey, "", false},
		"another device": {other, "4649", false},
	} {
		if got := v.Check(c.key, c.pin); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if again := record.NewPINRoot("4649", bytes.Repeat([]byte{2}, 16)).Bind(credentialKey); bytes.Equal(again.MAC, v.MAC) {
		t.Error("two salts give one verifier")
	}
	if b, err := json.Marshal(v); err != nil || bytes.Contains(b, []byte("4649")) {
		t.Errorf("%s (%v)", b, err)
	}
	if (&record.PINVerifier{}).Check(credentialKey, "") || (&record.PINVerifier{}).Check(credentialKey, "4649") {
		t.Error("an empty verifier lets somebody in")
	}
}
