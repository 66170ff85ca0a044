package gpio

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	pgpio "periph.io/x/conn/v3/gpio"
)

// set plays a kernel's line set. The pump is reached from inside because there is
// no chip to open in a test.
type set struct {
	plays []any // what Wait answers: kernelEvent, bits from now on (uint64) and a time-out, or an error
	bits  uint64
}

var errEnd = errors.New("chip gone")

func (s *set) Levels() (uint64, error) { return s.bits, nil }

func (s *set) Wait(time.Duration) ([]kernelEvent, error) {
	if len(s.plays) == 0 {
		return nil, errEnd
	}
	p := s.plays[0]
	s.plays = s.plays[1:]
	switch p := p.(type) {
	case kernelEvent:
		return []kernelEvent{p}, nil
	case uint64:
		s.bits = p
	}
	return nil, os.ErrDeadlineExceeded
}

type told struct {
	line  string
	level pgpio.Level
	at    time.Duration
	seq   uint64
}

// play pumps d0 and d1 as pulses (offsets 17 and 27) and door as a level (4),
// all high at first. The clock that stamps what is no event stands at 900.
func play(t *testing.T, plays ...any) (all []told) {
	t.Helper()
	lines := []watched{{"d0", true}, {"d1", true}, {"door", false}}
	s := newStream(context.Background(), []string{"d0", "d1", "door"})
	p := &pump{
		set: &set{plays, 0b111}, names: lines, byOff: map[int]watched{17: lines[0], 27: lines[1], 4: lines[2]},
		s: s, now: func() time.Duration { return 900 },
	}
	if err := p.run(context.Background()); !errors.Is(err, errEnd) {
		t.Errorf("pump ended with %v", err)
	}
	close(s.out)
	for e := range s.out {
		all = append(all, told{e.Line, e.Level, e.At, e.Seq})
	}
	begin := []told{{"d0", true, 900, 1}, {"d1", true, 900, 2}, {"door", true, 900, 3}}
	if len(all) < 3 || !slices.Equal(all[:3], begin) {
		t.Fatalf("began with %v", all)
	}
	return all[3:]
}

func TestPump(t *testing.T) {
	for name, c := range map[string]struct {
		plays []any
		want  []told
	}{
		"a pulse is a fall, whatever the kernel read": {
			[]any{kernelEvent{17, false, 50, 1}, kernelEvent{27, true, 60, 2}},
			[]told{{"d0", false, 50, 4}, {"d0", true, 50, 5}, {"d1", false, 60, 6}, {"d1", true, 60, 7}},
		},
		"a level": {
			[]any{kernelEvent{4, false, 50, 1}, kernelEvent{4, true, 60, 2}},
			[]told{{"door", false, 50, 4}, {"door", true, 60, 5}},
		},
		"a level that bounced back before the kernel looked": {
			[]any{kernelEvent{4, true, 50, 1}},
			nil,
		},
		"lost events show in the number": {
			[]any{kernelEvent{17, false, 50, 1}, kernelEvent{17, false, 60, 3}},
			[]told{{"d0", false, 50, 4}, {"d0", true, 50, 5}, {"d0", false, 60, 7}, {"d0", true, 60, 8}},
		},
		"out of order shows too": {
			[]any{kernelEvent{17, false, 60, 2}, kernelEvent{27, false, 50, 1}},
			[]told{{"d0", false, 60, 5}, {"d0", true, 60, 6}, {"d1", false, 50, 8}, {"d1", true, 50, 9}},
		},
		"a level whose edge was lost is found": {
			[]any{uint64(0b011)},
			[]told{{"door", false, 900, 4}},
		},
		"a cut data line, and mended": {
			[]any{kernelEvent{17, false, 50, 1}, uint64(0b110), uint64(0b110), uint64(0b110), uint64(0b111)},
			[]told{{"d0", false, 50, 4}, {"d0", true, 50, 5}, {"d0", false, 900, 6}, {"d0", true, 900, 7}},
		},
		"a cut data line mended by a bit": {
			[]any{uint64(0b110), uint64(0b110), kernelEvent{17, false, 50, 1}},
			[]told{{"d0", false, 900, 4}, {"d0", true, 50, 5}, {"d0", false, 50, 6}, {"d0", true, 50, 7}},
		},
		"a pulse that just passes while nothing else happens": {
			[]any{uint64(0b110), kernelEvent{17, false, 50, 1}, uint64(0b101)},
			[]told{{"d0", false, 50, 4}, {"d0", true, 50, 5}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := play(t, c.plays...); !slices.Equal(got, c.want) {
				t.Errorf("told %v, want %v", got, c.want)
			}
		})
	}
}

func TestPumpEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := &pump{set: &set{}, s: newStream(ctx, nil), now: func() time.Duration { return 0 }}
	if err := p.run(ctx); err != nil {
		t.Errorf("pump: %v", err)
	}
}
