package door

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/files"
	"sekimori/internal/record"
)

// Kept is what a restart must not forget: who is locked out, who is inside,
// which doors fire released, which rooms are closed, and when the hub was heard.
type Kept struct {
	LastHub  time.Time                           `json:"last_hub"`
	Failures map[record.PersonID]decide.Failures `json:"failures,omitempty"`
	Doors    map[record.DoorCode]KeptDoor        `json:"doors,omitempty"`
}

// KeptDoor is the same of one door.
type KeptDoor struct {
	Released bool              `json:"released,omitempty"`
	Closed   bool              `json:"closed,omitempty"`
	Inside   []record.PersonID `json:"inside,omitempty"`
	Order    uint64            `json:"order,omitempty"`
}

// hubStep keeps the state file quiet: the hub is heard often, and a minute more
// or less of "last heard" decides nothing.
const hubStep = time.Minute

func keptOf(s decide.State) Kept {
	k := Kept{LastHub: s.LastHub.Truncate(hubStep), Failures: s.Failures, Doors: map[record.DoorCode]KeptDoor{}}
	for code, d := range s.Doors {
		kd := KeptDoor{Released: d.Released, Closed: d.Closed, Order: d.LastSeq}
		for p, in := range d.Inside {
			if in {
				kd.Inside = append(kd.Inside, p)
			}
		}
		slices.Sort(kd.Inside)
		k.Doors[code] = kd
	}
	return k
}

func (k Kept) equal(o Kept) bool { return reflect.DeepEqual(k, o) }

func (k Kept) restore(s decide.State) decide.State {
	s.LastHub = k.LastHub
	if k.Failures != nil {
		s.Failures = maps.Clone(k.Failures)
	}
	for code, kd := range k.Doors {
		d, ok := s.Doors[code]
		if !ok {
			continue
		}
		d.Released, d.Closed, d.LastSeq = kd.Released, kd.Closed, kd.Order
		for _, p := range kd.Inside {
			d.Inside[p] = true
		}
		s.Doors[code] = d
	}
	return s
}

// File is a Memory in one file.
type File string

// Load reads the file; a missing one is an empty memory.
func (f File) Load() (Kept, error) {
	var k Kept
	_, err := files.ReadJSON(string(f), &k)
	return k, err
}

// Save replaces the file.
func (f File) Save(k Kept) error { return files.WriteJSON(string(f), k) }
