package register

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// stateEquipped is followed by a door; it holds an Equipped.
const stateEquipped = statePrefix + "equipped."

// Equipped is what a door's controller said is fitted there, as it was last told
// [T-22].
type Equipped struct {
	record.DoorEquipped
	At time.Time `json:"at"`
}

// NumberOnly tells that a copied card opens this door: some reader for entry
// asks a card for no more than its number.
func (e Equipped) NumberOnly() bool {
	for _, r := range e.Readers {
		if r.Direction == record.DirectionIn && r.Proof == record.ProofUIDOnly {
			return true
		}
	}
	return false
}

// equipped remembers what is fitted. A controller tells it at each start, in
// order; it is no row of a register, for nothing happened to anybody.
func equipped(tx Tx, f fact) error {
	e := Equipped{At: f.At}
	if !f.into(&e.DoorEquipped) || e.Door == "" {
		return unreadable(tx, f)
	}
	value, err := encode(e)
	if err != nil {
		return err
	}
	return tx.PutState(stateEquipped+string(e.Door), value)
}

// Equipped lists what is fitted, by door; a door whose controller has not told
// is absent.
func (r Reader) Equipped(ctx context.Context) (map[record.DoorCode]Equipped, error) {
	out := map[record.DoorCode]Equipped{}
	err := r.Store.View(ctx, func(tx store.ReadTx) error {
		states, err := tx.States(stateEquipped)
		if err != nil {
			return err
		}
		for name, value := range states {
			var e Equipped
			if err := json.Unmarshal(value, &e); err != nil {
				return fmt.Errorf("state %s: %w", name, err)
			}
			out[record.DoorCode(strings.TrimPrefix(name, stateEquipped))] = e
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("what is fitted at the doors: %w", err)
	}
	return out, nil
}
