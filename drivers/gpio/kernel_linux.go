package gpio

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"periph.io/x/conn/v3/driver/driverreg"
	pgpio "periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"

	"sekimori/drivers"
	"sekimori/internal/clock"
)

// kernelBank is the lines of one GPIO chip.
type kernelBank struct {
	chip  *gpioioctl.GPIOChip
	lines map[string]kernelLine // by our name; immutable
	ctx   context.Context
	stop  context.CancelFunc
	pumps sync.WaitGroup

	mu   sync.Mutex
	err  error                          // guarded by mu
	pins map[string]*gpioioctl.GPIOLine // guarded by mu: handed out, released by Close
}

type kernelLine struct {
	*gpioioctl.GPIOLine
	pull pgpio.Pull
}

func openKernel(ctx context.Context, cfg Config) (drivers.Lines, error) {
	if _, err := driverreg.Init(); err != nil {
		return nil, fmt.Errorf("gpio: start the kernel driver: %w", err)
	}
	chip, err := findChip(cfg.Chip)
	if err != nil {
		return nil, err
	}
	b := &kernelBank{chip: chip, lines: map[string]kernelLine{}, pins: map[string]*gpioioctl.GPIOLine{}}
	var faults []error
	for name, l := range cfg.Lines {
		found, err := findLine(chip, l.Name)
		if err != nil {
			faults = append(faults, fmt.Errorf("gpio: line %s: %w", name, err))
		}
		b.lines[name] = kernelLine{found, l.Pull}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	b.ctx, b.stop = context.WithCancel(ctx)
	return b, nil
}

func findChip(name string) (*gpioioctl.GPIOChip, error) {
	for _, c := range gpioioctl.Chips {
		if name == c.Name() || name == c.Path() || name == c.Label() {
			return c, nil
		}
	}
	return nil, fmt.Errorf("gpio: no chip %q among the %d of this board", name, len(gpioioctl.Chips))
}

// findLine takes a line's name or its offset. periph asks for line sets by
// name, so a line must have one that no other line of the chip has.
func findLine(chip *gpioioctl.GPIOChip, name string) (*gpioioctl.GPIOLine, error) {
	if l := chip.ByName(name); name != "" && l != nil {
		return l, nil
	}
	n, err := strconv.Atoi(name)
	if err != nil || n < 0 || n >= chip.LineCount() {
		return nil, fmt.Errorf("%w: %q on %s", ErrUnknownLine, name, chip.Name())
	}
	l := chip.ByNumber(n)
	if l.Name() == "" || chip.ByName(l.Name()).Number() != n {
		return nil, fmt.Errorf("line %d of %s has no name of its own in the device tree", n, chip.Name())
	}
	return l, nil
}

// StampsAtPin tells that Edge.At is the time of receipt, not of the pin.
func (b *kernelBank) StampsAtPin() bool { return false }

func (b *kernelBank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	cfg := gpioioctl.LineSetConfig{DefaultDirection: gpioioctl.LineInput, DefaultEdge: pgpio.BothEdges}
	byNumber := map[int]string{}
	byPull := map[pgpio.Pull][]string{}
	for _, name := range lines {
		l, ok := b.lines[name]
		if !ok {
			return nil, fmt.Errorf("gpio: %w: %q", ErrUnknownLine, name)
		}
		cfg.Lines = append(cfg.Lines, l.Name())
		byNumber[l.Number()] = name
		byPull[l.pull] = append(byPull[l.pull], l.Name())
	}
	for pull, names := range byPull {
		if err := cfg.AddOverrides(gpioioctl.LineInput, pgpio.BothEdges, pull, names...); err != nil {
			return nil, fmt.Errorf("gpio: %w", err)
		}
	}
	set, err := b.chip.LineSetFromConfig(&cfg)
	if err != nil {
		return nil, fmt.Errorf("gpio: request %v: %w", lines, err)
	}
	s := newStream(ctx, lines)
	both, stop := context.WithCancel(ctx)
	detach := context.AfterFunc(b.ctx, stop)
	b.pumps.Go(func() {
		defer close(s.out)
		defer stop()
		defer detach()
		defer set.Close()
		if err := pump(both, set, lines, byNumber, s, clock.Mono); err != nil {
			b.fail(err)
		}
	})
	return s.out, nil
}

func (b *kernelBank) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = fmt.Errorf("gpio: watch lines: %w", err)
}

func (b *kernelBank) Pin(line string) (pgpio.PinIO, error) {
	l, ok := b.lines[line]
	if !ok {
		return nil, fmt.Errorf("gpio: %w: %q", ErrUnknownLine, line)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pins[line] = l.GPIOLine
	return l.GPIOLine, nil
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
	for _, l := range b.pins {
		l.Close()
	}
	clear(b.pins)
	return nil
}
