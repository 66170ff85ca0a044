package world

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"sekimori/firmware-sim/internal/door"
)

// savedDoor is what of a door outlives the simulator.
type savedDoor struct {
	Open   bool `json:"open"`
	Forced bool `json:"forced"`
	Fire   bool `json:"fire"`
	Tamper bool `json:"tamper"`
	Supply bool `json:"power"`
}

type savedState struct {
	Doors   map[string]savedDoor   `json:"doors"`
	Readers map[string]savedReader `json:"readers,omitempty"` // OSDP
	Modules map[string]savedModule `json:"modules,omitempty"` // fingerprint
}

const stateFile = "state.json"

func durable(s door.State) savedDoor {
	return savedDoor{Open: s.Open, Forced: s.Forced, Fire: s.Fire, Tamper: s.Tamper, Supply: s.Supply}
}

func (s savedState) state(id string) door.State {
	d, ok := s.Doors[id]
	if !ok {
		return door.New()
	}
	return door.State{Open: d.Open, Forced: d.Forced, Fire: d.Fire, Tamper: d.Tamper, Supply: d.Supply}
}

// load reads state.json. A file that cannot be read is no reason not to start:
// all doors are closed then, and the log says so.
func (w *World) load() savedState {
	var s savedState
	data, err := os.ReadFile(w.dir.File(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		w.log.Warn("the doors' last state is lost; all start closed", "file", stateFile, "err", err)
		return savedState{}
	}
	return s
}

func (w *World) saveLocked() {
	s := savedState{Doors: map[string]savedDoor{}}
	for id, d := range w.doors {
		s.Doors[id] = durable(d.state)
	}
	s.keepReaders(w.readers)
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = w.dir.Write(stateFile, data)
	}
	if err != nil {
		w.log.Error("the doors' state is not kept for the next start", "err", err)
	}
}
