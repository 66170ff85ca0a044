// Package panel is the alarm panel of one device: auxiliary contacts come in as
// facts, and facts drive lamps, buzzers and the contacts for others.
//
//	contact ── Change ──▶ Watch ──▶ fact ──▶ journal
//	                                  │
//	  every fact of the device ───────┴────▶ Board ──▶ outputs
//
// Watch and Board are pure; Run joins them with the hardware. An output follows
// the fact even when the journal could not take it: a lamp that stays dark
// because a disk is full helps nobody.
package panel

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"sekimori/drivers/contact"
	"sekimori/internal/record"
)

// Facts makes a fact durable.
type Facts interface {
	Write(ctx context.Context, kind record.Kind, body any, safety bool) error
}

// Input is one auxiliary contact and what it means.
type Input struct {
	Contact *contact.Input
	Purpose record.InputPurpose
	Room    record.RoomCode // empty: of the device
}

// RunInput writes down what happens at one contact until ctx ends. An error is
// a line that does not exist.
func RunInput(ctx context.Context, in Input, facts Facts, log *slog.Logger) error {
	var w Watch
	return in.Contact.Run(ctx, func(c contact.Change) {
		var kind record.Kind
		var state record.InputState
		if w, kind, state = w.Step(c); kind == "" {
			return
		}
		state.Purpose, state.Room = in.Purpose, in.Room
		// It outlives ctx: what happened before the program stops has happened.
		if err := facts.Write(context.WithoutCancel(ctx), kind, state, true); err != nil {
			log.Error("fact not written down", "kind", kind, "input", c.ID, "err", err)
		}
	})
}

// RunOutput drives one output until ctx ends.
func RunOutput(ctx context.Context, out *contact.Output, log *slog.Logger) error {
	return out.Run(ctx, func(err error) {
		if err != nil {
			log.Error("output not driven", "output", out.ID(), "err", err)
			return
		}
		log.Info("output driven again", "output", out.ID())
	})
}

// Run runs every contact and output until ctx ends; an error is a line that
// does not exist.
func Run(ctx context.Context, inputs []Input, outputs []*contact.Output, facts Facts, log *slog.Logger) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, in := range inputs {
		g.Go(func() error { return RunInput(ctx, in, facts, log) })
	}
	for _, out := range outputs {
		g.Go(func() error { return RunOutput(ctx, out, log) })
	}
	return g.Wait()
}
