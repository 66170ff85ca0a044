package bus

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/pd"
)

// Station is a reader at its place on a line: the cable and what can go wrong
// with it. It is safe for concurrent use.
type Station struct {
	inbox   chan heard
	changed func() // feedback to the person changed
	kept    func() // what the reader remembers without power changed
	bus     *Bus   // set by New, before Run

	mu        sync.Mutex
	pd        *pd.PD  // guarded by mu
	unplugged bool    // guarded by mu
	faults    faults  // guarded by mu
	look      pd.Look // guarded by mu; as last told to changed
	memory    pd.Kept // guarded by mu; as last told to kept
}

// NewStation makes a reader; changed is called, without locks, when a command
// changed what the person sees or hears, kept when one changed its address,
// speed or key.
func NewStation(c pd.Config, changed, kept func()) *Station {
	s := &Station{inbox: make(chan heard, inboxFrames), changed: changed, kept: kept, pd: pd.New(c)}
	s.memory = s.pd.Kept()
	return s
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

// hears tells whether a frame is for this reader and at its speed.
func (s *Station) hears(h heard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.pd.Kept()
	return h.baud == k.Baud && (h.frame.Addr == k.Addr || h.frame.Addr == pd.Broadcast)
}

func (s *Station) answer(ctx context.Context, h heard) {
	a := s.handle(h.frame)
	if a.changed {
		s.changed()
	}
	if a.kept {
		s.kept()
	}
	if a.reply == nil || !sleepUntil(ctx, time.Now().Add(s.bus.cfg.Turnaround+a.late)) {
		return
	}
	for range a.times {
		if !s.Connected() {
			return
		}
		s.bus.send(ctx, slices.Clone(a.reply))
	}
}

// answer is what a station does about a command.
type answer struct {
	reply         []byte // nil: silence
	late          time.Duration
	times         int
	changed, kept bool
}

func (s *Station) handle(f pd.Frame) (a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unplugged {
		return answer{}
	}
	now := time.Duration(mono.Now())
	a.reply = s.pd.Handle(f, now)
	if look := s.pd.Look(now); look != s.look {
		s.look, a.changed = look, true
	}
	if k := s.pd.Kept(); k != s.memory {
		s.memory, a.kept = k, true
	}
	if a.reply != nil {
		s.faults.spoil(&a)
	}
	return a
}

// with does something to the reader.
func (s *Station) with(do func(p *pd.PD)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.pd)
}

// Card presents a card; false if the reader's queue was full.
func (s *Station) Card(b cards.Bits) (ok bool) {
	s.with(func(p *pd.PD) { ok = p.Card(b) })
	return ok
}

// Keys types on the keypad; false if the reader's queue was full.
func (s *Station) Keys(keys string) (ok bool) {
	s.with(func(p *pd.PD) { ok = p.Keys(keys) })
	return ok
}

// Finger puts a finger on the sensor: the one whose template is at slot, 0 for a
// stranger's. False if the reader does not wait for one.
func (s *Station) Finger(slot uint16) (ok bool) {
	s.with(func(p *pd.PD) { ok = p.Finger(slot, time.Duration(mono.Now())) })
	return ok
}

// Tamper opens or closes the reader's case.
func (s *Station) Tamper(open bool) { s.with(func(p *pd.PD) { p.Tamper(open) }) }

// Input closes or opens the contact wired to the reader.
func (s *Station) Input(on bool) { s.with(func(p *pd.PD) { p.Input(on) }) }

// Wipe makes the reader as it was in its box; Restore, as it was before the
// simulator stopped.
func (s *Station) Wipe() {
	s.with((*pd.PD).Wipe)
	s.remember()
}

// Restore powers the reader up with what it had kept.
func (s *Station) Restore(k pd.Kept) {
	s.with(func(p *pd.PD) { p.Restore(k) })
	s.remember()
}

func (s *Station) remember() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory = s.pd.Kept()
}

// Kept is what the reader remembers without power.
func (s *Station) Kept() pd.Kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

// Boxed tells that the reader is as it came out of its box.
func (s *Station) Boxed() (ok bool) {
	s.with(func(p *pd.PD) { ok = p.Boxed() })
	return ok
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

// Status is one reader as `state` shows it. Keys are never in it.
type Status struct {
	Address    int         `json:"address"`
	Baud       int         `json:"baud"`
	Cable      bool        `json:"cable"`       // plugged in
	Online     bool        `json:"online"`      // its controller spoke within 8 s
	Security   pd.Security `json:"security"`    // what it asks: clear, install, key
	Secure     bool        `json:"secure"`      // a secure channel is in use
	DefaultKey bool        `json:"default_key"` // it was made with the published key
	Queued     int         `json:"queued"`      // events that wait for a poll
	Lost       uint64      `json:"lost"`        // events the full queue lost
	Polls      uint64      `json:"polls"`       // answered
	Repeats    uint64      `json:"repeats"`     // answered from the cache
	SeqErrors  uint64      `json:"seq_errors"`
	Restarts   uint64      `json:"restarts"`   // how often the controller started over
	Handshakes uint64      `json:"handshakes"` // secure channels made
	BadMACs    uint64      `json:"bad_macs"`
	BadProofs  uint64      `json:"bad_proofs"` // controllers that did not know the key
	Refusals   uint64      `json:"refusals"`   // NAK 5 and 6
	KeysSet    uint64      `json:"keys_set"`
	Tamper     bool        `json:"tamper"`
	Input      bool        `json:"input"`
	Finger     bool        `json:"finger"`           // it waits for one
	RxSize     int         `json:"rx_size"`          // the controller's ACURXSIZE, 0 if never told
	File       *pd.File    `json:"file,omitempty"`   // FILETRANSFER
	Faults     []Fault     `json:"faults,omitempty"` // still to come
	pd.Look
}

// Status reads the reader now.
func (s *Station) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pd.Status(time.Duration(mono.Now()))
	return Status{Address: p.Addr, Baud: p.Baud, Cable: !s.unplugged, Online: p.Online && !s.unplugged,
		Security: p.Security, Secure: p.SecureLink, DefaultKey: p.DefaultLink, Queued: p.Queued,
		Lost: p.Counts.EventsLost, Polls: p.Counts.Polls, Repeats: p.Counts.Repeats, SeqErrors: p.Counts.SeqErrors,
		Restarts: p.Counts.Restarts, Handshakes: p.Counts.Handshakes, BadMACs: p.Counts.BadMACs,
		BadProofs: p.Counts.BadProofs, Refusals: p.Counts.Refusals, KeysSet: p.Counts.KeysSet,
		Tamper: p.Tamper, Input: p.Input, Finger: p.FingerWanted, RxSize: p.RxSize, File: p.File,
		Faults: s.faults.waiting(p), Look: p.Look}
}
