package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"sekimori/agent/internal/journal/disk"
	"sekimori/internal/clock"
)

// Files that are not segments yet.
const (
	nextName    = "next"    // being prepared to become the next segment
	reserveName = "reserve" // held back for safety events
	lockName    = "lock"
)

// fillStep is how much of a new file is written at a time: at the 10 MB/s of a
// slow SD card an event that arrives meanwhile waits 25 ms.
const fillStep = 256 << 10

var zeros [fillStep]byte

// spare is a file being filled with zeros, so that later writes find their blocks
// allocated and a sync has no metadata to write.
type spare struct {
	name   string
	f      disk.File
	size   int64
	filled int64
}

func (s *spare) ready() bool { return s != nil && s.filled == s.size }

// newSpare begins a file of size bytes within the budget, removing delivered
// segments as needed.
func (j *Journal) newSpare(name string, size int64) (*spare, error) {
	for {
		j.mu.Lock()
		over := j.bytesLocked() + size - j.opt.MaxBytes
		j.mu.Unlock()
		if over <= 0 {
			break
		}
		if err := j.free(fmt.Errorf("%w: budget of %d bytes is used", ErrFull, j.opt.MaxBytes)); err != nil {
			return nil, err
		}
	}
	f, err := j.fs.Create(j.path(name))
	if err != nil {
		return nil, j.asFull(fmt.Errorf("create %s: %w", name, err))
	}
	j.account(size)
	return &spare{name: name, f: f, size: size}, nil
}

// free removes one delivered segment, or returns cause if there is none.
func (j *Journal) free(cause error) error {
	removed, err := j.evict()
	if err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	if !removed {
		return cause
	}
	return nil
}

func (j *Journal) account(bytes int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.extra += bytes
}

