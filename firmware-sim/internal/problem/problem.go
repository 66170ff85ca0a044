// Package problem is how the simulator says no: a code for scripts, a sentence
// in Japanese and in English for people, each with a way out.
package problem

import "fmt"

// Error is an answer of the control interface that is not a success.
type Error struct {
	Code string `json:"code"` // one of the codes below
	JA   string `json:"ja"`   // what happened and what to do
	EN   string `json:"en"`
}

func (e *Error) Error() string { return e.Code + ": " + e.EN }

// Codes of Error; README lists them with their HTTP status.
const (
	UnknownDoor       = "unknown_door"
	UnknownReader     = "unknown_reader"
	UnknownController = "unknown_controller"
	UnknownCard       = "unknown_card"
	BadBody           = "bad_body"
	TooLarge          = "too_large"
	Locked            = "locked"
	AlreadyOpen       = "already_open"
	AlreadyClosed     = "already_closed"
	NotSupported      = "not_supported"
	Full              = "queue_full"
	NotAsked          = "not_asked"
	Timeout           = "timeout"
	Forbidden         = "forbidden"
	NotFound          = "not_found"
	Internal          = "internal"
)

// New makes an Error.
func New(code, ja, en string) *Error { return &Error{Code: code, JA: ja, EN: en} }

// Unknown is the answer to an ID that the settings do not name; kinds tells
// which list of `state` to look in.
func Unknown(code, id string) *Error {
	what := map[string][2]string{
		UnknownDoor:       {"扉", "door"},
		UnknownReader:     {"読取装置", "reader"},
		UnknownController: {"制御盤", "controller"},
	}[code]
	return New(code,
		fmt.Sprintf("%s %q は設定にありません。`sekimori-sim state` で名前を確かめてください。", what[0], id),
		fmt.Sprintf("the settings have no %s %q; `sekimori-sim state` lists the names", what[1], id))
}

// Body is the answer to a request body with a fault.
func Body(ja, en string) *Error { return New(BadBody, ja, en) }
