package bus

import (
	"slices"
	"time"

	"sekimori/firmware-sim/internal/pd"
)

// Fault is something wrong with the next replies.
type Fault string

const (
	BadCRC    Fault = "bad_crc"   // the check does not match
	BadMAC    Fault = "bad_mac"   // the MAC is wrong and the check right: somebody forged it; waits for replies that have one
	Truncate  Fault = "truncate"  // the second half is missing
	Duplicate Fault = "duplicate" // sent twice
	Silent    Fault = "silent"    // not sent, though the command was carried out
	BusyWord  Fault = "busy"      // BUSY instead of the answer
	Power     Fault = "power"     // power fails once: link, secure channel, queue and LED are lost
	WrongKey  Fault = "wrong_key" // another reader, without this one's key, answers the next challenges
)

// Faults is all of them.
var Faults = []Fault{BadCRC, BadMAC, Truncate, Duplicate, Silent, BusyWord, Power, WrongKey}

// faults is what will happen to the next replies of one station.
type faults struct {
	count  map[Fault]int
	stall  time.Duration
	stalls int
}

// use takes one off, if there is one.
func (f *faults) use(kind Fault) bool {
	if f.count[kind] == 0 {
		return false
	}
	f.count[kind]--
	return true
}

// spoil does to a reply what is due.
func (f *faults) spoil(a *answer) {
	a.times = 1
	if f.stalls > 0 {
		f.stalls--
		a.late = f.stall
	}
	if f.count[BadMAC] > 0 {
		var spoilt bool
		if a.reply, spoilt = pd.SpoilMAC(a.reply); spoilt {
			f.count[BadMAC]--
		}
	}
	switch {
	case f.use(Silent):
		a.reply = nil
	case f.use(BadCRC):
		a.reply[len(a.reply)-1] ^= 0x55
	case f.use(Truncate):
		a.reply = a.reply[:len(a.reply)/2]
	case f.use(Duplicate):
		a.times = 2
	}
}

// waiting is what is still to come, of the reader's own making too.
func (f *faults) waiting(p pd.Status) []Fault {
	var out []Fault
	for _, k := range Faults {
		if f.count[k] > 0 || k == BusyWord && p.BusyLeft > 0 || k == WrongKey && p.StrangerLeft > 0 {
			out = append(out, k)
		}
	}
	if f.stalls > 0 {
		out = append(out, "stall")
	}
	return out
}

// Stall makes the next count replies late by d.
func (s *Station) Stall(d time.Duration, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.stall, s.faults.stalls = d, count
}

// Fail spoils the next count replies; false if there is no such fault. Power
// fails once, at once, and ends other faults.
func (s *Station) Fail(kind Fault, count int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case kind == BusyWord:
		s.pd.Busy(count)
	case kind == WrongKey:
		s.pd.Stranger(count)
	case kind == Power:
		s.pd.PowerCycle()
		s.faults = faults{}
	case slices.Contains(Faults, kind):
		if s.faults.count == nil {
			s.faults.count = map[Fault]int{}
		}
		s.faults.count[kind] = count
	default:
		return false
	}
	return true
}
