package policy_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki/pkitest"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// rig is a running Service, the devices' end of the wire, and what is declared.
type rig struct {
	*policy.Service
	store            *pkitest.Store
	policies, orders *record.Signer
	stop             func()

	mu   sync.Mutex
	city policy.City // guarded by mu
	down bool        // guarded by mu; the broker is away
	sent []message   // guarded by mu
}

type message struct {
	topic   string
	payload []byte
}

func (r *rig) City(time.Time) (policy.City, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.city, nil
}

// CredentialKey: the rig's devices keep their key's first byte.
func (r *rig) CredentialKey(_ record.DeviceID, sealed []byte) (record.CredentialKey, error) {
	if len(sealed) == 0 {
		return record.CredentialKey{}, errors.New("not enrolled")
	}
	return record.CredentialKey{sealed[0]}, nil
}

func (r *rig) Publish(_ context.Context, topic string, payload []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errors.New("the broker is away")
	}
	r.sent = append(r.sent, message{topic, payload})
	return nil
}

func mustSigner(t *testing.T) *record.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := record.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// within runs f beside a Service in virtual time from 2026-06-15 8:00 on.
func within(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(jst("2026-06-15 08:00")))
		r := &rig{store: pkitest.NewStore(), policies: mustSigner(t), orders: mustSigner(t), city: kanmori()}
		r.enrol(t, "DC-31", 1)
		r.enrol(t, "DC-21", 2)
		r.start()
		defer func() { r.stop() }()
		synctest.Wait()
		f(t, r)
	})
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.Service = policy.New(policy.Config{Store: r.store, Ledger: pkitest.Ledger{}, Cities: r, Keys: r,
		Policies: r.policies, Orders: r.orders, Publisher: r, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = func() { cancel(); <-done }
}

func (r *rig) enrol(t *testing.T, d record.DeviceID, key byte) {
	t.Helper()
	r.device(t, d, func(s *store.DeviceState) { s.Credential = []byte{key} })
}

// device changes what the hub knows of a device.
func (r *rig) device(t *testing.T, d record.DeviceID, change func(*store.DeviceState)) (state store.DeviceState) {
	t.Helper()
	err := r.store.Update(context.Background(), func(tx store.Tx) error {
		s, err := tx.Device(d)
		if errors.Is(err, store.ErrNotFound) {
			s, err = store.DeviceState{Device: d}, nil
		}
		if err != nil {
			return err
		}
		change(&s)
		state = s
		return tx.PutDevice(s)
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func (r *rig) reports(t *testing.T, d record.DeviceID, s record.Status) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	r.device(t, d, func(state *store.DeviceState) { state.Status = b })
}

func (r *rig) declare(change func(*policy.City)) {
	r.mu.Lock()
	c := kanmori()
	change(&c)
	r.city = c
	r.mu.Unlock()
	r.Declared()
	synctest.Wait()
}

// took empties the wire of one topic.
func (r *rig) took(d record.DeviceID, c record.Channel) (payloads [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = slices.DeleteFunc(r.sent, func(m message) bool {
		mine := m.topic == record.Topic(d, c)
		if mine {
			payloads = append(payloads, m.payload)
		}
		return mine
	})
	return payloads
}

// policyAt puts together what came for a device, as an agent does.
func (r *rig) policyAt(t *testing.T, d record.DeviceID) (record.Policy, bool) {
	t.Helper()
	var head []byte
	var chunks [][]byte
	for _, b := range r.took(d, record.ChannelPolicy) {
		var m record.PolicyMessage
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		switch {
		case m.Head != nil:
			head, chunks = m.Head, nil
		case m.Index != len(chunks):
			t.Fatalf("chunk %d came as number %d", m.Index, len(chunks))
		default:
			chunks = append(chunks, m.Chunk)
		}
	}
	if head == nil {
		return record.Policy{}, false
	}
	p, err := record.UnpackPolicy([]record.PublicKey{r.policies.Public()}, d, head, chunks)
	if err != nil {
		t.Fatal(err)
	}
	return p, true
}

// TestPoliciesArriveSigned: every device its own, with a fact for each.
func TestPoliciesArriveSigned(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		for _, d := range []record.DeviceID{"DC-31", "DC-21"} {
			p, ok := r.policyAt(t, d)
			if !ok || p.Version != 1 || len(p.Credentials) != 5 {
				t.Errorf("%s has %+v", d, p)
			}
		}
		rows := r.store.RowsOf(ledger.KindPolicyCompiled)
		if len(rows) != 2 {
			t.Fatalf("%d facts", len(rows))
		}
		for _, row := range rows {
			if len(row.Basis) == 0 {
				t.Error("a fact without its article")
			}
		}
	})
}

// TestOnlyChangesMakeVersions: not days, not restarts, not declarations that
// change nothing for this device.
func TestOnlyChangesMakeVersions(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.policyAt(t, "DC-31")
		r.policyAt(t, "DC-21")
		r.declare(func(*policy.City) {})
		time.Sleep(48 * time.Hour)
		r.stop()
		r.start()
		synctest.Wait()
		r.declare(func(c *policy.City) { c.Permits[2].Until = jst("2026-08-01 00:00") }) // P08, R21
		if p, ok := r.policyAt(t, "DC-31"); ok {
			t.Errorf("DC-31 was given version %d for nothing", p.Version)
		}
		if p, ok := r.policyAt(t, "DC-21"); !ok || p.Version != 2 {
			t.Errorf("DC-21 has version %d", p.Version)
		}
		if n := len(r.store.RowsOf(ledger.KindPolicyCompiled)); n != 3 {
			t.Errorf("%d facts, want 3", n)
		}
	})
}

