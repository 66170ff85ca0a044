package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sekimori/internal/clock"
)

// Kind names what was seen. The hub writes one ledger row per finding.
type Kind string

// Kinds of findings.
const (
	KindPlainTCP           Kind = "plain_tcp"           // first bytes are not TLS [002-22(8)]
	KindHandshakeFailed    Kind = "handshake_failed"    // TLS began and did not end, or an old TLS version
	KindNoCertificate      Kind = "no_certificate"      //
	KindForeignCertificate Kind = "foreign_certificate" // not signed by our CA, or not a form we issue
	KindExpiredCertificate Kind = "expired_certificate" // signed by our CA [T-51]
	KindRevokedCertificate Kind = "revoked_certificate" //
	KindUnknownDevice      Kind = "unknown_device"      // good certificate, device not in service
	KindProtocolVersion    Kind = "protocol_version"    // anything but MQTT 3.1.1
	KindClientID           Kind = "client_id"           // client id is not the certificate's name [T-50]
	KindForbiddenFeature   Kind = "forbidden_feature"   // will, retain, QoS 2, persistent session, password
	KindMalformedPacket    Kind = "malformed_packet"    //
	KindOversizedPacket    Kind = "oversized_packet"    //
	KindWrongTopic         Kind = "wrong_topic"         // publish or subscribe beyond the identity's rights
	KindTakeover           Kind = "takeover"            // the same identity came a second time: a clone, or a cut cable [002-23(3)ア]
	KindSlowConsumer       Kind = "slow_consumer"       // a device did not read what the hub sent
	KindSlowConnect        Kind = "slow_connect"        // TLS or CONNECT took too long
	KindFlood              Kind = "flood"               // too many connections, violations or control packets
	KindPanic              Kind = "panic"               // our own fault, contained to one connection
)

// Finding is a security observation. Findings of the same kind, remote and
// identity are counted together: the first is reported at once, the others of
// the following minute as one finding with their number.
type Finding struct {
	At       time.Time `json:"at"` // of the newest occurrence
	Kind     Kind      `json:"kind"`
	Remote   string    `json:"remote"`             // address without port; "*" where too many addresses were seen
	Identity string    `json:"identity,omitempty"` // proven by a certificate, else empty
	Detail   string    `json:"detail"`             // English, for operators, of the newest occurrence
	Count    int       `json:"count"`              // occurrences since the last finding of this key
}

type findingKey struct {
	kind             Kind
	remote, identity string
}

// maxFindingKeys bounds what a flood from many addresses can make us remember;
// further addresses are counted under "*".
const maxFindingKeys = 1_024

const maxDetail = 300 // bytes

// aggregator counts findings and hands them to sink from its own goroutine, so
// that a slow sink costs no connection anything.
type aggregator struct {
	window time.Duration
	sink   func(Finding)
	wake   chan struct{}

	mu    sync.Mutex
	fresh []findingKey            // seen for the first time, to be reported now
	open  map[findingKey]*Finding // counted in the current window
}

func newAggregator(window time.Duration, sink func(Finding)) *aggregator {
	return &aggregator{window: window, sink: sink, wake: make(chan struct{}, 1), open: map[findingKey]*Finding{}}
}

func (a *aggregator) report(kind Kind, remote, identity, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := findingKey{kind, remote, identity}
	f := a.open[key]
	if f == nil && len(a.open) >= maxFindingKeys {
		key = findingKey{kind, "*", ""}
		f = a.open[key]
	}
	if f == nil {
		f = &Finding{Kind: key.kind, Remote: key.remote, Identity: key.identity}
		a.open[key] = f
		a.fresh = append(a.fresh, key)
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	f.Count++
	f.At, f.Detail = clock.Now(), detail
}

// run hands findings over until ctx ends, and then what is left.
func (a *aggregator) run(ctx context.Context) {
	tick := time.NewTicker(a.window)
	defer tick.Stop()
	for {
		select {
		case <-a.wake:
			a.flushFresh()
		case <-tick.C:
			a.flushAll()
		case <-ctx.Done():
			a.flushAll()
			return
		}
	}
}

func (a *aggregator) flushFresh() {
	a.mu.Lock()
	out := make([]Finding, 0, len(a.fresh))
	for _, key := range a.fresh {
		if f := a.open[key]; f != nil && f.Count > 0 {
			out = append(out, *f)
			f.Count = 0
		}
	}
	a.fresh = a.fresh[:0]
	a.mu.Unlock()
	for _, f := range out {
		a.sink(f)
	}
}

// flushAll ends the window: keys that stayed quiet are forgotten, so that their
// next occurrence is reported at once again.
func (a *aggregator) flushAll() {
	a.mu.Lock()
	var out []Finding
	for key, f := range a.open {
		if f.Count == 0 {
			delete(a.open, key)
			continue
		}
		out = append(out, *f)
		f.Count = 0
	}
	a.fresh = a.fresh[:0]
	a.mu.Unlock()
	for _, f := range out {
		a.sink(f)
	}
}
