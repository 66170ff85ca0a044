package decide

import (
	"sekimori/internal/record"
)

// finger judges a finger at a fingerprint reader: as the second factor where
// one is waited for on that side, and by itself otherwise.
func (w *work) finger(d *Door, in FingerRead) {
	cred := w.fingerAt(in.Slot)
	if p := d.Pending; p != nil && p.Passage.Direction == in.Direction {
		if p.Second.Biometric() {
			same := cred != nil && cred.Person == p.Passage.Person && cred.State == record.CredentialActive
			w.second(d, same, record.MethodCardBio, record.ReasonBiometricMismatch)
		}
		return // a finger where a PIN is waited for is nothing
	}
	if g := d.Grant; g != nil && cred != nil && g.Passage.Direction == in.Direction && g.Passage.Person == cred.Person {
		return // laid on once more, while the door is released for the same person
	}
	w.spoil(d)
	p := w.attempt(d, in.Direction, in.Reader, in.ID, cred)
	p.Method = record.MethodFinger
	why := w.fingerFault(d, p, in.Slot, cred)
	if in.Direction == record.DirectionIn {
		if why != "" {
			w.deny(d, p, why)
			return
		}
		w.grant(d, p)
		return
	}
	// Leaving: whatever is wrong is noted, and the door opens [T-15].
	if cred == nil {
		p.Notes = append(p.Notes, why)
	} else {
		p.Notes = append(p.Notes, w.exitNotes(p)...)
		if w.door(d.Code).Second != record.SecondNone {
			p.Notes = append(p.Notes, record.ReasonSecondFactorMissing)
		}
	}
	w.grant(d, p)
}

// fingerFault gives the reason a finger by itself does not let in, or "". That
// the person may not enter at all is named before the card that is missing.
func (w *work) fingerFault(d *Door, p record.Passage, slot uint16, cred *record.Credential) record.Reason {
	if slot == 0 && w.Policy != nil {
		return record.ReasonBiometricMismatch
	}
	if why := w.refuseEntry(d, p, cred); why != "" {
		return why
	}
	if w.door(d.Code).Second != record.SecondNone {
		return record.ReasonSecondFactorMissing
	}
	return ""
}

// fingerAt is whose template is at slot, nil for nobody's.
func (w *work) fingerAt(slot uint16) *record.Credential {
	if w.Policy == nil || slot == 0 {
		return nil
	}
	for i := range w.Policy.Credentials {
		if w.Policy.Credentials[i].Slot == slot {
			return &w.Policy.Credentials[i]
		}
	}
	return nil
}

// slotOf is the place of a person's template, 0 for a person without one. Of
// several fingers it is the one named first: a reader compares with one.
func (w *work) slotOf(person record.PersonID) uint16 {
	for _, c := range w.Policy.Credentials {
		if c.Person == person && c.Slot != 0 && c.State == record.CredentialActive {
			return c.Slot
		}
	}
	return 0
}
