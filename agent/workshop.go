package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"sync"
	"time"

	"sekimori/agent/internal/host"
	"sekimori/agent/internal/identity"
	"sekimori/agent/internal/keyring"
	"sekimori/drivers"
	"sekimori/drivers/gpio"
	"sekimori/drivers/line"
	"sekimori/internal/record"
)

// Workshop is what an installer or a keeper does with the readers of one device
// by hand, while its service is stopped: a port has one user. What is done to a
// reader itself is a fact in the device's journal, as what happens at a door is.
type Workshop struct {
	settings Settings
	ring     keyring.Ring
	out      io.Writer
	log      *slog.Logger
}

// NewWorkshop works on the readers of s and says what it does to out.
func NewWorkshop(s Settings, out io.Writer, log *slog.Logger) *Workshop {
	return &Workshop{settings: s, ring: s.ring(), out: out, log: log}
}

var (
	errNoReader = errors.New("no such reader in the settings")
	errSilent   = errors.New("the reader does not answer")
	errHasKey   = errors.New("the reader was commissioned already")
)

// answerLimit is how long a reader may take to be found: longer than an absent
// one on a bus waits for its turn.
const answerLimit = 15 * time.Second

func (w *Workshop) say(format string, args ...any) { fmt.Fprintf(w.out, format+"\n", args...) }

// reader finds a reader of the settings.
func (w *Workshop) reader(id string) (ReaderSettings, error) {
	for _, d := range w.settings.Doors {
		for _, r := range d.Readers {
			if r.ID == id {
				return r, nil
			}
		}
	}
	return ReaderSettings{}, fmt.Errorf("%s: %w", id, errNoReader)
}

// only is the settings with one reader, so that nothing else is talked to.
func (w *Workshop) only(r ReaderSettings) Settings {
	s := w.settings
	s.Doors = []DoorSettings{{Readers: []ReaderSettings{r}}}
	return s
}

// looking is a reader to look at. One that was never commissioned is looked at in
// clear, since an installer must find it before it can be given a key; one that
// has a key never is.
func (w *Workshop) looking(id string) (ReaderSettings, error) {
	r, err := w.reader(id)
	if err != nil || !r.secure() {
		return r, err
	}
	_, found, err := w.ring.Get(record.ReaderID(id), keyring.Use(r.Driver))
	if err == nil && !found {
		w.say("%s にはまだ鍵を渡していないので、認証なしで話します。", id)
		r.Link = "clear"
	}
	return r, err
}

// port is the port of a reader and its speed, "" for one that hangs on lines.
func (w *Workshop) port(r ReaderSettings) (string, int) {
	if r.Driver != driverOSDP {
		return r.Port, r.baud()
	}
	for _, b := range w.settings.Buses {
		if b.ID == r.Bus {
			return b.Port, b.Baud
		}
	}
	return "", 0
}

// job is one reader at work.
type job struct {
	*fitted
	*hearing
}

// with runs one reader while do works with it. ready says when do may begin.
func (w *Workshop) with(ctx context.Context, r ReaderSettings, h *hearing, ready func(drivers.Health) bool, do func(context.Context, job) error) (err error) {
	var lines drivers.Lines
	if r.Driver == driverWiegand {
		if lines, err = gpio.Open(ctx, w.settings.Lines.config(w.settings.Device)); err != nil {
			return fmt.Errorf("%w: lines: %w", errHardware, err)
		}
		defer lines.Close()
	}
	if err := w.free(r); err != nil {
		return err
	}
	made, err := w.only(r).fit(lines, w.ring, w.log)
	if err != nil {
		return err
	}
	f := made[r.ID]
	var without *uncommissioned
	if errors.As(asError(f.driver), &without) {
		return without
	}
	// The reader runs until do has returned: who is interrupted may still put out
	// a lamp, or finish what was begun.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- f.driver.Run(running, h) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()
	if err := h.wait(ctx, ready); err != nil {
		return fmt.Errorf("%s: %w", r.ID, err)
	}
	return do(ctx, job{f, h})
}

func asError(d drivers.Reader) error {
	err, _ := d.(error)
	return err
}

// free opens the reader's port once: a driver would go on trying, and not say
// that another program holds it.
func (w *Workshop) free(r ReaderSettings) error {
	name, baud := w.port(r)
	if name == "" {
		return nil
	}
	p, err := line.Serial(name, baud)()
	if err != nil {
		return fmt.Errorf("%w: %w", errHardware, err)
	}
	return p.Close()
}

// hearing is a sink that remembers the newest health and shows what it is told
// to show. Its zero value shows nothing.
type hearing struct {
	reading func(drivers.Reading)
	change  func(drivers.Health)

	mu   sync.Mutex
	last drivers.Health // guarded by mu
	wake chan struct{}  // guarded by mu: closed at the next change
}

// Reading implements drivers.Sink.
func (h *hearing) Reading(r drivers.Reading) {
	if h.reading != nil {
		h.reading(r)
	}
}

// Health implements drivers.Sink.
func (h *hearing) Health(now drivers.Health) {
	h.mu.Lock()
	h.last = now
	if h.wake != nil {
		close(h.wake)
		h.wake = nil
	}
	h.mu.Unlock()
	if h.change != nil {
		h.change(now)
	}
}

// now is the newest health, and a channel that closes at the next.
func (h *hearing) now() (drivers.Health, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wake == nil {
		h.wake = make(chan struct{})
	}
	return h.last, h.wake
}

// wait returns when ready says so.
func (h *hearing) wait(ctx context.Context, ready func(drivers.Health) bool) error {
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	for {
		now, next := h.now()
		if ready(now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return fmt.Errorf("%w: %s", errSilent, now.Detail)
		case <-next:
		}
	}
}

func online(h drivers.Health) bool       { return h.Online }
func there(h drivers.Health) bool        { return h.Online || h.Refused }
func straightaway(h drivers.Health) bool { return true }

// book opens the device's journal for one fact and gives the way to write it.
// It is ErrLocked's error while the service runs. A device that is nobody's yet
// has no journal: write is nil then.
func (w *Workshop) book(ctx context.Context) (write func(record.Kind, record.ReaderWork) error, closing func() error, err error) {
	a := &agent{Config: w.settings.Identity(), boot: host.BootID()}
	a.Log = w.log
	if a.device, err = record.ParseDeviceID(a.Device); err != nil {
		return nil, nil, err
	}
	_, err = identity.Open(a.identityDir(), a.device)
	if errors.Is(err, ErrNotEnrolled) {
		w.say("この機器はまだ登録されていないので、この作業は記録に残りません (not enrolled: no record is made)。")
		return nil, func() error { return nil }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	anomaly, err := a.openFacts(ctx)
	if err != nil {
		return nil, nil, err
	}
	if anomaly != nil {
		a.write(ctx, record.KindClockAnomaly, anomaly)
	}
	write = func(kind record.Kind, work record.ReaderWork) error {
		work.Operator = operator()
		return a.facts.Write(context.WithoutCancel(ctx), kind, work, true)
	}
	return write, func() error { return errors.Join(a.time.Close(), a.journal.Close()) }, nil
}

// operator is the account that a person works under: the one behind sudo, where
// there is one.
func operator() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