// [T-53]: a hub restored from a backup does not give a number a second time: the
// version rises above what the device says it has.
func TestVersionRisesAboveWhatDevicesReport(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.policyAt(t, "DC-31")
		r.reports(t, "DC-31", record.Status{Policy: 10})
		r.declare(func(*policy.City) {})
		if p, ok := r.policyAt(t, "DC-31"); !ok || p.Version != 11 {
			t.Errorf("version %d, want 11", p.Version)
		}
		r.device(t, "DC-31", func(s *store.DeviceState) { s.PolicyAck = 20 })
		r.declare(func(*policy.City) {})
		if p, ok := r.policyAt(t, "DC-31"); !ok || p.Version != 21 {
			t.Errorf("version %d, want 21", p.Version)
		}
		r.reports(t, "DC-31", record.Status{Policy: 1<<64 - 1})
		r.declare(func(c *policy.City) { c.Pack = "kanmori-2" })
		if p, ok := r.policyAt(t, "DC-31"); !ok || p.Version != 22 {
			t.Errorf("a nonsense report made version %d, want 22", p.Version)
		}
	})
}

// [T-21] [AS-05]: 失効未達 until the device itself confirms.
func TestRevocationIsUndeliveredUntilConfirmed(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		for _, d := range []record.DeviceID{"DC-31", "DC-21"} {
			r.device(t, d, func(s *store.DeviceState) { s.PolicyAck = 1 })
		}
		if u := r.mustUndelivered(t); len(u) != 0 {
			t.Fatalf("%+v", u)
		}
		time.Sleep(5 * time.Hour) // 13:00
		r.declare(func(c *policy.City) { c.Cards[2].State = record.CredentialLost })
		r.device(t, "DC-21", func(s *store.DeviceState) { s.PolicyAck = 2 })
		want := []record.CredentialID{"0000012345"}
		u := r.mustUndelivered(t)
		if len(u) != 1 || u[0].Device != "DC-31" || !slices.Equal(u[0].Doors, []record.DoorCode{"D31"}) || !slices.Equal(u[0].Revokes, want) || !u[0].Signed.Equal(jst("2026-06-15 13:00")) {
			t.Fatalf("%+v", u)
		}
		r.declare(func(c *policy.City) { c.Cards[2].State, c.Pack = record.CredentialLost, "kanmori-2" }) // a later version does not hide it
		if u = r.mustUndelivered(t); len(u) != 2 || len(u[0].Revokes) != 0 || !slices.Equal(u[1].Revokes, want) {
			t.Errorf("%+v", u)
		}
		r.device(t, "DC-31", func(s *store.DeviceState) { s.PolicyAck = 3 })
		r.device(t, "DC-21", func(s *store.DeviceState) { s.PolicyAck = 3 })
		if u = r.mustUndelivered(t); len(u) != 0 {
			t.Errorf("confirmed, and still %+v", u)
		}
	})
}

func (r *rig) mustUndelivered(t *testing.T) []policy.Undelivered {
	t.Helper()
	u, err := r.Undelivered(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestBrokerAway: what could not be sent is sent when the device asks.
func TestBrokerAway(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.policyAt(t, "DC-31")
		r.setDown(true)
		r.declare(func(c *policy.City) { c.Pack = "kanmori-2" })
		r.setDown(false)
		r.PushPolicy("DC-31")
		synctest.Wait()
		if p, ok := r.policyAt(t, "DC-31"); !ok || p.Version != 2 || p.Pack != "kanmori-2" {
			t.Errorf("%+v", p)
		}
	})
}

func (r *rig) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func TestLargePolicyTravelsInChunks(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.policyAt(t, "DC-31")
		r.declare(func(c *policy.City) {
			for i := range 3000 {
				c.Cards = append(c.Cards, policy.Card{ID: record.CredentialID(fmt.Sprintf("1%09d", i)), Person: "P07", Key: fmt.Sprintf("26:%08x", i), State: record.CredentialActive})
			}
		})
		r.mu.Lock()
		n := len(r.sent)
		for _, m := range r.sent {
			if len(m.payload) > 128<<10 {
				t.Errorf("a message of %d bytes", len(m.payload))
			}
		}
		r.mu.Unlock()
		if p, ok := r.policyAt(t, "DC-31"); !ok || len(p.Credentials) != 3005 || n < 6 {
			t.Errorf("%d credentials in %d messages", len(p.Credentials), n)
		}
	})
}

