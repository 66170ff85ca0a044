package panel_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"sekimori/agent/internal/panel"
	"sekimori/drivers/contact"
	"sekimori/internal/record"
)

// [001-3.1(1)] What becomes of the states of a contact's wires.
func TestWatch(t *testing.T) {
	const s = time.Second
	type fact struct {
		kind   record.Kind
		lasted time.Duration
		detail string
	}
	none := fact{}
	for name, steps := range map[string][]struct {
		is   contact.State
		at   time.Duration
		want fact
	}{
		"at rest at the start":         {{contact.Normal, 1 * s, none}, {contact.Active, 5 * s, fact{record.KindInputActive, 0, ""}}, {contact.Normal, 9 * s, fact{record.KindInputCleared, 4 * s, ""}}},
		"active at the start":          {{contact.Active, 1 * s, fact{record.KindInputActive, 0, ""}}, {contact.Normal, 2 * s, fact{record.KindInputCleared, 1 * s, ""}}},
		"cut while active, and mended": {{contact.Active, 1 * s, fact{record.KindInputActive, 0, ""}}, {contact.Cut, 3 * s, fact{record.KindInputFault, 2 * s, "cut"}}, {contact.Short, 4 * s, none}, {contact.Active, 6 * s, fact{record.KindInputActive, 3 * s, ""}}, {contact.Normal, 7 * s, fact{record.KindInputCleared, 1 * s, ""}}},
		"lines lost":                   {{contact.Normal, 1 * s, none}, {contact.Unknown, 2 * s, fact{record.KindInputFault, 0, "no bank"}}, {contact.Normal, 5 * s, fact{record.KindInputCleared, 3 * s, ""}}},
		"not there at the start":       {{contact.Unknown, 1 * s, none}, {contact.Normal, 2 * s, none}},
	} {
		t.Run(name, func(t *testing.T) {
			var w panel.Watch
			was := contact.Unknown
			for n, step := range steps {
				c := contact.Change{ID: "leak1", State: step.is, Was: was, At: step.at}
				if step.is == contact.Unknown {
					c.Why = "no bank"
				}
				var kind record.Kind
				var body record.InputState
				w, kind, body = w.Step(c)
				if got := (fact{kind, body.For, body.Detail}); kind != step.want.kind || kind != "" && got != step.want {
					t.Fatalf("step %d: %+v, want %+v", n, got, step.want)
				}
				was = step.is
			}
		})
	}
}

// lamp remembers how it was set.
type lamp struct{ set []bool }

func (l *lamp) Set(on bool) { l.set = append(l.set, on) }

// journal is full when it says so.
type journal struct{ full error }

func (j journal) Write(context.Context, record.Kind, any, bool) error { return j.full }

func TestLamps(t *testing.T) {
	d31, d21 := record.DoorState{Door: "D31"}, record.DoorState{Door: "D21"}
	leak := record.InputState{Input: "leak1", Purpose: record.InputWaterLeak}
	type fact struct {
		kind record.Kind
		body any
	}
	for name, c := range map[string]struct {
		when  []string
		timed bool
		facts []fact
		want  []bool
	}{
		"on until the door is closed":              {[]string{"forced_open"}, false, []fact{{record.KindForcedOpen, d31}, {record.KindDoorClosed, d21}, {record.KindDoorClosed, d31}}, []bool{true, false}},
		"two doors":                                {[]string{"forced_open"}, false, []fact{{record.KindForcedOpen, d31}, {record.KindForcedOpen, d21}, {record.KindDoorClosed, d31}, {record.KindDoorClosed, d21}}, []bool{true, true, false}},
		"one lamp for two events":                  {[]string{"water_leak", "fire_release"}, false, []fact{{record.KindInputActive, leak}, {record.KindFireRelease, d31}, {record.KindInputCleared, leak}, {record.KindRearmed, d31}}, []bool{true, true, false}},
		"a moment, timed":                          {[]string{"access_denied"}, true, []fact{{record.KindDenied, record.Passage{Door: "D31"}}, {record.KindDoorClosed, d31}, {record.KindDenied, record.Passage{}}}, []bool{true, true}},
		"a leak that cannot be known any more":     {[]string{"water_leak"}, false, []fact{{record.KindInputActive, leak}, {record.KindInputFault, leak}}, []bool{true, false}},
		"and the fault, which another lamp is for": {[]string{"input_fault"}, false, []fact{{record.KindInputFault, leak}, {record.KindInputCleared, leak}}, []bool{true, false}},
		"a tampered reader":                        {[]string{"tamper", "reader_untrusted"}, false, []fact{{record.KindTamper, record.TamperState{Door: "D31", Reader: "a"}}, {record.KindTamperEnded, record.TamperState{Door: "D31", Reader: "b"}}, {record.KindTamperEnded, record.TamperState{Door: "D31", Reader: "a"}}, {record.KindReaderUntrusted, record.ReaderState{Reader: "a"}}, {record.KindReaderTrusted, record.ReaderState{Reader: "a"}}}, []bool{true, false, true, false}},
		"nothing of its own":                       {[]string{"tamper"}, false, []fact{{record.KindForcedOpen, d31}, {record.KindEntered, record.Passage{}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, full := range []error{nil, errors.New("the journal is full")} {
				l := &lamp{}
				lamps := panel.NewLamps(journal{full}, []panel.Lamp{{Output: l, When: c.when, Timed: c.timed}})
				for _, f := range c.facts {
					if err := lamps.Write(t.Context(), f.kind, f.body, true); !errors.Is(err, full) {
						t.Fatal(err)
					}
				}
				if !reflect.DeepEqual(l.set, c.want) {
					t.Errorf("with a journal that says %v: set %v, want %v", full, l.set, c.want)
				}
			}
		})
	}
}

func TestEvents(t *testing.T) {
	all := panel.Events()
	for _, want := range []string{"forced_open", "access_denied", "mains_failure", "cabinet_tamper"} {
		if !slices.Contains(all, want) {
			t.Errorf("no %s in %v", want, all)
		}
	}
	if !panel.Moment("access_denied") || panel.Moment("forced_open") || panel.Moment("water_leak") {
		t.Error("moments and states mistaken")
	}
}
