package uplink

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"time"

	"sekimori/agent/internal/timekeeper"
	"sekimori/internal/clock"
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
	// Look checks a view of the hub's log; doubt is not nil when it does not
	// extend what was seen before.
	Look(record.LogView) (doubt *record.LedgerDoubt, err error)
	// Held is the size and root held.
	Held() (int64, record.Hash)
}

// Policies takes policies that came whole.
type Policies interface {
	// Version is that of the policy in force.
	Version() uint64
	// Activate checks and keeps a policy; it returns an *record.Error otherwise.
	Activate(ctx context.Context, head []byte, chunks [][]byte) error
}

// Orders takes sealed orders.
type Orders interface {
	Last() uint64
	Execute(ctx context.Context, sealed []byte) error
}

// Config of an uplink. Everything is required.
type Config struct {
	Device   record.DeviceID
	Server   string             // host:port of the broker
	TLS      func() *tls.Config // asked before each connection, so that renewed keys are used
	Boot     record.BootID
	Signer   *record.Signer
	Receipts []record.PublicKey // keys that sign receipts and answers
	Outbox   Outbox
	Clock    Clock
	Facts    Facts
	Witness  Witness
	Policies Policies
	Orders   Orders
	Status   func() record.Status  // everything but what the uplink knows itself
	Heard    func(context.Context) // called when the hub has answered
	Every    time.Duration         // between heartbeats
	Log      *slog.Logger
}

// reconnect waits, with jitter so that a town's doors do not come back as one.
const (
	reconnectMin = 500 * time.Millisecond
	reconnectMax = 15 * time.Second
)

