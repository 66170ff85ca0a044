package ingest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// outgoing seals and sends what the writer has decided, so that neither a
// signature nor a slow broker holds up the next commit. Of receipts only the
// newest per device waits: each says everything the ones before it said.
type outgoing struct {
	Config
	wake chan struct{} // one slot

	mu       sync.Mutex
	receipts map[record.DeviceID]record.Receipt // guarded by mu
	answers  []reply                            // guarded by mu

	pushed map[record.DeviceID]time.Duration // run's: when a device was last brought up to date
}

// pushEvery is the shortest time between pushes to a device that stays
// connected. On connecting, a device that is behind is served at once.
const pushEvery = time.Minute

// maxAnswers bounds what waits while the broker is away; an asker asks again.
const maxAnswers = 4096

func newOutgoing(c Config) *outgoing {
	return &outgoing{Config: c, wake: make(chan struct{}, 1), receipts: map[record.DeviceID]record.Receipt{},
		pushed: map[record.DeviceID]time.Duration{}}
}

func (o *outgoing) receipt(r record.Receipt) {
	o.mu.Lock()
	if before, ok := o.receipts[r.Device]; ok && r.Log == nil {
		r.Log = before.Log
	}
	o.receipts[r.Device] = r
	o.mu.Unlock()
	o.signal()
}

func (o *outgoing) answer(r reply) {
	o.mu.Lock()
	if len(o.answers) >= maxAnswers {
		o.answers = slices.Delete(o.answers, 0, 1)
	}
	o.answers = append(o.answers, r)
	o.mu.Unlock()
	o.signal()
}

func (o *outgoing) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run sends until ctx ends. Answers go first: a clock hangs on them.
func (o *outgoing) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		o.mu.Lock()
		answers, receipts := o.answers, o.receipts
		o.answers, o.receipts = nil, map[record.DeviceID]record.Receipt{}
		o.mu.Unlock()
		for _, r := range answers {
			o.sendAnswer(ctx, r)
		}
		for _, d := range slices.Sorted(maps.Keys(receipts)) {
			r := receipts[d]
			r.HubTime = clock.Now().UTC()
			o.send(ctx, d, record.ChannelReceipt, record.TypeReceipt, r)
		}
	}
}

// sendAnswer reads the clock last, because the device measures from it. A device
// that is behind is then brought up to date.
func (o *outgoing) sendAnswer(ctx context.Context, r reply) {
	d := r.answer.Device
	r.answer.HubTime = clock.Now().UTC()
	o.send(ctx, d, record.ChannelAnswer, record.TypeAnswer, r.answer)
	policy, orders := r.behind()
	if !r.believed() || !policy && !orders {
		return
	}
	now := clock.Mono()
	if last, ok := o.pushed[d]; ok && !r.sync && now-last < pushEvery {
		return // still on its way
	}
	o.pushed[d] = now
	if policy {
		o.Outbox.PushPolicy(d)
	}
	if orders {
		o.Outbox.PushOrders(d)
	}
}

func (o *outgoing) send(ctx context.Context, d record.DeviceID, c record.Channel, t record.PayloadType, body any) {
	sealed, err := record.Seal(o.Receipts, t, body)
	if err == nil {
		err = o.Publisher.Publish(ctx, record.Topic(d, c), sealed)
	}
	if err != nil && ctx.Err() == nil {
		o.Log.Warn("not sent to the device; it will ask again", "device", d, "channel", c, "err", err)
	}
}
