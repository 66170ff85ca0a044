package journal

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// EpochInfo is what the journal holds of one epoch.
type EpochInfo struct {
	Epoch Epoch
	First uint64 // first sequence number held; 0 if none
	Last  uint64 // last one that was durable; 0 if none
	Acked uint64 // the hub has all up to here
	Gaps  []Gap  // confirmed records that can no longer be read
}

// Epochs lists the epochs held, oldest first; the last one is being written.
func (j *Journal) Epochs() []EpochInfo {
	j.mu.Lock()
	defer j.mu.Unlock()
	var infos []EpochInfo
	for _, e := range j.epochsLocked() {
		info := EpochInfo{Epoch: e, Acked: j.acked[e]}
		info.First, info.Last = j.boundsLocked(e)
		for _, g := range j.gaps {
			if g.Epoch == e {
				info.Gaps = append(info.Gaps, g)
			}
		}
		infos = append(infos, info)
	}
	return infos
}

func (j *Journal) boundsLocked(e Epoch) (first, last uint64) {
	for _, s := range j.segs {
		if s.epoch != e {
			continue
		}
		if first == 0 {
			first = s.firstSeq()
		}
		last = max(last, s.lastSeq())
	}
	return first, last
}

// Read returns durable records of epoch from sequence number from on, in order:
// at most maxRecords, and no more after their events have reached maxBytes. It
// returns none when there are none. Where records are missing (removed after
// delivery, or damaged) it goes on with the next: the caller sees it in Seq.
//
// Errors wrap ErrUnknownEpoch or the disk's error.
func (j *Journal) Read(epoch Epoch, from uint64, maxRecords, maxBytes int) ([]Record, error) {
	j.files.RLock()
	defer j.files.RUnlock()
	var recs []Record
	size := 0
	for len(recs) < maxRecords && (size < maxBytes || len(recs) == 0) {
		s, r, err := j.locate(epoch, from)
		if err != nil {
			return nil, err
		}
		if s == nil {
			break
		}
		if r.last == 0 { // delivered long ago; wanted again by a restored hub
			if err := j.scanLate(s); err != nil {
				return nil, fmt.Errorf("read the journal: %w", err)
			}
			continue
		}
		got, err := j.readRun(s, r, from, maxRecords-len(recs), maxBytes-size)
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		for _, rec := range got {
			size += len(rec.Event)
			from = rec.Seq + 1
		}
		recs = append(recs, got...)
	}
	return recs, nil
}

// locate returns the run that holds from, or else the first one after it, or a
// nil segment. The run is zero if the segment must be scanned first. The caller
// holds files.
func (j *Journal) locate(epoch Epoch, from uint64) (*segment, run, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	known := epoch == j.epoch
	for _, s := range j.segs {
		if s.epoch != epoch {
			continue
		}
		known = true
		if s.lastSeq() < from {
			continue
		}
		if !s.scanned {
			return s, run{}, nil
		}
		for _, r := range s.runs {
			if r.last >= from {
				return s, r, nil
			}
		}
	}
	if !known {
		return nil, run{}, fmt.Errorf("%w: %s", ErrUnknownEpoch, epoch)
	}
	return nil, run{}, nil
}

// scanLate walks a segment that was not walked at Open. It is sealed, so nothing
// of it changes meanwhile; the writer is not held up.
func (j *Journal) scanLate(s *segment) error {
	found, err := j.scanSegment(s, 0)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !s.scanned {
		s.runs, s.scanned = found.runs, true
		for _, g := range found.gaps {
			j.lostLocked(g)
		}
	}
	return nil
}

