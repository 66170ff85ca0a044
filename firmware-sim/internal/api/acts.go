package api

import (
	"net/http"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/problem"
)

const (
	maxKeys    = 32
	maxNoise   = 4096
	maxCount   = 1000
	maxMS      = 10 * 60 * 1000
	maxAdvance = 10 * 366 * 24 * time.Hour
	pressMS    = 500 // a finger on the exit button
)

// count checks a number of things to do; none given means one.
func count(n, limit int) (int, error) {
	if n == 0 {
		return 1, nil
	}
	if n < 0 || n > limit {
		return 0, problem.Body("count が範囲を外れています。", "count is out of range")
	}
	return n, nil
}

func millis(ms int) (time.Duration, error) {
	if ms < 0 || ms > maxMS {
		return 0, problem.Body("ms は 0〜600000 です。", "ms is 0 to 600000")
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// said reads a field that has no default.
func said(b *bool, field string) (bool, error) {
	if b == nil {
		return false, problem.Body("本文に \""+field+"\": true か false を書いてください。", `the body needs "`+field+`": true or false`)
	}
	return *b, nil
}

func (s *server) card(r *http.Request) (any, error) {
	var in CardBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if s.city.Contactless(r.PathValue("id")) {
		return s.present(r, in)
	}
	b, err := s.bits(in)
	if err != nil {
		return nil, err
	}
	v, err := s.done(func() (int64, error) { return s.city.Card(r.PathValue("id"), b) })
	if d, ok := v.(Done); ok {
		d.Bits = b.Len()
		return d, err
	}
	return v, err
}

// bits finds the card meant. What is written in the body goes before the table.
func (s *server) bits(in CardBody) (cards.Bits, error) {
	var b cards.Bits
	var err error
	switch {
	case in.Bits != "":
		b, err = cards.ParseBits(in.Bits)
	case in.Format != "" && in.ID != nil:
		b, err = cards.Encode(in.Format, in.Facility, *in.ID)
	case in.Number == "":
		return b, problem.Body("カードを number、format と facility と id、bits のどれかで示してください。", "name the card by number, by format, facility and id, or by bits")
	default:
		var ok bool
		if b, ok = s.city.Cards().Lookup(in.Number); !ok {
			return b, problem.New(problem.UnknownCard,
				"このカードは設定の cards にありません。sim.yaml に加えるか、format と facility と id、または bits で示してください。",
				"the settings list no such card; add it to cards, or give format, facility and id, or bits")
		}
	}
	if err != nil {
		return b, problem.Body("カードの書き方が正しくありません: "+err.Error(), err.Error())
	}
	return b, nil
}

func (s *server) keys(r *http.Request) (any, error) {
	var in KeysBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if len(in.Keys) == 0 || len(in.Keys) > maxKeys {
		return nil, problem.Body("keys は 1〜32 文字です。", "keys has 1 to 32 characters")
	}
	for _, k := range in.Keys {
		if (k < '0' || k > '9') && k != '*' && k != '#' {
			return nil, problem.Body("keys に使えるのは 0〜9、*、# です。", "keys holds 0 to 9, * and #")
		}
	}
	return s.done(func() (int64, error) { return s.city.Keys(r.PathValue("id"), in.Keys) })
}

func (s *server) cable(r *http.Request) (any, error) {
	var in CableBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	connected, err := said(in.Connected, "connected")
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Cable(r.PathValue("id"), connected) })
}

func (s *server) readerTamper(r *http.Request) (any, error) {
	var in DoorBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	open, err := said(in.Open, "open")
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.ReaderTamper(r.PathValue("id"), open) })
}

func (s *server) act(r *http.Request) (any, error) {
	var in DoorBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	input, err := doorInput(r.PathValue("act"), in)
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Act(r.PathValue("id"), input) })
}

func doorInput(act string, in DoorBody) (door.Input, error) {
	d, err := millis(in.MS)
	if err != nil {
		return door.Input{}, err
	}
	input := door.Input{On: true, For: d}
	switch act {
	case "open":
		input.Kind = door.Pull
	case "force":
		input.Kind = door.Force
	case "close":
		input.Kind = door.Push
	case "rex":
		input.Kind = door.SetRex
		switch {
		case in.Pressed != nil:
			input.On = *in.Pressed
		case d == 0:
			input.For = pressMS * time.Millisecond
		}
	case "fire":
		input.Kind = door.SetFire
		input.On, err = said(in.On, "on")
	case "power":
		input.Kind = door.SetSupply
		input.On, err = said(in.On, "on")
	case "tamper":
		input.Kind = door.SetTamper
		input.On, err = said(in.Open, "open")
	default:
		err = problem.New(problem.NotFound, "扉にできることは open close force rex fire power tamper です。", "a door takes open, close, force, rex, fire, power, tamper")
	}
	return input, err
}

func (s *server) fire(r *http.Request) (any, error) {
	var in FireBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	on, err := said(in.On, "on")
	if err != nil {
		return nil, err
	}
	return s.simply(func() error { return s.city.Fire(on, in.Doors) })
}

func (s *server) setClock(r *http.Request) (any, error) {
	var in ClockBody
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if err := s.moveClock(in); err != nil {
		return nil, err
	}
	return s.city.State().Clock, nil
}

func (s *server) moveClock(in ClockBody) error {
	bad := func(err error) error {
		return problem.Body("時刻は 2026-06-15T09:00:00+09:00、長さは 90m の形で書いてください。", "times look like 2026-06-15T09:00:00+09:00, lengths like 90m: "+err.Error())
	}
	switch {
	case in.Set != "" && in.Advance == "" && in.Skew == "":
		t, err := time.Parse(time.RFC3339, in.Set)
		if err != nil {
			return bad(err)
		}
		if t.Year() < 1970 || t.Year() > 2100 {
			return problem.Body("set は 1970年から2100年までです。", "set takes years 1970 to 2100")
		}
		return s.city.SetClock(t)
	case in.Advance != "" && in.Set == "" && in.Skew == "":
		d, err := time.ParseDuration(in.Advance)
		if err != nil {
			return bad(err)
		}
		if d < 0 || d > maxAdvance {
			return problem.Body("advance は進めるだけで、一度に10年までです。戻すには set を使ってください。", "advance goes forward only, ten years at most; use set to go back")
		}
		return s.city.AdvanceClock(d)
	case in.Skew != "" && in.Controller != "" && in.Set == "" && in.Advance == "":
		d, err := time.ParseDuration(in.Skew)
		if err != nil {
			return bad(err)
		}
		return s.city.SkewClock(in.Controller, d)
	}
	return problem.Body("set、advance、controller と skew のどれか一つを書いてください。", "give one of set, advance, or controller with skew")
}
