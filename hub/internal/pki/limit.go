package pki

import (
	"sync"
	"time"
)

// limiter is a token bucket per remote address. It forgets full buckets, and
// when strangers come from more addresses than it can hold, they share one.
type limiter struct {
	burst  float64
	refill time.Duration // per token
	now    func() time.Time

	mu      sync.Mutex
	buckets map[string]bucket // guarded by mu
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxRemotes bounds the memory strangers can make the limiter use.
const maxRemotes = 4096

// newLimiter lets burst requests through at once and one more per refill. It
// counts real time: how often a server is called is not business time.
func newLimiter(burst int, refill time.Duration) *limiter {
	return &limiter{burst: float64(burst), refill: refill, now: time.Now, buckets: map[string]bucket{}}
}

func (l *limiter) allow(remote string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if _, known := l.buckets[remote]; !known && len(l.buckets) >= maxRemotes {
		l.forgetLocked(now)
		if len(l.buckets) >= maxRemotes {
			remote = "" // the shared one
		}
	}
	b, known := l.buckets[remote]
	if !known {
		b = bucket{tokens: l.burst, at: now}
	}
	b.tokens, b.at = l.levelLocked(b, now), now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	l.buckets[remote] = b
	return ok
}

func (l *limiter) levelLocked(b bucket, now time.Time) float64 {
	return min(l.burst, b.tokens+float64(now.Sub(b.at))/float64(l.refill))
}

func (l *limiter) forgetLocked(now time.Time) {
	for remote, b := range l.buckets {
		if l.levelLocked(b, now) >= l.burst {
			delete(l.buckets, remote)
		}
	}
}
