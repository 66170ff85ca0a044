package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"sekimori/drivers"
	"sekimori/drivers/gpio"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
	"sekimori/drivers/wiegand"
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
	made, err := s.readers(lines)
	if err != nil {
		return c, errors.Join(fmt.Errorf("%w: readers: %w", errHardware, err), lines.Close())
	}
	for _, d := range s.Doors {
		c.Doors = append(c.Doors, d.door(made))
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

// readers makes every reader by its driver. This switch is the whole list of
// drivers a settings file can name.
func (s Settings) readers(lines drivers.Lines) (map[string]drivers.Reader, error) {
	made := map[string]drivers.Reader{}
	onBus := map[string][]osdp.ReaderConfig{}
	for _, d := range s.Doors {
		for _, r := range d.Readers {
			switch r.Driver {
			case "wiegand":
				reader, err := wiegand.New(wiegand.Config{
					Reader: r.ID, D0: r.D0, D1: r.D1, Tamper: r.Tamper, LED: r.LED, Buzzer: r.Buzzer,
					Rules: wiegand.Rules{Keypad: r.Keypad != nil && *r.Keypad},
				}, lines)
				if err != nil {
					return nil, err
				}
				made[r.ID] = reader
			case "osdp":
				onBus[r.Bus] = append(onBus[r.Bus], osdp.ReaderConfig{Reader: r.ID, Address: byte(r.Address)})
			}
		}
	}
	for _, b := range s.Buses {
		bus, err := osdp.NewBus(osdp.Config{Baud: b.Baud, Readers: onBus[b.ID]}, line.Serial(b.Port, b.Baud))
		if err != nil {
			return nil, fmt.Errorf("bus %s: %w", b.ID, err)
		}
		for i, r := range bus.Readers() {
			made[onBus[b.ID][i].Reader] = r
		}
	}
	return made, nil
}

func (d DoorSettings) door(made map[string]drivers.Reader) Door {
	out := Door{
		Code: d.ID, Relay: d.Relay.line(), Contact: d.Contact.line(), REX: d.REX.line(), Fire: d.Fire.line(),
	}
	if d.Tamper != nil {
		out.Tamper = d.Tamper.line()
	}
	for _, r := range d.Readers {
		out.Readers = append(out.Readers, Reader{ID: r.ID, Out: r.Direction == "out", Driver: made[r.ID]})
	}
	return out
}

func (w WireSettings) line() Line { return Line{Name: w.Line, ActiveLow: w.ActiveLow} }