// readRun reads from one run. A record that is damaged ends what it returns, and
// is taken out of the run; if it was the first, nothing is returned and the
// caller looks again.
func (j *Journal) readRun(s *segment, r run, from uint64, maxRecords, maxBytes int) ([]Record, error) {
	f, err := j.fs.OpenRead(j.path(segmentName(s.no)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	w := newWindow(f, r.end)
	p := placeOf(s.epoch, s.no)
	at := r.from(from)
	var recs []Record
	for size := 0; at.off < r.end && len(recs) < maxRecords && (size < maxBytes || len(recs) == 0); {
		e, n, ok := w.record(p, at.off)
		if !ok || e.seq != at.seq {
			j.damaged(s, r, at, w)
			break
		}
		if e.seq >= from {
			rec := Record{Epoch: s.epoch, Seq: e.seq, Salt: e.salt, Event: append([]byte(nil), e.event...), At: e.at}
			rec.Commitment = Commit(rec.Salt, rec.Event)
			recs = append(recs, rec)
			size += len(rec.Event)
		}
		at = mark{at.seq + 1, at.off + n}
	}
	return recs, nil
}

// damaged takes the record at bad, which was readable once, out of run r of s.
func (j *Journal) damaged(s *segment, r run, bad mark, w *window) {
	next := mark{}
	p := placeOf(s.epoch, s.no)
	for off := bad.off + alignment; off < r.end; off += alignment {
		if e, _, ok := w.record(p, off); ok && e.seq > bad.seq && e.seq <= r.last {
			next = mark{e.seq, off}
			break
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range s.runs {
		if s.runs[i].first == r.first {
			gap := s.split(i, bad, next)
			gap.Epoch = s.epoch
			j.lostLocked(gap)
			return
		}
	}
}

// split replaces run i by what is left of it around bad. next is where it is
// readable again; if its seq is 0, nothing of it is, after bad.
func (s *segment) split(i int, bad, next mark) Gap {
	old := s.runs[i]
	gap := Gap{From: bad.seq, To: old.last}
	var parts []run
	if bad.seq > old.first {
		head := run{first: old.first, off: old.off, last: bad.seq - 1, end: bad.off}
		for _, m := range old.marks {
			if m.seq < bad.seq {
				head.marks = append(head.marks, m)
			}
		}
		parts = append(parts, head)
	}
	if next.seq != 0 {
		gap.To = next.seq - 1
		rest := run{first: next.seq, off: next.off, last: old.last, end: old.end, marks: []mark{next}}
		for _, m := range old.marks {
			if m.seq > next.seq {
				rest.marks = append(rest.marks, m)
			}
		}
		parts = append(parts, rest)
	}
	s.runs = append(append(append([]run(nil), s.runs[:i]...), parts...), s.runs[i+1:]...)
	return gap
}

// lostLocked notes a gap. If the hub has not acknowledged what is lost, the
// epoch cannot go on as if nothing had happened.
func (j *Journal) lostLocked(g Gap) {
	j.gaps = append(j.gaps, g)
	if g.Epoch == j.epoch && g.To > j.acked[g.Epoch] {
		j.restart = true
	}
}

// Pending ranges over the records the hub has not acknowledged, epochs oldest
// first, in order, reading ahead no more than readAhead bytes. Receipts and
// appends may go on meanwhile. It ends after an error.
func (j *Journal) Pending() iter.Seq2[Record, error] {
	const readAhead = 256 << 10
	return func(yield func(Record, error) bool) {
		for _, e := range j.Epochs() {
			for from := e.Acked + 1; ; {
				recs, err := j.Read(e.Epoch, from, maxBatch, readAhead)
				if errors.Is(err, ErrUnknownEpoch) {
					break // delivered, and removed just now
				}
				if err != nil {
					yield(Record{}, err)
					return
				}
				for _, rec := range recs {
					if !yield(rec, nil) {
						return
					}
				}
				if len(recs) == 0 {
					break
				}
				from = recs[len(recs)-1].Seq + 1
			}
		}
	}
}

// Acknowledge notes the hub's receipt: it has durably stored everything of
// epoch up to seq. An older receipt than the newest is ignored. It does not wait
// for the disk, for losing a receipt only means sending again.
//
// Errors wrap ErrUnknownEpoch, or ErrAhead (the epoch is then left).
func (j *Journal) Acknowledge(epoch Epoch, seq uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, last := j.boundsLocked(epoch)
	switch {
	case epoch == j.epoch && seq > j.last:
		j.restart = true
		j.noteLocked(epoch, j.last)
		return fmt.Errorf("receipt for %d of epoch %s, last is %d: %w", seq, epoch, j.last, ErrAhead)
	case epoch != j.epoch && last == 0:
		return fmt.Errorf("receipt: %w: %s", ErrUnknownEpoch, epoch)
	}
	if epoch != j.epoch { // it may end in a gap that the hub knows of
		seq = min(seq, last)
	}
	j.noteLocked(epoch, seq)
	return nil
}

func (j *Journal) noteLocked(epoch Epoch, seq uint64) {
	if seq <= j.acked[epoch] {
		return
	}
	j.acked[epoch], j.stateOld = seq, true
	poke(j.kick)
}

// Rewind notes that the hub, restored from a backup, has epoch only up to seq:
// what follows counts as pending again, as far as it is still held. It returns
// the first sequence number that is; between seq and that the hub has a gap.
//
// Errors wrap ErrUnknownEpoch.
func (j *Journal) Rewind(epoch Epoch, seq uint64) (first uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first, _ = j.boundsLocked(epoch)
	if first == 0 {
		return 0, fmt.Errorf("rewind: %w: %s", ErrUnknownEpoch, epoch)
	}
	first = max(first, seq+1)
	if first-1 < j.acked[epoch] {
		j.acked[epoch], j.stateOld = first-1, true
		poke(j.kick)
		poke(j.changed)
	}
	return first, nil
}

// Stats is a picture of the journal.
type Stats struct {
	Epoch, Previous Epoch
	First           uint64    // first sequence number of Epoch held; 0 if none
	Last            uint64    // last durable sequence number of Epoch
	Acked           uint64    // the hub has Epoch up to here
	Pending         uint64    // records to be delivered, over all epochs
	OldestPending   time.Time // when the oldest of them was written; zero if none
	Bytes           int64     // space all files take
	Free            int64     // room in the budget, counting what may be removed; alarm below a fifth of Max [T-40]
	Max             int64     // the budget
	Refused         uint64    // events refused in the present episode; 0: not full
	Torn            int64     // bytes of unconfirmed writing cut off at Open
	Gaps            []Gap     // confirmed records that can no longer be read, over all epochs held
}

// Stats reads at most one record from the disk.
func (j *Journal) Stats() (Stats, error) {
	j.mu.Lock()
	s := Stats{Epoch: j.epoch, Previous: j.previous, Last: j.last, Acked: j.acked[j.epoch], Max: j.opt.MaxBytes,
		Bytes: j.bytesLocked(), Refused: j.full.refused, Torn: j.torn, Gaps: append([]Gap(nil), j.gaps...)}
	s.First, _ = j.boundsLocked(j.epoch)
	s.Free = j.opt.MaxBytes - s.Bytes
	for i, seg := range j.segs {
		if j.disposableLocked(i) {
			s.Free += seg.bytes
		}
		s.Pending += seg.after(j.acked[seg.epoch])
	}
	j.mu.Unlock()
	for rec, err := range j.Pending() {
		if err != nil {
			return s, err
		}
		s.OldestPending = rec.At
		break
	}
	return s, nil
}

// after counts the records after seq.
func (s *segment) after(seq uint64) uint64 {
	if last := s.lastSeq(); !s.scanned && last > seq {
		return last - max(seq, s.first-1)
	}
	var n uint64
	for _, r := range s.runs {
		if r.last > seq {
			n += r.last - max(seq, r.first-1)
		}
	}
	return n
}
