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
	Finger(reader string, slot uint16, d time.Duration) error
	Touch(reader, finger string, d time.Duration) error
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

// FingerBody is a finger for a while: by the place of its template in the reader,
// 0 for one nobody has enrolled, or, at a fingerprint module, by its name.
type FingerBody struct {
	Slot   *int   `json:"slot,omitempty"`
	Finger string `json:"finger,omitempty"`
	MS     int    `json:"ms,omitempty"` // fingerprint module: 800 if not given
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

const (
	lastSlot  = 1<<16 - 1
	touchMS   = 800 // how long a finger usually rests
	maxFinger = 32  // letters of a finger's name
)

func (s *server) finger(r *http.Request) (any, error) {
	in := FingerBody{MS: touchMS}
	if err := body(r, &in); err != nil {
		return nil, err
	}
	d, err := millis(in.MS)
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	switch {
	case in.Slot == nil && in.Finger != "" && len(in.Finger) <= maxFinger:
		return s.simply(func() error { return s.city.Touch(id, in.Finger, d) })
	case in.Slot == nil || in.Finger != "" || *in.Slot < 0 || *in.Slot > lastSlot:
		return nil, problem.Body("slot は 0〜65535 です(0 は登録のない指)。照合装置では finger に指の名前も書けます。",
			"slot is 0 to 65535, 0 for a finger nobody has enrolled; a fingerprint module also takes finger, a name")
	}
	return s.simply(func() error { return s.city.Finger(id, uint16(*in.Slot), d) })
}
