package wiegand

import (
	"context"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
)

// step is one moment of a signal on the two feedback lines of a reader. Their
// lamp is red by itself and green while the LED line is on.
type step struct {
	green, sound bool
	hold         time.Duration // 0: until the next signal
}

// longest is how long a signal may stand without its owner: a program that died
// must not leave a green lamp on a locked door.
const longest = 30 * time.Second

var patterns = map[drivers.Signal][]step{
	drivers.SignalIdle:    {{}},
	drivers.SignalGranted: {{green: true, sound: true, hold: 100 * time.Millisecond}, {green: true, hold: longest}, {}},
	drivers.SignalDenied:  {{sound: true, hold: time.Second}, {}},
	drivers.SignalAskMore: append(blink(longest), step{}),
}

func blink(d time.Duration) []step {
	const half = 250 * time.Millisecond
	var out []step
	for ; d > 0; d -= 2 * half {
		out = append(out, step{green: true, hold: half}, step{hold: half})
	}
	return out
}

// feedback drives the lamp and the buzzer from its own goroutine, because a
// line may answer slowly. A newer signal replaces an older one.
type feedback struct {
	wake   chan struct{} // one slot
	mu     sync.Mutex
	signal drivers.Signal // guarded by mu: the newest
}

func (f *feedback) show(s drivers.Signal) {
	f.mu.Lock()
	f.signal = s
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *feedback) newest() []step {
	f.mu.Lock()
	defer f.mu.Unlock()
	return patterns[f.signal]
}

// run plays signals until ctx ends and leaves both lines off.
func (f *feedback) run(ctx context.Context, lamp, buzzer func(bool)) {
	defer lamp(false)
	defer buzzer(false)
	timer := time.NewTimer(0)
	defer timer.Stop()
	steps := f.newest()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
			steps = f.newest()
		case <-timer.C:
		}
		if len(steps) == 0 {
			continue
		}
		lamp(steps[0].green)
		buzzer(steps[0].sound)
		if steps[0].hold > 0 {
			timer.Reset(steps[0].hold)
		} else {
			timer.Stop()
		}
		steps = steps[1:]
	}
}

// driver drives a line when its level changes. A line that could not be driven
// is tried again with the next step; feedback is a courtesy and no fault of the
// reader, so its errors end here.
func driver(p gpio.PinIO, low bool) func(on bool) {
	known, was := false, false
	return func(on bool) {
		if known && was == on {
			return
		}
		known, was = p.Out(gpio.Level(on != low)) == nil, on
	}
}
