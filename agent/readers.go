package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"sekimori/drivers/gpio"
)

// Identity is the part of a Config that enrolment and export need, without
// opening hardware.
func (s Settings) Identity() Config {
	return Config{
		Device: s.Device, StateDir: filepath.Clean(s.State),
		Hub:     Hub{MQTT: s.Hub.MQTT, HTTPS: s.Hub.HTTPS, Heartbeat: s.Hub.Heartbeat.D()},
		Journal: Journal{MaxBytes: int64(s.Journal.MaxMiB) << 20, Keep: s.Journal.Keep.D()},
	}
}

// Open opens the lines and readers the settings name. Run closes them.
func (s Settings) Open(ctx context.Context, log *slog.Logger) (Config, error) {
	c := s.Identity()
	c.Log = log
	// The bank outlives ctx: relays are put to rest after the doors have stopped.
	lines, err := gpio.Open(context.WithoutCancel(ctx), s.Lines.config(s.Device))
	if err != nil {
		return c, fmt.Errorf("%w: lines: %w", errHardware, err)
	}
	c.Lines = lines
	f, err := s.fit(lines, s.ring(), log)
	if err != nil {
		return c, errors.Join(fmt.Errorf("%w: readers: %w", errHardware, err), lines.Close())
	}
	for _, d := range s.Doors {
		c.Doors = append(c.Doors, d.door(f))
	}
	for _, in := range s.Inputs {
		c.Inputs = append(c.Inputs, in.input())
	}
	for _, out := range s.Outputs {
		c.Outputs = append(c.Outputs, out.output())
	}
	return c, nil
}

func (l LineSettings) config(device string) gpio.Config {
	names := map[string]gpio.Line{}
	for ours, theirs := range l.Names {
		names[ours] = gpio.Line{Name: theirs}
	}
	return gpio.Config{Backend: l.Backend, Chip: l.Chip, Socket: l.Socket, Client: "sekimori-agent/" + device, Lines: names}
}

func (d DoorSettings) door(f fitting) Door {
	out := Door{
		Code: d.ID, Relay: d.Relay.line(), Contact: d.Contact.line(), REX: d.REX.line(), Fire: d.Fire.line(),
	}
	if d.Tamper != nil {
		out.Tamper = d.Tamper.line()
	}
	for _, r := range d.Readers {
		reader := Reader{ID: r.ID, Out: r.Direction == "out", Driver: f[r.ID].driver, Kind: r.Driver, Proof: r.proof(), Secure: r.secure()}
		if r.Driver == driverOSDP && r.Form != "" {
			form := r.form()
			reader.Form = &form
		}
		out.Readers = append(out.Readers, reader)
	}
	return out
}

func (w WireSettings) line() Line { return Line{Name: w.Line, ActiveLow: w.ActiveLow} }
