package uplink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"sekimori/internal/record"
)

var epochA, epochB = record.Epoch{0xA}, record.Epoch{0xB}

// scene runs f in a bubble with an uplink that is connected, unless f is to
// start it.
func scene(t *testing.T, name string, f func(t *testing.T, r *rig)) {
	t.Helper()
	p := newPKI(t) // outside: making keys is real work
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, build(t, p)) })
	})
}

func (r *rig) wantHeld(epoch record.Epoch, seq uint64) {
	r.t.Helper()
	if got := r.box.ack(epoch); got != seq {
		r.t.Fatalf("epoch %x: %d acknowledged, want %d", epoch[:1], got, seq)
	}
}

// [T-52] Events go in order, in batches, over epochs, and are acknowledged by
// receipts only.
func TestDelivery(t *testing.T) {
	scene(t, "backlog, two epochs, then one by one", func(t *testing.T, r *rig) {
		r.box.add(epochA, 1000)
		r.box.add(epochB, 300)
		r.run()
		defer r.end()
		r.wantHeld(epochA, 1000)
		r.wantHeld(epochB, 300)
		r.box.add(epochB, 1)
		r.pass(time.Millisecond)
		r.wantHeld(epochB, 301)
		var sent uint64
		for n, h := range r.heads() {
			if h.Sent <= sent || h.Boot != (record.BootID{7}) || len(h.Commitments) > record.MaxBatchEvents {
				t.Errorf("batch %d: %+v", n, h)
			}
			sent = h.Sent
			if len(h.Dating) != 1 || !h.Dating[0].Zero.Equal(zero) || h.Dating[0].Boot != h.Boot {
				t.Errorf("batch %d is not dated: %+v", n, h.Dating)
			}
		}
		if r.before != 0 || len(r.set) == 0 {
			t.Errorf("%d batches were sent before the clock was set", r.before)
		}
	})
	scene(t, "the window", func(t *testing.T, r *rig) {
		r.hub.onUp = func(record.BatchHead, record.Batch) {} // no receipts
		r.box.add(epochA, 5000)
		r.run()
		defer r.end()
		n := 0
		for _, h := range r.heads() {
			n += len(h.Commitments)
		}
		if n != 2048 {
			t.Fatalf("%d events under way", n)
		}
		r.wantHeld(epochA, 0)
	})
	scene(t, "going back", func(t *testing.T, r *rig) {
		r.hub.onUp = func(record.BatchHead, record.Batch) {} // lost
		r.box.add(epochA, 10)
		r.run()
		defer r.end()
		r.pass(9 * time.Second)
		if n := len(r.heads()); n != 1 {
			t.Fatalf("%d batches before the wait is over", n)
		}
		r.hub.with(func() { r.hub.onUp = nil })
		r.pass(5 * time.Second)
		r.wantHeld(epochA, 10)
		if heads := r.heads(); len(heads) != 2 || heads[1].First != 1 || heads[1].Sent <= heads[0].Sent {
			t.Fatalf("%+v", heads)
		}
	})
	scene(t, "nothing to send, nothing sent", func(t *testing.T, r *rig) {
		r.box.add(epochA, 3)
		r.run()
		defer r.end()
		r.pass(10 * time.Minute)
		if n := len(r.heads()); n != 1 {
			t.Fatalf("%d batches", n)
		}
	})
	scene(t, "events while the hub is away", func(t *testing.T, r *rig) {
		r.run()
		defer r.end()
		r.hub.cut()
		synctest.Wait()
		for range 20 {
			r.box.add(epochA, 100)
			r.pass(100 * time.Millisecond)
		}
		r.pass(10 * time.Second)
		r.wantHeld(epochA, 2000)
	})
	scene(t, "a hub restored in mid-session", func(t *testing.T, r *rig) {
		r.box.add(epochA, 100)
		r.run()
		defer r.end()
		r.wantHeld(epochA, 100)
		r.hub.with(func() { r.hub.held[epochA] = 40 })
		r.hub.receipt(nil)
		r.pass(time.Millisecond)
		r.wantHeld(epochA, 100)
		if heads := r.heads(); heads[len(heads)-1].First != 41 {
			t.Fatalf("began again at %d", heads[len(heads)-1].First)
		}
	})
}

// Only the hub's own, newest word about this device counts.
func TestReceiptsThatDoNotCount(t *testing.T) {
	one := func(seq uint64) []record.Held { return []record.Held{{Epoch: epochA, Seq: seq}} }
	for name, forge := range map[string]func(r *rig){
		"of another device": func(r *rig) {
			r.hub.receipt(func(x *record.Receipt) { x.Device, x.Held = "DC-21", one(5) })
		},
		"signed by somebody else": func(r *rig) {
			x := record.Receipt{Device: device, Held: one(5), HubTime: time.Now().Add(time.Second)}
			r.hub.publish(record.ChannelReceipt, r.hub.seal(newSigner(r.t), record.TypeReceipt, x))
		},
		"an answer in its place": func(r *rig) {
			x := record.Answer{Device: device, Held: one(5), HubTime: time.Now().Add(time.Second)}
			r.hub.publish(record.ChannelReceipt, r.hub.seal(r.hub.signer, record.TypeAnswer, x))
		},
		"older than the newest word": func(r *rig) {
			r.hub.receipt(func(x *record.Receipt) { x.Held, x.HubTime = one(5), time.Now().Add(-time.Minute) })
		},
		"rubbish": func(r *rig) { r.hub.publish(record.ChannelReceipt, []byte(`{"device":`)) },
	} {
		scene(t, name, func(t *testing.T, r *rig) {
			r.hub.onUp = func(record.BatchHead, record.Batch) {}
			r.box.add(epochA, 10)
			r.run()
			defer r.end()
			for range 50 {
				forge(r)
			}
			r.pass(time.Millisecond)
			r.wantHeld(epochA, 0)
			if n := r.log.count("not accepted"); n != 1 {
				t.Errorf("logged %d times", n)
			}
			r.hub.receipt(func(x *record.Receipt) { x.Held = one(7) }) // the connection is good all the same
			r.pass(time.Millisecond)
			r.wantHeld(epochA, 7)
			r.hub.receipt(func(x *record.Receipt) { x.Held = one(7) }) // twice is once
			r.pass(time.Millisecond)
			r.wantHeld(epochA, 7)
		})
	}
}
