package world

import (
	"sync"
	"time"

	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/mono"
)

// Event is one thing that happened in the simulated city, for scripts and
// tests. It never holds a card number or typed keys.
type Event struct {
	Seq        uint64       `json:"seq"`     // gapless from the simulator's start, from 1
	MonoNS     int64        `json:"mono_ns"` // CLOCK_MONOTONIC of this machine
	Wall       time.Time    `json:"wall"`    // simulated wall clock, JST
	Controller string       `json:"controller,omitempty"`
	Door       string       `json:"door,omitempty"`
	Reader     string       `json:"reader,omitempty"`
	Kind       string       `json:"kind"`
	Causes     []door.Cause `json:"causes,omitempty"` // with released, causes
	Detail     string       `json:"detail,omitempty"`
}

// keep is how many events, and how many of each door, are remembered.
const keep = 20000

// chronicle is the list of events and the bell that rings at each.
type chronicle struct {
	wall func() time.Time

	mu   sync.Mutex
	seq  uint64        // guarded by mu
	list []Event       // guarded by mu; the newest keep
	bell chan struct{} // guarded by mu; closed at the next change
}

func newChronicle(wall func() time.Time) *chronicle {
	return &chronicle{wall: wall, bell: make(chan struct{})}
}

func (c *chronicle) add(e Event) Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	e.Seq, e.MonoNS, e.Wall = c.seq, mono.Now(), c.wall()
	c.list = appendBounded(c.list, e)
	close(c.bell)
	c.bell = make(chan struct{})
	return e
}

// appendBounded keeps the newest events; it drops many at a time so that the
// cost of moving is rare.
func appendBounded(list []Event, e Event) []Event {
	if len(list) >= keep+keep/4 {
		list = append([]Event(nil), list[len(list)-keep:]...)
	}
	return append(list, e)
}

// after gives up to limit events with a higher number, the newest number, and
// the bell.
func (c *chronicle) after(seq uint64, limit int) ([]Event, uint64, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	if len(list) > 0 && seq >= list[0].Seq {
		list = list[min(seq-list[0].Seq+1, uint64(len(list))):]
	}
	list = list[:min(limit, len(list))]
	return append([]Event{}, list...), c.seq, c.bell
}
