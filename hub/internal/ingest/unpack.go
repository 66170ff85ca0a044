package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// item is one thing for the writer: exactly one of its parts is set.
type item struct {
	parcel  *parcel
	ask     *question
	finding *finding
	facts   []ledger.Fact // with done
	done    chan error    // buffered by one
}

// events is what an item adds to a group.
func (i item) events() int {
	if i.parcel != nil {
		return len(i.parcel.facts)
	}
	return max(1, len(i.facts))
}

// parcel is a batch whose signature and commitments are right.
type parcel struct {
	head     record.BatchHead
	key      record.PublicKey // that verified it
	envelope []byte
	facts    []ledger.Fact // one per commitment, in order; Envelope not yet known
	prevs    []record.Hash // what each event says of the one before
	readable []bool        // prevs and kinds can be used
	faults   []finding     // what is wrong inside, nothing of which stops it
	policy   *activation   // the newest confirmation in it
	started  *record.EpochStarted
}

// activation is a device's own confirmation of a policy.
type activation struct {
	version uint64
	at      time.Time
}

// question is an ask whose signature is right.
type question struct {
	record.Ask
	key    record.PublicKey
	status *record.Status      // of sync and heartbeat
	cosign *record.Cosignature // of cosign
}

// keyring remembers device keys, so that a signature costs no query. The writer
// compares the key with the device's present one.
type keyring struct {
	store store.Store

	mu   sync.RWMutex
	keys map[record.DeviceID]record.PublicKey // guarded by mu
}