// asFull makes the disk's "no space" the journal's "full": to the caller the
// two are one.
func (j *Journal) asFull(err error) error {
	if errors.Is(err, disk.ErrNoSpace) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// fill writes the next piece of s. On a full disk it removes a delivered segment
// and leaves s to be continued.
func (j *Journal) fill(s *spare) error {
	n := min(fillStep, s.size-s.filled)
	_, err := s.f.WriteAt(zeros[:n], s.filled)
	if err == nil {
		err = s.f.Sync() // in pieces, so that no sync is a long one
	}
	if errors.Is(err, disk.ErrNoSpace) {
		return j.free(j.asFull(err))
	}
	if err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	s.filled += n
	return nil
}

// drop gives up a file that is not a segment yet.
func (j *Journal) drop(s *spare) {
	s.f.Close()
	j.account(-s.size)
	// If it cannot be removed, Open will; nothing depends on it.
	_ = j.fs.Remove(j.path(s.name))
}

// prepareNext does one step towards having the next segment's file ready.
func (j *Journal) prepareNext() (err error) {
	w := &j.w
	if w.next == nil {
		w.next, err = j.newSpare(nextName, j.opt.SegmentBytes)
		return err
	}
	if err := j.fill(w.next); err != nil {
		j.drop(w.next)
		w.next = nil
		return err
	}
	return nil
}

// ensureNext gets the next segment's file ready, now.
func (j *Journal) ensureNext() error {
	for !j.w.next.ready() {
		if err := j.prepareNext(); err != nil {
			return err
		}
	}
	return nil
}

// ensureReserve puts the reserve back if it is not there.
func (j *Journal) ensureReserve() error {
	if j.w.reserve {
		return nil
	}
	s, err := j.newSpare(reserveName, j.opt.ReserveBytes)
	if err != nil {
		return err
	}
	for !s.ready() {
		if err := j.fill(s); err != nil {
			j.drop(s)
			return err
		}
	}
	if err := errors.Join(s.f.Close(), j.fs.SyncDir(j.dir)); err != nil {
		j.account(-s.size)
		return fmt.Errorf("keep the reserve: %w", err)
	}
	j.w.reserve = true
	return nil
}

// roll moves writing to a new segment, in a new epoch if fresh. Normal events
// cannot have the reserve.
func (j *Journal) roll(class Class, fresh bool) error {
	err := j.ensureNext()
	if err == nil {
		next := j.w.next
		j.w.next = nil
		if err = j.adopt(next, fresh); err == nil {
			return nil
		}
	}
	if class == Normal || !j.w.reserve {
		return err
	}
	f, openErr := j.fs.Open(j.path(reserveName))
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	j.w.reserve = false
	return j.adopt(&spare{name: reserveName, f: f, size: j.opt.ReserveBytes}, fresh)
}

// adopt turns a prepared file into the segment being written: header and sync
// under the old name, then the new name and its sync. So a file that is called a
// segment has a header, unless the disk damaged it.
func (j *Journal) adopt(s *spare, fresh bool) error {
	w := &j.w
	w.no++ // also if this fails: a number is never used for two files
	h := header{no: w.no, size: s.size, epoch: w.epoch, previous: w.previous, previousLast: w.previousLast,
		first: w.seq, prev: w.prev, made: clock.Now()}
	if fresh {
		h.epoch, h.previous, h.previousLast, h.first, h.prev = newEpoch(), w.epoch, w.seq-1, 1, Commitment{}
	}
	// From here on a file may exist that says where the segment before it
	// ends; a record confirmed beyond that would be cut off at the next start.
	j.abandon()
	block, chain := h.encode()
	if err := j.install(s, segmentName(h.no), block); err != nil {
		j.drop(s)
		_ = j.fs.Remove(j.path(segmentName(h.no))) // harmless if it stays: it holds no record
		return j.asFull(fmt.Errorf("begin segment %d: %w", h.no, err))
	}
	f, err := j.fs.Open(j.path(segmentName(h.no)))
	if err != nil {
		j.account(-s.size)
		return fmt.Errorf("begin segment %d: %w", h.no, err)
	}
	w.f, w.off, w.size, w.chain, w.place = f, dataStart, s.size, chain, placeOf(h.epoch, h.no)
	w.epoch, w.previous, w.previousLast, w.seq, w.prev = h.epoch, h.previous, h.previousLast, h.first, h.prev
	j.publishSegment(h, chain, fresh)
	return nil
}

// install writes the header and renames; the handle is closed in between, for
// Windows renames no open file.
func (j *Journal) install(s *spare, name string, block []byte) error {
	if _, err := s.f.WriteAt(block, 0); err != nil {
		return err
	}
	if err := s.f.Sync(); err != nil {
		return err
	}
	if err := s.f.Close(); err != nil {
		return err
	}
	if err := j.fs.Rename(j.path(s.name), j.path(name)); err != nil {
		return err
	}
	return j.fs.SyncDir(j.dir)
}

// publishSegment makes a new segment known to readers.
func (j *Journal) publishSegment(h header, chain uint32, fresh bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.segs); n > 0 {
		j.segs[n-1].sealed = h.made
		if !fresh {
			j.segs[n-1].until = h.first
		}
	}
	j.segs = append(j.segs, &segment{header: h, chain: chain, bytes: h.size, scanned: true})
	j.extra -= h.size
	j.epoch, j.previous, j.last = h.epoch, h.previous, h.first-1
	if fresh {
		j.restart = false
		poke(j.changed)
	}
}

// abandon closes the segment being written; nothing more is written to it.
func (j *Journal) abandon() {
	if j.w.f != nil {
		j.w.f.Close() // everything that counts is synced
		j.w.f = nil
	}
}

// makeRoom tries to end the state in which Normal events are refused.
func (j *Journal) makeRoom() error {
	if err := j.ensureNext(); err != nil {
		return err
	}
	return j.ensureReserve()
}

// refuse counts n refused events, durably.
func (j *Journal) refuse(n int, now time.Time) {
	j.mu.Lock()
	if j.full.refused == 0 {
		j.full = episode{since: now, epoch: j.epoch, after: j.last}
	}
	j.full.refused += uint64(n)
	j.mu.Unlock()
	// If this fails too, the count is still in memory and will be reported
	// unless the power is cut first; there is nowhere else to put it.
	_ = j.writeState(true)
}

func newEpoch() Epoch {
	var e Epoch
	rand.Read(e[:]) // never fails: Go ends the program if there is no randomness
	return e
}
