package uplink_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/agent/internal/timekeeper"
	"sekimori/agent/internal/uplink"
	"sekimori/internal/record"
)

// box is a journal in memory.
type box struct {
	mu      sync.Mutex
	epochs  []record.Epoch
	events  map[record.Epoch][]uplink.Entry
	acked   map[record.Epoch]uint64
	changed chan struct{}
}

func newBox() *box {
	return &box{events: map[record.Epoch][]uplink.Entry{}, acked: map[record.Epoch]uint64{}, changed: make(chan struct{}, 1)}
}

func (b *box) add(epoch record.Epoch, n int) {
	b.mu.Lock()
	if _, ok := b.events[epoch]; !ok {
		b.epochs = append(b.epochs, epoch)
	}
	for range n {
		seq := uint64(len(b.events[epoch]) + 1)
		b.events[epoch] = append(b.events[epoch], uplink.Entry{Epoch: epoch, Seq: seq, Event: fmt.Appendf(nil, "%x %d", epoch[:1], seq), Salt: record.Salt{1}})
	}
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *box) After(epoch record.Epoch, seq uint64, n, _ int) ([]uplink.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	reached := epoch.IsZero()
	for _, e := range b.epochs {
		from := b.acked[e]
		if e == epoch {
			reached, from = true, seq
		}
		if list := b.events[e]; reached && int(from) < len(list) {
			return list[from:min(len(list), int(from)+n)], nil
		}
	}
	return nil, nil
}

func (b *box) Held(list []record.Held) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range list {
		b.acked[h.Epoch] = h.Seq
	}
	return nil
}

func (b *box) Changed() <-chan struct{} { return b.changed }

func (b *box) ack(e record.Epoch) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked[e]
}

// world is everything else around an uplink.
type world struct {
	mu       sync.Mutex
	facts    []string // kind and body
	full     error    // what the journal answers
	set      []time.Time
	step     *record.ClockSet // what the clock says to hub time
	refuse   error
	doubt    *record.LedgerDoubt
	looked   int
	activate error
	policies [][]byte // activated, joined
	execute  error
	orders   []string
	version  uint64
	heard    int
	batches  func() int // seen by the hub; to order the clock before them
	before   int        // batches seen when the clock was set
}

func (w *world) Write(_ context.Context, kind record.Kind, body any, safety bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full != nil {
		return w.full
	}
	text := string(kind)
	if r, ok := body.(record.Rejected); ok {
		text += " " + string(r.Code)
	}
	w.facts = append(w.facts, text)
	return nil
}

func (w *world) Now() timekeeper.Reading {
	return timekeeper.Reading{Wall: time.Now(), Quality: record.TimeSynced}
}

func (w *world) HubTime(hub time.Time, _, _ time.Duration) (*record.ClockSet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.set) == 0 && w.batches != nil {
		w.before = w.batches()
	}
	w.set = append(w.set, hub)
	return w.step, w.refuse
}

var zero = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)

func (w *world) Zero() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return zero, len(w.set) > 0
}

func (w *world) Look(view *record.LogView, _ bool) (*record.LedgerDoubt, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if view != nil {
		w.looked++
	}
	return w.doubt, nil
}

func (w *world) Held() (int64, record.Hash) { return 42, record.Hash{4, 2} }

func (w *world) Version() uint64 { w.mu.Lock(); defer w.mu.Unlock(); return w.version }

func (w *world) Activate(_ context.Context, _ []byte, chunks [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.activate == nil {
		w.policies = append(w.policies, bytes.Join(chunks, []byte("|")))
	}
	return w.activate
}

func (w *world) Last() uint64 { return 9 }

func (w *world) Execute(_ context.Context, sealed []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orders = append(w.orders, string(sealed))
	return w.execute
}

func (w *world) with(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }

// rig is an uplink, a hub and what is around them.
type rig struct {
	*world
	t    *testing.T
	hub  *hub
	box  *box
	log  *lines
	conf uplink.Config
	stop context.CancelFunc
	done chan error
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(what))
}

func build(t *testing.T, p pki) *rig {
	t.Helper()
	signer := newSigner(t)
	r := &rig{t: t, world: &world{}, hub: newHub(t, p.server, signer.Public()), box: newBox(), log: &lines{}}
	r.batches = func() (n int) { r.hub.with(func() { n = len(r.hub.heads) }); return n }
	r.conf = uplink.Config{
		Device: device, Server: "hub.test:8883", Dial: r.hub.pipe, TLS: func() *tls.Config { return p.client.Clone() },
		Boot: record.BootID{7}, Signer: signer, Receipts: func() []record.PublicKey { return []record.PublicKey{r.hub.signer.Public()} },
		Outbox: r.box, Clock: r.world, Facts: r.world, Witness: r.world, Policies: r.world, Orders: r.world,
		Status: func() record.Status { return record.Status{Version: "test"} }, Heard: func(context.Context) { r.with(func() { r.heard++ }) },
		Every: 30 * time.Second, Log: slog.New(slog.NewTextHandler(io.Writer(r.log), nil)),
	}
	return r
}

// run starts the uplink in a bubble and lets what follows happen.
func (r *rig) run() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan error, 1)
	go func() { r.done <- uplink.Run(ctx, r.conf) }()
	r.pass(time.Millisecond)
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// end stops the uplink, which must not take long in any state.
func (r *rig) end() {
	r.t.Helper()
	began := time.Now()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 200*time.Millisecond {
		r.t.Errorf("Run returned after %v", took)
	}
	r.hub.cut()
	r.hub.serves.Wait()
	r.pass(10 * time.Second) // what the MQTT library still had to end
}

func (r *rig) heads() (out []record.BatchHead) {
	r.hub.with(func() { out = append(out, r.hub.heads...) })
	return out
}

func (r *rig) wantFacts(want ...string) {
	r.t.Helper()
	r.with(func() {
		if fmt.Sprint(r.facts) != fmt.Sprint(want) {
			r.t.Fatalf("facts %q, want %q", r.facts, want)
		}
	})
}
