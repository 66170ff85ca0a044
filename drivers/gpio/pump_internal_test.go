package gpio

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"
)

// set plays edges as periph's LineSet reports them. The pump is reached from
// inside because there is no chip to open in a test.
type set struct {
	bits  pgpio.GPIOValue
	edges []any // fall{n}, rise{n} or an error
}

type (
	fall struct{ n int }
	rise struct{ n int }
)

var errEnd = errors.New("chip gone")

func (s *set) Read(pgpio.GPIOValue) (pgpio.GPIOValue, error) { return s.bits, nil }

func (s *set) WaitForEdge(time.Duration) (int, pgpio.Edge, error) {
	if len(s.edges) == 0 {
		return 0, pgpio.NoEdge, errEnd
	}
	e := s.edges[0]
	s.edges = s.edges[1:]
	switch e := e.(type) {
	case fall:
		return e.n, pgpio.FallingEdge, nil
	case rise:
		return e.n, pgpio.RisingEdge, nil
	}
	return 0, pgpio.NoEdge, e.(error)
}

func TestPump(t *testing.T) {
	s := newStream(context.Background(), []string{"d0", "d1"})
	at := time.Duration(0)
	ls := &set{bits: 0b11, edges: []any{fall{17}, rise{17}, os.ErrDeadlineExceeded, fall{27}, fall{27}, rise{27}}}
	err := pump(context.Background(), ls, []string{"d0", "d1"}, map[int]string{17: "d0", 27: "d1"}, s, func() time.Duration { at++; return at })
	if !errors.Is(err, errEnd) {
		t.Errorf("pump ended with %v", err)
	}
	close(s.out)
	type edge struct {
		line  string
		level pgpio.Level
		seq   uint64
	}
	want := []edge{{"d0", true, 1}, {"d1", true, 2}, {"d0", false, 3}, {"d0", true, 4}, {"d1", false, 5},
		{"d1", false, 7}, // the rise between was lost, and the number says so
		{"d1", true, 8}}
	for _, w := range want {
		e, ok := <-s.out
		if got := (edge{e.Line, e.Level, e.Seq}); !ok || got != w || e.At == 0 {
			t.Errorf("edge %+v, want %+v", e, w)
		}
	}
	if e, more := <-s.out; more {
		t.Errorf("one more edge: %+v", e)
	}
}

func TestPumpEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := pump(ctx, &set{}, nil, nil, newStream(ctx, nil), func() time.Duration { return 0 }); err != nil {
		t.Errorf("pump: %v", err)
	}
}
