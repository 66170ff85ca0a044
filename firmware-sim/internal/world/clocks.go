package world

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"time"

	"sekimori/firmware-sim/internal/problem"
	"sekimori/internal/clock"
)

// Programs built with the tag simtime follow two files of the simulator's
// directory: "clock" for all, "<controller>.skew" for one computer's error.

func skewFile(controller string) string { return controller + ".skew" }

// keepSkew makes sure the file is there: a program that follows it opens it
// once, at its start.
func (w *World) keepSkew(controller string) error {
	path := w.dir.File(skewFile(controller))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return clock.WriteSkew(path, 0)
	}
	return nil
}

func (w *World) skew(controller string) time.Duration {
	data, err := os.ReadFile(w.dir.File(skewFile(controller)))
	if err != nil || len(data) != 8 {
		return 0
	}
	return time.Duration(binary.LittleEndian.Uint64(data))
}

// SetClock moves the simulated wall clock; forward is time passing.
func (w *World) SetClock(t time.Time) error {
	if err := w.clock.Set(t); err != nil {
		return err
	}
	w.story.add(Event{Kind: "clock", Detail: "set"})
	return nil
}

// AdvanceClock lets simulated time pass.
func (w *World) AdvanceClock(d time.Duration) error {
	if err := w.clock.Advance(d); err != nil {
		return err
	}
	w.story.add(Event{Kind: "clock", Detail: "advance " + d.String()})
	return nil
}

// SkewClock makes one controller's wall clock wrong by d.
func (w *World) SkewClock(controller string, d time.Duration) error {
	for _, c := range w.controllers {
		if c.id != controller {
			continue
		}
		if err := clock.WriteSkew(w.dir.File(skewFile(controller)), d); err != nil {
			return err
		}
		w.story.add(Event{Kind: "clock", Controller: controller, Detail: "skew " + d.String()})
		return nil
	}
	return problem.Unknown(problem.UnknownController, controller)
}
