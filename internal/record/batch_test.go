package record_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sekimori/internal/record"
)

func mustSigner(tb testing.TB, key crypto.Signer, err error) *record.Signer {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	s, err := record.NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func edSigner(tb testing.TB, n byte) *record.Signer {
	return mustSigner(tb, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)), nil)
}

func p256Signer(tb testing.TB) *record.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return mustSigner(tb, key, err)
}

func someBatch(tb testing.TB, s *record.Signer, n int) record.Batch {
	tb.Helper()
	var events [][]byte
	var salts []record.Salt
	for i := range n {
		e := someEvent()
		e.Seq = uint64(i + 1)
		events, salts = append(events, mustEncode(tb, e)), append(salts, record.NewSalt())
	}
	b, err := record.SealBatch(s, record.BatchHead{Device: "DC-31", Epoch: record.Epoch{1}, First: 1, Sent: 5}, events, salts)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestBatchTravelsUnchanged(t *testing.T) {
	for name, s := range map[string]*record.Signer{"Ed25519": edSigner(t, 1), "P-256": p256Signer(t)} {
		for _, n := range []int{1, 2, record.MaxBatchEvents} {
			b := someBatch(t, s, n)
			got, err := record.DecodeBatch(b.Encode())
			if err != nil || !reflect.DeepEqual(got, b) {
				t.Fatalf("%s, %d events: decoded otherwise (%v)", name, n, err)
			}
			head, err := got.Verify(s.Public())
			if err != nil || head.Device != "DC-31" || len(head.Commitments) != n || head.Sent != 5 {
				t.Errorf("%s, %d events: %+v (%v)", name, n, head, err)
			}
		}
	}
}

// TestErasedEventLeavesTheSignature: with its bytes and salt gone the head still
// verifies as an envelope [T-28].
func TestErasedEventLeavesTheSignature(t *testing.T) {
	s := edSigner(t, 1)
	b := someBatch(t, s, 3)
	var head record.BatchHead
	if _, err := record.Unseal([]record.PublicKey{s.Public()}, record.TypeBatch, b.Envelope, &head); err != nil || len(head.Commitments) != 3 {
		t.Errorf("%+v (%v)", head, err)
	}
}

func TestBatchVerifyRefuses(t *testing.T) {
	s, other := edSigner(t, 1), edSigner(t, 2)
	good := someBatch(t, s, 3)
	seal := func(change func(*record.BatchHead)) record.Batch {
		var head record.BatchHead
		if _, err := record.Unseal([]record.PublicKey{s.Public()}, record.TypeBatch, good.Envelope, &head); err != nil {
			t.Fatal(err)
		}
		change(&head)
		env, err := record.Seal(s, record.TypeBatch, head)
		if err != nil {
			t.Fatal(err)
		}
		return record.Batch{Envelope: env, Events: good.Events, Salts: good.Salts}
	}
	edited := func(change func(*record.Batch)) record.Batch {
		b := record.Batch{Envelope: bytes.Clone(good.Envelope), Events: slices.Clone(good.Events), Salts: slices.Clone(good.Salts)}
		change(&b)
		return b
	}
	order, err := record.Seal(s, record.TypeOrder, json.RawMessage(`{"v":1}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    record.Batch
		key  record.PublicKey
		code record.Code
	}{
		"another key":         {good, other.Public(), record.CodeBadSignature},
		"a key of no kind":    {good, record.PublicKey{Alg: "none"}, record.CodeBadSignature},
		"a changed event":     {edited(func(b *record.Batch) { b.Events[1] = []byte("{}") }), s.Public(), record.CodeBadSignature},
		"a changed salt":      {edited(func(b *record.Batch) { b.Salts[1] = record.Salt{} }), s.Public(), record.CodeBadSignature},
		"swapped events":      {edited(func(b *record.Batch) { b.Events[0], b.Events[1] = b.Events[1], b.Events[0] }), s.Public(), record.CodeBadSignature},
		"an event too few":    {edited(func(b *record.Batch) { b.Events = b.Events[:2] }), s.Public(), record.CodeMalformed},
		"a salt too few":      {edited(func(b *record.Batch) { b.Salts = b.Salts[:2] }), s.Public(), record.CodeMalformed},
		"no envelope":         {edited(func(b *record.Batch) { b.Envelope = nil }), s.Public(), record.CodeMalformed},
		"an order's envelope": {edited(func(b *record.Batch) { b.Envelope = order }), s.Public(), record.CodeBadSignature},
		"another version":     {seal(func(h *record.BatchHead) { h.V = 2 }), s.Public(), record.CodeMalformed},
		"no first":            {seal(func(h *record.BatchHead) { h.First = 0 }), s.Public(), record.CodeMalformed},
		"no epoch":            {seal(func(h *record.BatchHead) { h.Epoch = record.Epoch{} }), s.Public(), record.CodeMalformed},
		"no commitments":      {record.Batch{Envelope: seal(func(h *record.BatchHead) { h.Commitments = nil }).Envelope}, s.Public(), record.CodeMalformed},
	} {
		if _, err := c.b.Verify(c.key); record.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestSealBatchBounds(t *testing.T) {
	s := edSigner(t, 1)
	for _, c := range []struct{ events, salts int }{{0, 0}, {1, 2}, {record.MaxBatchEvents + 1, record.MaxBatchEvents + 1}} {
		if _, err := record.SealBatch(s, record.BatchHead{}, make([][]byte, c.events), make([]record.Salt, c.salts)); err == nil {
			t.Errorf("%d events and %d salts were sealed", c.events, c.salts)
		}
	}
}

func TestDecodeBatchRefuses(t *testing.T) {
	good := someBatch(t, edSigner(t, 1), 2).Encode()
	for n := range good {
		if _, err := record.DecodeBatch(good[:n]); record.CodeOf(err) != record.CodeMalformed {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
	for name, p := range map[string][]byte{
		"trailing byte":   append(bytes.Clone(good), 0),
		"another magic":   append([]byte("SKB2"), good[4:]...),
		"too many events": {'S', 'K', 'B', '1', 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"a huge length":   {'S', 'K', 'B', '1', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"an endless size": append([]byte("SKB1"), bytes.Repeat([]byte{0xff}, 20)...),
		"too large":       make([]byte, 2*record.MaxBatchBytes+1),
	} {
		if _, err := record.DecodeBatch(p); record.CodeOf(err) != record.CodeMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodedBatchSharesNoMemory(t *testing.T) {
	s := edSigner(t, 1)
	wire := someBatch(t, s, 2).Encode()
	b, err := record.DecodeBatch(wire)
	if err != nil {
		t.Fatal(err)
	}
	clear(wire)
	if _, err := b.Verify(s.Public()); err != nil {
		t.Errorf("the batch changed with the packet's buffer: %v", err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	s := edSigner(f, 1)
	f.Add(someBatch(f, s, 1).Encode())
	f.Add(someBatch(f, s, 3).Encode())
	f.Add([]byte("SKB1"))
	f.Fuzz(func(t *testing.T, p []byte) {
		b, err := record.DecodeBatch(p)
		if err != nil {
			if record.CodeOf(err) != record.CodeMalformed {
				t.Errorf("error without its code: %v", err)
			}
			return
		}
		if _, err := b.Verify(s.Public()); err != nil && record.CodeOf(err) == "" {
			t.Errorf("error without its code: %v", err)
		}
		again, err := record.DecodeBatch(b.Encode())
		if err != nil || !bytes.Equal(again.Encode(), b.Encode()) {
			t.Errorf("a batch came back otherwise (%v)", err)
		}
	})
}

func TestUnsealRefuses(t *testing.T) {
	s := edSigner(t, 1)
	keys := []record.PublicKey{s.Public()}
	sealed, err := record.Seal(s, record.TypeAsk, record.Ask{Device: "DC-31", Question: record.AskSync})
	if err != nil {
		t.Fatal(err)
	}
	var a record.Ask
	if id, err := record.Unseal(append([]record.PublicKey{p256Signer(t).Public()}, keys...), record.TypeAsk, sealed, &a); err != nil || id != s.Public().ID() || a.Device != "DC-31" {
		t.Errorf("%+v by %s (%v)", a, id, err)
	}
	extra, err := record.Seal(s, record.TypeAsk, map[string]string{"room": "サーバ室"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		keys   []record.PublicKey
		t      record.PayloadType
		sealed []byte
		code   record.Code
	}{
		"no keys":          {nil, record.TypeAsk, sealed, record.CodeBadSignature},
		"another key":      {[]record.PublicKey{edSigner(t, 2).Public()}, record.TypeAsk, sealed, record.CodeBadSignature},
		"another type":     {keys, record.TypeOrder, sealed, record.CodeBadSignature},
		"a type swapped":   {keys, record.TypeOrder, bytes.Replace(sealed, []byte(".ask."), []byte(".order."), 1), record.CodeBadSignature},
		"a changed body":   {keys, record.TypeAsk, bytes.Replace(sealed, []byte(`"payload":"ey`), []byte(`"payload":"ez`), 1), record.CodeBadSignature},
		"not JSON":         {keys, record.TypeAsk, []byte("x"), record.CodeMalformed},
		"nothing":          {keys, record.TypeAsk, nil, record.CodeMalformed},
		"no signatures":    {keys, record.TypeAsk, []byte(`{"payloadType":"application/vnd.sekimori.ask.v1+json","payload":"e30=","signatures":[]}`), record.CodeBadSignature},
		"an unknown field": {keys, record.TypeAsk, extra, record.CodeMalformed},
	} {
		if _, err := record.Unseal(c.keys, c.t, c.sealed, &a); record.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestKeysNameTheirAlgorithm(t *testing.T) {
	ed, p256 := edSigner(t, 1).Public(), p256Signer(t).Public()
	if ed.Alg != record.AlgEd25519 || p256.Alg != record.AlgECDSAP256 {
		t.Errorf("algorithms %s and %s", ed.Alg, p256.Alg)
	}
	lying := record.PublicKey{Alg: record.AlgECDSAP256, SPKI: ed.SPKI}
	if _, err := lying.Crypto(); err == nil || lying.ID() == ed.ID() {
		t.Errorf("a key that lies about its algorithm: ID %s, error %v", lying.ID(), err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.NewSigner(key); err == nil {
		t.Error("an RSA key was taken")
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.NewSigner(p384); err == nil {
		t.Error("a P-384 key was taken")
	}
}

// TestCodesHaveTexts: whoever sees a code sees a sentence with a way out.
func TestCodesHaveTexts(t *testing.T) {
	all := []record.Code{record.CodeMalformed, record.CodeBadSignature, record.CodeWrongDevice, record.CodeReplayed, record.CodeGap, record.CodeEventChanged,
		record.CodePolicyOld, record.CodeOrderOld, record.CodeOrderExpired, record.CodeOrderUnknown, record.CodeLogRolledBack, record.CodeLogForked,
		record.CodeEnrolCode, record.CodeEnrolRoot, record.CodeUnknownDevice, record.CodeClockStep, record.CodeStoreFailed}
	if len(record.Codes()) != len(all) {
		t.Errorf("%d codes have texts, this test knows %d", len(record.Codes()), len(all))
	}
	for _, c := range all {
		text := c.Text()
		if !strings.HasSuffix(text.JA, "。") || !strings.HasSuffix(text.EN, ".") || !strings.HasPrefix(string(c), "SK-") {
			t.Errorf("%s: %+v", c, text)
		}
	}
	cause := errors.New("cause")
	err := record.Fail(record.CodeGap, cause)
	if !errors.Is(err, cause) || record.CodeOf(errors.Join(errors.New("x"), err)) != record.CodeGap || record.CodeOf(cause) != "" || record.CodeOf(nil) != "" {
		t.Errorf("%v has code %q", err, record.CodeOf(err))
	}
}
