package api

import (
	"context"
	"net/http"
	"time"

	"sekimori/firmware-sim/internal/problem"
)

// Contactless is what can happen at a PN532 module.
type Contactless interface {
	Contactless(reader string) bool
	Present(ctx context.Context, reader, card string, clone bool, d time.Duration) error
	Remove(reader string) error
}

// present is a card at a PN532 module: by number or name only.
func (s *server) present(r *http.Request, in CardBody) (any, error) {
	ms := touchMS
	if in.MS != nil {
		ms = *in.MS
	}
	d, err := millis(ms)
	if err != nil {
		return nil, err
	}
	if in.Number == "" || in.Bits != "" || in.Format != "" || in.ID != nil {
		return nil, problem.Body("PN532 ではカードを number(番号か名前)で示してください。", "at a PN532 module name the card by number, which may be its name")
	}
	return s.simply(func() error { return s.city.Present(r.Context(), r.PathValue("id"), in.Number, in.Clone, d) })
}

func (s *server) remove(r *http.Request) (any, error) {
	var in struct{}
	if err := body(r, &in); err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Remove(r.PathValue("id")) })
}
