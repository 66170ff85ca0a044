package panel

import (
	"time"

	"sekimori/drivers/contact"
	"sekimori/internal/record"
)

// Watch is what has been written down of one contact. Its zero value is a
// contact at rest of which nothing is known.
//
//	        active                    cut, short, lost
//	rest ──────────▶ active ◀──────────────────────────▶ fault
//	  ▲  cleared       │                                   │
//	  └────────────────┴───────────────────────────────────┘ cleared
type Watch struct {
	told  record.Kind // input_active or input_fault; "" at rest
	since time.Duration
}

// Step takes one change and returns the fact it is, "" for none. A contact that
// is at rest when the program starts is no fact; one that is active or broken
// is, because nobody can say since when.
func (w Watch) Step(c contact.Change) (Watch, record.Kind, record.InputState) {
	state := record.InputState{Input: c.ID}
	kind := record.KindInputCleared
	switch {
	case c.State == contact.Active:
		kind = record.KindInputActive
	case c.State.Fault():
		kind, state.Detail = record.KindInputFault, c.State.String()
	case c.State == contact.Unknown && c.Was != contact.Unknown:
		kind, state.Detail = record.KindInputFault, c.Why
	case c.State == contact.Unknown:
		return w, "", state
	}
	if kind == w.told || kind == record.KindInputCleared && w.told == "" {
		return w, "", state
	}
	if w.told != "" {
		state.For = c.At - w.since
	}
	w.told, w.since = kind, c.At
	if kind == record.KindInputCleared {
		w.told = ""
	}
	return w, kind, state
}
