package journal

import "io"

// window reads a segment in pieces of windowSize, so that reading 256 MiB of
// journal takes no more memory than reading one. Bytes the disk refuses to read
// come out as zeros, which no record survives, and are counted.
type window struct {
	f          io.ReaderAt
	size       int64 // of the file
	buf        []byte
	at         int64 // file offset of buf
	unreadable int64 // highest offset that could not be read, plus one
}

const (
	windowSize = 128 << 10
	sector     = 4096
)

func newWindow(f io.ReaderAt, size int64) *window {
	return &window{f: f, size: size, at: -1}
}

// bytes returns n bytes at off, or nil beyond the end of the file. They are
// valid until the next call.
func (w *window) bytes(off int64, n int) []byte {
	if off < 0 || off+int64(n) > w.size {
		return nil
	}
	if w.at < 0 || off < w.at || off+int64(n) > w.at+int64(len(w.buf)) {
		w.load(off)
	}
	return w.buf[off-w.at:][:n]
}

func (w *window) load(off int64) {
	n := int(min(windowSize, w.size-off))
	if cap(w.buf) < n {
		w.buf = make([]byte, n, windowSize)
	}
	w.buf, w.at = w.buf[:n], off
	if got, err := w.f.ReadAt(w.buf, off); got == n || err == nil {
		return
	}
	for i := 0; i < n; i += sector { // find out which part is bad
		part := w.buf[i:min(i+sector, n)]
		if got, _ := w.f.ReadAt(part, off+int64(i)); got < len(part) {
			clear(part)
			w.unreadable = max(w.unreadable, off+int64(i+len(part)))
		}
	}
}

// record returns the record at off if it is whole in itself. Its event is valid
// until the next call.
func (w *window) record(p place, off int64) (entry, int64, bool) {
	b := w.bytes(off, recordHead)
	if b == nil {
		return entry{}, 0, false
	}
	e, n, ok := plausible(b)
	if !ok {
		return entry{}, 0, false
	}
	if b = w.bytes(off, recordHead+n); b == nil || p.crc(off, b[4:]) != e.crc {
		return entry{}, 0, false
	}
	copy(e.salt[:], b[40:])
	e.event = b[recordHead:]
	return e, int64(recordSize(n)), true
}

// lastUsed returns the offset just after the last byte at or after off that is
// not zero, or off.
func (w *window) lastUsed(off int64) int64 {
	last := off
	for at := off; at < w.size; {
		n := int(min(sector, w.size-at))
		for i, c := range w.bytes(at, n) {
			if c != 0 {
				last = at + int64(i) + 1
			}
		}
		at += int64(n)
	}
	return last
}

// run is an unbroken stretch of records in one segment. A sound segment has one
// run; each damaged spot begins another.
type run struct {
	first, last uint64
	off, end    int64
	marks       []mark // one every markEvery bytes: the sparse index
}

// mark says where one record begins.
type mark struct {
	seq uint64
	off int64
}

// markEvery is how far a reader may have to walk to find its record.
const markEvery = 64 << 10

// add notes the record seq at off, which ends at end.
func (r *run) add(seq uint64, off, end int64) {
	if len(r.marks) == 0 || off-r.marks[len(r.marks)-1].off >= markEvery {
		r.marks = append(r.marks, mark{seq, off})
	}
	r.last, r.end = seq, end
}

// from returns where to begin reading for seq.
func (r *run) from(seq uint64) mark {
	best := r.marks[0]
	for _, m := range r.marks {
		if m.seq <= seq {
			best = m
		}
	}
	return best
}

// Gap is a stretch of sequence numbers that were confirmed as durable and can
// no longer be read.
type Gap struct {
	Epoch Epoch
	From  uint64
	To    uint64 // 0: nobody can say how far
}

// scan is the result of walking one segment.
type scan struct {
	runs     []run
	gaps     []Gap
	next     uint64 // sequence number after the last record seen or known of
	end      int64  // where the next record would go, if sound
	chain    uint32
	prev     Commitment // commitment of the record before next
	torn     int64      // bytes of unconfirmed writing after the end
	lastFull uint64     // last record of class classFull
	batch    int64      // where the last group that was written together begins
	unsure   bool       // something could not be read that may have been confirmed
	broken   bool       // the last confirmed records are missing, so nothing can follow
}

// sound tells whether writing may go on in this segment.
func (s *scan) sound() bool { return len(s.gaps) == 0 && !s.unsure }

// walk reads a segment from its header to its end. limit is the first sequence
// number of the next segment of the epoch (0: none); what lies at or beyond it
// was given up and written again there. known is the highest sequence number
// that other evidence says was durable.
func walk(w *window, h header, chain uint32, limit, known uint64) *scan {
	s := &scan{next: h.first, end: dataStart, batch: dataStart, chain: chain, prev: h.prev}
	if limit != 0 {
		known = max(known, limit-1)
	}
	p := placeOf(h.epoch, h.no)
	var last *entry // copied, for its commitment
	claimsKnown := false
	var open *run
	for limit == 0 || s.next < limit {
		e, n, ok := w.record(p, s.end)
		if ok && e.seq == s.next && e.chain == s.chain {
			if open == nil {
				s.runs = append(s.runs, run{first: e.seq, off: s.end})
				open = &s.runs[len(s.runs)-1]
			}
			open.add(e.seq, s.end, s.end+n)
			s.take(e, n)
			last = keep(last, e)
			continue
		}
		if !claimsKnown {
			known, claimsKnown = max(known, claims(w, p, s.end, s.next)), true
		}
		if known < s.next {
			s.torn = w.lastUsed(s.end) - s.end
			s.unsure = w.unreadable > s.end
			break
		}
		open = nil
		if !s.skip(w, p, h.epoch, limit, known) {
			break
		}
	}
	if last != nil {
		s.prev = Commit(last.salt, last.event)
	}
	return s
}

// keep copies e over last: the window's bytes do not outlive the next call, and
// hashing every event only to know the last commitment would slow the start of
// a small board.
func keep(last *entry, e entry) *entry {
	if last == nil {
		last = &entry{}
	}
	event := append(last.event[:0], e.event...)
	*last = e
	last.event = event
	return last
}

func (s *scan) take(e entry, n int64) {
	if e.back == 1 {
		s.batch = s.end
	}
	s.next, s.end, s.chain = e.seq+1, s.end+n, e.crc
	if e.class == classFull {
		s.lastFull = e.seq
	}
}

// claims returns the highest sequence number that any whole record after off
// says was durable before it.
func claims(w *window, p place, off int64, seq uint64) uint64 {
	var highest uint64
	for off+recordHead <= w.size {
		e, n, ok := w.record(p, off)
		if !ok {
			off += alignment
			continue
		}
		if e.seq > seq {
			highest = max(highest, e.durable())
		}
		off += n
	}
	return highest
}

// skip passes a damaged spot: it finds the next whole record, notes the gap, and
// reports whether there is anything to go on with.
func (s *scan) skip(w *window, p place, epoch Epoch, limit, known uint64) bool {
	for off := s.end; off+recordHead <= w.size; {
		e, n, ok := w.record(p, off)
		if !ok {
			off += alignment
			continue
		}
		if e.seq >= s.next && e.seq <= known+1 && (limit == 0 || e.seq < limit) {
			if e.seq > s.next {
				s.gaps = append(s.gaps, Gap{epoch, s.next, e.seq - 1})
			}
			s.next, s.end, s.chain = e.seq, off, e.chain
			return true
		}
		off += n
	}
	s.gaps = append(s.gaps, Gap{epoch, s.next, known})
	s.next, s.broken = known+1, true
	return false
}
