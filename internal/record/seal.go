package record

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// PayloadType says what an envelope holds; it is signed with the payload, so an
// answer can never be passed off as an order.
type PayloadType string

const (
	TypeBatch   PayloadType = "application/vnd.sekimori.batch.v1+json"
	TypeReceipt PayloadType = "application/vnd.sekimori.receipt.v1+json"
	TypePolicy  PayloadType = "application/vnd.sekimori.policy.v1+json"
	TypeOrder   PayloadType = "application/vnd.sekimori.order.v1+json"
	TypeAsk     PayloadType = "application/vnd.sekimori.ask.v1+json"
	TypeAnswer  PayloadType = "application/vnd.sekimori.answer.v1+json"
	TypeKeyList PayloadType = "application/vnd.sekimori.keylist.v1+json"
	TypeEnrol   PayloadType = "application/vnd.sekimori.enrol.v1+json"
)

// Seal signs payload, encoded as JSON, and returns the DSSE envelope's bytes.
func Seal(s *Signer, t PayloadType, payload any) ([]byte, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	es, err := dsse.NewEnvelopeSigner(dsseSigner{s})
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", t, err)
	}
	env, err := es.SignPayload(context.Background(), string(t), body)
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", t, err)
	}
	return json.Marshal(env)
}

// Unseal checks an envelope against the keys and reads its payload into `into`.
// It returns the key that signed. Every failure is an *Error with
// CodeBadSignature or CodeMalformed.
func Unseal(keys []PublicKey, t PayloadType, envelope []byte, into any) (KeyID, error) {
	var env dsse.Envelope
	if err := decodeStrict(envelope, &env); err != nil {
		return "", Fail(CodeMalformed, fmt.Errorf("envelope: %w", err))
	}
	if env.PayloadType != string(t) {
		return "", Fail(CodeBadSignature, fmt.Errorf("envelope holds %q, want %q", env.PayloadType, t))
	}
	verifiers := make([]dsse.Verifier, len(keys))
	for i, k := range keys {
		verifiers[i] = dsseVerifier{k}
	}
	ev, err := dsse.NewEnvelopeVerifier(verifiers...)
	if err != nil {
		return "", Fail(CodeBadSignature, fmt.Errorf("no keys to check %s with: %w", t, err))
	}
	accepted, body, err := ev.VerifyAndDecode(context.Background(), &env)
	if err != nil {
		return "", Fail(CodeBadSignature, fmt.Errorf("%s: %w", t, err))
	}
	if err := decodeStrict(body, into); err != nil {
		return "", Fail(CodeMalformed, fmt.Errorf("%s: %w", t, err))
	}
	return KeyID(accepted[0].KeyID), nil
}

// peek reads a payload without checking its signature. What it yields may only
// decide what to do next, never be believed.
func peek(envelope []byte, into any) error {
	var env dsse.Envelope
	if err := json.Unmarshal(envelope, &env); err != nil {
		return Fail(CodeMalformed, fmt.Errorf("envelope: %w", err))
	}
	body, err := env.DecodeB64Payload()
	if err != nil {
		return Fail(CodeMalformed, fmt.Errorf("envelope: %w", err))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return Fail(CodeMalformed, fmt.Errorf("payload: %w", err))
	}
	return nil
}

type dsseSigner struct{ s *Signer }

func (d dsseSigner) Sign(_ context.Context, data []byte) ([]byte, error) { return d.s.sign(data) }
func (d dsseSigner) KeyID() (string, error)                              { return string(d.s.pub.ID()), nil }

type dsseVerifier struct{ k PublicKey }

func (d dsseVerifier) Verify(_ context.Context, data, sig []byte) error { return d.k.verify(data, sig) }
func (d dsseVerifier) KeyID() (string, error)                           { return string(d.k.ID()), nil }
func (d dsseVerifier) Public() crypto.PublicKey {
	pub, _ := d.k.Crypto()
	return pub
}
