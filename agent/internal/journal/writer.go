package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"

	"sekimori/agent/internal/journal/disk"
	"sekimori/internal/clock"
)

// writer is what the writing goroutine knows. All changes of files happen there,
// one after another; readers see only what it has published under Journal.mu.
type writer struct {
	state *stateFile

	// The segment being written; f is nil when there is none, which is so
	// after a failure until the next append finds a new one.
	f     disk.File
	off   int64
	size  int64
	chain uint32
	place place

	// What the next record will be, in the epoch being written.
	epoch        Epoch
	previous     Epoch
	previousLast uint64
	seq          uint64
	prev         Commitment

	no      uint64 // highest segment number used
	next    *spare // nil, or the next segment's file
	reserve bool   // the reserve is there
	idle    bool   // nothing more can be prepared until something changes

	batch   []item
	bytes   int64 // room the batch takes
	buf     []byte
	refused []*request
	why     error // of the last refusal
}

// item is a record waiting in the batch.
type item struct {
	entry
	commitment Commitment
	pos        Position
	req        *request // nil: the journal's own row
}

// Limits of one group commit: more would not make it faster, only larger.
const (
	maxBatch      = 1024
	maxBatchBytes = 256 << 10
	attempts      = 3 // segments tried for one batch before its callers get the error
)

// claim settles whether a request is taken by the writer or back with its caller.
type claim struct{ v atomic.Int32 }

const (
	claimTaken     = 1
	claimWithdrawn = 2
)

// take reports whether the writer may have the request.
func (c *claim) take() bool { return c.v.CompareAndSwap(0, claimTaken) || c.v.Load() == claimTaken }

// withdraw reports whether the caller got the request back.
func (c *claim) withdraw() bool { return c.v.CompareAndSwap(0, claimWithdrawn) }

// run is the writing goroutine; Close waits for it. Requests come first; in
// between it prepares files in small steps.
func (j *Journal) run() {
	defer close(j.stopped)
	reqs := make([]*request, 0, maxBatch)
	for {
		select {
		case r := <-j.queue:
			j.serve(j.gather(append(reqs[:0], r)))
			continue
		case <-j.closing:
			j.closeErr = j.shut()
			return
		default:
		}
		if j.housekeep() {
			continue
		}
		select {
		case r := <-j.queue:
			j.serve(j.gather(append(reqs[:0], r)))
		case <-j.kick:
			j.w.idle = false
		case <-j.closing:
		}
	}
}

// gather adds what else is waiting.
func (j *Journal) gather(reqs []*request) []*request {
	for len(reqs) < maxBatch {
		select {
		case r := <-j.queue:
			reqs = append(reqs, r)
		default:
			return reqs
		}
	}
	return reqs
}

// serve answers all of reqs.
func (j *Journal) serve(reqs []*request) {
	for len(reqs) > 0 {
		reqs = reqs[j.round(reqs):]
	}
}

// errFlush: the batch must be written before this event can be placed.
var errFlush = errors.New("write the batch first")

// round writes one batch, and returns how many of reqs it dealt with. It may be
// none if a row of the journal's own filled the segment; that row is then written.
func (j *Journal) round(reqs []*request) int {
	n := 0
	for _, r := range reqs {
		if r.state.take() {
			err := j.accept(r)
			if errors.Is(err, errFlush) {
				break
			}
			if errors.Is(err, ErrFull) {
				j.w.refused = append(j.w.refused, r)
				j.w.why = err
			} else if err != nil {
				r.done <- result{err: err}
			}
		}
		n++
	}
	if err := j.commit(); err != nil && n == 0 {
		reqs[0].done <- result{err: err}
		n = 1
	}
	j.answerRefused()
	return n
}

// answerRefused counts the refusals of this round before anyone hears of them.
func (j *Journal) answerRefused() {
	w := &j.w
	if len(w.refused) == 0 {
		return
	}
	j.refuse(len(w.refused), clock.Now())
	for i, r := range w.refused {
		r.done <- result{err: w.why}
		w.refused[i] = nil
	}
	w.refused = w.refused[:0]
}

