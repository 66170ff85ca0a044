package uart

// Scanner finds the packets of a protocol in bytes as they come. Parse looks at
// what b begins with: it gives the packet and its length, 0 for one that is not
// complete, and -1 for bytes that are none.
type Scanner[P any] struct {
	Parse func(b []byte) (p P, n int)
	buf   []byte
}

// Feed takes one byte and gives the packet it ends, if it does.
func (s *Scanner[P]) Feed(x byte) (none P, ok bool) {
	s.buf = append(s.buf, x)
	for len(s.buf) > 0 {
		switch p, n := s.Parse(s.buf); {
		case n > 0:
			s.buf = s.buf[n:]
			return p, true
		case n < 0:
			s.buf = s.buf[1:]
		default:
			return none, false
		}
	}
	return none, false
}

// Reset forgets what is not complete, as a loss of power does.
func (s *Scanner[P]) Reset() { s.buf = nil }

// Faults are how often things are still to go wrong, by kind.
type Faults map[string]int

// Set makes the next count of a kind go wrong; false for a kind that is not
// listed in f.
func (f Faults) Set(kind string, count int) bool {
	if _, ok := f[kind]; ok {
		f[kind] = count
		return true
	}
	return false
}

// Spend takes one of a kind, if any is left.
func (f Faults) Spend(kind string) bool {
	if f[kind] == 0 {
		return false
	}
	f[kind]--
	return true
}
