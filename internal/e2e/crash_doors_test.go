//go:build linux && !simtime

package e2e_test

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the clock of the simulator's events.
func monotonic() time.Duration { return readClock(unix.CLOCK_MONOTONIC) }

// asleep is how far CLOCK_BOOTTIME, which devices write, is ahead of
// CLOCK_MONOTONIC, which the simulator tells: the time this machine has slept.
func asleep() time.Duration {
	return (readClock(unix.CLOCK_BOOTTIME) - monotonic()).Round(time.Millisecond)
}

func readClock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err) // Linux has both clocks
	}
	return time.Duration(ts.Nano())
}

const (
	release = 5 * time.Second // how long a grant keeps the lock released, in the fixture
	// steady is how long a program must have lived on after an opening to have
	// written it down, on a machine with much else to do.
	steady = 2 * time.Second
)

// unlocksHaveRows: each time a relay was energised, a grant of that door had been
// written down just before, nobody had passed under it yet, and no other pulse
// had used it. A simulator that died and came back within a grant sees the line
// that is still held as a new pulse, so one grant explains one pulse in each of
// its lives.
func (b *book) unlocksHaveRows(seen []happening) (pulses int, f faults) {
	ahead := asleep()
	type use struct{ index, life int64 }
	used := map[use]bool{}
	passed := map[string]time.Duration{} // grant → when somebody passed under it
	for _, x := range b.facts {
		if x.Kind == "entered" || x.Kind == "exited" {
			passed[x.passage.Grant] = x.Mono
		}
	}
	for _, h := range seen {
		if h.Kind != "relay_on" {
			continue
		}
		pulses++
		var by bookFact
		for _, x := range b.facts {
			if x.Kind == "access_granted" && x.passage.Door == h.Door && x.Mono-ahead <= h.At && x.Mono > by.Mono {
				by = x
			}
		}
		switch u := (use{by.Index, h.life}); {
		case by.Kind == "" || h.At-(by.Mono-ahead) > release+steady:
			f.add("%s was unlocked at %v (simulator's life %d) without a row", h.Door, h.At, h.life)
		case passed[by.passage.Grant] != 0 && passed[by.passage.Grant]-ahead < h.At:
			f.add("%s was unlocked at %v (simulator's life %d) after the passage under the newest grant, ledger row %d", h.Door, h.At, h.life, by.Index)
		case used[u]:
			f.add("%s was unlocked at %v (simulator's life %d) by the grant of ledger row %d, as once before", h.Door, h.At, h.life, by.Index)
		default:
			used[u] = true
		}
	}
	return pulses, f
}

// openingsHaveRows: a door that opened before the eyes of a program that lived on
// has exactly one row that explains it, and that is a passage where the relay had
// released it.
func (s *storm) openingsHaveRows(b *book, seen []happening) (openings int, f faults) {
	ahead := asleep()
	causes := map[string][]string{}
	pulsed := map[string]happening{}
	for i, h := range seen {
		switch h.Kind {
		case "released", "causes", "locked":
			causes[h.Door] = h.Causes
		case "relay_on":
			pulsed[h.Door] = h
		case "opened":
			p := pulsed[h.Door]
			if p.Kind == "" || p.life != h.life || !s.lived(h.Door, p.At, h.At+steady) {
				continue
			}
			openings++
			rows := b.explanations(h.Door, h.At+ahead-time.Millisecond, nextOpening(seen[i+1:], h)+ahead)
			byRelay := slices.Equal(causes[h.Door], []string{"relay"}) && h.At-p.At < release-time.Second
			if len(rows) != 1 || byRelay && rows[0] != "entered" && rows[0] != "exited" {
				f.add("%s opened at %v (by the relay alone: %v) and has the rows %v", h.Door, h.At, byRelay, rows)
			}
		}
	}
	return openings, f
}

// nextOpening bounds the time in which a row can explain an opening.
func nextOpening(later []happening, h happening) time.Duration {
	for _, next := range later {
		if next.Door == h.Door && next.Kind == "opened" {
			return min(next.At, h.At+steady)
		}
	}
	return h.At + steady
}

// explanations lists the kinds of rows that say why a door opened in a span of
// the device's time.
func (b *book) explanations(door string, from, to time.Duration) (kinds []string) {
	for _, x := range b.facts {
		if x.passage.Door != door || x.Mono < from || x.Mono >= to {
			continue
		}
		switch x.Kind {
		case "entered", "exited", "exit_without_credential", "forced_open", "physical_key_entry":
			kinds = append(kinds, x.Kind)
		}
	}
	return kinds
}

// lived tells whether neither the door's controller nor the simulator died in a
// span of time.
func (s *storm) lived(door string, from, to time.Duration) bool {
	for _, p := range s.targets {
		if p.name != "DC-"+door[1:] && p.proc != s.sim {
			continue
		}
		if !slices.ContainsFunc(p.lives, func(l life) bool { return l.from <= from && to <= l.to }) {
			return false
		}
	}
	return true
}