// TestRevokedAndBrokenDevicesDoNotStopOthers.
func TestRevokedAndBrokenDevicesDoNotStopOthers(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.policyAt(t, "DC-31")
		r.device(t, "AA-01", func(*store.DeviceState) {}) // no credential key
		r.device(t, "DC-21", func(s *store.DeviceState) { s.Revoked = true })
		r.took("DC-21", record.ChannelPolicy)
		r.declare(func(c *policy.City) { c.Pack = "kanmori-2" })
		if _, ok := r.policyAt(t, "DC-31"); !ok {
			t.Error("DC-31 got nothing")
		}
		if _, ok := r.policyAt(t, "DC-21"); ok {
			t.Error("a revoked device got a policy")
		}
	})
}

var yamada = ledger.Resolved{Person: "P01", Name: "山田 太郎", Post: "入退室管理者(R31)"}

func (r *rig) mustOrder(t *testing.T, d record.DeviceID) uint64 {
	t.Helper()
	seq, err := r.IssueOrder(context.Background(), policy.Issue{Device: d, Purpose: record.PurposeRearm, Issuer: yamada, Role: "entry_manager_R31", Reason: "drill", Body: record.DoorOrder{Door: "D31"}, Via: "console"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return seq
}

func (r *rig) ordersAt(t *testing.T, d record.DeviceID) (seqs []uint64) {
	t.Helper()
	for _, b := range r.took(d, record.ChannelOrder) {
		var o record.Order
		if _, err := record.Unseal([]record.PublicKey{r.orders.Public()}, record.TypeOrder, b, &o); err != nil {
			t.Fatal(err)
		}
		if o.Device != d || o.Issuer != "P01" || o.Role != "entry_manager_R31" || !o.Deliver.After(o.Issued) {
			t.Errorf("%+v", o)
		}
		seqs = append(seqs, o.Seq)
	}
	return seqs
}

// [T-07] [000-8.2]: an order is numbered per device, signed by the order key and
// no other, named in the ledger, and sent until it was executed.
func TestOrdersAreKeptUntilExecuted(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.setDown(true)
		if a, b, c := r.mustOrder(t, "DC-31"), r.mustOrder(t, "DC-31"), r.mustOrder(t, "DC-21"); a != 1 || b != 2 || c != 1 {
			t.Errorf("numbers %d %d %d", a, b, c)
		}
		r.setDown(false)
		r.PushOrders("DC-31")
		synctest.Wait()
		if got := r.ordersAt(t, "DC-31"); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("orders %v", got)
		}
		r.reports(t, "DC-31", record.Status{LastOrder: 1})
		for range 2 {
			r.PushOrders("DC-31")
			synctest.Wait()
			if got := r.ordersAt(t, "DC-31"); !slices.Equal(got, []uint64{2}) {
				t.Errorf("orders %v", got)
			}
		}
		time.Sleep(25 * time.Hour) // past its delivery
		r.PushOrders("DC-31")
		synctest.Wait()
		if got := r.ordersAt(t, "DC-31"); len(got) != 0 {
			t.Errorf("orders %v after their time", got)
		}
		rows := r.store.RowsOf(ledger.KindOrderIssued)
		if len(rows) != 3 || rows[0].Actor == nil || rows[0].Actor.Name != "山田 太郎" || len(rows[0].Basis) == 0 || rows[0].Via != "console" {
			t.Errorf("facts %+v", rows)
		}
	})
}

// [T-53]: after a restore an order's number is not used a second time either.
func TestOrderNumbersRiseAboveWhatDevicesReport(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.reports(t, "DC-31", record.Status{LastOrder: 7})
		if seq := r.mustOrder(t, "DC-31"); seq != 8 {
			t.Errorf("number %d, want 8", seq)
		}
		if _, err := r.IssueOrder(context.Background(), policy.Issue{Device: "DC-99", Issuer: yamada}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("an order for nobody: %v", err)
		}
	})
}

func TestPolicyKeyCannotOrder(t *testing.T) {
	within(t, func(t *testing.T, r *rig) {
		r.mustOrder(t, "DC-31")
		var o record.Order
		for _, b := range r.took("DC-31", record.ChannelOrder) {
			if _, err := record.Unseal([]record.PublicKey{r.policies.Public()}, record.TypeOrder, b, &o); record.CodeOf(err) != record.CodeBadSignature {
				t.Errorf("the policy key signed an order: %v", err)
			}
		}
	})
}
