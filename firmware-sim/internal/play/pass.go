package play

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"sekimori/firmware-sim/internal/api"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/world"
)

// Control is a running simulator; api.Client is one.
type Control interface {
	Post(ctx context.Context, path string, body any) (api.Done, error)
	Wait(ctx context.Context, query url.Values) (world.State, error)
	State(ctx context.Context) (world.State, error)
	Timeline(ctx context.Context, door string, after uint64) (world.Timeline, error)
}

// Outcome is how a passage went.
type Outcome struct {
	Door     string `json:"door"`
	Released bool   `json:"released"`
	// Releases is how often the lock was released for this passage: once, if
	// all is well; not at all, if it was released already.
	Releases int `json:"releases"`
	// AfterMS is from the last factor (the last pulse or key) to the first of
	// those releases.
	AfterMS float64 `json:"after_ms"`
}

// touchMS is how long a finger rests on a sensor.
const touchMS = 800

// Pass is a person's passage: card, PIN or finger, wait for the release, open, walk,
// close. A door that does not release is an outcome, not an error.
func Pass(ctx context.Context, c Control, p Passage) (Outcome, error) {
	s, err := c.State(ctx)
	if err != nil {
		return Outcome{}, err
	}
	reader, ok := s.Readers[p.Reader]
	if !ok {
		return Outcome{}, problem.Unknown(problem.UnknownReader, p.Reader)
	}
	out := Outcome{Door: reader.Door}
	var last api.Done
	if p.Card != "" {
		if last, err = c.Post(ctx, api.Reader(p.Reader, "card"), api.CardBody{Number: p.Card}); err != nil {
			return out, err
		}
	}
	for _, second := range []struct {
		given bool
		path  string
		body  any
	}{
		{p.PIN != "", api.Reader(p.Reader, "keys"), api.KeysBody{Keys: p.PIN}},
		{p.Finger != "", api.Reader(p.Sensor, "finger"), api.FingerBody{Finger: p.Finger, MS: touchMS}},
	} {
		if !second.given {
			continue
		}
		if p.Card != "" && !sleep(ctx, p.Think.D()) {
			return out, ctx.Err()
		}
		if last, err = c.Post(ctx, second.path, second.body); err != nil {
			return out, err
		}
	}
	return through(ctx, c, out, s.LastEvent, last.MonoNS, p)
}

// through waits for the release and walks.
func through(ctx context.Context, c Control, out Outcome, since uint64, factor int64, p Passage) (Outcome, error) {
	_, err := c.Wait(ctx, url.Values{"door": {out.Door}, "lock": {"released"}, "timeout": {p.Wait.D().String()},
		"since": {strconv.FormatUint(since, 10)}})
	if api.Refused(err, problem.Timeout) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Released = true
	if err := walk(ctx, c, out.Door, p.Walk.D()); err != nil {
		return out, err
	}
	t, err := c.Timeline(ctx, out.Door, since)
	if err != nil {
		return out, err
	}
	for _, e := range t.Entries {
		if e.Kind != string(door.Released) {
			continue
		}
		if out.Releases++; out.Releases == 1 {
			out.AfterMS = float64(e.MonoNS-factor) / 1e6
		}
	}
	return out, nil
}

// walk opens, goes through and closes. A leaf held open by somebody else is
// walked through and left to them.
func walk(ctx context.Context, c Control, id string, d time.Duration) error {
	_, err := c.Post(ctx, api.Door(id, "open"), struct{}{})
	if api.Refused(err, problem.AlreadyOpen) {
		return nil
	}
	if err != nil {
		return err
	}
	if !sleep(ctx, d) {
		return ctx.Err()
	}
	_, err = c.Post(ctx, api.Door(id, "close"), struct{}{})
	if api.Refused(err, problem.AlreadyClosed) {
		return nil
	}
	return err
}

// Exit is a person leaving by the exit button or the inside handle.
func Exit(ctx context.Context, c Control, id string) (Outcome, error) {
	out := Outcome{Door: id}
	done, err := c.Post(ctx, api.Door(id, "rex"), api.DoorBody{})
	if err != nil {
		return out, err
	}
	var p Passage
	p.SetDefaults()
	return through(ctx, c, out, done.Event, done.MonoNS, p)
}

// do plays one act.
func do(ctx context.Context, c Control, a Act) Told {
	start := time.Now()
	t := Told{Act: a, Verb: a.verbs()[0]}
	post := func(path string, body any) { _, t.Err = c.Post(ctx, path, body) }
	switch {
	case a.Pass != nil:
		t.Outcome, t.Err = Pass(ctx, c, *a.Pass)
	case a.Exit != nil:
		t.Outcome, t.Err = Exit(ctx, c, a.Exit.Door)
	case a.Card != nil:
		post(api.Reader(a.Card.Reader, "card"), api.CardBody{Number: a.Card.Card})
	case a.Keys != nil:
		post(api.Reader(a.Keys.Reader, "keys"), api.KeysBody{Keys: a.Keys.Keys})
	case a.Open != nil:
		post(api.Door(a.Open.Door, "open"), api.DoorBody{})
	case a.Close != nil:
		post(api.Door(a.Close.Door, "close"), api.DoorBody{})
	case a.Force != nil:
		post(api.Door(a.Force.Door, "force"), api.DoorBody{})
	case a.Rex != nil:
		post(api.Door(a.Rex.Door, "rex"), api.DoorBody{})
	case a.Tamper != nil:
		post(api.Door(a.Tamper.Door, "tamper"), api.DoorBody{Open: &a.Tamper.On})
	case a.Power != nil:
		post(api.Door(a.Power.Door, "power"), api.DoorBody{On: &a.Power.On})
	case a.Fire != nil:
		post("/v1/fire", api.FireBody{On: &a.Fire.On, Doors: a.Fire.Doors})
	case a.Cable != nil:
		post(api.Reader(a.Cable.Reader, "cable"), api.CableBody{Connected: &a.Cable.Connected})
	}
	t.Took = time.Since(start)
	return t
}
