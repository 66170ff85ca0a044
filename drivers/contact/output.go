package contact

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
)

// OutputConfig is one output: a lamp, a buzzer, a contact for a security
// company.
//
//	steady   ▁▁▁████████████▁▁▁   On 0
//	pulsed   ▁▁▁██▁▁██▁▁██▁▁▁▁▁   On and Off
//	timed    ▁▁▁█████▁▁▁▁▁▁▁▁▁▁   For, steady or pulsed: it ends by itself
//	         Set(true)   Set(false)
type OutputConfig struct {
	ID        string
	Line      string
	ActiveLow bool          // on is level 0; a contact that must open to alarm, and on a power cut, is wired so
	On, Off   time.Duration // pulsed: how long each; both zero for steady
	For       time.Duration // timed: until it ends by itself; 0 until Set(false)
}

// minPulse keeps relays from being worn out in a day by a slip of the pen.
const minPulse = 50 * time.Millisecond

// retryOut is how often an output that could not be driven is tried again. An
// alarm lamp is worth a second try; a lock's relay is not this package's.
const retryOut = time.Second

func (c OutputConfig) check() error {
	switch {
	case c.ID == "" || c.Line == "":
		return errors.New("contact: an output needs an ID and a line")
	case (c.On == 0) != (c.Off == 0):
		return fmt.Errorf("contact %s: a pulsed output needs both on and off", c.ID)
	case c.On < 0 || c.On > 0 && (c.On < minPulse || c.Off < minPulse):
		return fmt.Errorf("contact %s: pulses of %v and %v, want at least %v", c.ID, c.On, c.Off, minPulse)
	case c.For < 0:
		return fmt.Errorf("contact %s: on for %v", c.ID, c.For)
	}
	return nil
}

// At tells whether the output is on when it was set elapsed ago, and how long
// from then until that changes; 0 means that it does not. It is pure.
func (c OutputConfig) At(elapsed time.Duration) (on bool, next time.Duration) {
	if c.For > 0 && elapsed >= c.For {
		return false, 0
	}
	on = true
	if c.On > 0 {
		phase := elapsed % (c.On + c.Off)
		if on = phase < c.On; on {
			next = c.On - phase
		} else {
			next = c.On + c.Off - phase
		}
	}
	if left := c.For - elapsed; c.For > 0 && (next == 0 || left < next) {
		next = left
	}
	return on, next
}

// Output drives one line.
type Output struct {
	cfg   OutputConfig
	lines drivers.Lines
	wake  chan struct{} // one slot: wanted or began changed

	mu     sync.Mutex
	wanted bool      // guarded by mu
	began  time.Time // guarded by mu: of the newest Set(true)
}

// NewOutput makes an output on lines; it refuses settings that cannot work.
func NewOutput(cfg OutputConfig, lines drivers.Lines) (*Output, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Output{cfg: cfg, lines: lines, wake: make(chan struct{}, 1)}, nil
}

// ID of the output's OutputConfig.
func (o *Output) ID() string { return o.cfg.ID }

// Set turns the output on or off. It never blocks on the hardware. Setting an
// output that is on begins its time anew, but does not break the rhythm of one
// that pulses until it is told to stop.
func (o *Output) Set(on bool) {
	o.mu.Lock()
	if on && (!o.wanted || o.cfg.For > 0) {
		o.began = time.Now()
	}
	o.wanted = on
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// present is what the line ought to be now, and for how long (0: until Set).
func (o *Output) present() (on bool, next time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.wanted {
		return false, 0
	}
	return o.cfg.At(time.Since(o.began))
}

// Run drives the line until ctx ends, leaves it at rest (off) and returns nil.
// A line that cannot be driven is tried again; fault, which may be nil, is told
// once when that begins, and once with nil when it is over. An error means that
// the line does not exist.
func (o *Output) Run(ctx context.Context, fault func(error)) error {
	pin, err := o.lines.Pin(o.cfg.Line)
	if err != nil {
		return fmt.Errorf("contact %s: %w", o.cfg.ID, err)
	}
	d := drive{pin: pin, low: o.cfg.ActiveLow, fault: fault}
	defer d.to(false)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		case <-timer.C:
		}
		timer.Stop()
		on, next := o.present()
		if !d.to(on) && (next == 0 || next > retryOut) {
			next = retryOut
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// drive drives a pin when its level changes.
type drive struct {
	pin    gpio.PinIO
	low    bool
	fault  func(error)
	known  bool // is says what the pin has taken
	is     bool
	failed bool
}

func (d *drive) to(on bool) bool {
	if d.known && d.is == on {
		return true
	}
	err := d.pin.Out(gpio.Level(on != d.low))
	d.known, d.is = err == nil, on
	if failed := err != nil; failed != d.failed {
		d.failed = failed
		if d.fault != nil {
			d.fault(err)
		}
	}
	return err == nil
}