// of gives a device's key; fresh asks the store whatever is remembered.
func (k *keyring) of(ctx context.Context, d record.DeviceID, fresh bool) (record.PublicKey, error) {
	if !fresh {
		k.mu.RLock()
		key, ok := k.keys[d]
		k.mu.RUnlock()
		if ok {
			return key, nil
		}
	}
	var state store.DeviceState
	err := k.store.View(ctx, func(tx store.ReadTx) (err error) {
		state, err = tx.Device(d)
		return err
	})
	if err != nil {
		return record.PublicKey{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[record.DeviceID]record.PublicKey{}
	}
	k.keys[d] = state.Key
	return state.Key, nil
}

// verify runs check with the device's key, and again with the stored one when
// it was renewed since it was remembered [T-51].
func (k *keyring) verify(ctx context.Context, d record.DeviceID, check func(record.PublicKey) error) (record.PublicKey, error) {
	key, err := k.of(ctx, d, false)
	if err != nil {
		return key, err
	}
	first := check(key)
	if first == nil {
		return key, nil
	}
	again, err := k.of(ctx, d, true)
	if err != nil {
		return key, err
	}
	if again.ID() == key.ID() {
		return key, first
	}
	return again, check(again)
}

// unpack checks messages of one lane, in order.
func (i *Ingest) unpack(ctx context.Context, lane <-chan Message) {
	for {
		var m Message
		select {
		case <-ctx.Done():
			return
		case m = <-lane:
		}
		it, err := i.open(ctx, m)
		if err != nil {
			f := findingOf(m, err)
			it = item{finding: &f}
		}
		select {
		case i.items <- it:
		case <-ctx.Done():
		}
		i.coming.Add(-1)
	}
}

// open turns a message into an item; errors are findings.
func (i *Ingest) open(ctx context.Context, m Message) (item, error) {
	switch m.Channel {
	case record.ChannelUp:
		p, err := i.openBatch(ctx, m)
		return item{parcel: p}, err
	case record.ChannelAsk:
		q, err := i.openAsk(ctx, m)
		return item{ask: q}, err
	}
	return item{}, record.Fail(record.CodeMalformed, fmt.Errorf("channel %q is not a device's", m.Channel))
}

func (i *Ingest) openBatch(ctx context.Context, m Message) (*parcel, error) {
	batch, err := record.DecodeBatch(m.Payload)
	if err != nil {
		return nil, err
	}
	p := &parcel{envelope: batch.Envelope}
	p.key, err = i.keys.verify(ctx, m.Device, func(k record.PublicKey) (err error) {
		p.head, err = batch.Verify(k)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.head.Device != m.Device {
		return nil, record.Fail(record.CodeWrongDevice, fmt.Errorf("a batch of %s on the topic of %s", p.head.Device, m.Device))
	}
	if p.head.First > math.MaxInt64-record.MaxBatchEvents {
		return nil, record.Fail(record.CodeMalformed, errors.New("sequence number out of range"))
	}
	i.read(p, batch, clock.Now().UTC())
	return p, nil
}

// read makes a fact of each event.
func (i *Ingest) read(p *parcel, b record.Batch, received time.Time) {
	n := len(b.Events)
	p.facts, p.prevs, p.readable = make([]ledger.Fact, n), make([]record.Hash, n), make([]bool, n)
	for x := range b.Events {
		seq := p.head.First + uint64(x)
		f := ledger.Fact{Event: b.Events[x], EventSalt: b.Salts[x], Row: ledger.Row{
			Device: p.head.Device, Epoch: p.head.Epoch, Seq: seq, Event: p.head.Commitments[x], Received: received, Via: "agent",
		}}
		e, err := record.DecodeEvent(b.Events[x])
		if err == nil {
			err = p.believe(e, seq)
		} else {
			err = record.Fail(record.CodeMalformed, err)
		}
		if err != nil {
			p.faults = append(p.faults, finding{what: FindingUnreadable, code: record.CodeOf(err), device: p.head.Device, detail: fmt.Sprintf("seq %d: %v", seq, err)})
			f.Row.Kind, f.Row.At, f.Row.Quality = ledger.KindOpaqueEvent, received, record.TimeUnsynced
		} else {
			p.prevs[x], p.readable[x] = e.Prev, true
			i.describe(&f.Row, e, p.head.Dating)
			p.note(e, f.Row.At)
		}
		p.facts[x] = complete(f, received)
	}
}

// believe refuses an event that contradicts the head it came under: it is kept,
// but not read as what it claims to be.
func (p *parcel) believe(e record.Event, seq uint64) error {
	switch {
	case e.Device != p.head.Device:
		return record.Fail(record.CodeWrongDevice, fmt.Errorf("the event names device %s", e.Device))
	case e.Epoch != p.head.Epoch || e.Seq != seq:
		return record.Fail(record.CodeEventChanged, fmt.Errorf("the event names seq %d of epoch %s", e.Seq, e.Epoch))
	case hubKind(e.Kind):
		return record.Fail(record.CodeMalformed, fmt.Errorf("a device states %s", e.Kind))
	}
	return nil
}

// describe fills a row from its event: when it happened, and who it was then.
func (i *Ingest) describe(r *ledger.Row, e record.Event, dating []record.BootClock) {
	r.Kind = e.Kind
	r.At, r.Quality = when(e, dating, r.Received)
	r.Late = r.Received.Sub(r.At) > i.LateAfter // [T-41]
	if len(e.Body) == 0 {
		return
	}
	var who struct {
		Person record.PersonID `json:"person"`
		By     record.PersonID `json:"by"`
		Issuer record.PersonID `json:"issuer"`
	}
	if err := json.Unmarshal(e.Body, &who); err != nil {
		return // a body of a later version: kept, not interpreted
	}
	r.Who = i.person(who.Person, r.At)
	r.Actor = i.person(who.By, r.At)
	if r.Actor == nil {
		r.Actor = i.person(who.Issuer, r.At)
	}
}

// person resolves as of the event's time; someone unknown keeps their ID.
func (i *Ingest) person(id record.PersonID, at time.Time) *ledger.Resolved {
	if id == "" {
		return nil
	}
	who, ok := i.Directory.Resolve(id, at)
	if !ok {
		who = ledger.Resolved{}
	}
	who.Person = id
	return &who
}

// note keeps what the writer needs of an event beyond its row.
func (p *parcel) note(e record.Event, at time.Time) {
	switch e.Kind {
	case record.KindPolicyActivated:
		var body record.PolicyActivated
		if record.DecodeBody(e.Body, &body) == nil && (p.policy == nil || body.Version >= p.policy.version) {
			p.policy = &activation{body.Version, at}
		}
	case record.KindEpochStarted:
		var body record.EpochStarted
		if e.Seq == 1 && record.DecodeBody(e.Body, &body) == nil {
			p.started = &body
		}
	}
}

func (i *Ingest) openAsk(ctx context.Context, m Message) (*question, error) {
	q := &question{}
	var err error
	q.key, err = i.keys.verify(ctx, m.Device, func(k record.PublicKey) error {
		_, err := record.Unseal([]record.PublicKey{k}, record.TypeAsk, m.Payload, &q.Ask)
		return err
	})
	if err != nil {
		return nil, err
	}
	if q.Device != m.Device {
		return nil, record.Fail(record.CodeWrongDevice, fmt.Errorf("a question of %s on the topic of %s", q.Device, m.Device))
	}
	switch q.Question {
	case record.AskSync, record.AskHeartbeat:
		q.status = &record.Status{}
		err = record.DecodeBody(q.Body, q.status)
	case record.AskCosign:
		q.cosign = &record.Cosignature{}
		err = record.DecodeBody(q.Body, q.cosign)
	default:
		err = fmt.Errorf("question %q", q.Question)
	}
	if err != nil {
		return nil, record.Fail(record.CodeMalformed, err)
	}
	return q, nil
}
