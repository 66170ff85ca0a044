package agent_test

import (
	"context"
	"log"
	"time"

	"sekimori/agent"
	"sekimori/drivers"
	"sekimori/drivers/gpio"
	"sekimori/internal/clock"
)

// turnstile is a maker's own reader: anything that is a drivers.Reader.
type turnstile struct {
	cards <-chan []byte // 26 bits, left-aligned, from the maker's hardware
}

func (t turnstile) Run(ctx context.Context, sink drivers.Sink) error {
	sink.Health(drivers.Health{Reader: "D1-in", Online: true})
	for {
		select {
		case <-ctx.Done():
			return nil
		case bits := <-t.cards:
			card, err := drivers.NewCard(bits, 26)
			if err != nil {
				continue
			}
			sink.Reading(drivers.Reading{Reader: "D1-in", Proof: drivers.ProofUIDOnly, Card: card, At: clock.Mono()})
		}
	}
}

func (turnstile) Show(drivers.Signal) {}

// A maker of door controllers embeds the agent with their own reader.
func Example_embedded() {
	ctx := context.Background()
	lines, err := gpio.Open(ctx, gpio.Config{Backend: gpio.Kernel, Chip: "gpiochip0", Lines: map[string]gpio.Line{
		"relay": {Name: "17"}, "contact": {Name: "27"}, "rex": {Name: "22"}, "fire": {Name: "23"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	err = agent.Run(ctx, agent.Config{
		Device:   "TS-01",
		StateDir: "/var/lib/turnstile/sekimori",
		Hub:      agent.Hub{MQTT: "hub.example:8883", HTTPS: "hub.example:8443", Heartbeat: 30 * time.Second},
		Lines:    lines,
		Doors: []agent.Door{{
			Code:  "D1",
			Relay: agent.Line{Name: "relay"}, Contact: agent.Line{Name: "contact"},
			REX: agent.Line{Name: "rex", ActiveLow: true}, Fire: agent.Line{Name: "fire"},
			Readers: []agent.Reader{{ID: "D1-in", Driver: turnstile{}}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
}
