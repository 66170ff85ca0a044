package ingest_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// BenchmarkThroughput is durable events per second of 100 devices with a
// backlog, from the broker link's hand-over to the commit, on the real store.
// The devices' signing is not counted.
func BenchmarkThroughput(b *testing.B) {
	for _, size := range []int{10, 50, 250} {
		b.Run(fmt.Sprintf("batch%d", size), func(b *testing.B) {
			r := newRig(b)
			work, total := backlog(b, r, 100, size, b.N)
			b.ResetTimer()
			for _, m := range work {
				if err := r.in.Handle(context.Background(), m); err != nil {
					b.Fatal(err)
				}
			}
			r.awaitSize(int64(total))
			b.StopTimer()
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(r.fault.updates.Load()), "commits")
		})
	}
}

// BenchmarkWithRegisters is the same with the projector at work: events per
// second until the last one is in its register too.
func BenchmarkWithRegisters(b *testing.B) {
	r := newRig(b)
	work, total := backlog(b, r, 100, 50, b.N)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	p := register.Projector{Store: r.st, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.ResetTimer()
	for _, m := range work {
		if err := r.in.Handle(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
	r.awaitSize(int64(total))
	durable := b.Elapsed()
	reader := register.Reader{Store: r.st}
	r.await("the registers", func() bool {
		n, err := reader.Cursor(context.Background())
		return err == nil && n >= int64(total)-1
	})
	b.StopTimer()
	cancel()
	wg.Wait()
	b.ReportMetric(float64(total)/durable.Seconds(), "durable-events/s")
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "registered-events/s")
}

// backlog is about n events as batches of the devices in turn.
func backlog(b *testing.B, r *rig, devices, size, n int) (work []ingest.Message, total int) {
	rounds := max(1, n/(devices*size))
	list := make([]*device, devices)
	for i := range list {
		list[i] = r.device(record.DeviceID(fmt.Sprintf("DC-%d", i)))
	}
	for range rounds {
		for _, d := range list {
			from := len(d.events) + 1
			for n := range size {
				p := passage(record.PersonID("P-" + d.id))
				kind := []record.Kind{record.KindGranted, record.KindEntered, record.KindGranted, record.KindExited}[(from+n)%4]
				d.write(kind, p)
			}
			work = append(work, ingest.Message{Device: d.id, Channel: record.ChannelUp, Payload: d.batch(from, from+size-1)})
			total += size
		}
	}
	return work, total
}

func (r *rig) awaitSize(want int64) {
	r.tb.Helper()
	for have := int64(0); have < want; {
		changed := r.st.Changed()
		if err := r.st.View(context.Background(), func(tx store.ReadTx) (err error) {
			have, err = tx.Size()
			return err
		}); err != nil {
			r.tb.Fatal(err)
		}
		if have < want {
			select {
			case <-changed:
			case <-time.After(time.Second):
			}
		}
	}
}

// BenchmarkLatency is the time from hand-over to the receipt at 1,000 events a
// second, one event per batch, from 100 devices.
func BenchmarkLatency(b *testing.B) {
	r := newRig(b)
	work, total := backlog(b, r, 100, 1, b.N)
	var mu sync.Mutex
	sentAt := map[string][]time.Time{}
	var took []time.Duration
	r.before = func(topic string) {
		mu.Lock()
		defer mu.Unlock()
		for _, at := range sentAt[topic] { // a receipt is cumulative
			took = append(took, time.Since(at))
		}
		sentAt[topic] = nil
	}
	b.ResetTimer()
	next := time.Now()
	for _, m := range work {
		time.Sleep(time.Until(next))
		next = next.Add(time.Millisecond)
		topic := record.Topic(m.Device, record.ChannelReceipt)
		mu.Lock()
		sentAt[topic] = append(sentAt[topic], time.Now())
		mu.Unlock()
		if err := r.in.Handle(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
	r.awaitSize(int64(total))
	r.await("all receipts", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(took) == total
	})
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(r.fault.updates.Load()), "commits")
}