// accept puts one event into the batch, after any row of the journal's own that
// is due.
func (j *Journal) accept(r *request) error {
	if r.class == Normal {
		if err := j.admit(); err != nil {
			return err
		}
	}
	return j.put(r.class, r.build, r)
}

// admit lets a Normal event pass if no refusals are open and the reserve stands,
// or if that can be brought about.
func (j *Journal) admit() error {
	w := &j.w
	j.mu.Lock()
	open := j.full.refused > 0
	j.mu.Unlock()
	if len(w.refused) > 0 { // no second look within a round, or the row would miscount
		return w.why
	}
	if w.reserve && !open {
		return nil
	}
	if err := j.makeRoom(); err != nil {
		return err
	}
	if open {
		return j.reportFull()
	}
	return nil
}

// reportFull puts the row that counts the refusals into the batch, once.
func (j *Journal) reportFull() error {
	for _, it := range j.w.batch {
		if it.class == classFull {
			return nil
		}
	}
	if len(j.w.batch) > 0 {
		return errFlush // so that a failure of this row fails nothing confirmed before
	}
	j.mu.Lock()
	n := Notice{Kind: Full, Refused: j.full.refused, Since: j.full.since}
	j.mu.Unlock()
	return j.put(classFull, func(p Position) ([]byte, error) { return j.opt.Notice(p, n) }, nil)
}

// reportEpoch puts the first row of an epoch into the batch.
func (j *Journal) reportEpoch() error {
	w := &j.w
	j.mu.Lock()
	n := Notice{Kind: EpochStarted, Previous: w.previous, PreviousLast: w.previousLast, Gaps: append([]Gap(nil), j.gaps...)}
	j.mu.Unlock()
	return j.put(classEpoch, func(p Position) ([]byte, error) { return j.opt.Notice(p, n) }, nil)
}

// put builds an event and puts it into the batch, in a new segment if need be.
func (j *Journal) put(class Class, build func(Position) ([]byte, error), r *request) error {
	w := &j.w
	j.mu.Lock()
	fresh := j.restart
	j.mu.Unlock()
	if w.f == nil || fresh {
		if len(w.batch) > 0 {
			return errFlush
		}
		if err := j.roll(class, fresh); err != nil {
			return err
		}
	}
	pos := w.tip()
	if pos.Seq == 1 && class != classEpoch {
		if err := j.reportEpoch(); err != nil {
			return err
		}
		pos = w.tip()
	}
	event, err := build(pos)
	if err != nil {
		return fmt.Errorf("build the event: %w", err)
	}
	need := int64(recordSize(len(event)))
	if len(event) == 0 || len(event) > MaxEvent || need > j.opt.SegmentBytes-dataStart {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(event))
	}
	if w.off+w.bytes+need > w.size || w.bytes > 0 && w.bytes+need > maxBatchBytes {
		if len(w.batch) > 0 {
			return errFlush
		}
		if err := j.roll(class, false); err != nil {
			return err
		}
		if w.off+need > w.size { // the reserve is smaller than a segment
			return fmt.Errorf("%w: %d bytes do not fit the reserve", ErrFull, need)
		}
	}
	w.push(class, event, pos, r)
	return nil
}

// tip is the position after the batch.
func (w *writer) tip() Position {
	pos := Position{Epoch: w.epoch, Seq: w.seq + uint64(len(w.batch)), Prev: w.prev}
	if n := len(w.batch); n > 0 {
		pos.Prev = w.batch[n-1].commitment
	}
	return pos
}

func (w *writer) push(class Class, event []byte, pos Position, r *request) {
	it := item{pos: pos, req: r, entry: entry{class: class, seq: pos.Seq, back: uint32(len(w.batch) + 1),
		at: clock.Now(), event: event}}
	rand.Read(it.salt[:]) // never fails
	it.commitment = Commit(it.salt, event)
	w.batch = append(w.batch, it)
	w.bytes += int64(recordSize(len(event)))
}

