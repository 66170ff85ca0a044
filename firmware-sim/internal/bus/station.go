package bus

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/pd"
)

// Fault is something wrong with the next replies.
type Fault string

const (
	BadCRC   Fault = "bad_crc"  // the check does not match
	Truncate Fault = "truncate" // the second half is missing
	BusyWord Fault = "busy"     // BUSY instead of the answer
	Power    Fault = "power"    // power fails once: link, queue and LED are lost
)

// Station is a reader at its place on a line: the cable and what can go wrong
// with it. It is safe for concurrent use.
type Station struct {
	addr    byte
	inbox   chan heard
	changed func() // feedback to the person changed
	bus     *Bus   // set by New, before Run

	mu        sync.Mutex
	pd        *pd.PD        // guarded by mu
	unplugged bool          // guarded by mu
	stall     time.Duration // guarded by mu
	stalls    int           // guarded by mu; replies still to be late
	badCRC    int           // guarded by mu
	truncate  int           // guarded by mu
	look      pd.Look       // guarded by mu; as last told to changed
}

// NewStation makes a reader; changed is called, without locks, when a command
// changed what the person sees or hears.
func NewStation(addr byte, serial uint32, changed func()) *Station {
	return &Station{addr: addr, inbox: make(chan heard, inboxFrames), changed: changed, pd: pd.New(addr, serial)}
}

func (s *Station) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-s.inbox:
			if sleepUntil(ctx, h.at) {
				s.answer(ctx, h)
			}
		}
	}
}

func (s *Station) answer(ctx context.Context, h heard) {
	reply, late, changed := s.handle(h.frame)
	if changed {
		s.changed()
	}
	if reply == nil {
		return
	}
	if !sleepUntil(ctx, time.Now().Add(s.bus.cfg.Turnaround+late)) || !s.Connected() {
		return
	}
	s.bus.send(ctx, reply)
}

func (s *Station) handle(f pd.Frame) (reply []byte, late time.Duration, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unplugged {
		return nil, 0, false
	}
	now := time.Duration(mono.Now())
	reply = s.pd.Handle(f, now)
	if look := s.pd.Look(now); look != s.look {
		s.look, changed = look, true
	}
	if reply == nil {
		return nil, 0, changed
	}
	if s.stalls > 0 {
		s.stalls--
		late = s.stall
	}
	switch {
	case s.badCRC > 0:
		s.badCRC--
		reply[len(reply)-1] ^= 0x55
	case s.truncate > 0:
		s.truncate--
		reply = reply[:len(reply)/2]
	}
	return reply, late, changed
}

// Card presents a card; false if the reader's queue was full.
func (s *Station) Card(b cards.Bits) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pd.Card(b)
}

// Keys types on the keypad; false if the reader's queue was full.
func (s *Station) Keys(keys string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pd.Keys(keys)
}

// Tamper opens or closes the reader's case.
func (s *Station) Tamper(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pd.Tamper(open)
}

// Connect plugs the cable in or pulls it. The reader keeps its power and goes
// on collecting events.
func (s *Station) Connect(in bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unplugged = !in
}

// Connected tells whether the cable is in.
func (s *Station) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.unplugged
}

// Stall makes the next count replies late by d.
func (s *Station) Stall(d time.Duration, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stall, s.stalls = d, count
}

// Fail spoils the next count replies. Power does so once, at once.
func (s *Station) Fail(f Fault, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f {
	case BadCRC:
		s.badCRC = count
	case Truncate:
		s.truncate = count
	case BusyWord:
		s.pd.Busy(count)
	case Power:
		s.pd.PowerCycle()
		s.badCRC, s.truncate, s.stalls = 0, 0, 0
	}
}

// Noise puts n random bytes on the line now. A pulled cable picks up nothing
// the others could hear.
func (s *Station) Noise(ctx context.Context, n int) {
	if !s.Connected() {
		return
	}
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rand.IntN(256))
	}
	s.bus.send(ctx, p)
}

// Status is one reader as `state` shows it.
type Status struct {
	Address   int    `json:"address"`
	Cable     bool   `json:"cable"`   // plugged in
	Online    bool   `json:"online"`  // its controller spoke within 8 s
	Queued    int    `json:"queued"`  // events that wait for a poll
	Lost      uint64 `json:"lost"`    // events the full queue lost
	Polls     uint64 `json:"polls"`   // answered
	Repeats   uint64 `json:"repeats"` // answered from the cache
	SeqErrors uint64 `json:"seq_errors"`
	Restarts  uint64 `json:"restarts"` // how often the controller started over
	Tamper    bool   `json:"tamper"`
	pd.Look
}

// Status reads the reader now.
func (s *Station) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Duration(mono.Now())
	return Status{Address: int(s.addr), Cable: !s.unplugged, Online: s.pd.Online(now) && !s.unplugged,
		Queued: s.pd.Queued(), Lost: s.pd.EventsLost, Polls: s.pd.Polls, Repeats: s.pd.Repeats,
		SeqErrors: s.pd.SeqErrors, Restarts: s.pd.Initialised, Tamper: s.pd.Tampered(), Look: s.pd.Look(now)}
}
