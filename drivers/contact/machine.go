package contact

import (
	"time"

	"sekimori/drivers"
)

// Event is what a Machine is told: an edge, that the lines are lost, or with
// the zero Event that time has passed.
type Event struct {
	Edge drivers.Edge
	Lost string // why nothing is known of the lines any more
}

// Machine debounces one input. It is pure: time is what its caller says, in the
// clock of the edges.
//
//	          edge                 lasted Debounce
//	standing ─────▶ candidate ───────────────────▶ standing, Change
//	   ▲               │ edge back: bounce
//	   └───────────────┘
//
// What a state has lasted is reckoned between edges, not by when they were
// handed over, so that a busy machine hides no short alarm.
type Machine struct {
	cfg       Config
	level     [2]bool // Line, Second
	seen      [2]bool // the level is known
	standing  State   // reported
	candidate State
	since     time.Duration // of the candidate
	bounces   uint64
}

// NewMachine makes a machine; it refuses settings that cannot work.
func NewMachine(cfg Config) (*Machine, error) {
	if cfg.Debounce == 0 {
		cfg.Debounce = DefaultDebounce
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Machine{cfg: cfg}, nil
}

// Step takes one event at the time now and returns the change it completes.
func (m *Machine) Step(e Event, now time.Duration) (Change, bool) {
	if e.Lost != "" {
		return m.lose(e.Lost, now)
	}
	change, ok := m.settle(now)
	if e.Edge.Line != "" {
		m.edge(e.Edge, now)
	}
	return change, ok
}

// State is the state last reported.
func (m *Machine) State() State { return m.standing }

// Bounces counts what did not last: contacts that bounce, wires beside a motor.
func (m *Machine) Bounces() uint64 { return m.bounces }

// Due is when Step will complete a change if no edge comes before; false while
// nothing is under way.
func (m *Machine) Due() (time.Duration, bool) {
	return m.since + m.cfg.Debounce, m.candidate != m.standing
}

func (m *Machine) edge(e drivers.Edge, now time.Duration) {
	i := 0
	switch e.Line {
	case m.cfg.Line:
	case m.cfg.Second:
		i = 1
	default:
		return
	}
	m.level[i], m.seen[i] = bool(e.Level), true
	if !m.seen[0] || !m.seen[1] && m.cfg.Second != "" {
		return
	}
	was := m.candidate
	if m.candidate = m.cfg.state(m.level[0], m.level[1]); m.candidate == was {
		return
	}
	if was != m.standing {
		m.bounces++
	}
	m.since = now
}

func (m *Machine) settle(now time.Duration) (Change, bool) {
	if due, ok := m.Due(); !ok || now < due {
		return Change{}, false
	}
	c := Change{ID: m.cfg.ID, State: m.candidate, Was: m.standing, At: m.since}
	m.standing = m.candidate
	return c, true
}

// lose forgets the levels. The state is not known from this moment on, without
// a debounce: an input nobody reads must not look quiet.
func (m *Machine) lose(why string, now time.Duration) (Change, bool) {
	c := Change{ID: m.cfg.ID, State: Unknown, Was: m.standing, At: now, Why: why}
	m.seen, m.candidate, m.standing = [2]bool{}, Unknown, Unknown
	return c, c.Was != Unknown
}
