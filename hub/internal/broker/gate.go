package broker

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// bucket is a token bucket: burst at once, rate per second after that.
type bucket struct {
	burst, rate float64
	tokens      float64
	at          time.Time
}

func newBucket(burst int, perSecond float64) bucket {
	return bucket{burst: float64(burst), rate: perSecond, tokens: float64(burst)}
}

func (b *bucket) refill(now time.Time) {
	if !b.at.IsZero() {
		b.tokens = min(b.burst, b.tokens+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
}

// take uses a token, if there is one.
func (b *bucket) take(now time.Time) bool {
	b.refill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// gate counts connections, slows down addresses and shuts out identities that
// keep offending. Addresses are blamed for what happens before a certificate was
// accepted, identities for what happens after, so that devices behind one
// address translation do not pay for each other once they are known.
type gate struct {
	limits Limits

	mu     sync.Mutex
	conns  int
	unauth int
	addrs  map[string]int     // connections not yet accepted, per origin
	blamed map[string]*bucket // by origin or identity key; absent means full
}

// maxBlamed bounds the memory of offenders; when it is full, those who have
// behaved longest are forgotten first (they are the ones with full buckets).
const maxBlamed = 4_096

func newGate(l Limits) *gate {
	return &gate{limits: l, addrs: map[string]int{}, blamed: map[string]*bucket{}}
}

// tarpit is how long a connection of an offending address waits, and tarpitRoom
// how many of them may wait at once. An address is never shut out altogether:
// a door controller may stand behind the same address translation.
const (
	tarpit     = 250 * time.Millisecond
	tarpitRoom = 4
)

// enter admits a connection before anything is read from it, or says why not.
// A slow one waits for tarpit first.
func (g *gate) enter(origin string, now time.Time) (slow bool, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	slow = g.shutLocked(origin, now)
	switch {
	case g.conns >= g.limits.MaxConns:
		return slow, "too many connections in all"
	case g.unauth >= g.limits.MaxUnauth:
		return slow, "too many unauthenticated connections in all"
	case g.addrs[origin] >= g.limits.MaxUnauthAddr:
		return slow, "too many unauthenticated connections from one address"
	case slow && g.addrs[origin] >= tarpitRoom:
		return slow, "too many violations from this address"
	}
	g.conns++
	g.unauth++
	g.addrs[origin]++
	return slow, ""
}

// accepted moves a connection of origin from unauthenticated to accepted.
func (g *gate) accepted(origin string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unauth--
	if g.addrs[origin]--; g.addrs[origin] == 0 {
		delete(g.addrs, origin)
	}
}

// leave forgets a connection that was accepted.
func (g *gate) leave() {
	g.mu.Lock()
	g.conns--
	g.mu.Unlock()
}

// blame counts a violation against an origin or identity.
func (g *gate) blame(key string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.blamed[key]
	if b == nil {
		if len(g.blamed) >= maxBlamed {
			g.forgiveLocked(now)
		}
		if len(g.blamed) >= maxBlamed {
			return
		}
		n := newBucket(g.limits.ViolationBurst, float64(g.limits.ViolationRate)/60)
		b = &n
		g.blamed[key] = b
	}
	b.take(now)
}

// shut tells whether key has used up its patience.
func (g *gate) shut(key string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shutLocked(key, now)
}

func (g *gate) shutLocked(key string, now time.Time) bool {
	b := g.blamed[key]
	if b == nil {
		return false
	}
	b.refill(now)
	return b.tokens < 1
}

func (g *gate) forgiveLocked(now time.Time) {
	for key, b := range g.blamed {
		if b.refill(now); b.tokens >= b.burst {
			delete(g.blamed, key)
		}
	}
}

// key is an identity in the gate; it cannot collide with an address.
func (i Identity) key() string { return string(i.Role) + "/" + i.Name }

// hostOf is the address of a connection without its port.
func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// originOf is what the gate counts by: an IPv4 address, or the /64 of an IPv6
// address, of which one machine has as many as it likes.
func originOf(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Is4() || ip.Is4In6() {
		return host
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
