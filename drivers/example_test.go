package drivers_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"sekimori/drivers"
	"sekimori/internal/clock"
)

// Turnstile is a maker's own reader: it prints one line of hex for each card on
// any byte stream. All a maker writes is such a type; the program takes it as
// it takes the readers that come with it.
type Turnstile struct {
	ID    string
	Cable io.ReadCloser

	mu     sync.Mutex
	signal drivers.Signal // guarded by mu: what its lamp shows
}

var _ drivers.Reader = (*Turnstile)(nil)

// Run reads lines until ctx ends. Its talker is this goroutine; the outbox lets
// the sink be slow without stopping the cable.
func (r *Turnstile) Run(ctx context.Context, sink drivers.Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	box := drivers.NewOutbox(64)
	var wg sync.WaitGroup
	wg.Go(func() { box.Deliver(ctx, sink) })
	defer wg.Wait()
	defer cancel()
	// The end of ctx must end a Read that waits.
	defer context.AfterFunc(ctx, func() { r.Cable.Close() })()
	health := drivers.Health{Reader: r.ID, Online: true}
	box.Health(health)
	for lines := bufio.NewScanner(r.Cable); lines.Scan(); {
		card, err := parse(lines.Text())
		if err != nil {
			health.Noise++
			health.Detail = err.Error()
			box.Health(health)
			continue
		}
		health.Frames++
		reading := drivers.Reading{Reader: r.ID, Proof: drivers.ProofUIDOnly, Card: card, At: clock.Mono()}
		if err := box.Reading(ctx, reading); err != nil {
			return nil // ctx has ended
		}
	}
	// A cable fault is health and not an error; a real driver would open the
	// cable again.
	health.Online, health.Detail = false, "cable lost"
	box.Health(health)
	<-ctx.Done()
	return nil
}

// Show remembers the newest signal and returns at once.
func (r *Turnstile) Show(s drivers.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signal = s
}

// parse is the pure codec. Its error names no digit of the card.
func parse(text string) (drivers.Card, error) {
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) == 0 {
		return drivers.Card{}, fmt.Errorf("a line of %d characters is no card", len(text))
	}
	return drivers.NewCard(b, 8*len(b))
}

// printer is the program's side, which here prints.
type printer struct{ done context.CancelFunc }

func (p printer) Reading(r drivers.Reading) { fmt.Println("card:", r.Card, r.Proof) }
func (p printer) Health(h drivers.Health) {
	fmt.Println(strings.TrimSpace(fmt.Sprintln("online:", h.Online, h.Detail)))
	if !h.Online {
		p.done()
	}
}

// How a maker of readers writes a driver.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	var reader drivers.Reader = &Turnstile{ID: "D31-in", Cable: io.NopCloser(strings.NewReader("04a2b3c4\nrubbish\n00ffee01\n"))}
	reader.Show(drivers.SignalIdle)
	if err := reader.Run(ctx, printer{done: cancel}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// online: true
	// card: 32 bits [redacted] uid_only
	// card: 32 bits [redacted] uid_only
	// online: false cable lost
}
