package door

import (
	"context"
	"strings"

	"sekimori/agent/internal/decide"
	"sekimori/drivers"
	"sekimori/internal/record"
)

// typed is what was typed at a reader, and on which side of the door.
type typed struct {
	side record.Direction
	keys drivers.Keys
}

// checkPINs works beside the loop, one for each door, because checking takes
// tens of milliseconds on purpose and nobody else must wait for it.
func (c *Controller) checkPINs(ctx context.Context, door record.DoorCode) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-c.digits[door]:
			c.checkPIN(ctx, door, t)
		}
	}
}

func (c *Controller) checkPIN(ctx context.Context, door record.DoorCode, t typed) {
	type asked struct {
		pin *record.PINVerifier
		id  string
		ok  bool
	}
	got := make(chan asked, 1)
	look := func(s decide.State) {
		pin, id, ok := s.PendingPIN(door, t.side)
		got <- asked{pin, id, ok}
	}
	select {
	case c.looks <- look:
	case <-ctx.Done():
		return
	}
	a := <-got // the loop has taken look, and calls it before anything else
	if !a.ok {
		return // digits that nobody asked for are not a failure and not a fact
	}
	right := a.pin != nil && c.CheckPIN(a.pin, strings.TrimSuffix(t.keys.Typed(), "#"))
	_ = c.Send(ctx, decide.PINChecked{Door: door, ID: a.id, OK: right})
}
