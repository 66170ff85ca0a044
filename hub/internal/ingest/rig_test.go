package ingest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// rig is ingest on the real store and the real ledger, between fake devices and
// a fake broker link.
type rig struct {
	tb       testing.TB
	st       store.Store
	fault    *fault
	in       *ingest.Ingest
	ledger   *ledger.Ledger
	receipts *record.Signer
	findings chan ledger.SecurityFinding

	mu     sync.Mutex
	sent   []sent                                   // guarded by mu
	before func(topic string)                       // guarded by mu; called in Publish
	pushed []string                                 // guarded by mu
	people map[record.PersonID][]ledger.Resolved    // guarded by mu
	since  map[record.PersonID]map[string]time.Time // guarded by mu
}

type sent struct {
	topic   string
	payload []byte
}

// fault is a store that can be told to fail.
type fault struct {
	store.Store
	err     atomic.Pointer[error]
	updates atomic.Int64
}

func (f *fault) Update(ctx context.Context, fn func(store.Tx) error) error {
	f.updates.Add(1)
	if e := f.err.Load(); e != nil {
		return *e
	}
	return f.Store.Update(ctx, fn)
}

// brittle is a ledger that cannot take one kind of fact.
type brittle struct{ *ledger.Ledger }

const poison record.Kind = "poison"

func (b brittle) Append(tx store.Tx, facts []ledger.Fact) (int64, error) {
	if slices.ContainsFunc(facts, func(f ledger.Fact) bool { return f.Row.Kind == poison }) {
		return 0, errors.New("this fact breaks the ledger")
	}
	return b.Ledger.Append(tx, facts)
}

func (r *rig) Publish(_ context.Context, topic string, payload []byte) error {
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		before(topic)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, sent{topic, payload})
	return nil
}

func (r *rig) push(what string, d record.DeviceID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pushed = append(r.pushed, what+" "+string(d))
}

func (r *rig) PushPolicy(d record.DeviceID) { r.push("policy", d) }
func (r *rig) PushOrders(d record.DeviceID) { r.push("orders", d) }

func (r *rig) Resolve(p record.PersonID, at time.Time) (ledger.Resolved, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best ledger.Resolved
	var from time.Time
	found := false
	for _, v := range r.people[p] {
		if f := r.since[p][v.Section]; !at.Before(f) && !f.Before(from) {
			best, from, found = v, f, true
		}
	}
	return best, found
}

func (r *rig) declare(p record.PersonID, v ledger.Resolved, from time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.people[p] = append(r.people[p], v)
	if r.since[p] == nil {
		r.since[p] = map[string]time.Time{}
	}
	r.since[p][v.Section] = from
}

// newRig takes a gap for what it is after 50 ms, so that tests of gaps are short.
func newRig(tb testing.TB) *rig { tb.Helper(); return newPatientRig(tb, 50*time.Millisecond) }

// newPatientRig is for devices whose batches are lost again and again, and which
// do go back for them.
func newPatientRig(tb testing.TB, patient time.Duration) *rig {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "hub.db"), sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	seed := make([]byte, ed25519.SeedSize)
	l, err := ledger.New("sekimori/test", seed)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, st: st, fault: &fault{Store: st}, ledger: l, receipts: newSigner(tb), findings: make(chan ledger.SecurityFinding),
		people: map[record.PersonID][]ledger.Resolved{}, since: map[record.PersonID]map[string]time.Time{}}
	r.in, err = ingest.New(ingest.Config{
		Store: r.fault, Ledger: brittle{l}, Directory: r, Publisher: r, Outbox: r, Receipts: r.receipts, Generation: 3,
		Findings: r.findings, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	r.in.SetPatience(patient)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.in.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
		if err := st.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return r
}

func newSigner(tb testing.TB) *record.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := record.NewSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// device writes a journal as an agent does.
type device struct {
	tb     testing.TB
	id     record.DeviceID
	signer *record.Signer
	epoch  record.Epoch
	boot   record.BootID
	prev   record.Hash
	sends  uint64
	events [][]byte // events[n] is seq n+1
	salts  []record.Salt
	dating []record.BootClock
	mono   time.Duration
}

func (r *rig) device(id record.DeviceID) *device {
	r.tb.Helper()
	d := &device{tb: r.tb, id: id, signer: newSigner(r.tb), epoch: record.NewEpoch(), boot: record.NewBootID()}
	r.update(func(tx store.Tx) error {
		return tx.PutDevice(store.DeviceState{Device: id, Key: d.signer.Public(), Policy: 5, LastOrder: 7})
	})
	return d
}

// reopen begins a new epoch as a journal does.
func (d *device) reopen(e record.EpochStarted) {
	d.epoch, d.prev, d.events, d.salts = record.NewEpoch(), record.Hash{}, nil, nil
	d.write(record.KindEpochStarted, e)
}

func (d *device) write(kind record.Kind, body any) {
	d.writeAt(kind, body, clock.Now(), record.TimeSynced)
}

func (d *device) writeAt(kind record.Kind, body any, wall time.Time, q record.TimeQuality) {
	d.tb.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.tb.Fatal(err)
	}
	d.mono += time.Millisecond
	d.put(record.Event{V: record.EventVersion, Device: d.id, Epoch: d.epoch, Seq: uint64(len(d.events) + 1), Prev: d.prev,
		Boot: d.boot, Mono: d.mono, Wall: wall, Quality: q, Policy: 5, Pack: "test", Kind: kind, Body: raw})
}

