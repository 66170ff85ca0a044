// Package timekeeper is the device's trust in its clock [T-38, T-39].
//
//	OS clock ──(once, at start)──▶ ┌────────┐ ──▶ Now: wall, mono, 時刻品質
//	boot clock ──────────────────▶ │ Keeper │
//	hub's answer (signed, fresh) ─▶└────────┘ ──▶ last-known time, on disk
//
// The wall clock handed out is a base plus boot time, so setting the OS clock
// back under a running agent changes nothing. The last-known time only rises;
// nothing is ever decided at a time before it. It rises by elapsed time and by
// the hub's authenticated time in bounded steps; a larger step needs an order.
package timekeeper

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"sekimori/agent/internal/files"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

const (
	// Tolerance is how far the clock may be off without a fact being written.
	Tolerance = 5 * time.Second
	// maxAbsence is how far ahead of the last-known time the OS clock is
	// believed at a start: a dead clock chip may also wake up in the future.
	maxAbsence = 31 * 24 * time.Hour
	// maxStep bounds a step by the hub's word alone.
	maxStep = 366 * 24 * time.Hour
	// saveEvery bounds what a power cut takes from the last-known time.
	saveEvery = time.Minute
)

const file = "lasttime.json"

// Reading is one look at the clock.
type Reading struct {
	Wall    time.Time
	Mono    time.Duration
	Quality record.TimeQuality
}

// Keeper is safe for concurrent use. Only Save and Close wait for the disk: the
// clock is read for every fact, on the way of a card to the lock.
type Keeper struct {
	path string
	boot record.BootID
	file sync.Mutex // held by one writing of the file; taken before mu

	mu      sync.Mutex
	base    time.Time          // guarded by mu; wall time at mono 0
	quality record.TimeQuality // guarded by mu
	floor   time.Time          // guarded by mu; never before this
	saved   time.Duration      // guarded by mu; mono of the last save
	stepped bool               // guarded by mu; the hub's word has not been saved yet
	allowed time.Time          // guarded by mu; an order allows one step to about here
}

// saved is what survives a restart.
type saved struct {
	Wall    time.Time          `json:"wall"`
	Boot    record.BootID      `json:"boot"`
	Mono    time.Duration      `json:"mono"`
	Quality record.TimeQuality `json:"tq"`
}

// Open reads the last-known time from dir. anomaly is not nil when the OS clock
// was not believed or the last-known time is lost.
func Open(dir string, boot record.BootID) (k *Keeper, anomaly *record.ClockSet) {
	k = &Keeper{path: filepath.Join(dir, file), boot: boot}
	var s saved
	found, damaged := files.ReadJSON(k.path, &s)
	if damaged != nil { // the doors must be served all the same, without trusting any clock
		s = saved{}
	}
	osNow, mono := clock.Now(), clock.Mono()
	k.floor = s.Wall
	switch {
	case found && s.Boot == boot && mono >= s.Mono:
		k.base, k.quality = s.Wall.Add(-s.Mono), s.Quality
	case damaged == nil && !osNow.Before(s.Wall) && (!found || osNow.Sub(s.Wall) <= maxAbsence) && osNow.After(plausible):
		k.base, k.quality = osNow.Add(-mono), record.TimeEstimated
	default:
		k.base, k.quality = latest(s.Wall, plausible).Add(-mono), record.TimeUnsynced
		anomaly = &record.ClockSet{Before: osNow.UTC(), After: k.base.Add(mono).UTC(), Step: k.base.Add(mono).Sub(osNow), Why: "the clock of the board is before the last-known time, or too far ahead of it"}
		if damaged != nil {
			anomaly.Why = "the last-known time cannot be read: " + damaged.Error()
		}
	}
	return k, anomaly
}

// Begin sets the first last-known time, from the hub that enrolled this device.
func Begin(dir string, boot record.BootID, hub time.Time) error {
	return files.WriteJSON(filepath.Join(dir, file), saved{Wall: hub.UTC(), Boot: boot, Mono: clock.Mono(), Quality: record.TimeEstimated})
}

