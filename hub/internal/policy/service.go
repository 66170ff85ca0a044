package policy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Cities tells what is declared at a moment.
type Cities interface {
	City(now time.Time) (City, error)
}

// Keys opens a device's credential key.
type Keys interface {
	CredentialKey(device record.DeviceID, sealed []byte) (record.CredentialKey, error)
}

// Appender writes facts in a transaction.
type Appender interface {
	Append(tx store.Tx, facts []ledger.Fact) (first int64, err error)
	Seal(tx store.Tx) (note []byte, cp record.Checkpoint, err error)
}

// Publisher sends to devices.
type Publisher interface {
	Publish(ctx context.Context, topic string, payload []byte) error
}

// Config of a Service. Everything is required.
type Config struct {
	Store     store.Store
	Ledger    Appender
	Cities    Cities
	Keys      Keys
	Policies  *record.Signer
	Orders    *record.Signer
	Publisher Publisher
	Log       *slog.Logger
}

// Service keeps every device's policy and orders up to date. Its methods may be
// called from any goroutine.
type Service struct {
	Config
	wake chan struct{} // one slot

	mu     sync.Mutex
	policy map[record.DeviceID]bool // guarded by mu; to be pushed
	orders map[record.DeviceID]bool // guarded by mu
	stale  bool                     // guarded by mu; something was declared
}

// New makes a Service; Run does its work.
func New(c Config) *Service {
	return &Service{Config: c, wake: make(chan struct{}, 1), policy: map[record.DeviceID]bool{}, orders: map[record.DeviceID]bool{}, stale: true}
}

// look is how often permits and calendars are compared with what was compiled,
// so that a permit that begins or a day that was declared takes effect.
const look = 10 * time.Minute

// Run compiles and pushes until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	timer := clock.NewTimer(look)
	defer timer.Stop()
	for {
		stale, policies, orders := s.take()
		if stale {
			if err := s.Compile(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error("policies not compiled", "err", err)
			}
			continue // what was compiled is now waiting to be pushed
		}
		for d := range policies {
			s.try(d, "policy", s.sendPolicy(ctx, d))
		}
		for d := range orders {
			s.try(d, "orders", s.sendOrders(ctx, d))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
			timer.Reset(look)
			s.Declared()
		}
	}
}

// try logs what could not be sent; the device asks again when it comes back.
func (s *Service) try(d record.DeviceID, what string, err error) {
	if err != nil {
		s.Log.Info("not sent; the device will ask again", "device", d, "what", what, "err", err)
	}
}

func (s *Service) take() (stale bool, policies, orders map[record.DeviceID]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stale = s.stale
	s.stale = false
	if stale {
		return true, nil, nil
	}
	policies, orders = s.policy, s.orders
	s.policy, s.orders = map[record.DeviceID]bool{}, map[record.DeviceID]bool{}
	return false, policies, orders
}

func (s *Service) poke(set func()) {
	s.mu.Lock()
	set()
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Declared says that people have declared something.
func (s *Service) Declared() { s.poke(func() { s.stale = true }) }

// PushPolicy sends a device its newest policy.
func (s *Service) PushPolicy(d record.DeviceID) { s.poke(func() { s.policy[d] = true }) }

// PushOrders sends a device the orders it has not executed.
func (s *Service) PushOrders(d record.DeviceID) { s.poke(func() { s.orders[d] = true }) }

// compiled is a policy as signed, with the hash of its content, by which an
// unchanged one is recognised.
type compiled struct {
	Version uint64      `json:"version"`
	Content record.Hash `json:"content"`
	Head    []byte      `json:"head"`
	Chunks  [][]byte    `json:"chunks"`
	Signed  time.Time   `json:"signed"`
	Revokes []revoked   `json:"revokes,omitempty"` // cards that this and unconfirmed versions before it shut out
}

func policyState(d record.DeviceID) string { return "policy/" + string(d) }

// Compile compares every device's policy with what is declared now and signs new
// versions where they differ. Run does it by itself; a command that wants to
// return only afterwards calls it.
func (s *Service) Compile(ctx context.Context) error {
	now := clock.Now()
	city, err := s.Cities.City(now)
	if err != nil {
		return err
	}
	var devices []store.DeviceState
	if err := s.Store.View(ctx, func(tx store.ReadTx) (err error) { devices, err = tx.Devices(); return err }); err != nil {
		return err
	}
	var errs []error
	for _, d := range devices {
		if !d.Revoked {
			errs = append(errs, s.compileOne(ctx, city, d.Device, now))
		}
	}
	return errors.Join(errs...)
}

// compileOne signs a new version where the content changed. The version rises
// above everything this device was given or says it has [T-53].
func (s *Service) compileOne(ctx context.Context, city City, device record.DeviceID, now time.Time) error {
	changed := false
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		changed = false
		d, err := tx.Device(device)
		if err != nil {
			return err
		}
		key, err := s.Keys.CredentialKey(device, d.Credential)
		if err != nil {
			return err
		}
		policy := Compile(city, device, 0, key)
		content, err := contentHash(policy)
		if err != nil {
			return err
		}
		old, err := readCompiled(tx, device)
		given := max(d.Policy, d.PolicyAck, reported(d))
		if err != nil || old.Content == content && old.Version >= given {
			return err
		}
		policy.Version = max(old.Version, given) + 1
		changed = true
		return s.keep(tx, d, old, policy, content, now)
	})
	if err != nil {
		return fmt.Errorf("policy of %s: %w", device, err)
	}
	if changed {
		s.PushPolicy(device)
	}
	return nil
}

