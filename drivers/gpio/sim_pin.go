package gpio

import (
	"errors"
	"fmt"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// simPin is one slow line of the simulator.
type simPin struct {
	bank *simBank
	name string // the simulator's
}

// Pin serves line. While the simulator has never been reached any name is
// taken, and a wrong one shows at its first use.
func (b *simBank) Pin(line string) (pgpio.PinIO, error) {
	name := b.there(line)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[name]; !ok && b.known != nil {
		return nil, fmt.Errorf("gpio: %w: %q at %s", ErrUnknownLine, name, b.cfg.Socket)
	}
	return &simPin{bank: b, name: name}, nil
}

// Out drives the line and returns when the level has been applied. A 0 that
// could not be sent stays wanted (it is what a lost connection means anyway); a
// 1 that could not be sent is the caller's to send again, so that no lock moves
// long after the moment it was meant for.
func (p *simPin) Out(l pgpio.Level) error {
	if !l {
		p.bank.want(p.name, false)
	}
	bit := 0
	if l {
		bit = 1
	}
	if _, err := p.bank.request(fmt.Sprintf("OUT %s %d", p.name, bit), fmt.Sprintf("OK OUT %s %d", p.name, bit)); err != nil {
		return err
	}
	p.bank.want(p.name, bool(l))
	return nil
}

func (b *simBank) want(line string, high bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.driven[line] = high
}

// Read asks for the present level. It is Low while there is no connection,
// which is what Err then tells.
func (p *simPin) Read() pgpio.Level {
	a, err := p.bank.request("GET "+p.name, "LEVEL "+p.name+" ")
	return err == nil && a == "1"
}

func (p *simPin) String() string   { return p.name }
func (p *simPin) Name() string     { return p.name }
func (p *simPin) Number() int      { return -1 }
func (p *simPin) Function() string { return "" }
func (p *simPin) Halt() error      { return nil }
func (p *simPin) Pull() pgpio.Pull { return pgpio.PullNoChange }

// DefaultPull and In: the simulator's board has its resistors fitted.
func (p *simPin) DefaultPull() pgpio.Pull         { return pgpio.PullNoChange }
func (p *simPin) In(pgpio.Pull, pgpio.Edge) error { return nil }

// WaitForEdge never sees one: edges come from Lines.Edges, in order over lines.
func (p *simPin) WaitForEdge(time.Duration) bool { return false }

// PWM is refused: relays and lamps are on or off.
func (p *simPin) PWM(pgpio.Duty, physic.Frequency) error {
	return errors.New("gpio: a simulated line has no PWM")
}
