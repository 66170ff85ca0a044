package door

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/drivers"
	"sekimori/internal/record"
)

// Readers keep what was presented while nobody asked them (OSDP readers up to
// 64 events), and hand it over when the program or the cable is back. A card of
// that time must not release the lock for nobody, so the readings of a reader
// are believed only when it has been online for settleAfter, and has been quiet
// for settleQuiet if it had something to hand over. Who stands there presents
// the card again.
const (
	settleAfter = time.Second
	settleQuiet = 300 * time.Millisecond // a bus hands its queue over faster than people move
)

// ears takes what one reader hears. Readings wait for the controller rather
// than being dropped, except those of an earlier time. One goroutine, the
// driver's, calls it.
type ears struct {
	c      *Controller
	ctx    context.Context // of the Run it belongs to
	door   record.DoorCode
	reader Reader

	online  bool
	forged  int           // readings without the proof that the link gives
	settled time.Duration // boot time from which readings are believed
	dropped int           // since it came online
}

func newEars(ctx context.Context, c *Controller, door record.DoorCode, r Reader) *ears {
	return &ears{c: c, ctx: ctx, door: door, reader: r, settled: c.Clock.Now().Mono + settleAfter}
}

func (e *ears) Reading(r drivers.Reading) {
	if r.At < e.settled {
		e.settled = max(e.settled, r.At+settleQuiet)
		e.dropped++
		if e.dropped&(e.dropped-1) == 0 { // 1, 2, 4, 8 …
			e.c.Log.Warn("readings dropped: the reader has only just come online", "reader", e.reader.ID, "dropped", e.dropped)
		}
		return
	}
	if e.reader.Secure && !r.Authenticated {
		e.forged++
		if e.forged&(e.forged-1) == 0 {
			e.c.Log.Error("readings dropped: they came over a link that had not proved itself", "reader", e.reader.ID, "dropped", e.forged)
		}
		return
	}
	switch {
	case !r.Card.IsZero():
		e.card(r, r.Card, false)
	case !r.Claim.IsZero():
		e.card(r, r.Claim, true)
	case !r.Finger.IsZero():
		slot, _ := r.Finger.Slot()
		_ = e.c.Send(e.ctx, decide.FingerRead{
			Door: e.door, Reader: e.reader.ID, Direction: e.reader.Direction, Slot: slot, ID: attemptID(),
		})
	case !r.Keys.IsZero():
		select {
		case e.c.digits[e.door] <- typed{e.reader.Direction, r.Keys}:
		case <-e.ctx.Done():
		}
	}
}

func (e *ears) card(r drivers.Reading, c drivers.Card, unproven bool) {
	if e.reader.Form != nil {
		var err error
		if c, err = e.reader.Form.Recast(c); err != nil {
			e.c.Log.Warn("card not of the form that the settings name for this reader", "reader", e.reader.ID, "err", err)
			e.c.show(e.door, e.reader.Direction, drivers.SignalDenied)
			return
		}
	}
	_ = e.c.Send(e.ctx, decide.CardRead{
		Door: e.door, Reader: e.reader.ID, Direction: e.reader.Direction,
		Tag: e.c.Key.Tag(c.Key()), UIDOnly: r.Proof == drivers.ProofUIDOnly, Unproven: unproven, ID: attemptID(),
	})
}

func (e *ears) Health(h drivers.Health) {
	if h.Online && !e.online {
		e.settled, e.dropped = e.c.Clock.Now().Mono+settleAfter, 0
	}
	e.online = h.Online
	e.c.mu.Lock()
	e.c.health[e.reader.ID] = h
	e.c.mu.Unlock()
	_ = e.c.Send(e.ctx, decide.ReaderHealth{
		Door: e.door, Reader: e.reader.ID, Online: h.Online, Refused: h.Refused, Tamper: h.Tamper, Detail: h.Detail,
	})
}

// attemptID joins the facts of one attempt.
func attemptID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
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
