package gpio

import (
	"context"
	"errors"
	"os"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"
)

// kernelEvent is an edge as the kernel tells it. rising is the level the kernel
// found when it came to look, which for a short pulse is the one after it.
type kernelEvent struct {
	offset int
	rising bool
	at     time.Duration // of the interrupt
	seq    uint32        // counts the interrupts of the set, from 1
}

// kernelSet is what the pump needs of a line set.
type kernelSet interface {
	Levels() (uint64, error) // bit n: the nth line
	Wait(timeout time.Duration) ([]kernelEvent, error)
}

// pumpWait bounds one wait in the kernel: some kernels wake nobody when a chip
// goes, and a level whose edge was lost is found at this pace.
const pumpWait = 200 * time.Millisecond

// watched is one line the pump tells of.
type watched struct {
	name  string
	pulse bool
}

// pump copies the edges of a kernel line set to its stream.
type pump struct {
	set   kernelSet
	names []watched       // in order of request
	byOff map[int]watched // the same by chip offset
	s     *stream
	now   func() time.Duration
	seq   uint32 // of the last event
	low   uint64 // pulse lines that were low when the set was last idle
}

// run pumps until ctx ends or the set fails.
func (p *pump) run(ctx context.Context) error {
	bits, err := p.set.Levels()
	if err != nil {
		return err
	}
	for i, l := range p.names {
		p.s.tell(l.name, bits&(1<<i) != 0, p.now())
	}
	for ctx.Err() == nil {
		events, err := p.set.Wait(pumpWait)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := p.idle(); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		for _, e := range events {
			p.event(e)
		}
	}
	return nil
}

func (p *pump) event(e kernelEvent) {
	p.low = 0
	if e.seq != p.seq+1 {
		p.s.gap() // lost in the kernel's buffer, merged, or out of order
	}
	p.seq = e.seq
	l := p.byOff[e.offset]
	if !l.pulse {
		p.s.tell(l.name, pgpio.Level(e.rising), e.at)
		return
	}
	p.s.tell(l.name, pgpio.High, e.at) // only where it was told low for standing low
	p.s.tell(l.name, pgpio.Low, e.at)
	p.s.tell(l.name, pgpio.High, e.at)
}

// idle compares what was told with what is, when no edge has come for a while: a
// pulse line that stands low is a cut cable, and an edge that was lost must not
// leave a door open for ever. A pulse line must be found low twice, for a pulse
// may just be passing.
func (p *pump) idle() error {
	bits, err := p.set.Levels()
	if err != nil {
		return err
	}
	low := uint64(0)
	for i, l := range p.names {
		high := bits&(1<<i) != 0
		if l.pulse && !high {
			low |= 1 << i
			high = p.low&(1<<i) == 0
		}
		if was, ok := p.s.level[l.name]; ok && bool(was) != high {
			p.s.tell(l.name, pgpio.Level(high), p.now())
		}
	}
	p.low = low
	return nil
}
