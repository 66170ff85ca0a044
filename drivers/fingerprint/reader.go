package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sekimori/drivers"
	"sekimori/drivers/line"
)

// DefaultAddress is the address every module leaves its maker with.
const DefaultAddress uint32 = 0xFFFFFFFF

// DefaultBaud is the speed every module leaves its maker with.
const DefaultBaud = 57600

// Config is one module.
type Config struct {
	Reader        string    // ID in readings
	Address       uint32    // 0 means DefaultAddress
	Password      *Password // of a bound module; nil for one that was never commissioned
	SecurityLevel byte      // 1 to 5, set when the module comes online; 0 leaves the module's own
}

func (c Config) check() error {
	var faults []error
	if c.Reader == "" {
		faults = append(faults, errors.New("the reader ID is empty"))
	}
	if c.Password != nil && *c.Password == factory {
		faults = append(faults, errors.New("the password is the factory's: leave it out for a module that was never commissioned"))
	}
	if c.SecurityLevel > 5 {
		faults = append(faults, fmt.Errorf("security level %d: want 1 to 5", c.SecurityLevel))
	}
	return errors.Join(faults...)
}

// Reader is one module, a drivers.Reader.
//
// Each touch is one Reading with ProofBiometric: the slot of the template that
// matched, or an unknown finger. A touch that could not be read is noise in
// Health and nobody's failed attempt [001-4.4(4)]. Readings say Authenticated, and
// Health says Secure, when the module has accepted this host's own password since
// it was last silent. A module that refuses it is Health.Refused: no finger is
// asked for, and no other password is ever tried.
//
// The acts may be called from any goroutine while Run runs. They wait their turn
// between touches, one after the other; none is begun with a module that is
// offline. When ctx ends, an act that waits for a finger is given up, and one that
// has begun to change the module is finished first, which takes seconds.
type Reader struct {
	cfg  Config // Password: see password
	open line.Opener
	wake chan struct{} // one slot: something was asked

	mu       sync.Mutex
	password *Password       // guarded by mu; changed by Commission
	running  bool            // guarded by mu
	jobs     []*job          // guarded by mu: not yet taken by the talker
	signal   *drivers.Signal // guarded by mu: not yet taken by the talker
	about    Parameters      // guarded by mu
}

// New checks the settings; it opens nothing.
func New(cfg Config, open line.Opener) (*Reader, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	if cfg.Address == 0 {
		cfg.Address = DefaultAddress
	}
	return &Reader{cfg: cfg, open: open, password: cfg.Password, wake: make(chan struct{}, 1)}, nil
}

// ErrRunning is returned by Run of a reader that runs already.
var ErrRunning = errors.New("fingerprint: the reader is running already")

// outboxRoom is how many readings wait for a slow sink; with fewer places than
// one touch needs, the module is not asked for another.
const outboxRoom = 64

// Run implements drivers.Reader.
func (r *Reader) Run(ctx context.Context, sink drivers.Sink) error {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return fmt.Errorf("reader %s: %w", r.cfg.Reader, ErrRunning)
	}
	r.running = true
	r.mu.Unlock()

	box := drivers.NewOutbox(outboxRoom)
	done := make(chan struct{})
	go func() {
		defer close(done)
		newTalker(r, box).run(ctx)
	}()
	box.Deliver(ctx, sink)
	<-done

	r.mu.Lock()
	r.running = false
	left := r.jobs
	r.jobs = nil
	r.mu.Unlock()
	for _, j := range left {
		j.end(outcome{err: ErrNotRunning})
	}
	return nil
}

// Show implements drivers.Reader: it drives the R503's ring. The colours are
// those every R503 has, red, blue and purple: later models alone have green. A
// module that answers with an error or not at all has no ring, and is not asked
// again until it has been away.
func (r *Reader) Show(s drivers.Signal) {
	r.mu.Lock()
	r.signal = &s
	r.mu.Unlock()
	r.nudge()
}

// About is what the module said of itself when it last came online; the zero
// value before that.
func (r *Reader) About() Parameters {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about
}

func (r *Reader) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Reader) takeSignal() (drivers.Signal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.signal
	r.signal = nil
	if s == nil {
		return 0, false
	}
	return *s, true
}

// takeJob returns the job that has waited longest, or nil.
func (r *Reader) takeJob() *job {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.jobs) == 0 {
		return nil
	}
	j := r.jobs[0]
	r.jobs = r.jobs[1:]
	return j
}

// config is the settings with the password as it is now.
func (r *Reader) config() Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.cfg
	c.Password = r.password
	return c
}
