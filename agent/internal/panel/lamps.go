package panel

import (
	"context"
	"slices"
	"sync"

	"sekimori/internal/record"
)

// Switch is one output.
type Switch interface{ Set(on bool) }

// Lamp is one output and the events it is for.
type Lamp struct {
	Output Switch
	When   []string
	Timed  bool // the output ends by itself
}

// Lamps drives outputs by the facts that go through it.
type Lamps struct {
	facts Facts
	lamps []Lamp

	mu    sync.Mutex
	board Board  // guarded by mu
	lit   []bool // guarded by mu: as it was set last
}

// NewLamps puts lamps behind facts.
func NewLamps(facts Facts, lamps []Lamp) *Lamps {
	return &Lamps{facts: facts, lamps: lamps, lit: make([]bool, len(lamps))}
}

// Write implements Facts.
func (l *Lamps) Write(ctx context.Context, kind record.Kind, body any, safety bool) error {
	err := l.facts.Write(ctx, kind, body, safety)
	l.Tell(kind, body)
	return err
}

// Tell sets the outputs as a fact asks for, and writes nothing.
func (l *Lamps) Tell(kind record.Kind, body any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var began []string
	l.board, began = l.board.Step(kind, body)
	for i, lamp := range l.lamps {
		starts := slices.ContainsFunc(began, func(event string) bool { return slices.Contains(lamp.When, event) })
		switch {
		case starts:
			l.lit[i] = true
			lamp.Output.Set(true)
		case l.lit[i] && !lamp.Timed && !l.board.Holds(lamp.When):
			l.lit[i] = false
			lamp.Output.Set(false)
		}
	}
}
