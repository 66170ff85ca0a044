package fingerprint

import "time"

// sighting is what a module says about one slot. Modules without an index know
// only whether the template can be loaded.
type sighting struct {
	indexed bool // the module keeps an index
	listed  bool // the index shows a template
	asked   bool // it was loaded, or not
	loaded  bool
}

// taken tells whether there may be a template, by any witness.
func (s sighting) taken() bool { return s.listed || s.loaded }

// lookup asks the index about slot and, without one, the slot itself.
func lookup(slot uint16, then func(sighting) move) move {
	return index(slot, func(s sighting) move {
		if s.indexed {
			return then(s)
		}
		return load(slot, s, then)
	})
}

// witnesses asks the index and the slot.
func witnesses(slot uint16, then func(sighting) move) move {
	return index(slot, func(s sighting) move { return load(slot, s, then) })
}

func index(slot uint16, then func(sighting) move) move {
	return move{ask: ReadIndex(byte(slot / indexPages)), mode: once, then: func(r reply, _ time.Duration) move {
		s := sighting{indexed: r.is(OK)}
		if s.indexed {
			for _, page := range r.Taken() {
				s.listed = s.listed || page == slot%indexPages
			}
		}
		return then(s)
	}}
}

// load tries to load the template at slot; anything but "none there" and success
// is a fault, because silence about a template must not pass for its absence.
func load(slot uint16, s sighting, then func(sighting) move) move {
	c := LoadTemplate(Buffer2, slot)
	return move{ask: c, then: func(r reply, _ time.Duration) move {
		if !r.is(OK, BadTemplate, TemplateIsEmpty) {
			return unexpected(c, r)
		}
		s := s
		s.asked, s.loaded = true, r.is(OK)
		return then(s)
	}}
}

// count asks how many templates there are.
func count(then func(uint16) move) move {
	return move{ask: CountTemplates(), then: func(r reply, _ time.Duration) move {
		if !r.is(OK) {
			return unexpected(CountTemplates(), r)
		}
		return then(r.Number())
	}}
}

func countAct(facts) move {
	return count(func(n uint16) move { return over(outcome{number: int(n)}) })
}

// deleteAct deletes one template and asks every witness again [T-23].
//
//	TemplateNum ▶ index, LoadChar: anything there? ▶ DeletChar ▶ TemplateNum ▶ index, LoadChar
func deleteAct(slot uint16) func(facts) move {
	return func(f facts) move {
		if !f.has(slot) {
			return failed(ErrNoSuchSlot)
		}
		return count(func(before uint16) move {
			return witnesses(slot, func(s sighting) move {
				if !s.taken() {
					return over(outcome{})
				}
				return erase(slot, before)
			})
		})
	}
}

func erase(slot, before uint16) move {
	c := DeleteTemplates(slot, 1)
	return move{ask: c, then: func(r reply, _ time.Duration) move {
		switch {
		case r.is(CannotDelete, FlashFailed):
			return failed(ErrStorage)
		case !r.is(OK):
			return unexpected(c, r)
		}
		return count(func(after uint16) move {
			return witnesses(slot, func(s sighting) move {
				if s.taken() || after+1 != before {
					return failed(ErrStillThere)
				}
				return over(outcome{})
			})
		})
	}}
}

func wipeAct(f facts) move {
	return wipe(f, func() move { return over(outcome{}) })
}

// wipe empties the library and asks again [T-23].
func wipe(f facts, then func() move) move {
	return move{ask: DeleteAll(), then: func(r reply, _ time.Duration) move {
		switch {
		case r.is(CannotEmpty, FlashFailed):
			return failed(ErrStorage)
		case !r.is(OK):
			return unexpected(DeleteAll(), r)
		}
		return count(func(left uint16) move {
			if left != 0 {
				return failed(ErrStillThere)
			}
			return tables(f, 0, nil, func(taken []uint16, _ bool) move {
				if len(taken) > 0 {
					return failed(ErrStillThere)
				}
				return then()
			})
		})
	}}
}

// tables reads every index table from first on; indexed is false when the module
// keeps none.
func tables(f facts, first int, taken []uint16, then func(taken []uint16, indexed bool) move) move {
	if first*indexPages >= int(f.capacity) {
		return then(taken, true)
	}
	return move{ask: ReadIndex(byte(first)), mode: once, then: func(r reply, _ time.Duration) move {
		if !r.is(OK) {
			return then(taken, false)
		}
		all := append([]uint16(nil), taken...)
		for _, page := range r.Taken() {
			if slot := uint16(first*indexPages) + page; slot < f.capacity {
				all = append(all, slot)
			}
		}
		return tables(f, first+1, all, then)
	}}
}

func slotsAct(f facts) move {
	return tables(f, 0, nil, func(taken []uint16, indexed bool) move {
		if !indexed {
			return each(f, 1, nil)
		}
		if len(taken) > 0 && taken[0] == 0 {
			taken = taken[1:] // page 0 is no slot of ours
		}
		return over(outcome{slots: taken})
	})
}

// each asks slot after slot.
func each(f facts, slot uint16, taken []uint16) move {
	if !f.has(slot) {
		return over(outcome{slots: taken})
	}
	m := load(slot, sighting{}, func(s sighting) move {
		all := taken
		if s.loaded {
			all = append(append([]uint16(nil), taken...), slot)
		}
		return each(f, slot+1, all)
	})
	m.waits = true // a thousand questions: nothing is lost by giving up
	return m
}
