package record

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
)

// Alg is a signature algorithm, named in the key and never in the message.
type Alg string

const (
	AlgEd25519   Alg = "ed25519"
	AlgECDSAP256 Alg = "ecdsa-p256-sha256" // for TPMs, which rarely hold Ed25519
)

// KeyID is the first 16 hex digits of SHA-256 over algorithm and SPKI bytes.
type KeyID string

// PublicKey is a verification key with its algorithm.
type PublicKey struct {
	Alg  Alg    `json:"alg"`
	SPKI []byte `json:"spki"` // X.509 SubjectPublicKeyInfo, DER
}

// NewPublicKey takes an Ed25519 or P-256 key.
func NewPublicKey(pub crypto.PublicKey) (PublicKey, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return PublicKey{}, fmt.Errorf("encode public key: %w", err)
	}
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return PublicKey{AlgEd25519, spki}, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return PublicKey{AlgECDSAP256, spki}, nil
		}
	}
	return PublicKey{}, fmt.Errorf("key of type %T: want Ed25519 or P-256", pub)
}

// ID names the key in envelopes.
func (k PublicKey) ID() KeyID {
	h := sha256.New()
	h.Write([]byte(k.Alg))
	h.Write([]byte{0})
	h.Write(k.SPKI)
	return KeyID(hex.EncodeToString(h.Sum(nil)[:8]))
}

// Crypto is the key as the standard library holds it.
func (k PublicKey) Crypto() (crypto.PublicKey, error) {
	pub, err := x509.ParsePKIXPublicKey(k.SPKI)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	again, err := NewPublicKey(pub)
	if err != nil {
		return nil, err
	}
	if again.Alg != k.Alg {
		return nil, fmt.Errorf("key says %s and is %s", k.Alg, again.Alg)
	}
	return pub, nil
}

func (k PublicKey) verify(msg, sig []byte) error {
	pub, err := k.Crypto()
	if err != nil {
		return err
	}
	switch p := pub.(type) {
	case ed25519.PublicKey:
		if ed25519.Verify(p, msg, sig) {
			return nil
		}
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(msg)
		if ecdsa.VerifyASN1(p, sum[:], sig) {
			return nil
		}
	}
	return errors.New("signature does not match")
}

// Signer signs with a private key that stays where it is (a file, a TPM).
type Signer struct {
	key crypto.Signer
	pub PublicKey
}

// NewSigner wraps an Ed25519 or P-256 private key.
func NewSigner(key crypto.Signer) (*Signer, error) {
	pub, err := NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, pub: pub}, nil
}

// Public is the key to verify with.
func (s *Signer) Public() PublicKey { return s.pub }

func (s *Signer) sign(msg []byte) ([]byte, error) {
	if s.pub.Alg == AlgEd25519 {
		return s.key.Sign(rand.Reader, msg, crypto.Hash(0))
	}
	sum := sha256.Sum256(msg)
	return s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}
