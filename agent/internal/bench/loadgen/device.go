package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"sekimori/agent/internal/facts"
	"sekimori/agent/internal/host"
	"sekimori/agent/internal/identity"
	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
	"sekimori/agent/internal/timekeeper"
	"sekimori/agent/internal/uplink"
	"sekimori/agent/internal/watch"
	"sekimori/internal/bench/measure"
	"sekimori/internal/record"
)

// device is one agent from the journal on: what a door would have judged is
// written by the bench.
type device struct {
	id      record.DeviceID
	who     *identity.Identity
	time    *timekeeper.Keeper
	journal *journal.Journal
	facts   *facts.Writer
	witness *watch.Witness

	ready chan struct{} // closed at the hub's first word of this connection
	leave func()        // ends the connection and waits until it has ended

	mu      sync.Mutex
	started bool                 // guarded by mu; the hub's first word has come
	written map[uint64]time.Time // guarded by mu; when what is not receipted yet was handed to the journal
	took    measure.Times        // guarded by mu; from there to the receipt
	acked   uint64               // guarded by mu
	whole   chan struct{}        // guarded by mu; closed when everything up to want is receipted
	want    uint64               // guarded by mu
	timing  bool                 // guarded by mu
}

// newDevice enrols a device through the hub's own door and opens its journal in
// dir.
func newDevice(ctx context.Context, o options, is issued, via, dir string) (*device, error) {
	d := &device{id: is.device, leave: func() {}, written: map[uint64]time.Time{}}
	code, err := record.ParseEnrolCode(is.code)
	if err != nil {
		return nil, err
	}
	keys := filepath.Join(dir, "identity")
	hubTime, err := identity.Enrol(ctx, keys, via, d.id, code)
	if err != nil {
		return nil, fmt.Errorf("enrol %s: %w", d.id, err)
	}
	if err := timekeeper.Begin(dir, host.BootID(), hubTime); err != nil {
		return nil, err
	}
	if d.who, err = identity.Open(keys, d.id); err != nil {
		return nil, err
	}
	d.time, _ = timekeeper.Open(dir, host.BootID())
	if d.witness, err = watch.Open(dir, func() string { return d.who.Keys().LogKey }); err != nil {
		return nil, err
	}
	d.journal, err = journal.Open(ctx, disk.OS{}, filepath.Join(dir, "journal"), journal.Options{
		Notice: d.notice, SegmentBytes: 1 << 20, ReserveBytes: 64 << 10, MaxBytes: 1 << 30,
	})
	if err != nil {
		return nil, err
	}
	d.facts = facts.New(d.id, host.BootID(), d.time, timed{d})
	return d, nil
}

// notice builds the rows the journal writes by itself; of those a new journal
// writes one.
func (d *device) notice(p journal.Position, n journal.Notice) ([]byte, error) {
	if n.Kind != journal.EpochStarted {
		return nil, errors.New("the bench filled the journal of " + string(d.id))
	}
	return facts.Event(d.id, host.BootID(), d.time.Now(), p, record.KindEpochStarted, record.EpochStarted{})
}

// timed is the journal that notes when it was handed what.
type timed struct{ *device }

func (t timed) Append(ctx context.Context, class journal.Class, build func(journal.Position) ([]byte, error)) (journal.Position, error) {
	handed := time.Now()
	return t.journal.Append(ctx, class, func(p journal.Position) ([]byte, error) {
		t.mu.Lock()
		if t.timing {
			t.written[p.Seq] = handed
		}
		t.mu.Unlock()
		return build(p)
	})
}

// uplink is the agent's own, with a policy that is kept and judges nothing.
func (d *device) uplink(server string) uplink.Config {
	return uplink.Config{
		Device: d.id, Server: server, TLS: func() *tls.Config { return d.who.TLS(d.time.TLSTime) }, Boot: host.BootID(),
		Signer: d.who.Signer(), Receipts: func() []record.PublicKey { return d.who.Keys().For(record.UseReceipt) },
		Outbox: outbox{d}, Clock: d.time, Facts: d.facts, Witness: d.witness,
		Policies: &policies{device: d}, Orders: orders{},
		Status: d.status, Heard: func(context.Context) {}, Every: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
	}
}

// come connects to the hub; leave ends it.
func (d *device) come(ctx context.Context, c uplink.Config) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = uplink.Run(ctx, c) // it returns only when it is told to
	}()
	d.leave = func() {
		cancel()
		<-ended
	}
}

func (d *device) status() record.Status {
	return record.Status{Version: "bench", CertUntil: d.who.Until(), Acked: d.reached()}
}

func (d *device) reached() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acked
}

// last is the newest sequence number of the journal, which has one epoch.
func (d *device) last() uint64 { return d.journal.Epochs()[0].Last }

// until returns a channel that closes when the hub has receipted up to seq.
func (d *device) until(seq uint64) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	whole := make(chan struct{})
	d.want, d.whole = seq, whole
	d.wholeLocked() // it may be so already
	return whole
}

func (d *device) wholeLocked() {
	if d.whole != nil && d.acked >= d.want {
		close(d.whole)
		d.whole = nil
	}
}

// receipted takes the hub's word up to seq.
func (d *device) receipted(seq uint64, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.acked < seq {
		d.acked++
		if at, ok := d.written[d.acked]; ok {
			d.took = append(d.took, now.Sub(at))
			delete(d.written, d.acked)
		}
	}
	d.wholeLocked()
}

// close ends the device's connection too.
func (d *device) close() error {
	d.leave()
	return errors.Join(d.time.Close(), d.journal.Close())
}

// outbox shows the journal to the uplink; it is that of package agent for a
// journal of one epoch.
type outbox struct{ *device }

func (o outbox) Changed() <-chan struct{} { return o.journal.Changed() }

func (o outbox) After(_ record.Epoch, seq uint64, n, bytes int) ([]uplink.Entry, error) {
	e := o.journal.Epochs()[0]
	recs, err := o.journal.Read(e.Epoch, max(seq, e.Acked)+1, n, bytes)
	out := make([]uplink.Entry, len(recs))
	for i, r := range recs {
		out[i] = uplink.Entry{Epoch: record.Epoch(r.Epoch), Seq: r.Seq, Event: r.Event, Salt: r.Salt}
	}
	return out, err
}

func (o outbox) Held(list []record.Held) error {
	now := time.Now()
	o.mu.Lock()
	if !o.started {
		o.started = true
		close(o.ready)
	}
	o.mu.Unlock()
	for _, h := range list {
		if err := o.journal.Acknowledge(journal.Epoch(h.Epoch), h.Seq); err != nil {
			return err
		}
		o.receipted(h.Seq, now)
	}
	return nil
}

// policies keeps the number of the policy it was sent.
type policies struct {
	device  *device
	version uint64 // of the session's goroutine
}

func (p *policies) Version() uint64 { return p.version }

func (p *policies) Activate(_ context.Context, head []byte, chunks [][]byte) error {
	got, err := record.UnpackPolicy(p.device.who.Keys().For(record.UsePolicy), p.device.id, head, chunks)
	if err == nil {
		p.version = got.Version
	}
	return err
}

// orders has none to obey: the hub gives orders to doors.
type orders struct{}

func (orders) Last() uint64 { return 0 }

func (orders) Execute(context.Context, []byte) error {
	return record.Fail(record.CodeOrderUnknown, errors.New("a device without doors"))
}
