package osdp

import "errors"

// Scanner finds frames in a stream of bytes. Bytes that are no frame are
// skipped and counted as noise, one for each run of them: a damaged frame is
// one event to an operator, however long it is.
type Scanner struct {
	buf     []byte
	read    int // bytes of buf already used
	skipped bool
	noise   int
}

// Feed adds received bytes. Frames from Next are invalid after it.
func (s *Scanner) Feed(p []byte) {
	s.buf = append(s.buf[:copy(s.buf, s.buf[s.read:])], p...)
	s.read = 0
}

// Next returns the next complete frame, or false when more bytes are needed.
func (s *Scanner) Next() (Frame, bool) {
	for s.read < len(s.buf) {
		f, n, err := Parse(s.buf[s.read:])
		if errors.Is(err, ErrShort) {
			return Frame{}, false
		}
		if err == nil {
			s.read += n
			s.skipped = false
			return f, true
		}
		if !s.skipped && !s.onlyMarks(n) {
			s.noise++
			s.skipped = true
		}
		s.read += n
	}
	return Frame{}, false
}

// onlyMarks tells that the next n bytes are idle bytes, of which there may be
// any number between frames.
func (s *Scanner) onlyMarks(n int) bool {
	for _, b := range s.buf[s.read : s.read+n] {
		if b != mark {
			return false
		}
	}
	return true
}

// Pending is how many bytes of an unfinished frame wait.
func (s *Scanner) Pending() int { return len(s.buf) - s.read }

// Reset gives up an unfinished frame; it counts as noise.
func (s *Scanner) Reset() {
	if s.Pending() > 0 && !s.onlyMarks(s.Pending()) && !s.skipped {
		s.noise++
	}
	s.buf, s.read, s.skipped = s.buf[:0], 0, false
}

// TakeNoise returns how many runs of noise there were since the last call.
func (s *Scanner) TakeNoise() uint64 {
	n := s.noise
	s.noise = 0
	return uint64(n)
}

// Begun is how long the frame that has begun is, as far as its head tells, and
// how many of its bytes must still come; 0 and 0 when none has begun.
func (s *Scanner) Begun() (size, missing int) {
	p := s.buf[s.read:]
	if len(p) > 0 && p[0] == mark {
		p = p[1:]
	}
	switch {
	case len(p) == 0 || p[0] != som:
		return 0, 0
	case len(p) < headLen:
		return minLen, minLen - len(p)
	}
	size = int(p[2]) | int(p[3])<<8
	return size, max(size-len(p), 0)
}
