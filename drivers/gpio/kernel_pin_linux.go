package gpio

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/driver/driverreg"
	pgpio "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/host/v3/gpioioctl"

	"sekimori/drivers"
)

// kernelPin is one output, driven through periph, with what make vm-test showed
// missing there (periph.io/x/host v3.8.5): Read turns an output into an input
// with a pull-up, which moves a relay; an Out that failed once makes the next
// ones talk to file 0; and a chip that comes back is not found again.
type kernelPin struct {
	bank *kernelBank
	line string

	mu    sync.Mutex
	out   *gpioioctl.GPIOLine // guarded by mu; nil until it is first driven
	level pgpio.Level         // guarded by mu: as last driven
}

// Out drives the line; the first time makes it an output.
func (p *kernelPin) Out(l pgpio.Level) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		out, err := p.bank.output(p.line)
		if err != nil {
			return p.bank.lost(err)
		}
		p.out = out
	}
	err := p.out.Out(l)
	if err == nil {
		p.level = l
		return nil
	}
	p.out.Close() // whatever it has become: the next Out begins anew
	// periph keeps the words of an error and not its number.
	gone := strings.Contains(err.Error(), unix.ENODEV.Error())
	said := p.bank.holders(p.line)
	if gone {
		forget(p.out)
		p.out, p.level = nil, pgpio.Low
		err = fmt.Errorf("%w: %w", drivers.ErrDisconnected, err)
	}
	return fmt.Errorf("gpio: drive %s: %w%s", p.line, err, said)
}

// Read is the level last driven; a line that was never driven reads low.
func (p *kernelPin) Read() pgpio.Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.level
}

func (p *kernelPin) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		p.out.Close()
		p.out = nil
	}
}

func (p *kernelPin) String() string          { return p.line }
func (p *kernelPin) Name() string            { return p.line }
func (p *kernelPin) Number() int             { return -1 }
func (p *kernelPin) Function() string        { return "" }
func (p *kernelPin) Halt() error             { return nil }
func (p *kernelPin) Pull() pgpio.Pull        { return pgpio.PullNoChange }
func (p *kernelPin) DefaultPull() pgpio.Pull { return pgpio.PullNoChange }

// In is refused, and WaitForEdge sees none: inputs come from Lines.Edges.
func (p *kernelPin) In(pgpio.Pull, pgpio.Edge) error {
	return errors.New("gpio: a pin of a bank is an output; watch inputs with Edges")
}
func (p *kernelPin) WaitForEdge(time.Duration) bool { return false }

// PWM is refused: relays and lamps are on or off.
func (p *kernelPin) PWM(pgpio.Duty, physic.Frequency) error {
	return errors.New("gpio: a line of a bank has no PWM")
}

// output is periph's line for one of ours, on the chip as it is there now.
func (b *kernelBank) output(line string) (*gpioioctl.GPIOLine, error) {
	chip, err := openChip(b.cfg.Chip)
	if err != nil {
		return nil, err
	}
	defer chip.file.Close()
	w, err := b.find(chip, line)
	if err != nil {
		return nil, err
	}
	return periphLine(chip.path, w.offset)
}

// holders says who has the line, if somebody has.
func (b *kernelBank) holders(line string) string {
	chip, err := openChip(b.cfg.Chip)
	if err != nil {
		return ""
	}
	defer chip.file.Close()
	w, err := b.find(chip, line)
	if err != nil {
		return ""
	}
	return chip.holders([]wanted{w})
}

// periph's chips are a variable of its package, filled by its driver's Init.
var periph struct {
	sync.Mutex
	gone map[*gpioioctl.GPIOChip]bool // guarded by the mutex: pulled out, even if one of that name came back
}

func periphLine(path string, offset int) (*gpioioctl.GPIOLine, error) {
	periph.Lock()
	defer periph.Unlock()
	defer keepStdin()
	state, err := driverreg.Init()
	if err != nil {
		return nil, err
	}
	if l := knownLine(path, offset); l != nil {
		return l, nil
	}
	// A chip that came after periph had looked. Names it knows already it would
	// not take again.
	for _, c := range gpioioctl.Chips {
		for _, l := range c.Lines() {
			_ = gpioreg.Unregister(l.Name())
		}
	}
	known := slices.Clone(state.Loaded)
	for _, f := range state.Skipped {
		known = append(known, f.D) // there was no chip at all
	}
	for _, d := range known {
		if d.String() == "ioctl-gpio" {
			if _, err := d.Init(); err != nil {
				return nil, err
			}
		}
	}
	if l := knownLine(path, offset); l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("line %d of %s: %w", offset, path, unix.ENODEV)
}

// keepStdin puts something harmless where periph closed file 0, which it does on
// boards where one chip has two names: the next file opened there, a journal
// perhaps, would be taken for no file at all.
func keepStdin() {
	if _, err := unix.FcntlInt(0, unix.F_GETFD, 0); errors.Is(err, unix.EBADF) {
		_, _ = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0) // the lowest number that is free: 0
	}
}

// knownLine looks at the newest chips first: Init adds what it finds at the end.
func knownLine(path string, offset int) *gpioioctl.GPIOLine {
	for i := len(gpioioctl.Chips) - 1; i >= 0; i-- {
		c := gpioioctl.Chips[i]
		if c.Path() == path && !periph.gone[c] && offset < c.LineCount() {
			return c.ByNumber(offset)
		}
	}
	return nil
}

// forget marks the chip of a line that answered that its device is gone.
func forget(l *gpioioctl.GPIOLine) {
	periph.Lock()
	defer periph.Unlock()
	if periph.gone == nil {
		periph.gone = map[*gpioioctl.GPIOChip]bool{}
	}
	for _, c := range gpioioctl.Chips {
		if l.Number() < c.LineCount() && c.ByNumber(l.Number()) == l {
			periph.gone[c] = true
		}
	}
}
