package drivers

import (
	"errors"
	"time"
)

// KeyGap is how long a person may pause between two keys. After it, what was
// typed counts as finished.
const KeyGap = 3 * time.Second

// maxTyped is far above any PIN; more than that is somebody leaning on the pad.
const maxTyped = 32

// ErrTyping is what Press returns for an entry that cannot be a PIN.
var ErrTyping = errors.New("keypad entry is too long or holds an unknown key")

// Typing collects single keys of a keypad into one entry. '#' or Gap of silence
// ends it, '*' clears it; neither is part of the entry. It is a value
// without pointers, so a state machine can hold and copy it. It redacts nothing
// because it exports nothing.
type Typing struct {
	Gap time.Duration // instead of KeyGap; 0 for KeyGap

	typed   Keys
	spoiled bool // too long: discarded as a whole when it ends
	due     time.Duration
}

// Press adds one key at time now and returns the entry when the key ends it;
// the Keys are zero otherwise. Entries longer than 32 keys are discarded whole,
// with one ErrTyping, so that no part of them can pass for a PIN.
func (t *Typing) Press(key byte, now time.Duration) (Keys, error) {
	switch {
	case key == '#':
		return t.take(), nil
	case key == '*':
		*t = Typing{Gap: t.Gap}
		return Keys{}, nil
	case key < '0' || key > '9':
		return Keys{}, ErrTyping
	}
	t.due = now + t.gap()
	if t.spoiled {
		return Keys{}, nil
	}
	if len(t.typed.typed) == maxTyped {
		*t = Typing{Gap: t.Gap, spoiled: true, due: t.due}
		return Keys{}, ErrTyping
	}
	t.typed.typed += string(rune(key))
	return Keys{}, nil
}

// Expire returns the entry if its last key is Gap ago.
func (t *Typing) Expire(now time.Duration) Keys {
	if due, ok := t.Due(); !ok || now < due {
		return Keys{}
	}
	return t.take()
}

// Due is when Expire will return something; false while nothing is typed.
func (t *Typing) Due() (time.Duration, bool) {
	return t.due, t.spoiled || !t.typed.IsZero()
}

func (t *Typing) take() Keys {
	k := t.typed
	*t = Typing{Gap: t.Gap}
	return k
}

func (t *Typing) gap() time.Duration {
	if t.Gap > 0 {
		return t.Gap
	}
	return KeyGap
}