// commit makes the batch durable and answers its callers.
func (j *Journal) commit() error {
	w := &j.w
	if len(w.batch) == 0 {
		return nil
	}
	err := j.store()
	if err == nil {
		j.publish()
	}
	for i := range w.batch {
		it := &w.batch[i]
		switch {
		case it.req == nil:
		case err == nil:
			it.req.done <- result{pos: it.pos}
		case errors.Is(err, ErrFull):
			w.refused, w.why = append(w.refused, it.req), err
		default:
			it.req.done <- result{err: err}
		}
		*it = item{} // do not hold the caller's memory
	}
	w.batch, w.bytes = w.batch[:0], 0
	return err
}

// store writes and syncs the batch. A segment whose write or sync failed is never
// written to again, nor is its sync retried: the kernel may have dropped the
// pages and would report success. The whole batch goes to a new segment instead.
func (j *Journal) store() error {
	w := &j.w
	var failed error
	for range attempts {
		if w.f == nil {
			// These records are already accepted, so they may use the reserve.
			if err := j.roll(Safety, false); err != nil {
				return errors.Join(err, failed)
			}
		}
		if w.off+w.bytes > w.size {
			return j.asFull(errors.Join(failed, disk.ErrNoSpace))
		}
		chain := w.encode()
		if _, failed = w.f.WriteAt(w.buf, w.off); failed == nil {
			failed = w.f.Sync()
		}
		if failed == nil {
			w.chain = chain
			return nil
		}
		j.abandon()
	}
	return j.asFull(fmt.Errorf("write %d records: %w", len(w.batch), failed))
}

// encode lays the batch out for the segment being written.
func (w *writer) encode() (chain uint32) {
	w.buf, chain = w.buf[:0], w.chain
	for i := range w.batch {
		e := &w.batch[i].entry
		e.chain = chain
		w.buf, chain = appendRecord(w.buf, w.place, w.off+int64(len(w.buf)), *e)
	}
	return chain
}

// publish shows a durable batch to readers.
func (j *Journal) publish() {
	w := &j.w
	j.mu.Lock()
	s := j.segs[len(j.segs)-1]
	if n := len(s.runs); n == 0 || s.runs[n-1].end != w.off {
		s.runs = append(s.runs, run{first: w.seq, off: w.off})
	}
	r := &s.runs[len(s.runs)-1]
	off := w.off
	for i := range w.batch {
		end := off + int64(recordSize(len(w.batch[i].event)))
		r.add(w.batch[i].seq, off, end)
		off = end
		if w.batch[i].class == classFull {
			j.full, j.stateOld = episode{}, true
		}
	}
	n := len(w.batch)
	w.off, w.seq, w.prev = off, w.seq+uint64(n), w.batch[n-1].commitment
	j.last = w.seq - 1
	j.mu.Unlock()
	w.idle = false
	poke(j.changed)
}

// housekeep does one short step of what can wait; it reports whether there may
// be more to do.
func (j *Journal) housekeep() bool {
	w := &j.w
	if w.idle {
		return false
	}
	j.mu.Lock()
	old, open := j.stateOld, j.full.refused > 0
	j.mu.Unlock()
	if old {
		// Not synced: a forgotten receipt only means sending again.
		_ = j.writeState(false)
		return true
	}
	if open && j.makeRoom() == nil && j.reportFull() == nil && j.commit() == nil {
		return true // else at the next append, whose caller hears why
	}
	if removed, err := j.expire(clock.Now()); removed && err == nil {
		return true
	}
	if w.f != nil && w.off > w.size/2 && !w.next.ready() {
		// A failure here is met again, and reported, when the segment is needed.
		if err := j.prepareNext(); err == nil {
			return true
		}
	}
	w.idle = true
	return false
}

// shut ends the writer: what is still waiting is answered, the receipts are
// stored for good, the files are closed.
func (j *Journal) shut() error {
	for _, r := range j.gather(nil) {
		if r.state.take() {
			r.done <- result{err: ErrClosed}
		}
	}
	err := j.writeState(true)
	j.abandon()
	if j.w.next != nil {
		j.drop(j.w.next)
	}
	return errors.Join(err, j.w.state.f.Close(), j.lock.Close())
}
