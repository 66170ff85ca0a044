package facts_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sekimori/agent/internal/facts"
	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/timekeeper"
	"sekimori/internal/record"
)

// clock moves on at each reading, so that a second reading shows.
type clock struct{ n int }

func (c *clock) Now() timekeeper.Reading {
	c.n++
	return timekeeper.Reading{
		Wall: time.Date(2026, 6, 15, 0, 0, c.n, 0, time.UTC), Mono: time.Duration(c.n) * time.Second, Quality: record.TimeSynced,
	}
}

// slow is a journal that builds an event as often as it likes.
type slow struct {
	builds [][]byte
	class  journal.Class
	err    error
	before func()
}

func (s *slow) Append(_ context.Context, class journal.Class, build func(journal.Position) ([]byte, error)) (journal.Position, error) {
	if s.before != nil {
		s.before()
	}
	s.class = class
	p := journal.Position{Epoch: journal.Epoch{1}, Seq: 7, Prev: journal.Commitment{9}}
	for range 3 {
		b, err := build(p)
		if err != nil {
			return p, err
		}
		s.builds = append(s.builds, b)
	}
	return p, s.err
}

// A fact is of the time and policy of its call, and its bytes are the same each
// time the journal asks for them.
func TestFactsAreStable(t *testing.T) {
	j := &slow{}
	w := facts.New("DC-31", record.BootID{2}, &clock{}, j)
	w.UnderPolicy(7, "kanmori/1")
	j.before = func() { w.UnderPolicy(8, "kanmori/2") } // while the fact waits for its turn
	body := record.Passage{Door: "D31", Person: "P07", Method: record.MethodCard}
	if err := w.Write(t.Context(), record.KindEntered, body, true); err != nil {
		t.Fatal(err)
	}
	const want = `{"v":1,"device":"DC-31","epoch":"01000000000000000000000000000000","seq":7,` +
		`"prev":"0900000000000000000000000000000000000000000000000000000000000000","boot":"02000000000000000000000000000000",` +
		`"mono":1000000000,"wall":"2026-06-15T00:00:01Z","tq":"synced","policy":7,"pack":"kanmori/1","kind":"entered",` +
		`"body":{"door":"D31","room":"","level":0,"dir":"","person":"P07","method":"card"}}`
	for n, b := range j.builds {
		if string(b) != want {
			t.Errorf("build %d:\n%s\nwant\n%s", n, b, want)
		}
		if _, err := record.DecodeEvent(b); err != nil {
			t.Errorf("the hub cannot read it: %v", err)
		}
	}
	if j.class != journal.Safety {
		t.Errorf("class %d", j.class)
	}
}

func TestFactsThatCannotBeWritten(t *testing.T) {
	j := &slow{err: journal.ErrFull}
	w := facts.New("DC-31", record.BootID{2}, &clock{}, j)
	if err := w.Write(t.Context(), record.KindGranted, record.Passage{}, false); !errors.Is(err, journal.ErrFull) || j.class != journal.Normal {
		t.Errorf("%v, class %d", err, j.class)
	}
	if err := w.Write(t.Context(), record.KindGranted, func() {}, false); err == nil {
		t.Error("a body that is no fact was written")
	}
	if err := w.Write(t.Context(), record.KindGranted, strings.Repeat("x", record.MaxEvent), false); err == nil {
		t.Error("a fact larger than the hub takes was written")
	}
}
