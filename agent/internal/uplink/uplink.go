package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"time"

	"sekimori/agent/internal/timekeeper"
	"sekimori/internal/record"
)

// Clock is the guarded clock, which the hub's answers set.
type Clock interface {
	Now() timekeeper.Reading
	HubTime(hub time.Time, asked, answered time.Duration) (*record.ClockSet, error)
	Zero() (time.Time, bool)
}

// Facts makes a fact durable.
type Facts interface {
	Write(ctx context.Context, kind record.Kind, body any, safety bool) error
}

// Witness keeps the newest checkpoint and looks at each new one.
type Witness interface {
	// Look checks a view of the hub's log, which came in an answer or not; doubt
	// is not nil when it does not extend what was seen before.
	Look(view *record.LogView, answer bool) (doubt *record.LedgerDoubt, err error)
	// Held is the size and root held.
	Held() (int64, record.Hash)
}

// Policies takes policies that came whole.
type Policies interface {
	// Version is that of the policy in force.
	Version() uint64
	// Activate checks a policy, keeps it and puts it in force. An error with a
	// code tells why it was not.
	Activate(ctx context.Context, head []byte, chunks [][]byte) error
}

// Orders takes sealed orders.
type Orders interface {
	Last() uint64
	// Execute checks an order and carries it out. An error with a code tells why
	// it was not obeyed.
	Execute(ctx context.Context, sealed []byte) error
}

// Config of an uplink. Everything but Dial is required.
type Config struct {
	Device   record.DeviceID
	Server   string                                                      // host:port of the broker
	Dial     func(ctx context.Context, address string) (net.Conn, error) // nil: TCP
	TLS      func() *tls.Config                                          // asked before each connection, so that renewed keys are used
	Boot     record.BootID
	Signer   *record.Signer
	Receipts func() []record.PublicKey // keys that sign receipts and answers, of the newest list
	Outbox   Outbox
	Clock    Clock
	Facts    Facts
	Witness  Witness
	Policies Policies
	Orders   Orders
	Status   func() record.Status  // everything but what the uplink knows itself
	Heard    func(context.Context) // called when the hub has answered a fresh question
	Every    time.Duration         // between heartbeats
	Log      *slog.Logger
}

// reconnect waits, with jitter so that a town's doors do not come back as one.
const (
	reconnectMin = 500 * time.Millisecond
	reconnectMax = 15 * time.Second
)

// Run keeps a session with the hub until ctx ends, and returns nil then.
func Run(ctx context.Context, c Config) error {
	r := &run{Config: c, reports: reports{}}
	for wait := reconnectMin; ; wait = min(2*wait, reconnectMax) {
		started := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		r.down(err)
		if time.Since(started) > 2*reconnectMax {
			wait = reconnectMin
		}
		if pause(ctx, wait/2+mrand.N(wait)) != nil {
			return nil
		}
	}
}

// pause waits in real time: how often a server is called is not business time.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// run is what outlives a session. Only Run's goroutine uses it.
type run struct {
	Config
	reports reports
	said    string // why the hub was last said to be away; empty while it answers
}

// down logs why the hub is away, once for each reason in a row: it may be away
// for days.
func (r *run) down(err error) {
	why := err.Error()
	var op *net.OpError
	if errors.As(err, &op) { // leaves out the ports, which are others each time
		why = op.Op + " " + op.Err.Error()
	}
	if why != r.said {
		r.said = why
		r.Log.Warn("hub not reached; facts are kept here", "err", err)
	}
}

func (r *run) up() {
	if r.said != "" {
		r.said = ""
		r.Log.Info("hub reached")
	}
}

// session lives as long as one connection.
func (r *run) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l, err := dial(ctx, &r.Config)
	if err != nil {
		return err
	}
	defer l.close()
	s := &session{run: r, link: l, sender: newSender(&r.Config, l), asked: map[record.Hash]time.Duration{}}
	if err := s.ask(ctx, record.AskSync); err != nil {
		return err
	}
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel(nil)
	go func() {
		defer close(done)
		if err := s.sender.run(ctx); err != nil {
			cancel(err)
		}
	}()
	return s.listen(ctx)
}
