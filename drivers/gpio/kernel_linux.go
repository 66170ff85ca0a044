package gpio

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	pgpio "periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
)

// kernelBank is the lines of one GPIO chip.
type kernelBank struct {
	cfg   Config
	ctx   context.Context
	stop  context.CancelFunc
	pumps sync.WaitGroup

	mu   sync.Mutex
	err  error                 // guarded by mu
	pins map[string]*kernelPin // guarded by mu: handed out, released by Close
}

func openKernel(ctx context.Context, cfg Config) (drivers.Lines, error) {
	b := &kernelBank{cfg: cfg, pins: map[string]*kernelPin{}}
	chip, err := openChip(cfg.Chip)
	if err != nil {
		return nil, fmt.Errorf("gpio: %w", err)
	}
	defer chip.file.Close()
	var faults []error
	for name := range cfg.Lines {
		if _, err := b.find(chip, name); err != nil {
			faults = append(faults, fmt.Errorf("gpio: %w", err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	b.ctx, b.stop = context.WithCancel(ctx)
	return b, nil
}

// find looks one of our lines up on the chip, by the line's name or its offset.
func (b *kernelBank) find(chip *cdev, line string) (wanted, error) {
	l, ok := b.cfg.Lines[line]
	if !ok {
		return wanted{}, fmt.Errorf("%w: %q", ErrUnknownLine, line)
	}
	for n := range chip.lines {
		info, err := chip.info(n)
		if err != nil {
			return wanted{}, fmt.Errorf("line %d of %s: %w", n, chip.name, err)
		}
		if l.Name != "" && l.Name == text(info.name[:]) {
			return wanted{line: line, offset: n, pull: l.Pull}, nil
		}
	}
	n, err := strconv.Atoi(l.Name)
	if err != nil || n < 0 || n >= chip.lines {
		return wanted{}, fmt.Errorf("line %s: %w: %q on %s", line, ErrUnknownLine, l.Name, chip.name)
	}
	return wanted{line: line, offset: n, pull: l.Pull}, nil
}

// StampsAtPin tells that pulses have no width here: the kernel stamps an edge
// when it interrupts, but looks at the level too late for a pulse of 50 µs.
func (b *kernelBank) StampsAtPin() bool { return false }

func (b *kernelBank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	return b.watch(ctx, nil, lines)
}

// Pulses implements drivers.Pulser.
func (b *kernelBank) Pulses(ctx context.Context, pulses []string, levels ...string) (<-chan drivers.Edge, error) {
	return b.watch(ctx, pulses, levels)
}

func (b *kernelBank) watch(ctx context.Context, pulses, levels []string) (<-chan drivers.Edge, error) {
	chip, err := openChip(b.cfg.Chip)
	if err != nil {
		return nil, b.lost(err)
	}
	defer chip.file.Close() // the line set lives on without it
	p := &pump{byOff: map[int]watched{}, now: kernelTime}
	var want []wanted
	names := append(append([]string{}, pulses...), levels...)
	for i, name := range names {
		w, err := b.find(chip, name)
		if err != nil {
			return nil, b.lost(err)
		}
		w.pulse = i < len(pulses)
		want = append(want, w)
		p.names = append(p.names, watched{name, w.pulse})
		p.byOff[w.offset] = p.names[i]
	}
	set, err := chip.request(want)
	if err != nil {
		return nil, b.lost(fmt.Errorf("request %v: %w", names, err))
	}
	s := newStream(ctx, names)
	p.set, p.s = set, s
	both, stop := context.WithCancel(ctx)
	detach := context.AfterFunc(b.ctx, stop)
	b.setErr(nil)
	b.pumps.Go(func() {
		defer close(s.out)
		defer stop()
		defer detach()
		defer set.Close()
		if err := p.run(both); err != nil {
			b.setErr(b.lost(fmt.Errorf("watch lines: %w", err)))
		}
	})
	return s.out, nil
}

// lost marks errors of a chip that is away, as an expander on a cable may be.
func (b *kernelBank) lost(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("gpio: %w: %w", drivers.ErrDisconnected, err)
	}
	return fmt.Errorf("gpio: %w", err)
}

func (b *kernelBank) setErr(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *kernelBank) Pin(line string) (pgpio.PinIO, error) {
	if _, ok := b.cfg.Lines[line]; !ok {
		return nil, fmt.Errorf("gpio: %w: %q", ErrUnknownLine, line)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.pins[line]
	if !ok {
		p = &kernelPin{bank: b, line: line}
		b.pins[line] = p
	}
	return p, nil
}

func (b *kernelBank) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *kernelBank) Close() error {
	b.stop()
	b.pumps.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pins {
		p.release()
	}
	clear(b.pins)
	return nil
}
