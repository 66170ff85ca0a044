package world

import (
	"context"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/nfc"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/site"
)

// contactless is a PN532 module on its own serial line.
type contactless struct {
	wired

	mu   sync.Mutex
	unit *nfc.Module // guarded by mu
}

func (w *World) addContactless(ctl *controller, r site.Reader) (*contactless, error) {
	m := &contactless{unit: nfc.New(nil)}
	var err error
	m.wired, err = w.wire(ctl, r, m)
	return m, err
}

// Feed is the module's end of the line.
func (m *contactless) Feed(x byte, now time.Duration) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unit.Feed(x, now)
}

func (m *contactless) view() nfc.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unit.Status(time.Duration(mono.Now()))
}

// present lays a card on the module for a while, 0 for until it is removed, and
// sends what a waiting command gets for it.
func (m *contactless) present(ctx context.Context, c nfc.Chip, d time.Duration) {
	m.mu.Lock()
	now, until := time.Duration(mono.Now()), time.Duration(0)
	if d > 0 {
		until = now + d
	}
	answer := m.unit.Present(c, now, until)
	m.mu.Unlock()
	if answer != nil {
		m.line.Say(ctx, answer)
	}
}

// fail makes the next count of something go wrong; false for a kind it has not.
func (m *contactless) fail(kind string, count int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kind == string(bus.Power) {
		m.unit.PowerCut()
		return true
	}
	return m.unit.Fail(kind, count)
}

// Contactless tells whether a reader is a PN532 module, which takes a card by
// its chip and not by its bits.
func (w *World) Contactless(id string) bool {
	return w.readers[id] != nil && w.readers[id].contact != nil
}

// Present lays a card, by number or name, on a PN532 module for a while; 0 is
// until Remove. A clone has the card's numbers and not its key.
func (w *World) Present(ctx context.Context, id, card string, clone bool, d time.Duration) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	if r.contact == nil {
		return notFor(id, "present")
	}
	c, ok := w.chips[card]
	if !ok {
		return problem.New(problem.UnknownCard, "このカードには uid も idm もありません。sim.yaml の cards に書いてください。",
			"this card has neither uid nor idm in cards of the settings")
	}
	c.Clone = clone
	r.contact.present(ctx, c, d)
	w.tellReader(r, "card", "")
	return nil
}

// Remove takes all cards off a PN532 module.
func (w *World) Remove(id string) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	if r.contact == nil {
		return notFor(id, "remove")
	}
	r.contact.mu.Lock()
	r.contact.unit.Remove()
	r.contact.mu.Unlock()
	w.tellReader(r, "card_removed", "")
	return nil
}
