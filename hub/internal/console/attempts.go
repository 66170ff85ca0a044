package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
)

// attempts is what is remembered of an account's failed sign-ins. It is durable:
// a restart of the hub gives nobody three new tries [001-4.4(8)].
type attempts struct {
	Failed []time.Time `json:"failed,omitempty"`
	Locked time.Time   `json:"locked,omitzero"` // until then
}

// rule is when failures become 試行超過.
type rule struct {
	Limit        int
	Within, Lock time.Duration
}

// locked tells until when nobody may try.
func (a attempts) locked(now time.Time) bool { return now.Before(a.Locked) }

// try counts one attempt before its password is looked at: many at once are
// then counted too. A right password forgets it.
func (a attempts) try(r rule, now time.Time) attempts {
	next := attempts{}
	for _, t := range a.Failed {
		if now.Sub(t) < r.Within && !t.After(now) {
			next.Failed = append(next.Failed, t)
		}
	}
	if next.Failed = append(next.Failed, now); len(next.Failed) >= r.Limit {
		next = attempts{Locked: now.Add(r.Lock)}
	}
	return next
}

const attemptsPrefix = "console/attempts/"

// attemptsName is where an account's attempts lie. Names that are no account
// share 256 places, so that a stranger can neither fill the store nor tell by
// the lock which names exist.
func attemptsName(login string, known bool) string {
	if known {
		return attemptsPrefix + "user/" + login
	}
	sum := sha256.Sum256([]byte(login))
	return attemptsPrefix + "stranger/" + hex.EncodeToString(sum[:1])
}

// begin counts an attempt. refused tells that it may not be made; locks, that
// it is the last one unless its password is right.
func begin(tx store.Tx, name string, r rule, now time.Time) (refused, locks bool, err error) {
	var a attempts
	b, err := tx.State(name)
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, false, err
	}
	if a.locked(now) {
		return true, true, nil
	}
	a = a.try(r, now)
	if b, err = json.Marshal(a); err != nil {
		return false, false, err
	}
	return false, a.locked(now), tx.PutState(name, b)
}

// Unlock forgets an account's failed sign-ins; whoever calls it records who
// released it and why [001-4.4(8)].
func Unlock(tx store.Tx, login string) error {
	err := tx.DeleteState(attemptsName(login, true))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// slowDown holds back an address that keeps trying: a bucket of tries that
// fills again with time. It is memory only; the accounts' locks are durable.
type slowDown struct {
	mu   sync.Mutex
	seen map[string]bucket // guarded by mu
}

type bucket struct {
	left float64
	at   time.Duration // monotonic
}

const (
	addressTries  = 10
	addressRefill = 6 * time.Second // one more try
	addressLimit  = 4096            // addresses remembered
)

func newSlowDown() *slowDown { return &slowDown{seen: map[string]bucket{}} }

// allow takes one try of an address, or says how long to wait for it.
func (s *slowDown) allow(address string) (wait time.Duration) {
	now := clock.Mono()
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.seen[address]
	if !ok {
		s.forgetLocked(now)
		b = bucket{left: addressTries}
	} else {
		b.left = min(addressTries, b.left+float64(now-b.at)/float64(addressRefill))
	}
	b.at = now
	if b.left < 1 {
		wait = time.Duration((1 - b.left) * float64(addressRefill))
	} else {
		b.left--
	}
	s.seen[address] = b
	return wait
}

// forgetLocked makes room: first what has filled up again, then anything.
func (s *slowDown) forgetLocked(now time.Duration) {
	if len(s.seen) < addressLimit {
		return
	}
	for a, b := range s.seen {
		if now-b.at > addressTries*addressRefill {
			delete(s.seen, a)
		}
	}
	for a := range s.seen {
		if len(s.seen) < addressLimit {
			return
		}
		delete(s.seen, a)
	}
}

// address is who a request comes from; one IPv6 network counts as one.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return host
}
