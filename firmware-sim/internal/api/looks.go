package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/world"
)

func (s *server) state(*http.Request) (any, error) { return s.city.State(), nil }
func (s *server) clock(*http.Request) (any, error) { return s.city.State().Clock, nil }

func (s *server) cards(*http.Request) (any, error) {
	rows := []CardRow{}
	for _, c := range s.city.Cards().All() {
		b, err := cards.Encode(c.Format, c.Facility, c.ID)
		if err != nil {
			return nil, err
		}
		rows = append(rows, CardRow{c.Number, c.Name, c.Format, c.Facility, c.ID, b.Text()})
	}
	return map[string]any{"cards": rows}, nil
}

// number reads a count from the query; absent is 0.
func number(r *http.Request, key string) (uint64, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, problem.Body(key+" は数で書いてください。", key+" is a number")
	}
	return n, nil
}

// patience reads ?timeout=, "2s" unless told.
func patience(r *http.Request, otherwise time.Duration) (time.Duration, error) {
	text := r.URL.Query().Get("timeout")
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait {
		return 0, problem.Body("timeout は 500ms や 2s の形で、5分までです。", "timeout looks like 500ms or 2s, at most 5m")
	}
	return d, nil
}

func (s *server) timeline(r *http.Request) (any, error) {
	after, err := number(r, "after")
	if err != nil {
		return nil, err
	}
	return s.city.Timeline(r.PathValue("id"), after)
}

func (s *server) events(r *http.Request) (any, error) {
	after, err := number(r, "after")
	if err != nil {
		return nil, err
	}
	d, err := patience(r, 0)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	list, last := s.city.Events(ctx, after, maxEvents)
	return map[string]any{"events": list, "last": last}, nil
}

func oneOf(text string, words ...string) bool {
	for _, w := range words {
		if text == w {
			return true
		}
	}
	return text == ""
}

func (s *server) wait(r *http.Request) (any, error) {
	q := r.URL.Query()
	want := world.Wanted{Door: q.Get("door"), Lock: q.Get("lock"), Leaf: q.Get("leaf"), Reader: q.Get("reader"), LED: q.Get("led")}
	if !oneOf(want.Lock, "locked", "released") || !oneOf(want.Leaf, "open", "closed") ||
		(want.Door == "") != (want.Lock == "" && want.Leaf == "") || (want.Reader == "") != (want.LED == "") ||
		want.Door == "" && want.Reader == "" {
		return nil, problem.Body("door と lock=released|locked か leaf=open|closed、または reader と led=色 を書いてください。",
			"give door with lock=released|locked or leaf=open|closed, or reader with led=COLOUR")
	}
	var err error
	if want.Since, err = number(r, "since"); err != nil {
		return nil, err
	}
	d, err := patience(r, 2*time.Second)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	ok, err := s.city.Wait(ctx, want)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, problem.New(problem.Timeout, d.String()+" 待ちましたが、そうなりませんでした。state で今の様子を見てください。", "not so within "+d.String()+"; `state` tells how things are")
	}
	return s.city.State(), nil
}