// plausible is before this program existed: a clock that says less is reset.
var plausible = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Now reads the clock.
func (k *Keeper) Now() Reading {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.nowLocked()
}

func (k *Keeper) nowLocked() Reading {
	mono := clock.Mono()
	wall := latest(k.base.Add(mono), k.floor)
	if k.quality != record.TimeUnsynced {
		k.floor = wall
	}
	return Reading{Wall: wall.UTC(), Mono: mono, Quality: k.quality}
}

// TLSTime is max(OS clock, last-known time): a board without a clock gets in
// and then sets its clock.
func (k *Keeper) TLSTime() time.Time { return latest(clock.Now(), k.Now().Wall) }

// Zero is the wall time at which this boot's clock stood at 0, and whether it
// is known well enough to date earlier events by.
func (k *Keeper) Zero() (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.base.UTC(), k.quality == record.TimeSynced
}

// HubTime takes the hub's signed time, received between the boot times asked
// and answered. set tells of a step worth a fact; it is not nil with an error
// of record.CodeClockStep too, which then says what was refused.
func (k *Keeper) HubTime(hub time.Time, asked, answered time.Duration) (set *record.ClockSet, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.nowLocked()
	want := hub.Add((answered-asked)/2 + before.Mono - answered)
	step := want.Sub(before.Wall)
	change := &record.ClockSet{Before: before.Wall, After: want.UTC(), Step: step, Why: "hub"}
	if k.refuseLocked(want, step) {
		change.Why = "refused: the step is too large, or goes back before the last-known time"
		return change, record.Fail(record.CodeClockStep, fmt.Errorf("a step of %v", step))
	}
	silent := step.Abs() <= Tolerance && k.quality != record.TimeUnsynced
	if !silent || k.quality != record.TimeSynced {
		k.stepped = true
	}
	k.base, k.quality, k.floor, k.allowed = want.Add(-before.Mono), record.TimeSynced, want, time.Time{}
	if silent {
		return nil, nil
	}
	return change, nil
}

// refuseLocked: a synced clock was the hub's word too, so going back from it
// means that one of the two words is wrong. An unconfirmed clock may go back to
// the last time that was confirmed.
func (k *Keeper) refuseLocked(want time.Time, step time.Duration) bool {
	if !k.allowed.IsZero() && want.Sub(k.allowed).Abs() < time.Hour {
		return false
	}
	back := k.quality == record.TimeSynced && step < -Tolerance
	return back || step.Abs() > maxStep && k.quality != record.TimeUnsynced
}

// Allow lets the next hub time within an hour of `to` through [order clock_step].
func (k *Keeper) Allow(to time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.allowed = to
}

// Save saves the last-known time when it is due: every minute of a synced clock,
// and soon after the hub has set it. It is to be called every few seconds.
func (k *Keeper) Save() error {
	return k.save(func(r Reading) bool {
		return k.stepped || k.quality == record.TimeSynced && r.Mono-k.saved > saveEvery
	})
}

// Close saves the last-known time.
func (k *Keeper) Close() error {
	return k.save(func(Reading) bool { return k.quality != record.TimeUnsynced })
}

// save writes the file when due, which is asked with mu held.
func (k *Keeper) save(due func(Reading) bool) error {
	k.file.Lock()
	defer k.file.Unlock()
	k.mu.Lock()
	r := k.nowLocked()
	if !due(r) {
		k.mu.Unlock()
		return nil
	}
	k.saved, k.stepped = r.Mono, false
	k.mu.Unlock()
	err := files.WriteJSON(k.path, saved{Wall: r.Wall, Boot: k.boot, Mono: r.Mono, Quality: r.Quality})
	if err != nil {
		k.mu.Lock()
		k.stepped = true // tried again at the next Save
		k.mu.Unlock()
	}
	return err
}
