package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// Sealer keeps small secrets unreadable in the store and its backups
// [001-4.5(1)]. It shows itself nowhere.
type Sealer struct{ aead cipher.AEAD }

// NewSealer takes a key of 32 bytes.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("a sealing key has 32 bytes, not %d", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead: aead}, nil
}

// Seal hides secret. name is bound to it, so that a sealed value moved to
// another name does not open there.
func (s *Sealer) Seal(name string, secret []byte) []byte {
	return s.aead.Seal(nil, nil, secret, []byte(name))
}

// Open is the reverse of Seal under the same name.
func (s *Sealer) Open(name string, sealed []byte) ([]byte, error) {
	secret, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("sealed value %s does not open: damaged, moved, or sealed by another hub", name)
	}
	return secret, nil
}

// String and Format keep the key schedule out of logs.
func (s *Sealer) String() string             { return "[sealer]" }
func (s *Sealer) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[sealer]") }
