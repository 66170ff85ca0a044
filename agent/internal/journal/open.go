package journal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"sekimori/agent/internal/journal/disk"
)

// Open opens the journal in dir, or creates it, and repairs what a crash left:
// it cuts a torn tail, and where confirmed records cannot be read it begins a
// new epoch. ctx ends the opening only. The caller must Close the Journal.
//
// Segments the hub has in full are not read, so opening takes as long as
// reading what is pending. Errors wrap disk.ErrLocked when another process has
// the journal, or the disk's error; a full disk is no error.
func Open(ctx context.Context, fsys disk.FS, dir string, opt Options) (*Journal, error) {
	opt, err := opt.check()
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &Journal{
		fs: fsys, dir: dir, opt: opt, lock: lock,
		queue:   make(chan *request, 256),
		kick:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		acked:   map[Epoch]uint64{},
	}
	if err := j.load(ctx); err != nil {
		j.abandon()
		if j.w.state != nil {
			j.w.state.f.Close()
		}
		lock.Close()
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	poke(j.changed)
	go j.run()
	return j, nil
}

// load brings the journal to the state it is to go on from. No other goroutine
// knows of it yet, so fields are used without their lock.
func (j *Journal) load(ctx context.Context) error {
	// A killed process leaves names that only the page cache knows.
	if err := j.fs.SyncDir(j.dir); err != nil {
		return err
	}
	sf, st, known, err := openState(j.fs, j.dir)
	if err != nil {
		return err
	}
	j.w.state, j.w.seq = sf, 1
	for _, a := range st.acks {
		j.acked[a.epoch] = a.acked
	}
	if err := j.list(); err != nil {
		return err
	}
	if err := j.headers(st); err != nil {
		return err
	}
	j.link()
	j.checkFront(known)
	tail, err := j.scanAll(ctx, st)
	if err != nil {
		return err
	}
	if err := j.resume(tail, st); err != nil {
		return err
	}
	return j.start()
}

// list finds the files, and clears away what a crash left half made.
func (j *Journal) list() error {
	entries, err := j.fs.List(j.dir)
	if err != nil {
		return err
	}
	j.extra = stateSize
	for _, e := range entries {
		no, isSegment := parseSegmentName(e.Name)
		switch {
		case isSegment:
			j.segs = append(j.segs, &segment{header: header{no: no}, bytes: e.Size})
			j.w.no = no
		case e.Name == reserveName && e.Size == j.opt.ReserveBytes:
			j.w.reserve = true
			j.extra += e.Size
		case e.Name == nextName, e.Name == reserveName, e.Name == stateName+".new":
			if err := j.fs.Remove(j.path(e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// headers reads the header of each segment. Where one is damaged, it tries the
// epochs of the others on the records, whose CRC tells when one is right.
func (j *Journal) headers(st state) error {
	var epochs []Epoch
	for _, s := range j.segs {
		f, err := j.fs.OpenRead(j.path(segmentName(s.no)))
		if err != nil {
			return err
		}
		h, chain, ok := decodeHeader(newWindow(f, s.bytes).bytes(0, headerSize))
		f.Close()
		if !ok || h.no != s.no {
			s.noHead = true
			continue
		}
		s.header, s.chain = h, chain
		epochs = append(epochs, h.epoch)
	}
	for _, a := range st.acks {
		epochs = append(epochs, a.epoch)
	}
	for _, s := range j.segs {
		if !s.noHead {
			continue
		}
		if err := j.guessHeader(s, epochs); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) guessHeader(s *segment, epochs []Epoch) error {
	f, err := j.fs.OpenRead(j.path(segmentName(s.no)))
	if err != nil {
		return err
	}
	defer f.Close()
	w := newWindow(f, s.bytes)
	tried := map[Epoch]bool{}
	for _, epoch := range epochs {
		if tried[epoch] {
			continue
		}
		tried[epoch] = true
		p := placeOf(epoch, s.no)
		for off := int64(dataStart); off+recordHead <= s.bytes; off += alignment {
			if e, _, ok := w.record(p, off); ok {
				s.epoch, s.first, s.chain = epoch, e.seq, e.chain
				return nil
			}
		}
	}
	s.lost = true
	return nil
}

// link notes for each segment where the next one of its epoch begins, and when
// it was left. A lost segment belongs to the epoch before it.
func (j *Journal) link() {
	var before *segment
	for _, s := range j.segs {
		if s.lost {
			if before != nil {
				s.epoch = before.epoch
			}
			continue
		}
		if before != nil {
			before.sealed = s.made
			if before.epoch == s.epoch {
				before.until = s.first
			}
		}
		before = s
	}
}

// checkFront looks for records missing before the first one held of each epoch.
// Without the state file nobody knows what was delivered; then what is not there
// is taken to have been delivered and removed.
func (j *Journal) checkFront(known bool) {
	seen := map[Epoch]bool{}
	for _, s := range j.segs {
		if s.lost || seen[s.epoch] {
			continue
		}
		seen[s.epoch] = true
		acked := j.acked[s.epoch]
		switch {
		case s.first <= acked+1:
		case known:
			j.gaps = append(j.gaps, Gap{s.epoch, acked + 1, s.first - 1})
		default:
			j.acked[s.epoch] = s.first - 1
		}
	}
}

// scanAll walks the segments that hold something pending, and the last one. It
// returns the scan of the last one that is not lost, or nil.
func (j *Journal) scanAll(ctx context.Context, st state) (*scan, error) {
	var tail *scan
	full := st.full
	for i, s := range j.segs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		last := j.isLast(i)
		if s.lost {
			s.scanned = true
			continue
		}
		if !last && !s.noHead && s.until != 0 && s.until-1 <= j.acked[s.epoch] {
			continue // delivered in full
		}
		found, err := j.scanSegment(s, j.knownDurable(i))
		if err != nil {
			return nil, err
		}
		s.runs, s.scanned = found.runs, true
		j.gaps = append(j.gaps, found.gaps...)
		if found.unsure && !last {
			j.gaps = append(j.gaps, Gap{s.epoch, found.next, 0})
		}
		if found.lastFull > 0 && (s.epoch != full.epoch || found.lastFull > full.after) && !j.before(s.epoch, full.epoch) {
			full = episode{} // the row that reports it was written
		}
		if last {
			tail = found
		}
	}
	j.full = full
	return tail, nil
}

// isLast tells whether only lost segments follow segment i.
func (j *Journal) isLast(i int) bool {
	for _, s := range j.segs[i+1:] {
		if !s.lost {
			return false
		}
	}
	return !j.segs[i].lost
}

// before tells whether epoch a is older than epoch b, both being held.
func (j *Journal) before(a, b Epoch) bool {
	seen := false
	for _, s := range j.segs {
		if s.epoch == b {
			return seen && a != b
		}
		seen = seen || s.epoch == a
	}
	return false
}

// knownDurable is what is known from elsewhere about segment i: the hub has
// acknowledged it, or the next epoch named it as it began.
func (j *Journal) knownDurable(i int) uint64 {
	s := j.segs[i]
	known := uint64(0)
	if s.until == 0 { // else the next segment says it
		known = j.acked[s.epoch]
		for _, later := range j.segs[i+1:] {
			if !later.lost && later.previous == s.epoch {
				known = max(known, later.previousLast)
			}
		}
	}
	if s.noHead {
		known = max(known, s.first)
	}
	return known
}

func (j *Journal) scanSegment(s *segment, known uint64) (*scan, error) {
	f, err := j.fs.OpenRead(j.path(segmentName(s.no)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return walk(newWindow(f, s.bytes), s.header, s.chain, s.until, known), nil
}

// resume sets the writer to go on after tail, or to begin a new epoch.
func (j *Journal) resume(tail *scan, st state) error {
	w := &j.w
	if n := len(st.acks); n > 0 { // the epoch that was last written, if its segments are gone
		w.epoch, w.seq = st.acks[n-1].epoch, st.acks[n-1].acked+1
	}
	if tail == nil {
		j.restart = true
		j.lostAtEnd(w.seq)
		return nil
	}
	var s *segment
	for i := range j.segs {
		if j.isLast(i) {
			s = j.segs[i]
			break
		}
	}
	if w.epoch != (Epoch{}) && !j.holds(w.epoch) {
		j.restart = true
		return nil
	}
	w.epoch, w.previous, w.previousLast = s.epoch, s.previous, s.previousLast
	w.seq, w.prev = tail.next, tail.prev
	j.torn = tail.torn
	if tail.unsure {
		j.gaps = append(j.gaps, Gap{s.epoch, tail.next, 0})
	}
	j.restart = tail.broken || j.lostAtEnd(tail.next)
	for _, g := range j.gaps {
		if g.Epoch == w.epoch && (g.To == 0 || g.To > j.acked[w.epoch]) {
			j.restart = true
		}
	}
	return j.takeUp(s, tail)
}

func (j *Journal) holds(epoch Epoch) bool {
	for _, s := range j.segs {
		if s.epoch == epoch && !s.lost {
			return true
		}
	}
	return false
}

// lostAtEnd notes a gap without end if the last segment is lost.
func (j *Journal) lostAtEnd(next uint64) bool {
	if n := len(j.segs); n == 0 || !j.segs[n-1].lost {
		return false
	}
	j.gaps = append(j.gaps, Gap{j.w.epoch, next, 0})
	return true
}

// takeUp makes the end of the last segment durable and clean. What was read there
// may have been in the page cache of a killed process only, or (after a failed
// sync) in a page that the kernel calls clean and that is not on the disk; so the
// last group is written once more. If that fails, nobody knows what a power cut
// would leave, and the epoch ends here.
func (j *Journal) takeUp(s *segment, tail *scan) error {
	f, err := j.fs.Open(j.path(segmentName(s.no)))
	if err != nil {
		return err
	}
	if err := settle(f, tail); err != nil {
		j.restart = true
		f.Close()
		return nil
	}
	if j.restart || !tail.sound() || s.noHead || s.bytes != s.size {
		f.Close() // served, and not written to any more
		return nil
	}
	w := &j.w
	w.f, w.off, w.size, w.chain, w.place = f, tail.end, s.size, tail.chain, placeOf(s.epoch, s.no)
	return nil
}

// settle writes the last group of a segment again, zeros after it, and syncs. A
// damaged segment is left as it is: it is evidence.
func settle(f disk.File, tail *scan) error {
	if !tail.sound() || tail.broken {
		return f.Sync()
	}
	group := make([]byte, tail.end-tail.batch)
	if n, err := f.ReadAt(group, tail.batch); n < len(group) {
		return err
	}
	if _, err := f.WriteAt(group, tail.batch); err != nil {
		return err
	}
	for done := int64(0); done < tail.torn; {
		n := min(tail.torn-done, fillStep)
		if _, err := f.WriteAt(zeros[:n], tail.end+done); err != nil {
			return err
		}
		done += n
	}
	return f.Sync()
}

// start makes the reserve and, where one is due, the new epoch's first segment.
// On a full disk both wait: what is pending can still be sent, which makes room.
func (j *Journal) start() error {
	w := &j.w
	j.epoch, j.previous, j.last = w.epoch, w.previous, w.seq-1
	if err := j.ensureReserve(); err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	if !j.restart {
		return nil
	}
	if err := j.roll(Normal, true); err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	return nil
}
