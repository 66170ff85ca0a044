package door_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/door"
	"sekimori/agent/internal/timekeeper"
	"sekimori/drivers"
	"sekimori/internal/record"
)

// story is what happened, in order: facts, relays, lamps.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// take returns what was told since the last take.
func (s *story) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.lines
	s.lines = nil
	return out
}

// facts is a journal that can be full.
type facts struct {
	*story
	mu     sync.Mutex
	fail   func(kind record.Kind, safety bool) error
	policy uint64
}

func (f *facts) Write(_ context.Context, kind record.Kind, body any, safety bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(kind, safety); err != nil {
			f.add("lost %s", kind)
			return err
		}
	}
	text := string(kind)
	if p, ok := body.(record.Passage); ok {
		text += fmt.Sprintf(" %s %s", p.Person, p.Method)
		if p.Reason != "" {
			text += " " + string(p.Reason)
		}
	}
	f.add("fact %s", text)
	return nil
}

func (f *facts) UnderPolicy(v uint64, _ string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.policy = v
}

func (f *facts) refuse(fail func(record.Kind, bool) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

var errFull = errors.New("the journal is full")

func entriesRefused(_ record.Kind, safety bool) error {
	if safety {
		return nil
	}
	return errFull
}

func everythingRefused(record.Kind, bool) error { return errFull }

// bubbleClock follows the bubble's time.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() timekeeper.Reading {
	return timekeeper.Reading{Wall: time.Now(), Mono: time.Hour + time.Since(c.start), Quality: record.TimeSynced}
}

// bank is a line bank in memory.
type bank struct {
	*story
	mu     sync.Mutex
	broken error // what Out answers
	edges  chan drivers.Edge
	lose   func() // closes edges
	seq    uint64
}

type pin struct {
	gpio.PinIO // the rest of a pin is not used
	bank       *bank
	name       string
}

func (p pin) Out(l gpio.Level) error {
	p.bank.mu.Lock()
	defer p.bank.mu.Unlock()
	if p.bank.broken != nil {
		return p.bank.broken
	}
	p.bank.add("%s %s", p.name, l)
	return nil
}

func (b *bank) Pin(line string) (gpio.PinIO, error) { return pin{gpio.INVALID, b, line}, nil }
func (b *bank) Err() error                          { return errors.New("the cable is cut") }
func (b *bank) Close() error                        { return nil }

func (b *bank) Edges(ctx context.Context, lines ...string) (<-chan drivers.Edge, error) {
	b.mu.Lock()
	b.edges = make(chan drivers.Edge, 64)
	b.lose = sync.OnceFunc(func() { close(b.edges) })
	b.mu.Unlock()
	context.AfterFunc(ctx, b.lose)
	for _, l := range lines {
		b.set(l, false)
	}
	return b.edges, nil
}

func (b *bank) set(line string, level bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	b.edges <- drivers.Edge{Line: line, Level: gpio.Level(level), Seq: b.seq}
}

func (b *bank) breakOut(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = err
}

// reader is a reader whose hand the test guides.
type reader struct {
	*story
	id   string
	rig  *rig
	sink drivers.Sink
	fail chan error
}

func (r *reader) Run(ctx context.Context, sink drivers.Sink) error {
	r.sink = sink
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.fail:
		return err
	}
}

func (r *reader) Show(s drivers.Signal) {
	r.add("%s %s", r.id, map[drivers.Signal]string{
		drivers.SignalIdle: "idle", drivers.SignalGranted: "granted", drivers.SignalDenied: "denied", drivers.SignalAskMore: "ask",
	}[s])
}

func (r *reader) now() time.Duration { return r.rig.clock.Now().Mono }

func card(n byte) drivers.Card {
	c, err := drivers.NewCard([]byte{n, 0, 0, 0}, 26)
	if err != nil {
		panic(err)
	}
	return c
}

// present holds a card and lets everything that follows happen.
func (r *reader) present(n byte) {
	r.sink.Reading(drivers.Reading{Reader: r.id, Proof: drivers.ProofUIDOnly, Card: card(n), At: r.now()})
	synctest.Wait()
}

func (r *reader) press(keys string) {
	k, err := drivers.NewKeys(keys)
	if err != nil {
		panic(err)
	}
	r.sink.Reading(drivers.Reading{Reader: r.id, Proof: drivers.ProofPIN, Keys: k, At: r.now()})
}

func (r *reader) online(is bool) {
	r.sink.Health(drivers.Health{Reader: r.id, Online: is})
	synctest.Wait()
}

