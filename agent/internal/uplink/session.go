package uplink

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

const (
	// answerTimeout is how long an answer may take: the clock is set to within
	// half of that, whatever the broker does to delay it.
	answerTimeout = 20 * time.Second
	// silentBeats is how many heartbeats may go unanswered.
	silentBeats = 3
	// firstBeat is soon, so that readers that came up after the first question are
	// not shown as silent for a whole heartbeat.
	firstBeat = 2 * time.Second
	maxAsked  = 8 // questions out; when more are unanswered, all are forgotten
)

// session is one connection's conversation.
//
//	ask sync ─▶ answer ─▶ clock set ─▶ events, orders, policies
//	              │ ▲
//	              ▼ │ heartbeat
//
// Only an answer is known to be fresh, by its nonce. So it comes first, it alone
// tells that the hub is there, and receipts count from it on: one with an
// earlier hub time than has been seen is a replay.
type session struct {
	*run
	link     *link
	sender   *sender
	assembly *assembly
	asked    map[record.Hash]time.Duration // nonces out, and boot time of asking
	newest   time.Time                     // hub time of the newest word believed; zero before the first answer
	answered time.Time                     // when the last answer came
}

// listen handles what the hub says until the link is lost.
func (s *session) listen(ctx context.Context) error {
	beat := clock.NewTimer(min(firstBeat, s.Every))
	defer beat.Stop()
	silence := time.NewTimer(answerTimeout)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-s.link.lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-silence.C:
			patience := silentBeats*s.Every + answerTimeout
			quiet := time.Since(s.answered)
			if s.answered.IsZero() || quiet >= patience {
				return errors.New("the broker is there and the hub does not answer")
			}
			silence.Reset(patience - quiet)
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
	if len(s.asked) >= maxAsked {
		clear(s.asked)
	}
	s.asked[a.Nonce] = clock.Mono()
	return s.link.publish(ctx, record.ChannelAsk, sealed)
}

// handle checks one message and acts on it. Only what cannot be repaired on
// this connection is an error.
func (s *session) handle(ctx context.Context, m message) error {
	err := s.take(ctx, m)
	if record.CodeOf(err) == "" {
		return err
	}
	if s.reports.due("log " + string(m.channel) + string(record.CodeOf(err))) {
		s.Log.Error("message from the hub not accepted", "channel", m.channel, "err", err)
	}
	return nil
}

func (s *session) take(ctx context.Context, m message) error {
	switch m.channel {
	case record.ChannelAnswer:
		return s.answer(ctx, m.payload)
	case record.ChannelReceipt:
		return s.receipt(ctx, m.payload)
	case record.ChannelPolicy:
		return s.policy(ctx, m.payload)
	case record.ChannelOrder:
		return s.order(ctx, m.payload)
	}
	return nil
}

// answer sets the clock first, because everything sent later is dated by it.
func (s *session) answer(ctx context.Context, sealed []byte) error {
	received := clock.Mono()
	var a record.Answer
	if _, err := record.Unseal(s.Receipts(), record.TypeAnswer, sealed, &a); err != nil {
		return err
	}
	asked, ok := s.asked[a.Nonce]
	if !ok || a.Device != s.Device {
		return record.Fail(record.CodeReplayed, errors.New("an answer to no question of ours"))
	}
	delete(s.asked, a.Nonce)
	if received-asked > answerTimeout {
		return s.ask(ctx, record.AskSync) // too old to set a clock by
	}
	s.newest, s.answered = a.HubTime, time.Now()
	s.setClock(ctx, a.HubTime, asked, received)
	s.Heard(ctx)
	s.up()
	if err := s.look(ctx, a.Log, true); err != nil {
		return err
	}
	return s.sender.held(a.Held)
}

func (s *session) setClock(ctx context.Context, hub time.Time, asked, received time.Duration) {
	step, err := s.Clock.HubTime(hub, asked, received)
	switch {
	case err != nil:
		if s.reports.due("clock") {
			s.Log.Error("hub time refused", "err", err)
			s.write(ctx, record.KindClockAnomaly, step, true)
		}
	case step != nil:
		s.Log.Info("clock set", "step", step.Step)
		s.write(ctx, record.KindClockSet, step, true)
	}
}

// write makes a fact durable. A full journal must not end the session, for only
// the session can empty it.
func (s *session) write(ctx context.Context, kind record.Kind, body any, safety bool) {
	if err := s.Facts.Write(ctx, kind, body, safety); err != nil {
		s.Log.Error("fact not written down", "kind", kind, "err", err)
	}
}

func (s *session) receipt(ctx context.Context, sealed []byte) error {
	var r record.Receipt
	if _, err := record.Unseal(s.Receipts(), record.TypeReceipt, sealed, &r); err != nil {
		return err
	}
	switch {
	case r.Device != s.Device:
		return record.Fail(record.CodeWrongDevice, fmt.Errorf("a receipt for %s", r.Device))
	case s.newest.IsZero() || r.HubTime.Before(s.newest):
		return record.Fail(record.CodeReplayed, errors.New("a receipt from before the newest word of the hub"))
	}
	s.newest = r.HubTime
	if err := s.look(ctx, r.Log, false); err != nil {
		return err
	}
	return s.sender.held(r.Held)
}

// look is the witness's part [design §5].
func (s *session) look(ctx context.Context, view *record.LogView, answer bool) error {
	doubt, err := s.Witness.Look(view, answer)
	if err != nil || doubt == nil {
		return err
	}
	s.Log.Error("the hub's ledger does not extend what this device saw", "code", doubt.Code, "detail", doubt.Detail)
	s.write(ctx, record.KindLedgerDoubt, doubt, true)
	return nil
}

// reports keeps a hostile broker from filling journal and log: what is wrong is
// told at once, and the same again only after reportEvery.
type reports map[string]time.Time

const reportEvery = 10 * time.Minute

func (r reports) due(what string) bool {
	if last, ok := r[what]; ok && time.Since(last) < reportEvery {
		return false
	}
	r[what] = time.Now()
	return true
}
