package journal

import (
	"path/filepath"
	"time"
)

// segment is what the journal remembers of one segment file: some hundred bytes
// and 24 for each 64 KiB of records, so that a full journal of 256 MiB costs
// about 100 KiB of memory.
type segment struct {
	header
	chain   uint32 // CRC of the header, which the first record chains to
	bytes   int64  // length of the file
	noHead  bool   // the header cannot be read; epoch is that of a neighbour
	lost    bool   // nothing at all can be read, and nobody knows what was there
	scanned bool   // runs are known
	runs    []run
	until   uint64    // first seq of the next segment of the epoch; 0 none
	sealed  time.Time // when the next segment was begun; zero while written to
}

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

// lastSeq is the last record's sequence number, or 0 if there is none.
func (s *segment) lastSeq() uint64 {
	switch {
	case !s.scanned && s.until > s.first:
		return s.until - 1
	case s.scanned && len(s.runs) > 0:
		return s.runs[len(s.runs)-1].last
	}
	return 0
}

// firstSeq is the first readable record's sequence number, or 0.
func (s *segment) firstSeq() uint64 {
	switch {
	case !s.scanned && s.until > s.first:
		return s.first
	case s.scanned && len(s.runs) > 0:
		return s.runs[0].first
	}
	return 0
}

// disposableLocked tells whether the segment may be removed when room is
// needed. A lost segment may hold what was never delivered; a person has to look.
func (j *Journal) disposableLocked(i int) bool {
	s := j.segs[i]
	if i == len(j.segs)-1 || s.lost {
		return false
	}
	return s.lastSeq() <= j.acked[s.epoch]
}

// bytesLocked is what all files of the journal take.
func (j *Journal) bytesLocked() int64 {
	total := j.extra
	for _, s := range j.segs {
		total += s.bytes
	}
	return total
}

// evict removes the oldest segment that the hub has in full; it reports whether
// there was one. The receipt is made durable first, or a crash would make the
// missing records look lost.
func (j *Journal) evict() (bool, error) {
	return j.evictIf(func(*segment) bool { return true })
}

// expire removes one delivered segment that is past its safety period.
func (j *Journal) expire(now time.Time) (bool, error) {
	return j.evictIf(func(s *segment) bool {
		return !s.sealed.IsZero() && now.Sub(s.sealed) >= j.opt.Keep
	})
}

func (j *Journal) evictIf(wanted func(*segment) bool) (bool, error) {
	victim := j.find(wanted)
	if victim == nil {
		return false, nil
	}
	if err := j.writeState(true); err != nil {
		return false, err
	}
	removed, err := j.remove(victim)
	if !removed {
		return false, err
	}
	// One by one: if a later removal survived a power cut and an earlier one
	// did not, it would look as if records had been lost between.
	return true, j.fs.SyncDir(j.dir)
}

func (j *Journal) remove(victim *segment) (bool, error) {
	j.files.Lock()
	defer j.files.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, s := range j.segs {
		// The hub may have asked for it again meanwhile.
		if s != victim || !j.disposableLocked(i) {
			continue
		}
		if err := j.fs.Remove(j.path(segmentName(s.no))); err != nil {
			return false, err
		}
		j.segs = append(j.segs[:i:i], j.segs[i+1:]...)
		return true, nil
	}
	return false, nil
}

func (j *Journal) find(wanted func(*segment) bool) *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, s := range j.segs {
		if j.disposableLocked(i) && wanted(s) {
			return s
		}
	}
	return nil
}

// writeState stores what the state file holds.
func (j *Journal) writeState(durable bool) error {
	j.mu.Lock()
	s := state{full: j.full, acks: j.acksLocked()}
	j.stateOld = false
	j.mu.Unlock()
	return j.w.state.write(s, durable)
}

// acksLocked lists the receipts of all epochs held, oldest epoch first.
func (j *Journal) acksLocked() []ackEntry {
	var acks []ackEntry
	for _, e := range j.epochsLocked() {
		acks = append(acks, ackEntry{e, j.acked[e]})
	}
	return acks
}

// epochsLocked lists the epochs held, oldest first, the current one last.
func (j *Journal) epochsLocked() []Epoch {
	var epochs []Epoch
	for _, s := range j.segs {
		if s.epoch != j.epoch && (len(epochs) == 0 || epochs[len(epochs)-1] != s.epoch) {
			epochs = append(epochs, s.epoch)
		}
	}
	if j.epoch != (Epoch{}) {
		epochs = append(epochs, j.epoch)
	}
	return epochs
}
