package door

import (
	"context"

	"sekimori/agent/internal/decide"
	"sekimori/drivers"
	"sekimori/internal/record"
)

// ears takes what one reader hears. Readings wait for the controller rather
// than being dropped.
type ears struct {
	c      *Controller
	ctx    context.Context // of the Run it belongs to
	door   record.DoorCode
	reader Reader
}

func (e *ears) Reading(r drivers.Reading) {
	switch {
	case !r.Card.IsZero():
		_ = e.c.Send(e.ctx, decide.CardRead{
			Door: e.door, Reader: e.reader.ID, Direction: e.reader.Direction,
			Tag: e.c.Key.Tag(r.Card.Key()), UIDOnly: r.Proof == drivers.ProofUIDOnly, ID: attemptID(),
		})
	case !r.Keys.IsZero():
		select {
		case e.c.digits <- typed{e.door, r.Keys}:
		case <-e.ctx.Done():
		}
	}
}

func (e *ears) Health(h drivers.Health) {
	e.c.mu.Lock()
	e.c.health[e.reader.ID] = h
	e.c.mu.Unlock()
	_ = e.c.Send(e.ctx, decide.ReaderHealth{
		Door: e.door, Reader: e.reader.ID, Online: h.Online, Tamper: h.Tamper, Detail: h.Detail,
	})
}

// Status is the readers' health and the doors' states now.
func (c *Controller) Status() ([]record.ReaderInfo, []record.DoorInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var readers []record.ReaderInfo
	var doors []record.DoorInfo
	for _, d := range c.Doors {
		doors = append(doors, record.DoorInfo{Door: d.Code, State: c.names[d.Code]})
		for _, r := range d.Readers {
			h := c.health[r.ID]
			readers = append(readers, record.ReaderInfo{
				Reader: r.ID, Door: d.Code, Online: h.Online, Tamper: h.Tamper,
				Frames: h.Frames, Noise: h.Noise, Retries: h.Retries,
			})
		}
	}
	return readers, doors
}

func (c *Controller) publishNames() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for code, d := range c.state.Doors {
		c.names[code] = d.StateName()
	}
}
