//go:build linux && !simtime

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
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

// newestGrant is the last grant of a door that was written down by a time. The
// zero fact means that there was none.
func (b *book) newestGrant(door string, at time.Duration) (by bookFact) {
	for _, x := range b.facts {
		if x.Kind == "access_granted" && x.passage.Door == door && x.Mono <= at && x.Mono > by.Mono {
			by = x
		}
	}
	return by
}

// passages lists, by grant, when somebody passed under it.
func (b *book) passages() map[string][]time.Duration {
	out := map[string][]time.Duration{}
	for _, x := range b.facts {
		if x.Kind == "entered" || x.Kind == "exited" {
			out[x.passage.Grant] = append(out[x.passage.Grant], x.Mono)
		}
	}
	return out
}

// unlocksHaveRows: each time a relay was energised, a grant of that door had been
// written down just before, nobody had passed under it yet, and no other pulse
// had used it.
//
// A simulator that died and came back within a grant sees the line that is still
// held as a new pulse. So one grant explains one pulse in each of its lives, and
// in the next life even after the passage, if its end came before the line fell.
func (b *book) unlocksHaveRows(seen []happening) (pulses int, f faults) {
	ahead, passages := asleep(), b.passages()
	type use struct{ index, life int64 }
	used := map[use]bool{}
	began := map[int64]time.Duration{} // simulator's life → its first event
	for _, h := range seen {
		if _, known := began[h.life]; !known {
			began[h.life] = h.At
		}
		if h.Kind != "relay_on" {
			continue
		}
		pulses++
		by := b.newestGrant(h.Door, h.At+ahead)
		over := passages[by.passage.Grant]
		switch u := (use{by.Index, h.life}); {
		case by.Kind == "" || h.At+ahead-by.Mono > release+steady:
			f.add("%s was unlocked at %v (simulator's life %d) without a row", h.Door, h.At, h.life)
		case len(over) > 0 && over[0] < h.At+ahead && by.Mono > began[h.life]+ahead:
			f.add("%s was unlocked at %v (simulator's life %d) after the passage under the newest grant, ledger row %d", h.Door, h.At, h.life, by.Index)
		case used[u]:
			f.add("%s was unlocked at %v (simulator's life %d) by the grant of ledger row %d, as once before", h.Door, h.At, h.life, by.Index)
		default:
			used[u] = true
		}
	}
	return pulses, f
}

// openingsHaveRows: where a door was unlocked by its relay alone and opened
// before the eyes of a program that lived on, one passage was written down, under
// the grant that unlocked it or under one that took its place before the opening:
// somebody else's card while the lock is still released.
func (s *storm) openingsHaveRows(b *book, seen []happening) (openings int, f faults) {
	ahead, passages := asleep(), b.passages()
	causes := map[string][]string{}
	pulsed := map[string]happening{} // by door, until the first opening after it
	for _, h := range seen {
		switch h.Kind {
		case "released", "causes", "locked":
			causes[h.Door] = h.Causes
		case "relay_on":
			pulsed[h.Door] = h
		case "opened":
			p := pulsed[h.Door]
			delete(pulsed, h.Door)
			if p.Kind == "" || p.life != h.life || h.At-p.At > release-time.Second ||
				!slices.Equal(causes[h.Door], []string{"relay"}) || !s.lived(h.Door, p.At, h.At+steady) ||
				!s.wroteOn(b, h.Door, h.At+steady/2) {
				continue
			}
			openings++
			by, n := b.newestGrant(h.Door, p.At+ahead), 0
			for _, x := range b.facts {
				if x.Kind == "access_granted" && x.passage.Door == h.Door && by.Mono <= x.Mono && x.Mono <= h.At+ahead {
					n += len(passages[x.passage.Grant])
				}
			}
			if n != 1 {
				f.add("%s opened at %v, unlocked at %v, under the grant of ledger row %d; %d passages under it and those until then: %s",
					h.Door, h.At, p.At, by.Index, n, b.around(h.Door, h.At+ahead))
			}
		}
	}
	return openings, f
}

// around is what a door's controller wrote within ten seconds of a moment.
func (b *book) around(door string, at time.Duration) string {
	var out []string
	for _, x := range b.facts {
		if x.Device == controllerOf(door) && (x.Mono-at).Abs() < 10*time.Second {
			out = append(out, fmt.Sprintf("%d %s %s at %v", x.Index, x.Kind, x.passage.Dir, x.Mono))
		}
	}
	return strings.Join(out, "; ")
}

// wroteOn tells whether a door's controller wrote a later fact down before it
// died: it writes in order, and a machine too busy to write for seconds says
// nothing about rows.
func (s *storm) wroteOn(b *book, door string, after time.Duration) bool {
	i := slices.IndexFunc(s.targets, func(p *target) bool { return p.name == controllerOf(door) })
	ahead, lives := asleep(), s.targets[i].lives
	k := slices.IndexFunc(lives, func(l life) bool { return l.from <= after && after <= l.to })
	return k >= 0 && slices.ContainsFunc(b.facts, func(x bookFact) bool {
		return x.Device == controllerOf(door) && x.Mono-ahead >= after && x.Mono-ahead <= lives[k].to
	})
}

func controllerOf(door string) string { return "DC-" + door[1:] }

// lived tells whether neither the door's controller nor the simulator died in a
// span of time.
func (s *storm) lived(door string, from, to time.Duration) bool {
	for _, p := range s.targets {
		if p.name != controllerOf(door) && p.proc != s.sim {
			continue
		}
		if !slices.ContainsFunc(p.lives, func(l life) bool { return l.from <= from && to <= l.to }) {
			return false
		}
	}
	return true
}
