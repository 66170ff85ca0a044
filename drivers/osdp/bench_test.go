package osdp_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

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

// BenchmarkCardToReading measures from the card at the reader to the Reading, on
// byte-paced cables in memory and in real time, while people are about. The
// limit is what the bytes alone take: half a poll cycle and the answer.
func BenchmarkCardToReading(b *testing.B) {
	for _, baud := range []int{9600, 115200} {
		for _, secure := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/%s", baud, map[bool]string{false: "clear", true: "secure"}[secure]), func(b *testing.B) {
				cardToReading(b, baud, secure)
			})
		}
	}
}

func cardToReading(b *testing.B, baud int, secure bool) {
	pd, cfg := newReader(0), oneReader(0)
	bytes := 9 + 8 + 2*16
	if secure {
		pd, cfg = secureReader(0, ownKey[:]), secureConfig(0)
		bytes = 15 + 14 + 2*30
	}
	cfg.Baud = baud
	link := &cable{baud: baud, readers: []*reader{pd}}
	b.Cleanup(link.close)
	sink := &stamps{at: make(chan time.Time, 1), online: make(chan bool, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mustBus(b, cfg, link.open).Readers()[0].Run(ctx, sink) }()
	defer func() { cancel(); <-done }()
	<-sink.online
	var took []time.Duration
	for i := range b.N {
		time.Sleep(100*time.Millisecond + time.Duration(i*7919%40000)*time.Microsecond)
		began := time.Now()
		pd.Present(card(b, 26, byte(i), 2, 3, 0x40))
		took = append(took, (<-sink.at).Sub(began))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(float64(bytes)*5000/float64(baud), "limit-ms")
	b.ReportMetric(0, "ns/op")
}
