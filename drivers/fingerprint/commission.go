package fingerprint

import "time"

// commissionAct binds a module to this host.
//
//	VfyPwd factory ─ ok ──▶ ReadSysPara ▶ TemplateNum ─ some ─▶ Empty, none left?
//	    │ wrong                                │ none                  │
//	    ▼                                      ▼                       ▼
//	VfyPwd ours ─ wrong ─▶ ErrForeign        SetPwd ours ◀─────────────┘
//	    │ ok                                   ▼
//	    └──────────────────────────▶ VfyPwd factory: must be wrong ▶ VfyPwd ours: must be right
//
// Every command can be repeated, so silence is answered by asking again without
// proving the link, which a module between two passwords would not survive.
func commissionAct(ours Password) func(facts) move {
	return func(facts) move { return binding{ours: ours}.start() }
}

type binding struct {
	ours  Password
	wiped int
}

func say(c Command, then func(reply) move) move {
	return move{ask: c, mode: bare, then: func(r reply, _ time.Duration) move {
		if r.silent {
			return failed(ErrOffline)
		}
		return then(r)
	}}
}

func (b binding) start() move {
	return say(VerifyPassword(factory), func(r reply) move {
		switch {
		case r.is(OK):
			return b.parameters()
		case r.is(WrongPassword):
			return say(VerifyPassword(b.ours), func(r reply) move {
				switch {
				case r.is(OK):
					return b.prove()
				case r.is(WrongPassword):
					return failed(ErrForeign)
				}
				return unexpected(VerifyPassword(b.ours), r)
			})
		}
		return unexpected(VerifyPassword(factory), r)
	})
}

func (b binding) parameters() move {
	return say(ReadParameters(), func(r reply) move {
		if !r.is(OK) {
			return unexpected(ReadParameters(), r)
		}
		about, err := r.Parameters()
		if err != nil {
			return failed(err)
		}
		return b.count(facts{capacity: about.Capacity})
	})
}

func (b binding) count(f facts) move {
	return say(CountTemplates(), func(r reply) move {
		if !r.is(OK) {
			return unexpected(CountTemplates(), r)
		}
		if b.wiped = int(r.Number()); b.wiped == 0 {
			return b.set()
		}
		return barely(wipe(f, b.set))
	})
}

func (b binding) set() move {
	return say(SetPassword(b.ours), func(r reply) move {
		switch {
		case r.is(OK):
			return b.prove()
		case r.is(FlashFailed):
			return failed(ErrStorage)
		}
		return unexpected(SetPassword(b.ours), r)
	})
}

// prove sees that the factory's password is refused and ours is not: a module
// that takes any password is bound to nobody.
func (b binding) prove() move {
	return say(VerifyPassword(factory), func(r reply) move {
		if !r.is(WrongPassword) {
			return failed(ErrNotKept)
		}
		return say(VerifyPassword(b.ours), func(r reply) move {
			if !r.is(OK) {
				return failed(ErrNotKept)
			}
			return over(outcome{number: b.wiped})
		})
	})
}

// barely is m, and all that follows it, in the mode of a commissioning.
func barely(m move) move {
	if m.end != nil {
		return m
	}
	then := m.then
	m.mode = bare
	m.then = func(r reply, now time.Duration) move { return barely(then(r, now)) }
	return m
}
