package gpio

import (
	"context"
	"errors"
	"os"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"
)

// lineSet is what the pump needs of periph's LineSet.
type lineSet interface {
	Read(mask pgpio.GPIOValue) (pgpio.GPIOValue, error)
	WaitForEdge(timeout time.Duration) (number int, edge pgpio.Edge, err error)
}

// pumpWait bounds one wait in the kernel: periph's Halt is lost when it comes
// between two waits, so the pump looks at its context this often.
const pumpWait = 200 * time.Millisecond

// pump copies the edges of a line set to s until ctx ends or the set fails.
// names are the set's lines in order of request, byNumber the same by chip
// offset, now the clock that stamps.
func pump(ctx context.Context, set lineSet, names []string, byNumber map[int]string, s *stream, now func() time.Duration) error {
	bits, err := set.Read(0)
	if err != nil {
		return err
	}
	for i, name := range names {
		s.tell(name, bits&(1<<i) != 0, now())
	}
	for ctx.Err() == nil {
		n, edge, err := set.WaitForEdge(pumpWait)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return err
		}
		at, name := now(), byNumber[n]
		level := pgpio.Level(edge == pgpio.RisingEdge)
		if was, ok := s.level[name]; ok && was == level {
			// The edge between was lost in the kernel's buffer.
			s.gap()
			delete(s.level, name)
		}
		s.tell(name, level, at)
	}
	return nil
}
