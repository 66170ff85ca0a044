package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Message is one publication of a device, as the broker link hands it over.
type Message struct {
	Device  record.DeviceID // of the topic, which the broker ties to the TLS identity
	Channel record.Channel  // up or ask
	Payload []byte          // kept until handled: the caller must not reuse it
}

// Ledger is the ledger as ingest writes it.
type Ledger interface {
	Append(tx store.Tx, facts []ledger.Fact) (first int64, err error)
	Seal(tx store.Tx) (note []byte, cp record.Checkpoint, err error)
	View(tx store.ReadTx, from int64) (record.LogView, error)
}

// Directory knows people as they were [T-30].
type Directory interface {
	Resolve(person record.PersonID, at time.Time) (ledger.Resolved, bool)
}

// Publisher sends to devices. It may fail when the broker is away: devices ask
// again.
type Publisher interface {
	Publish(ctx context.Context, topic string, payload []byte) error
}

// Outbox brings a device up to date. Both calls return at once and send later.
type Outbox interface {
	PushPolicy(device record.DeviceID)
	PushOrders(device record.DeviceID)
}

// Config of ingest. Everything is required but Findings and the sizes.
type Config struct {
	Store      store.Store
	Ledger     Ledger
	Directory  Directory
	Publisher  Publisher
	Outbox     Outbox
	Receipts   *record.Signer                // signs receipts and answers
	Generation uint64                        // of the log; a restored backup opens a new one
	Findings   <-chan ledger.SecurityFinding // of the broker, already counted together; may be nil
	Log        *slog.Logger

	LateAfter time.Duration // received this long after it happened is 遅延受信; 0: 60 s
	Group     int           // events per commit, about; 0: 2000
	Linger    time.Duration // longest wait for more when more is coming; 0: 2 ms
}

// Defaults.
const (
	defaultLate   = 60 * time.Second
	defaultGroup  = 2000
	defaultLinger = 2 * time.Millisecond
)

// Ingest is running between Run's start and its return.
type Ingest struct {
	Config
	lanes   []chan Message // one per unpacker; a device always uses the same
	items   chan item      // unpacked, to the writer
	coming  atomic.Int64   // messages taken and not yet at the writer
	keys    keyring
	outgo   *outgoing
	stopped chan struct{}
	patient time.Duration // patienceTime

	mu     sync.Mutex
	health Health // guarded by mu
}

// Health is what an operator must know of ingest.
type Health struct {
	Err   error     // why nothing can be stored at present, nil when it can
	Since time.Time // the first failure
	Tries uint64    // failed commits since then
}

// unpackers and the length of their queues bound what waits in memory: a full
// queue makes the broker link wait, and that the devices.
const (
	unpackers = 2
	laneDepth = 64
)

// New checks the configuration and makes an Ingest; nothing runs yet.
func New(c Config) (*Ingest, error) {
	switch {
	case c.Store == nil, c.Ledger == nil, c.Directory == nil, c.Publisher == nil, c.Outbox == nil:
		return nil, errors.New("ingest: store, ledger, directory, publisher and outbox are required")
	case c.Receipts == nil, c.Log == nil:
		return nil, errors.New("ingest: receipt key and log are required")
	}
	if c.LateAfter <= 0 {
		c.LateAfter = defaultLate
	}
	if c.Group <= 0 {
		c.Group = defaultGroup
	}
	if c.Linger <= 0 {
		c.Linger = defaultLinger
	}
	i := &Ingest{Config: c, items: make(chan item, 4*laneDepth), stopped: make(chan struct{}), patient: patienceTime}
	for range unpackers {
		i.lanes = append(i.lanes, make(chan Message, laneDepth))
	}
	i.keys.store = c.Store
	i.outgo = newOutgoing(c)
	return i, nil
}

// ErrStopped says that Run has ended or is ending.
var ErrStopped = errors.New("ingest has stopped")

// Run works until ctx ends. What was not committed by then is not acknowledged,
// and its devices still have it.
func (i *Ingest) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	for _, lane := range i.lanes {
		wg.Go(func() { i.unpack(ctx, lane) })
	}
	wg.Go(func() { i.outgo.run(ctx) })
	err := newWriter(i).run(ctx)
	close(i.stopped)
	cancel()
	wg.Wait()
	return err
}

// Handle takes one message. It returns as soon as the message waits its turn
// and blocks while too many do.
func (i *Ingest) Handle(ctx context.Context, m Message) error {
	i.coming.Add(1)
	select {
	case i.lanes[laneOf(m.Device)] <- m:
		return nil
	case <-ctx.Done():
		i.coming.Add(-1)
		return ctx.Err()
	case <-i.stopped:
		i.coming.Add(-1)
		return ErrStopped
	}
}

func laneOf(d record.DeviceID) int {
	sum := 0
	for _, c := range []byte(d) {
		sum += int(c)
	}
	return sum % unpackers
}

// Record makes facts of people and of the hub durable and returns after the
// commit. A failure is an *record.Error with CodeStoreFailed, and nothing was
// written. Received, Quality and Basis are filled in where they are empty.
func (i *Ingest) Record(ctx context.Context, facts []ledger.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	now := clock.Now().UTC()
	own := make([]ledger.Fact, len(facts))
	for n, f := range facts {
		if f.Row.Kind == "" {
			return errors.New("record: a fact without a kind")
		}
		own[n] = complete(f, now)
	}
	done := make(chan error, 1)
	select {
	case i.items <- item{facts: own, done: done}:
	case <-ctx.Done():
		return ctx.Err()
	case <-i.stopped:
		return ErrStopped
	}
	select {
	case err := <-done:
		if err != nil {
			return record.Fail(record.CodeStoreFailed, fmt.Errorf("record: %w", err))
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-i.stopped:
		select { // the writer may have answered in its last breath
		case err := <-done:
			return err
		default:
			return ErrStopped
		}
	}
}

// Health tells whether facts can be stored.
func (i *Ingest) Health() Health {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.health
}

func (i *Ingest) setHealth(h Health) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.health = h
}

// complete fills in what every row has.
func complete(f ledger.Fact, now time.Time) ledger.Fact {
	r := &f.Row
	if r.Received.IsZero() {
		r.Received = now
	}
	if r.At.IsZero() {
		r.At = r.Received
	}
	r.At, r.Received = r.At.UTC(), r.Received.UTC()
	if r.Quality == "" {
		r.Quality = record.TimeSynced // the hub's own clock
	}
	if len(r.Basis) == 0 {
		r.Basis = Basis(r.Kind)
	}
	return f
}
