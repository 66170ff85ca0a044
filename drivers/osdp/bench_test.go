package osdp_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
)

func BenchmarkParse(b *testing.B) {
	frame := raw(b, vectors[2].parts...)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		f, _, err := osdp.Parse(frame)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := osdp.ParseReply(f.Code, f.Data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCardToReading measures from the card at the reader to the Reading,
// over a cable in memory with and without the time bytes take on a wire. Cards
// come at uneven moments of an idle bus.
func BenchmarkCardToReading(b *testing.B) {
	for _, c := range []struct {
		name string
		baud int // of the cable; 0 is no wire time
	}{{"9600", 9600}, {"115200", 115200}, {"nowire", 0}} {
		b.Run(c.name, func(b *testing.B) {
			pd, cfg := newReader(0), oneReader(0)
			if cfg.Baud = c.baud; c.baud == 0 {
				cfg.Baud = 115200
			}
			link := &cable{baud: c.baud, readers: []*reader{pd}}
			bus := mustBus(b, cfg, func() (line.Port, error) { return link.open() })
			rec := started(b, bus)[0]
			await(b, "online", isOnline(rec))
			var total time.Duration
			x := card(b, 26, 1, 2, 3, 0x40)
			for i := range b.N {
				time.Sleep(300*time.Millisecond + time.Duration(i*7919%25000)*time.Microsecond)
				began := time.Now()
				pd.Present(x)
				await(b, "the card", func() bool { return len(rec.Readings()) == i+1 })
				total += time.Since(began)
			}
			b.ReportMetric(float64(total.Microseconds())/float64(b.N)/1000, "ms/card")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// started runs all readers of a bus until the test ends.
func started(t testing.TB, bus *osdp.Bus) []*drivertest.Recorder {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	recs := []*drivertest.Recorder{}
	for _, r := range bus.Readers() {
		rec := &drivertest.Recorder{}
		recs = append(recs, rec)
		wg.Go(func() {
			if err := r.Run(ctx, rec); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	return recs
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !ok(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited 10 s for: %s", what)
		}
	}
}