// Run keeps a session with the hub until ctx ends. It reports what is wrong to
// the log once per change, since a hub may be away for days.
func Run(ctx context.Context, c Config) error {
	wait, last := reconnectMin, ""
	for {
		started := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if text := fmt.Sprint(err); text != last {
			c.Log.Warn("hub not reached; facts are kept here", "err", err)
			last = text
		}
		if time.Since(started) > 2*reconnectMax {
			wait, last = reconnectMin, ""
		}
		if pause(ctx, wait/2+mrand.N(wait)) != nil {
			return nil
		}
		wait = min(2*wait, reconnectMax)
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

// session lives as long as one connection.
func (c *Config) session(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l, err := dial(ctx, c.Server, c.Device, c.TLS())
	if err != nil {
		return err
	}
	defer l.close()
	s := &session{Config: c, link: l, sender: newSender(c, l), assembly: nil}
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

// session is one connection's conversation.
type session struct {
	*Config
	link     *link
	sender   *sender
	assembly *assembly
	asked    map[record.Hash]time.Duration // nonces out, and when; at most a few
}

const answerTimeout = 20 * time.Second

// listen handles what the hub says until the link is lost.
func (s *session) listen(ctx context.Context) error {
	beat := clock.NewTimer(s.Every)
	defer beat.Stop()
	first := time.NewTimer(answerTimeout)
	defer first.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-s.link.lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-first.C:
			if !s.sender.open() {
				return errors.New("the hub did not answer")
			}
		case <-beat.C:
			if err := s.ask(ctx, record.AskHeartbeat); err != nil {
				return err
			}
			beat.Reset(s.Every)
		case m := <-s.link.in:
			if err := s.handle(ctx, m); err != nil {
				return err
			}
		}
	}
}

// ask sends a signed question with a fresh nonce.
func (s *session) ask(ctx context.Context, q record.Question) error {
	status := s.Status()
	status.Policy, status.LastOrder = s.Policies.Version(), s.Orders.Last()
	status.LogSize, status.LogRoot = s.Witness.Held()
	now := s.Clock.Now()
	status.Boot, status.Mono, status.Wall, status.Quality = s.Boot, now.Mono, now.Wall, now.Quality
	body, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	a := record.Ask{Device: s.Device, Question: q, Body: body}
	rand.Read(a.Nonce[:])
	sealed, err := record.Seal(s.Signer, record.TypeAsk, a)
	if err != nil {
		return err
	}
	if len(s.asked) > 8 || s.asked == nil { // unanswered ones are forgotten
		s.asked = map[record.Hash]time.Duration{}
	}
	s.asked[a.Nonce] = clock.Mono()
	return s.link.publish(ctx, record.ChannelAsk, sealed)
}

// handle checks one message and acts on it. Only what cannot be repaired on
// this connection is an error; a forged message is a fact.
func (s *session) handle(ctx context.Context, m message) error {
	var err error
	switch m.channel {
	case record.ChannelAnswer:
		err = s.answer(ctx, m.payload)
	case record.ChannelReceipt:
		err = s.receipt(ctx, m.payload)
	case record.ChannelPolicy:
		err = s.policy(ctx, m.payload)
	case record.ChannelOrder:
		if err := s.Orders.Execute(ctx, m.payload); err != nil {
			return s.reject(ctx, record.KindOrderRejected, err)
		}
	}
	if record.CodeOf(err) != "" {
		s.Log.Error("message from the hub not accepted", "channel", m.channel, "err", err)
		return nil
	}
	return err
}

func (s *session) reject(ctx context.Context, kind record.Kind, cause error) error {
	s.Log.Error("not obeyed", "what", kind, "err", cause)
	return s.Facts.Write(ctx, kind, record.Rejected{Code: record.CodeOf(cause), Detail: cause.Error()}, true)
}

// answer sets the clock first, because everything sent later is dated by it.
func (s *session) answer(ctx context.Context, sealed []byte) error {
	received := clock.Mono()
	var a record.Answer
	if _, err := record.Unseal(s.Receipts, record.TypeAnswer, sealed, &a); err != nil {
		return err
	}
	asked, ok := s.asked[a.Nonce]
	if !ok || a.Device != s.Device {
		return record.Fail(record.CodeReplayed, errors.New("an answer to no question of ours"))
	}
	delete(s.asked, a.Nonce)
	if err := s.setClock(ctx, a.HubTime, asked, received); err != nil {
		return err
	}
	s.Heard(ctx)
	if err := s.look(ctx, a.Log); err != nil {
		return err
	}
	return s.sender.held(a.Held)
}

func (s *session) setClock(ctx context.Context, hub time.Time, asked, received time.Duration) error {
	step, err := s.Clock.HubTime(hub, asked, received)
	switch {
	case record.CodeOf(err) == record.CodeClockStep:
		s.Log.Error("hub time refused", "step", step.Step)
		return s.Facts.Write(ctx, record.KindClockAnomaly, step, true)
	case err != nil:
		return err
	case step != nil:
		s.Log.Info("clock set", "step", step.Step)
		return s.Facts.Write(ctx, record.KindClockSet, step, true)
	}
	return nil
}

func (s *session) receipt(ctx context.Context, sealed []byte) error {
	var r record.Receipt
	if _, err := record.Unseal(s.Receipts, record.TypeReceipt, sealed, &r); err != nil {
		return err
	}
	if r.Device != s.Device {
		return record.Fail(record.CodeWrongDevice, fmt.Errorf("a receipt for %s", r.Device))
	}
	s.Heard(ctx)
	if err := s.look(ctx, r.Log); err != nil {
		return err
	}
	return s.sender.held(r.Held)
}

// look is the witness's part [design §5].
func (s *session) look(ctx context.Context, view *record.LogView) error {
	if view == nil {
		return nil
	}
	doubt, err := s.Witness.Look(*view)
	if err != nil {
		return err
	}
	if doubt == nil {
		return nil
	}
	s.Log.Error("the hub's ledger does not extend what this device saw", "code", doubt.Code, "detail", doubt.Detail)
	return s.Facts.Write(ctx, record.KindLedgerDoubt, doubt, true)
}

// assembly is a policy that is coming in pieces.
type assembly struct {
	version uint64
	head    []byte
	chunks  [][]byte
}

// maxChunks bounds what an unverified sender can make this device hold.
const maxChunks = record.MaxPolicy / record.PolicyChunkSize

// policy collects a head and its chunks in order and activates the whole.
func (s *session) policy(ctx context.Context, payload []byte) error {
	var m record.PolicyMessage
	if err := json.Unmarshal(payload, &m); err != nil {
		return record.Fail(record.CodeMalformed, fmt.Errorf("policy message: %w", err))
	}
	if m.Head != nil {
		s.assembly = &assembly{version: m.Version, head: m.Head}
	}
	a := s.assembly
	if a == nil || a.version != m.Version {
		return nil // a piece of one whose head was missed; the hub sends again
	}
	if m.Chunk != nil {
		if m.Index != len(a.chunks) || len(a.chunks) >= maxChunks {
			s.assembly = nil
			return nil
		}
		a.chunks = append(a.chunks, m.Chunk)
	}
	if !a.complete() {
		return nil
	}
	s.assembly = nil
	if err := s.Policies.Activate(ctx, a.head, a.chunks); err != nil {
		return s.reject(ctx, record.KindPolicyRejected, err)
	}
	return nil
}

// complete peeks at the unverified head for the number of chunks only.
func (a *assembly) complete() bool {
	n, err := record.PeekChunks(a.head)
	return err != nil || len(a.chunks) >= n // a head that cannot be read is rejected by Activate
}
