package door

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
	"sekimori/internal/record"
)

// relayRetry is how often a relay line that could not be driven is tried again.
const relayRetry = time.Second

// relay is one lock's output line.
type relay struct {
	pin     gpio.PinIO
	on      gpio.Level // the level that releases the lock
	release bool       // as it should be
	failed  bool       // the line is not as it should be
}

func (r *relay) drive() error {
	level := !r.on
	if r.release {
		level = r.on
	}
	err := r.pin.Out(level)
	r.failed = err != nil
	return err
}

// openRelays takes the relay lines. Starting never pulses a lock: a line goes
// straight to rest, or, at a door that fire had released before a restart,
// straight to release. A line that can never be an output is a wrong setting; a
// bank that is away for the moment is tried again.
func (c *Controller) openRelays() error {
	for _, d := range c.Doors {
		pin, err := c.Lines.Pin(d.Relay.Line)
		if err != nil {
			return fmt.Errorf("door %s: relay line %s: %w", d.Code, d.Relay.Line, err)
		}
		r := &relay{pin: pin, on: gpio.Level(!d.Relay.ActiveLow), release: c.state.Doors[d.Code].Released}
		switch err := r.drive(); {
		case errors.Is(err, drivers.ErrDisconnected):
			c.Log.Error("relay not driven yet", "door", d.Code, "err", err)
		case err != nil:
			return fmt.Errorf("door %s: relay line %s: %w", d.Code, d.Relay.Line, err)
		}
		c.relays[d.Code] = r
	}
	return nil
}

// rest ends running grants when the program stops. Doors that fire released
// keep their relay: stopping the program must not lock them.
func (c *Controller) rest() {
	for code := range c.relays {
		if !c.state.Doors[code].Released {
			c.drive(code, false)
		}
	}
}

func (c *Controller) drive(door record.DoorCode, release bool) {
	r := c.relays[door]
	r.release = release
	if err := r.drive(); err != nil {
		c.Log.Error("relay not driven", "door", door, "release", release, "err", err)
	}
}

// settle tries again what could not be driven: a lock must not stay released,
// nor a fire release be forgotten, for a line that was away for a moment.
func (c *Controller) settle() {
	for _, r := range c.relays {
		if r.failed {
			_ = r.drive() // logged when it failed first
		}
	}
}