func (d *device) put(e record.Event) {
	d.tb.Helper()
	b, err := e.Encode()
	if err != nil {
		d.tb.Fatal(err)
	}
	d.raw(b)
}

func (d *device) raw(b []byte) {
	salt := record.NewSalt()
	d.prev = record.Commitment(salt, b)
	d.events, d.salts = append(d.events, b), append(d.salts, salt)
}

// batch seals events from..to, counted from 1.
func (d *device) batch(from, to int) []byte {
	d.tb.Helper()
	d.sends++
	b, err := record.SealBatch(d.signer, record.BatchHead{Device: d.id, Epoch: d.epoch, First: uint64(from), Boot: d.boot, Sent: d.sends, Dating: d.dating},
		d.events[from-1:to], d.salts[from-1:to])
	if err != nil {
		d.tb.Fatal(err)
	}
	return b.Encode()
}

func (r *rig) up(d *device, payload []byte) {
	r.tb.Helper()
	if err := r.in.Handle(r.tb.Context(), ingest.Message{Device: d.id, Channel: record.ChannelUp, Payload: payload}); err != nil {
		r.tb.Fatal(err)
	}
}

// deliver sends events from..to and waits for the receipt that follows.
func (r *rig) deliver(d *device, from, to int) record.Receipt {
	r.tb.Helper()
	n := len(r.receiptsOf(d))
	r.up(d, d.batch(from, to))
	return r.receiptAfter(d, n)
}

func (r *rig) receiptAfter(d *device, n int) record.Receipt {
	r.tb.Helper()
	var out record.Receipt
	r.await("a receipt for "+string(d.id), func() bool {
		list := r.receiptsOf(d)
		if len(list) > n {
			out = list[len(list)-1]
		}
		return len(list) > n
	})
	return out
}

func (r *rig) receiptsOf(d *device) []record.Receipt {
	r.tb.Helper()
	return opened[record.Receipt](r, d, record.ChannelReceipt, record.TypeReceipt)
}

// opened checks the hub's signature on everything sent on a channel.
func opened[T any](r *rig, d *device, c record.Channel, t record.PayloadType) []T {
	r.tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []T
	for _, s := range r.sent {
		if s.topic != record.Topic(d.id, c) {
			continue
		}
		var v T
		if _, err := record.Unseal([]record.PublicKey{r.receipts.Public()}, t, s.payload, &v); err != nil {
			r.tb.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// ask sends a question; the answer is that to its nonce.
func (r *rig) ask(d *device, q record.Question, body any) record.Hash {
	r.tb.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		r.tb.Fatal(err)
	}
	a := record.Ask{Device: d.id, Question: q, Body: raw}
	rand.Read(a.Nonce[:])
	sealed, err := record.Seal(d.signer, record.TypeAsk, a)
	if err != nil {
		r.tb.Fatal(err)
	}
	if err := r.in.Handle(r.tb.Context(), ingest.Message{Device: d.id, Channel: record.ChannelAsk, Payload: sealed}); err != nil {
		r.tb.Fatal(err)
	}
	return a.Nonce
}

func (r *rig) answerTo(d *device, nonce record.Hash) record.Answer {
	r.tb.Helper()
	var out record.Answer
	r.await("an answer", func() bool {
		for _, a := range opened[record.Answer](r, d, record.ChannelAnswer, record.TypeAnswer) {
			if a.Nonce == nonce {
				out = a
				return true
			}
		}
		return false
	})
	return out
}

const patience = 10 * time.Second

func (r *rig) await(what string, f func() bool) {
	r.tb.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			r.tb.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) update(f func(store.Tx) error) {
	r.tb.Helper()
	if err := r.st.Update(context.Background(), f); err != nil {
		r.tb.Fatal(err)
	}
}

// line is a ledger row with its event.
type line struct {
	ledger.Row
	stored store.LedgerRow
}

func (r *rig) rows() []line {
	r.tb.Helper()
	var out []line
	err := r.st.View(context.Background(), func(tx store.ReadTx) error {
		list, err := tx.Rows(0, 1_000_000)
		for _, s := range list {
			row, err := ledger.DecodeRow(s.Row)
			if err != nil {
				return fmt.Errorf("row %d: %w", s.Index, err)
			}
			out = append(out, line{row, s})
		}
		return err
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	return out
}

// of lists the rows of a kind.
func (r *rig) of(kind record.Kind) []line {
	r.tb.Helper()
	var out []line
	for _, l := range r.rows() {
		if l.Kind == kind {
			out = append(out, l)
		}
	}
	return out
}

func body[T any](tb testing.TB, l line) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(l.Body, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// finding waits for a row of a finding.
func (r *rig) finding(what string) ledger.SecurityFinding {
	r.tb.Helper()
	var out ledger.SecurityFinding
	r.await("finding "+what, func() bool {
		for _, l := range r.of(ledger.KindSecurityFinding) {
			if f := body[ledger.SecurityFinding](r.tb, l); f.Finding == what {
				out = f
				return true
			}
		}
		return false
	})
	return out
}

func (r *rig) state(d *device) store.DeviceState {
	r.tb.Helper()
	var s store.DeviceState
	if err := r.st.View(context.Background(), func(tx store.ReadTx) (err error) {
		s, err = tx.Device(d.id)
		return err
	}); err != nil {
		r.tb.Fatal(err)
	}
	return s
}

func passage(p record.PersonID) record.Passage {
	return record.Passage{Door: "D31", Room: "R31", Level: 3, Direction: record.DirectionIn, Person: p, Method: record.MethodCardPIN}
}
