// Package brokerlink is the hub's one way to its devices: a client of whatever
// broker is configured. Embedded or external, the hub above sees only a Link.
//
//	ingest, policy, orders ── Link ── paho ──TLS──▶ broker ◀── devices
//
// What a Link promises, and what it does not:
//
//   - Messages of one topic come in the order in which the device sent them.
//   - While the handler works, nothing more is read than a small buffer: a slow
//     hub slows the devices down (back pressure) and loses nothing.
//   - A message can be lost or come twice whenever a connection ends, and Publish
//     returning nil means only that the bytes were handed to the connection. What
//     counts is the hub's receipt, after the commit [T-52].
//   - Nothing here says that a device is on or off, and nothing is retained.
//
// Package linktest is this contract as a test suite; every broker that is
// offered in the settings passes it. paho is used as a dumb pipe: its stores,
// its reconnection and its tokens promise more than they keep.
package brokerlink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sekimori/internal/record"
)

// Message is what a device published.
type Message struct {
	Topic   string          // "sekimori/1/DC-31/up"
	Device  record.DeviceID // "DC-31", from the topic; the broker grants it by certificate [T-50]
	Channel record.Channel  // "up"
	Payload []byte
}

// Handler takes messages one at a time. While it runs, devices wait; ctx is
// that of Run.
type Handler func(ctx context.Context, m Message)

// Link carries bytes between the hub and its devices.
type Link interface {
	// Run keeps the link up and feeds handle until ctx ends, and returns when
	// handle has returned for the last time. It returns an error only if it is
	// called twice.
	Run(ctx context.Context, handle Handler) error

	// Publish hands payload to the connection. It fails with ErrNotConnected
	// while there is none; a device that is not there misses the message.
	// It may be called from the handler and from several goroutines.
	Publish(ctx context.Context, topic string, payload []byte) error
}

// ErrNotConnected says that the broker cannot be reached at the moment. Trying
// again later is right; so is not trying, since a device asks for what it lacks.
var ErrNotConnected = errors.New("no connection to the broker")

// Config names a broker and who we are to it.
type Config struct {
	Addr string      // "127.0.0.1:8883"
	TLS  *tls.Config // with the hub's certificate and the broker's authority
	Log  *slog.Logger

	// OnState, if set, hears of every change, for the console's link state
	// [000-27]; err is why the link went down or did not come up.
	OnState func(up bool, err error)
}

// hubID is the hub's client id: the name in its certificate.
const hubID = "hub"

// filters are what the hub listens to.
func filters() map[string]byte {
	wanted := map[string]byte{} // QoS 0
	for _, c := range record.FromDevice {
		wanted[record.HubFilter(c)] = 0
	}
	return wanted
}

const (
	inboxSize    = 64                     // messages between paho and the handler
	maxPacket    = 1 << 20                // bytes; the broker is not trusted either
	keepAlive    = 20 * time.Second       //
	pingTimeout  = 60 * time.Second       // also how long the handler may stand still before the link is made anew
	writeTimeout = 5 * time.Second        //
	dialTimeout  = 10 * time.Second       //
	firstDelay   = 100 * time.Millisecond // between attempts, doubled up to
	maxDelay     = 15 * time.Second
)

func (c Config) check() error {
	var faults []error
	if c.Addr == "" {
		faults = append(faults, errors.New("field Addr: no address"))
	}
	if c.TLS == nil {
		faults = append(faults, errors.New("field TLS: only mutual TLS is spoken [002-22(8)]"))
	}
	if c.Log == nil {
		faults = append(faults, errors.New("field Log: none given"))
	}
	if len(faults) > 0 {
		return fmt.Errorf("broker link: %w", errors.Join(faults...))
	}
	return nil
}
