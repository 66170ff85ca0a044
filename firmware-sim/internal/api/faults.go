package api

import (
	"context"
	"net/http"
	"time"

	"sekimori/firmware-sim/internal/problem"
)

// Faults is what can go wrong at a reader, and what a hand can do inside one.
type Faults interface {
	Stall(reader string, d time.Duration, count int) error
	Noise(ctx context.Context, reader string, n int) error
	Fault(reader, kind string, count int) error
	Wipe(reader string) error
	Input(reader string, on bool) error
	Finger(reader string, slot uint16) error
}

// StallBody makes replies late.
type StallBody struct {
	MS    int `json:"ms"`
	Count int `json:"count"`
}

// CountBody is how much noise.
type CountBody struct {
	Count int `json:"count"`
}

// FaultBody spoils the next count frames.
type FaultBody struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// InputBody closes or opens the contact wired to a reader.
type InputBody struct {
	On *bool `json:"on"`
}

// FingerBody is a finger by the place of its template in the reader; 0 for one
// nobody has enrolled.
type FingerBody struct {
	Slot *int `json:"slot"`
}

func (s *server) stall(r *http.Request) (any, error) {
	var in StallBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	d, err := millis(in.MS)
	if err != nil {
		return nil, err
	}
	n, err := count(in.Count, maxCount)
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Stall(r.PathValue("id"), d, n) })
}

func (s *server) noise(r *http.Request) (any, error) {
	in := CountBody{Count: 32}
	if err := body(r, &in); err != nil {
		return nil, err
	}
	n, err := count(in.Count, maxNoise)
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Noise(r.Context(), r.PathValue("id"), n) })
}

func (s *server) fault(r *http.Request) (any, error) {
	var in FaultBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	n, err := count(in.Count, maxCount)
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Fault(r.PathValue("id"), in.Kind, n) })
}

func (s *server) wipe(r *http.Request) (any, error) {
	var in struct{}
	if err := body(r, &in); err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Wipe(r.PathValue("id")) })
}

func (s *server) input(r *http.Request) (any, error) {
	var in InputBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	on, err := said(in.On, "on")
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Input(r.PathValue("id"), on) })
}

const lastSlot = 1<<16 - 1

func (s *server) finger(r *http.Request) (any, error) {
	var in FingerBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if in.Slot == nil || *in.Slot < 0 || *in.Slot > lastSlot {
		return nil, problem.Body("slot は 0〜65535 です(0 は登録のない指)。", "slot is 0 to 65535, 0 for a finger nobody has enrolled")
	}
	return s.simply(func() error { return s.city.Finger(r.PathValue("id"), uint16(*in.Slot)) })
}
