// Package measure is what the programs of `make bench` share: quantiles, the
// disk's own sync as a ruler, and the clock that the simulator stamps with.
package measure

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// Times is a set of measured durations.
type Times []time.Duration

// Quantiles are three points of a set; in JSON, nanoseconds.
type Quantiles struct {
	N             int
	P50, P95, P99 time.Duration
}

// Quantiles sorts the set. The p-th is the smallest value that p percent of all
// values do not exceed.
func (t Times) Quantiles() Quantiles {
	if len(t) == 0 {
		return Quantiles{}
	}
	slices.Sort(t)
	at := func(percent int) time.Duration { return t[(len(t)*percent+99)/100-1] }
	return Quantiles{N: len(t), P50: at(50), P95: at(95), P99: at(99)}
}

// Minus takes a constant off every point.
func (q Quantiles) Minus(d time.Duration) Quantiles {
	q.P50, q.P95, q.P99 = q.P50-d, q.P95-d, q.P99-d
	return q
}

// Ruler is the disk's own sync: one record of a door event's size written over
// blocks that are allocated already, then synced. It is the least that making
// one row durable in this folder can cost.
type Ruler struct {
	file *os.File
	at   int64
}

const (
	rulerFile   = 16 << 20 // bytes
	rulerRecord = 392      // an event of 320 bytes and the journal's frame
)

// NewRuler makes the ruler's file in dir.
func NewRuler(dir string) (*Ruler, error) {
	f, err := os.CreateTemp(dir, "ruler")
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(make([]byte, rulerFile)); err != nil {
		return nil, fmt.Errorf("ruler: %w", err)
	}
	return &Ruler{file: f}, f.Sync()
}

// Once is one write and one sync.
func (r *Ruler) Once() (time.Duration, error) {
	start := time.Now()
	if _, err := r.file.WriteAt(make([]byte, rulerRecord), r.at); err != nil {
		return 0, err
	}
	err := syncData(r.file)
	r.at = (r.at + rulerRecord) % (rulerFile - rulerRecord)
	return time.Since(start), err
}

// For syncs one after the other for about d and gives the syncs a second.
func (r *Ruler) For(d time.Duration) (q Quantiles, perSecond float64, err error) {
	var all Times
	for start := time.Now(); ; {
		took, err := r.Once()
		if err != nil {
			return q, 0, err
		}
		all = append(all, took)
		if passed := time.Since(start); passed > d {
			return all.Quantiles(), float64(len(all)) / passed.Seconds(), nil
		}
	}
}

// Close removes the ruler's file.
func (r *Ruler) Close() error {
	if err := r.file.Close(); err != nil {
		return err
	}
	return os.Remove(r.file.Name())
}
