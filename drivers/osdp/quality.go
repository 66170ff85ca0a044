package osdp

import (
	"fmt"
	"time"
)

// reach is the longest reply time that Quality tells apart, in milliseconds.
const reach = 256

// Quality is how well the line to a reader works, since the start or the last
// ResetQuality. Polls to an absent reader (probes) do not count.
type Quality struct {
	Polls   uint64 // commands sent
	Silent  uint64 // not answered in time
	Damaged uint64 // answered, but not legibly

	times [reach]uint32 // whole milliseconds from our last bit to the answer's
}

// PerThousand is the errors in a thousand polls.
func (q Quality) PerThousand() float64 {
	if q.Polls == 0 {
		return 0
	}
	return 1000 * float64(q.Silent+q.Damaged) / float64(q.Polls)
}

// ReplyTime is how long the fastest share (0 to 1) of the answers took at most,
// from our last bit to the answer's last bit, to the millisecond above; 0 before
// the first answer.
func (q Quality) ReplyTime(share float64) time.Duration {
	total := uint64(0)
	for _, n := range q.times {
		total += uint64(n)
	}
	sum := uint64(0)
	for ms, n := range q.times {
		if sum += uint64(n); n > 0 && float64(sum) >= share*float64(total) {
			return time.Duration(ms+1) * time.Millisecond
		}
	}
	return 0
}

func (q Quality) String() string {
	return fmt.Sprintf("問合せ %d 回 · 誤り %.1f/1000 (無応答 %d 破損 %d) · 応答 p50 %v p90 %v p99 %v",
		q.Polls, q.PerThousand(), q.Silent, q.Damaged, q.ReplyTime(0.5), q.ReplyTime(0.9), q.ReplyTime(0.99))
}

// Quality is how well the line works.
func (r *Reader) Quality() Quality {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.quality
}

// ResetQuality begins the measurement anew.
func (r *Reader) ResetQuality() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quality = Quality{}
}

// measure counts one exchange with a reader that was online.
func (r *Reader) measure(answered bool, noise uint64, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &r.quality
	q.Polls++
	switch {
	case answered:
		q.times[min(max(int(took/time.Millisecond), 0), reach-1)]++
	case noise > 0:
		q.Damaged++
	default:
		q.Silent++
	}
}
