package agent_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"testing"
	"time"

	"sekimori/agent"
	"sekimori/internal/record"
)

// [001-3.1(1)] A leak and a forced door are written down and light the lamp for
// as long as they last; the lamp is dark when the program has stopped.
func TestContactsAndLamps(t *testing.T) {
	w := newWires(t)
	s := doorSettings(t, w)
	s.Inputs = []agent.InputSettings{{ID: "leak1", Purpose: "water_leak", Room: "R21", Line: "leak", Normally: "open"}}
	s.Outputs = []agent.OutputSettings{{ID: "lamp", Line: "lamp", When: []string{"water_leak", "forced_open"}}}
	cached(t, s.Identity(), enrol(t, s.Identity()))
	c, err := s.Open(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	c.Ready = func() { close(ready) }
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx, c) }()
	<-ready
	eventually(t, "lines watched", w.watched)
	shows := func(level string) func() bool {
		return func() bool { l := w.lit(); return len(l) > 0 && l[len(l)-1] == level }
	}
	eventually(t, "dark at the start", shows("0"))
	w.set("leak", true)
	eventually(t, "lit by the leak", shows("1"))
	w.set("contact", true) // nobody was let in
	time.Sleep(200 * time.Millisecond)
	w.set("leak", false)
	time.Sleep(200 * time.Millisecond) // longer than the debounce
	if !shows("1")() {
		t.Error("the forced door does not hold the lamp")
	}
	w.set("contact", false)
	eventually(t, "dark again", shows("0"))
	w.set("leak", true)
	eventually(t, "lit again", shows("1"))
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !shows("0")() {
		t.Errorf("left lit: %v", w.lit())
	}
	var got []record.Kind
	for _, e := range events(t, c) {
		switch e.Kind {
		case record.KindInputActive, record.KindInputCleared, record.KindForcedOpen, record.KindDoorClosed:
			got = append(got, e.Kind)
		}
		if e.Kind == record.KindInputCleared {
			var state record.InputState
			if err := json.Unmarshal(e.Body, &state); err != nil || state.Input != "leak1" || state.Purpose != record.InputWaterLeak || state.Room != "R21" || state.For <= 0 {
				t.Errorf("%+v %v", state, err)
			}
		}
	}
	want := []record.Kind{record.KindInputActive, record.KindForcedOpen, record.KindInputCleared, record.KindDoorClosed, record.KindInputActive}
	if !slices.Equal(got, want) {
		t.Errorf("facts %v, want %v", got, want)
	}
}