// rig is a controller of two doors: D31 wants a PIN (card 31), D21 does not
// (card 21). Its relays are active low.
type rig struct {
	*story
	t       *testing.T
	c       *door.Controller
	facts   *facts
	bank    *bank
	clock   bubbleClock
	log     *bytes.Buffer
	readers map[string]*reader
	stop    context.CancelFunc
	done    chan error
}

var key = record.CredentialKey{1, 2, 3}

func policy(t *testing.T) *record.Policy {
	t.Helper()
	from, until := time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour)
	pin := record.NewPINRoot("4711", []byte("sixteen bytes of salt")).Bind(key)
	dp := func(code record.DoorCode, second record.SecondFactor) record.DoorPolicy {
		return record.DoorPolicy{Door: code, Room: "R" + record.RoomCode(code[1:]), Level: 2, Second: second,
			SecondWindow: 10 * time.Second, Release: 5 * time.Second, HeldOpen: 30 * time.Second, OfflineMaxAge: 24 * time.Hour}
	}
	return &record.Policy{
		Version: 7, Doors: []record.DoorPolicy{dp("D31", record.SecondPIN), dp("D21", record.SecondNone), dp("D32", record.SecondPIN)},
		Permits: []record.Permit{{Person: "P31", Rooms: []record.RoomCode{"R31", "R32"}, From: from, Until: until},
			{Person: "P21", Rooms: []record.RoomCode{"R21", "R32"}, From: from, Until: until}},
		Credentials: []record.Credential{
			{ID: "C31", Person: "P31", Tag: key.Tag(card(31).Key()), State: record.CredentialActive, PIN: pin},
			{ID: "C21", Person: "P21", Tag: key.Tag(card(21).Key()), State: record.CredentialActive, PIN: pin},
		},
		Attempts: record.Attempts{Limit: 3, Within: time.Minute, Lock: time.Minute},
	}
}

// start runs a controller over the state folder dir, in a bubble, until its
// readers are believed.
func start(t *testing.T, dir string, change ...func(*rig)) *rig {
	t.Helper()
	r := build(t, dir, change...)
	r.run()
	for _, x := range r.readers {
		x.online(true)
	}
	time.Sleep(2 * time.Second)
	synctest.Wait()
	return r
}

func build(t *testing.T, dir string, change ...func(*rig)) *rig {
	t.Helper()
	s := &story{}
	r := &rig{story: s, t: t, facts: &facts{story: s}, bank: &bank{story: s}, clock: bubbleClock{time.Now()}, log: &bytes.Buffer{}, readers: map[string]*reader{}}
	r.c = &door.Controller{
		Lines: r.bank, Facts: r.facts, Clock: r.clock, Memory: door.File(filepath.Join(dir, "doors.json")), Key: key,
		Log: slog.New(slog.NewTextHandler(io.Writer(r.log), nil)),
	}
	for _, code := range []string{"D31", "D21", "D32"} {
		in := func(what string) door.Input { return door.Input{Line: code + "." + what} }
		d := door.Door{Code: record.DoorCode(code), Relay: door.Output{Line: code, ActiveLow: true},
			Contact: in("contact"), REX: in("rex"), Fire: in("fire"), Tamper: in("tamper")}
		for _, side := range []record.Direction{record.DirectionIn, record.DirectionOut} {
			id := code + "-" + string(side)
			x := &reader{story: s, id: id, rig: r, fail: make(chan error, 1)}
			r.readers[id] = x
			d.Readers = append(d.Readers, door.Reader{ID: record.ReaderID(id), Direction: side, Driver: x})
		}
		r.c.Doors = append(r.c.Doors, d)
	}
	for _, f := range change {
		f(r)
	}
	r.c.Init()
	r.c.Preload(policy(t))
	return r
}

func (r *rig) run() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan error, 1)
	go func() { r.done <- r.c.Run(ctx) }()
	if err := r.c.Send(ctx, decide.HubHeard{}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// end stops the controller, which must take no time at all.
func (r *rig) end() {
	r.t.Helper()
	began := time.Now()
	r.stop()
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 0 {
		r.t.Errorf("Run returned after %v", took)
	}
}

func (r *rig) edge(line string, level bool) {
	r.bank.set(line, level)
	synctest.Wait()
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want compares the story since the last look.
func (r *rig) want(lines ...string) {
	r.t.Helper()
	if got := r.take(); !slices.Equal(got, lines) {
		r.t.Fatalf("happened:\n  %q\nwant:\n  %q", got, lines)
	}
}

func (r *rig) state(code record.DoorCode) string {
	_, doors := r.c.Status()
	for _, d := range doors {
		if d.Door == code {
			return d.State
		}
	}
	return "?"
}
