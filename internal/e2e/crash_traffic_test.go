//go:build linux && !simtime

package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"
)

// letPeopleIn starts one person after the other at each door, and a watcher.
// Nobody minds a dead program: they wait a little and try again.
func (s *storm) letPeopleIn() *crowd {
	ctx, stop := context.WithCancel(context.Background())
	s.t.Cleanup(stop)
	p := &crowd{stop: stop}
	for _, w := range []*walker{
		{ctl: newSimulator(s.t, s.path("sim/sim.sock")), door: "D21", rnd: rand.New(rand.NewPCG(s.rnd.Uint64(), 1))},
		{ctl: newSimulator(s.t, s.path("sim/sim.sock")), door: "D31", rnd: rand.New(rand.NewPCG(s.rnd.Uint64(), 2))},
	} {
		p.done.Go(func() {
			for ctx.Err() == nil {
				w.once()
				time.Sleep(time.Duration(w.rnd.Int64N(int64(100 * time.Millisecond))))
			}
			_ = w.act("close", nil)
		})
	}
	p.done.Go(func() { p.seen = s.watch(ctx) })
	return p
}

// walker plays people at one door, one act at a time. Every error is somebody
// who gives up.
type walker struct {
	ctl  *simulator
	door string
	rnd  *rand.Rand
}

// holder is somebody of the fixture city.
type holder struct{ card, pin string }

var (
	permitted    = []holder{{"0000010001", "1001"}, {"0000012345", "7007"}}
	withoutRight = holder{card: "0000010005"}
	stranger     = holder{card: "0000099999"}
)

// once is one act of somebody.
func (w *walker) once() {
	_ = w.act("close", nil) // left open by somebody whose simulator died
	who := permitted[w.rnd.IntN(len(permitted))]
	n := w.rnd.IntN(10)
	switch {
	case n == 0:
		_, _ = w.present("in", stranger)
	case n == 1:
		_, _ = w.present("in", withoutRight)
	case n == 2 || w.door == "D21" && n < 5:
		if w.act("rex", map[string]any{"ms": 100}) == nil {
			w.walk()
		}
	case w.door == "D21":
		if at, err := w.present("in", who); err == nil && w.released(at) == nil {
			w.walk()
		}
	case n < 6:
		w.withPIN("in", who)
	default:
		w.withPIN("out", who)
	}
}

// withPIN passes with both factors.
func (w *walker) withPIN(direction string, who holder) {
	at, err := w.present(direction, who)
	if err != nil {
		return
	}
	reader := w.door + "-" + direction
	if w.ctl.call(http.MethodGet, "/v1/wait?timeout=1500ms&led=amber&reader="+reader, nil, nil) != nil {
		return
	}
	if w.ctl.call(http.MethodPost, "/v1/readers/"+reader+"/keys", map[string]string{"keys": who.pin + "#"}, nil) != nil {
		return
	}
	if w.released(at) == nil {
		w.walk()
	}
}

// present shows a card and returns the simulator's event before it.
func (w *walker) present(direction string, who holder) (before uint64, err error) {
	var done struct {
		Event uint64 `json:"event"`
	}
	err = w.ctl.call(http.MethodPost, "/v1/readers/"+w.door+"-"+direction+"/card", map[string]string{"number": who.card}, &done)
	return done.Event, err
}

func (w *walker) released(since uint64) error {
	return w.ctl.call(http.MethodGet, fmt.Sprintf("/v1/wait?timeout=1500ms&door=%s&lock=released&since=%d", w.door, since), nil, nil)
}

func (w *walker) act(what string, body map[string]any) error {
	if body == nil {
		body = map[string]any{}
	}
	return w.ctl.call(http.MethodPost, "/v1/doors/"+w.door+"/"+what, body, nil)
}

func (w *walker) walk() {
	if w.act("open", nil) == nil {
		time.Sleep(time.Duration(w.rnd.Int64N(int64(60 * time.Millisecond))))
		_ = w.act("close", nil)
	}
}

// happening is an event of the simulator, with the life it happened in.
type happening struct {
	life   int64
	Seq    uint64        `json:"seq"`
	At     time.Duration `json:"mono_ns"` // CLOCK_MONOTONIC
	Door   string        `json:"door"`
	Kind   string        `json:"kind"`
	Causes []string      `json:"causes"`
}

// watch collects what happens at the doors until ctx ends. What happened in the
// last moment before a simulator's death is lost with it.
func (s *storm) watch(ctx context.Context) []happening {
	type id struct {
		life int64
		seq  uint64
	}
	seen := map[id]happening{}
	ctl := newSimulator(s.t, s.path("sim/sim.sock"))
	var life int64
	var after uint64
	for ended := false; !ended; {
		ended = ctx.Err() != nil // once more after the last act
		now := s.simLife.Load()
		if now != life {
			life, after = now, 0
		}
		var news struct {
			Events []happening `json:"events"`
		}
		err := ctl.call(http.MethodGet, fmt.Sprintf("/v1/events?timeout=200ms&after=%d", after), nil, &news)
		if err != nil || s.simLife.Load() != life {
			after = 0 // whoever answered, it may have been another life
			time.Sleep(5 * time.Millisecond)
			continue
		}
		for _, e := range news.Events {
			e.life, after = life, e.Seq
			seen[id{life, e.Seq}] = e
		}
	}
	return slices.SortedFunc(maps.Values(seen), func(a, b happening) int { return int(a.At - b.At) })
}
