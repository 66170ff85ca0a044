package door

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sekimori/agent/internal/decide"
	"sekimori/internal/record"
)

// watched is what one input line means.
type watched struct {
	door      record.DoorCode
	line      decide.Line
	activeLow bool
}

// watchLines turns edges of the doors' inputs into inputs of decide. All lines
// are one stream, because the order of an exit button and a door contact
// decides between an exit and a forced door.
func (c *Controller) watchLines(ctx context.Context, wg *sync.WaitGroup, fail context.CancelCauseFunc) error {
	lines := map[string]watched{}
	var names []string
	add := func(d record.DoorCode, in Input, line decide.Line) {
		if in.Line == "" {
			return
		}
		lines[in.Line] = watched{d, line, in.ActiveLow}
		names = append(names, in.Line)
	}
	for _, d := range c.Doors {
		add(d.Code, d.Fire, decide.LineFire)
		add(d.Code, d.REX, decide.LineREX)
		add(d.Code, d.Contact, decide.LineContact)
		add(d.Code, d.Tamper, decide.LineTamper)
	}
	edges, err := c.Lines.Edges(ctx, names...)
	if err != nil {
		return fmt.Errorf("door lines: %w", err)
	}
	wg.Go(func() {
		seen := map[string]bool{}
		for e := range edges {
			w := lines[e.Line]
			in := decide.LineChanged{Door: w.door, Line: w.line, Active: bool(e.Level) != w.activeLow, First: !seen[e.Line]}
			seen[e.Line] = true
			if c.Send(ctx, in) != nil {
				return
			}
		}
		if ctx.Err() == nil {
			fail(errors.Join(errors.New("door lines lost"), c.Lines.Err()))
		}
	})
	return nil
}
