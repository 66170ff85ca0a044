package obey_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/internal/record"
)

// signer makes a key of a hub, or of somebody else.
func signer(t *testing.T) *record.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := record.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func only(s *record.Signer) func() []record.PublicKey {
	return func() []record.PublicKey { return []record.PublicKey{s.Public()} }
}

// fact is one that was written down.
type fact struct {
	kind record.Kind
	body any
}

// world is the journal and the doors around what is tested.
type world struct {
	facts []fact
	done  []decide.Input
	full  error                    // what the journal answers
	doors func(decide.Input) error // nil: all is done
}

func (w *world) Write(_ context.Context, kind record.Kind, body any, _ bool) error {
	if w.full != nil {
		return w.full
	}
	w.facts = append(w.facts, fact{kind, body})
	return nil
}

func (w *world) Do(_ context.Context, in decide.Input) error {
	if w.doors != nil {
		if err := w.doors(in); err != nil {
			return err
		}
	}
	w.done = append(w.done, in)
	return nil
}

func (w *world) kinds() []record.Kind {
	var out []record.Kind
	for _, f := range w.facts {
		out = append(out, f.kind)
	}
	return out
}

const device = record.DeviceID("DC-31")

func pack(t *testing.T, s *record.Signer, d record.DeviceID, version uint64) (head []byte, chunks [][]byte) {
	t.Helper()
	head, chunks, err := record.PackPolicy(s, record.Policy{Device: d, Version: version, Pack: "kanmori/1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return head, chunks
}

func sealOrder(t *testing.T, s *record.Signer, o record.Order, body any) []byte {
	t.Helper()
	var err error
	if o.Body, err = json.Marshal(body); err != nil {
		t.Fatal(err)
	}
	sealed, err := record.Seal(s, record.TypeOrder, o)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}
