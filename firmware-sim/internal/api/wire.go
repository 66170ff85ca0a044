// Package api is the remote control of the simulator: HTTP with JSON bodies on
// a unix socket, or on a loopback port, and a client for it.
//
// Answers are the value asked for, {"ok":true,…} after an act, or
// {"error":{"code","ja","en"}} with an HTTP status other than 200. README lists
// every address with an example.
package api

import (
	"net/http"

	"sekimori/firmware-sim/internal/problem"
)

// CardBody presents a card: by number or name from the table, by format,
// facility and id, or by its bits ("26:06181cc0").
type CardBody struct {
	Number   string  `json:"number,omitempty"`
	Format   string  `json:"format,omitempty"`
	Facility uint64  `json:"facility,omitempty"`
	ID       *uint64 `json:"id,omitempty"`
	Bits     string  `json:"bits,omitempty"`

	Clone bool `json:"clone,omitempty"` // PN532: the card's number without its key
	MS    *int `json:"ms,omitempty"`    // PN532: how long; 0: until remove; 800 if left out
}

// KeysBody types on a keypad.
type KeysBody struct {
	Keys string `json:"keys"`
}

// CableBody pulls a cable or plugs it in.
type CableBody struct {
	Connected *bool `json:"connected"`
}

// DoorBody goes with every act on a door; each act reads its own fields.
type DoorBody struct {
	MS      int   `json:"ms,omitempty"`      // open, force, rex: how long; 0: until told otherwise (rex: 500)
	Pressed *bool `json:"pressed,omitempty"` // rex: held, or let go
	On      *bool `json:"on,omitempty"`      // fire, power
	Open    *bool `json:"open,omitempty"`    // tamper
}

// FireBody is the fire panel; no doors means all.
type FireBody struct {
	On    *bool    `json:"on"`
	Doors []string `json:"doors,omitempty"`
}

// ClockBody moves the simulated clock: one of set, advance, or controller+skew.
type ClockBody struct {
	Set        string `json:"set,omitempty"`     // RFC 3339
	Advance    string `json:"advance,omitempty"` // "90m", also "24h"
	Controller string `json:"controller,omitempty"`
	Skew       string `json:"skew,omitempty"`
}

// Done is the answer to an act. MonoNS is when it was complete: for a card at a
// Wiegand reader, when its last pulse is over.
type Done struct {
	OK     bool   `json:"ok"`
	MonoNS int64  `json:"mono_ns"`
	Event  uint64 `json:"event"` // the newest event before the act; for ?since=
	Bits   int    `json:"bits,omitempty"`
}

// CardRow is one row of the card table.
type CardRow struct {
	Number   string `json:"number"`
	Name     string `json:"name"`
	Format   string `json:"format"`
	Facility uint64 `json:"facility"`
	ID       uint64 `json:"id"`
	Bits     string `json:"bits"`
}

type failure struct {
	Error *problem.Error `json:"error"`
}

// status is the one table from codes to HTTP.
var status = map[string]int{
	problem.UnknownDoor:       http.StatusNotFound,
	problem.UnknownReader:     http.StatusNotFound,
	problem.UnknownController: http.StatusNotFound,
	problem.UnknownCard:       http.StatusNotFound,
	problem.NotFound:          http.StatusNotFound,
	problem.BadBody:           http.StatusBadRequest,
	problem.TooLarge:          http.StatusRequestEntityTooLarge,
	problem.Locked:            http.StatusConflict,
	problem.AlreadyOpen:       http.StatusConflict,
	problem.AlreadyClosed:     http.StatusConflict,
	problem.NotAsked:          http.StatusConflict,
	problem.NotSupported:      http.StatusUnprocessableEntity,
	problem.Full:              http.StatusTooManyRequests,
	problem.Timeout:           http.StatusRequestTimeout,
	problem.Forbidden:         http.StatusForbidden,
	problem.Internal:          http.StatusInternalServerError,
}
