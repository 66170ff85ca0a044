package drivertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sekimori/drivers"
)

// leaks prints a reading in every way a programmer might and looks for the
// number [001-4.4(4)].
func leaks(t *testing.T, r Rig) {
	rec := &Recorder{}
	defer start(t, r, rec)()
	ready(t, rec)
	r.present(false)
	until(t, 5*time.Second, "a reading", func() bool { return len(rec.Readings()) == 1 })
	if !r.NoKeys {
		r.Device.Press("73915#")
		until(t, 5*time.Second, "typed keys", func() bool { return len(rec.Readings()) == 2 })
	}
	for _, x := range rec.Readings() {
		for _, text := range Texts(t, x, &x, []drivers.Reading{x}, map[string]any{"r": x}) {
			for _, secret := range secretsOf(x) {
				if strings.Contains(strings.ToLower(text), secret) {
					t.Errorf("%q shows %q", text, secret)
				}
			}
		}
	}
	for _, h := range rec.Healths() {
		if strings.Contains(h.Detail, "73915") {
			t.Errorf("health says %q", h.Detail)
		}
	}
}

func secretsOf(x drivers.Reading) []string {
	if !x.Finger.IsZero() {
		return nil // a place in a list
	}
	card := x.Card
	if !x.Claim.IsZero() {
		card = x.Claim
	}
	if card.IsZero() {
		return []string{x.Keys.Typed()}
	}
	bits := card.Bits()
	return []string{
		fmt.Sprintf("%x", bits), fmt.Sprintf("% x", bits), strings.Trim(fmt.Sprint(bits), "[]"),
		strings.ReplaceAll(strings.Trim(fmt.Sprint(bits), "[]"), " ", ","), fmt.Sprintf("%q", bits),
	}
}

// Texts is what values look like wherever somebody might print, log or send them.
func Texts(t *testing.T, values ...any) []string {
	t.Helper()
	var out []string
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			out = append(out, fmt.Sprintf(verb, v))
		}
		enc, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T cannot be encoded: %v", v, err)
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("reading", "r", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("reading", "r", v)
		out = append(out, string(enc), b.String())
	}
	return out
}
