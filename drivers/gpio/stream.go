package gpio

import (
	"context"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
)

// streamRoom is how many edges wait for a slow consumer, about 75 frames of a
// 26-bit card. Beyond it edges are lost, which the sequence number shows.
const streamRoom = 4096

// stream is the edges of one Edges call, numbered for its consumer. One
// goroutine owns it.
type stream struct {
	ctx   context.Context
	out   chan drivers.Edge
	lines map[string]bool
	level map[string]pgpio.Level // the last level told, absent when none is valid
	seq   uint64
}

func newStream(ctx context.Context, lines []string) *stream {
	s := &stream{ctx: ctx, out: make(chan drivers.Edge, streamRoom), lines: map[string]bool{}, level: map[string]pgpio.Level{}}
	for _, l := range lines {
		s.lines[l] = true
	}
	return s
}

// tell passes an edge on. A repeated level is no edge and is left out.
func (s *stream) tell(line string, level pgpio.Level, at time.Duration) {
	if !s.lines[line] {
		return
	}
	if was, ok := s.level[line]; ok && was == level {
		return
	}
	s.level[line] = level
	s.seq++
	select {
	case s.out <- drivers.Edge{Line: line, Level: level, At: at, Seq: s.seq}:
	default: // lost: the consumer sees the gap in Seq
	}
}

// gap says that edges were lost before this point.
func (s *stream) gap() { s.seq++ }

// restart forgets the levels, so that the next ones are told even if equal.
func (s *stream) restart() {
	s.gap()
	clear(s.level)
}
