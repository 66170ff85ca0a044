package people

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// Sealer hides small secrets in the store under their names.
type Sealer interface {
	Seal(name string, secret []byte) []byte
	Open(name string, sealed []byte) ([]byte, error)
}

// Names of sealed state.
const (
	cardPrefix     = "people/card/"
	pinPrefix      = "people/pin/"
	passwordPrefix = "people/password/"
)

// Secrets is what devices recognise credentials by, opened for compiling a
// policy and not for longer. It redacts itself.
type Secrets struct {
	cards map[record.CredentialID]string
	pins  map[record.CredentialID]record.PINRoot
}

// Card is what the card of a credential sends.
func (s Secrets) Card(id record.CredentialID) (key string, ok bool) {
	key, ok = s.cards[id]
	return key, ok
}

// PIN is the root of a credential's PIN; ok is false where it has none.
func (s Secrets) PIN(id record.CredentialID) (root record.PINRoot, ok bool) {
	root, ok = s.pins[id]
	return root, ok
}

// Format and LogValue keep secrets out of logs.
func (Secrets) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }
func (Secrets) LogValue() slog.Value       { return slog.StringValue(redacted) }

// ReadSecrets opens every card and PIN.
func ReadSecrets(tx store.StateReader, seal Sealer) (Secrets, error) {
	s := Secrets{cards: map[record.CredentialID]string{}, pins: map[record.CredentialID]record.PINRoot{}}
	err := errors.Join(
		eachSecret(tx, seal, cardPrefix, func(id string, secret []byte) error {
			s.cards[record.CredentialID(id)] = string(secret)
			return nil
		}),
		eachSecret(tx, seal, pinPrefix, func(id string, secret []byte) error {
			var root record.PINRoot
			err := json.Unmarshal(secret, &root)
			s.pins[record.CredentialID(id)] = root
			return err
		}))
	if err != nil {
		return Secrets{}, fmt.Errorf("open cards and PINs: %w", err)
	}
	return s, nil
}

func eachSecret(tx store.StateReader, seal Sealer, prefix string, f func(id string, secret []byte) error) error {
	all, err := tx.States(prefix)
	if err != nil {
		return err
	}
	for name, sealed := range all {
		secret, err := seal.Open(name, sealed)
		if err != nil {
			return err
		}
		if err := f(name[len(prefix):], secret); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// secret is a card or PIN of the file beside what is sealed already.
type secret struct {
	value   []byte
	changed bool
}

// cardSecret compares a card with the one held. A finger has none.
func cardSecret(s Secrets, c Credential) (secret, error) {
	if c.Card == nil {
		return secret{}, nil
	}
	key, err := CardKey(*c.Card)
	if err != nil {
		return secret{}, err
	}
	old, had := s.Card(record.CredentialID(c.ID))
	return secret{value: []byte(key), changed: !had || old != key}, nil
}

// pinSecret stretches a PIN, under the salt held if it is still the same PIN.
// An empty PIN in the file leaves the one held.
func pinSecret(s Secrets, c Credential, salt []byte) (secret, error) {
	if c.PIN == "" {
		return secret{}, nil
	}
	if old, had := s.PIN(record.CredentialID(c.ID)); had && bytes.Equal(record.NewPINRoot(string(c.PIN), old.Salt).Hash, old.Hash) {
		return secret{}, nil
	}
	value, err := json.Marshal(record.NewPINRoot(string(c.PIN), salt))
	return secret{value: value, changed: true}, err
}
