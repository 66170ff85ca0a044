package pki

import (
	"encoding/json"
	"errors"
	"fmt"

	"sekimori/hub/internal/store"
)

func getJSON(tx store.StateReader, name string, into any) (found bool, err error) {
	b, err := tx.State(name)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return true, fmt.Errorf("%s is damaged: %w", name, err)
	}
	return true, nil
}

func putJSON(tx store.StateWriter, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.PutState(name, b)
}