// reported is the version a device says it has. It is above what was given when
// the hub was restored from a backup [T-53]; a number no hub can have reached is
// not believed, since none could follow it.
func reported(d store.DeviceState) uint64 {
	var s record.Status
	if len(d.Status) == 0 || json.Unmarshal(d.Status, &s) != nil || s.Policy > math.MaxUint32 {
		return 0
	}
	return s.Policy
}

func (s *Service) keep(tx store.Tx, d store.DeviceState, old compiled, policy record.Policy, content record.Hash, now time.Time) error {
	revokes, err := s.revokes(d, old, policy)
	if err != nil {
		return err
	}
	head, chunks, err := record.PackPolicy(s.Policies, policy, now.UTC())
	if err != nil {
		return err
	}
	b, err := json.Marshal(compiled{policy.Version, content, head, chunks, now.UTC(), revokes})
	if err != nil {
		return err
	}
	d.Policy = policy.Version
	body := ledger.PolicyCompiled{Device: d.Device, Version: policy.Version, Why: "declared"}
	return errors.Join(tx.PutState(policyState(d.Device), b), tx.PutDevice(d),
		s.fact(tx, ledger.KindPolicyCompiled, nil, "", body, now))
}

// basis is 根拠条文 of the service's own facts.
var basis = map[record.Kind][]string{
	ledger.KindPolicyCompiled: {"000-9.2"},
	ledger.KindOrderIssued:    {"003-4(6)", "000-8.2"},
}

// fact appends one fact of the hub's own and seals the log in the transaction.
func (s *Service) fact(tx store.Tx, kind record.Kind, actor *ledger.Resolved, via string, body any, now time.Time) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	row := ledger.Row{Kind: kind, At: now.UTC(), Quality: record.TimeSynced, Received: now.UTC(), Actor: actor, Via: via, Basis: basis[kind], Body: raw}
	if _, err := s.Ledger.Append(tx, []ledger.Fact{{Row: row}}); err != nil {
		return err
	}
	_, _, err = s.Ledger.Seal(tx)
	return err
}

func contentHash(p record.Policy) (record.Hash, error) {
	b, err := json.Marshal(p)
	return sha256.Sum256(b), err
}

func readCompiled(tx store.ReadTx, d record.DeviceID) (compiled, error) {
	var c compiled
	b, err := tx.State(policyState(d))
	if errors.Is(err, store.ErrNotFound) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("stored policy: %w", err)
	}
	return c, nil
}

func (s *Service) sendPolicy(ctx context.Context, device record.DeviceID) error {
	var c compiled
	err := s.Store.View(ctx, func(tx store.ReadTx) (err error) { c, err = readCompiled(tx, device); return err })
	if err != nil || c.Version == 0 {
		return err
	}
	topic := record.Topic(device, record.ChannelPolicy)
	send := func(m record.PolicyMessage) error {
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return s.Publisher.Publish(ctx, topic, b)
	}
	if err := send(record.PolicyMessage{Version: c.Version, Head: c.Head}); err != nil {
		return err
	}
	for i, chunk := range c.Chunks {
		if err := send(record.PolicyMessage{Version: c.Version, Index: i, Chunk: chunk}); err != nil {
			return err
		}
	}
	return nil
}
