package drivers

import "fmt"

// Finger is what a fingerprint module said of a touch: the place of the template
// that matched, or that none did. A touch that could not be read (wet, too
// short, moved) is no Finger: it is a fault of the sensor, told in Health, and
// nobody's failed attempt [001-4.4(4)].
//
// It is a place in a list and no biometric data [003-5D, T-23].
type Finger struct {
	touched     bool
	slot, score uint16
}

// NewFinger is a match with the template at slot, 1 to 65535; slot 0 is not
// used, so that a forgotten value matches nobody. score is the module's own
// measure.
func NewFinger(slot, score uint16) (Finger, error) {
	if slot == 0 {
		return Finger{}, fmt.Errorf("a template at slot 0")
	}
	return Finger{touched: true, slot: slot, score: score}, nil
}

// UnknownFinger is a finger that was read well and matches no template.
func UnknownFinger() Finger { return Finger{touched: true} }

// IsZero tells that no finger was read.
func (f Finger) IsZero() bool { return !f.touched }

// Slot is where the matching template is; ok is false for a finger nobody has
// enrolled.
func (f Finger) Slot() (slot uint16, ok bool) { return f.slot, f.touched && f.slot != 0 }

// Score is the module's measure of likeness, in its own unit; 0 with no match.
func (f Finger) Score() uint16 { return f.score }
