package world

import (
	"time"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/pd"
	"sekimori/firmware-sim/internal/problem"
)

// savedReader is what an OSDP reader was told to remember without power. The
// file that holds its key is the reader's memory, readable by its owner only.
type savedReader struct {
	Address  byte        `json:"address"`
	Baud     int         `json:"baud"`
	Security pd.Security `json:"security"`
	Key      string      `json:"key,omitempty"`
}

// station makes the OSDP side of a reader.
func (w *World) station(r *reader, c pd.Config) *bus.Station {
	return bus.NewStation(c, func() { w.tellReader(r, "feedback", r.station.Status().LED) }, func() {
		w.tellReader(r, "configured", "")
		w.saveReaders()
	})
}

// saveReaders writes what readers have learnt.
func (w *World) saveReaders() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saveLocked()
}

// keepReaders lists the readers that are not as they came out of their boxes.
func (s *savedState) keepReaders(all map[string]*reader) {
	for id, r := range all {
		if r.station == nil || r.station.Boxed() {
			continue
		}
		if s.Readers == nil {
			s.Readers = map[string]savedReader{}
		}
		k := r.station.Kept()
		saved := savedReader{Address: k.Addr, Baud: k.Baud, Security: k.Security}
		if k.Security == pd.Own {
			saved.Key = k.Key.Hex()
		}
		s.Readers[id] = saved
	}
	for id, r := range all {
		if r.module == nil {
			continue
		}
		if s.Modules == nil {
			s.Modules = map[string]savedModule{}
		}
		s.Modules[id] = r.module.saved()
	}
}

// restore gives a reader back what it had learnt; what cannot be read leaves it
// as it came out of its box.
func (s savedState) restore(r *reader) {
	saved, ok := s.Readers[r.id]
	if !ok {
		return
	}
	k := pd.Kept{Addr: saved.Address, Baud: saved.Baud, Security: saved.Security}
	if k.Security == pd.Own {
		var err error
		if k.Key, err = pd.ParseKey(saved.Key); err != nil {
			return
		}
	}
	r.station.Restore(k)
}

// osdp is the station of an OSDP reader.
func (w *World) osdp(id, what string) (*reader, error) {
	r, err := w.reader(id)
	if err == nil && r.station == nil {
		err = notFor(id, what)
	}
	return r, err
}

// Wipe makes an OSDP reader as it came out of its box: key, address and speed
// are the settings' again.
func (w *World) Wipe(id string) error {
	r, err := w.osdp(id, "wipe")
	if err != nil {
		return err
	}
	r.station.Wipe()
	w.tellReader(r, "wiped", "")
	w.saveReaders()
	return nil
}

// Input closes or opens the contact wired to an OSDP reader.
func (w *World) Input(id string, on bool) error {
	r, err := w.osdp(id, "input")
	if err != nil {
		return err
	}
	r.station.Input(on)
	w.tellReader(r, pick(on, "input_on", "input_off"), "")
	return nil
}

// Finger puts a finger on an OSDP reader that waits for one, or on a fingerprint
// module: the finger whose template is at slot, 0 for a stranger's.
func (w *World) Finger(id string, slot uint16, d time.Duration) error {
	if r := w.readers[id]; r != nil && r.module != nil {
		return w.Touch(id, r.module.at(slot), d)
	}
	r, err := w.osdp(id, "finger")
	if err != nil {
		return err
	}
	if !r.station.Finger(slot) {
		return problem.New(problem.NotAsked, id+" は今、指を求めていません。制御盤が照合を求めてから(state の finger が true のとき)当ててください。",
			id+" does not wait for a finger; touch it while `finger` in its state is true")
	}
	w.tellReader(r, "finger", "")
	return nil
}
