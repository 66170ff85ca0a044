package contact_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
	"sekimori/drivers/contact"
)

const ms = time.Millisecond

func mustMachine(t testing.TB, cfg contact.Config) *contact.Machine {
	t.Helper()
	m, err := contact.NewMachine(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// settled is the state after the levels have stood for a second.
func settled(m *contact.Machine, a, b gpio.Level, at time.Duration) contact.State {
	m.Step(contact.Event{Edge: drivers.Edge{Line: "a", Level: a}}, at)
	m.Step(contact.Event{Edge: drivers.Edge{Line: "b", Level: b}}, at)
	m.Step(contact.Event{}, at+time.Second)
	return m.State()
}

// The loop's four voltages go through the comparators of the package comment,
// reckoned here from the resistors, and must come out as the four states.
func TestTruthTableFromResistors(t *testing.T) {
	const supply, pull, series, end = 5.0, 4.7, 4.7, 4.7
	volts := func(loop float64) float64 { return supply * loop / (loop + pull) }
	for _, c := range []struct {
		wires  string
		v      float64
		no, nc contact.State
	}{
		{"cut", supply, contact.Cut, contact.Cut},
		{"contact open", volts(series + end), contact.Normal, contact.Active},
		{"contact closed", volts(series), contact.Active, contact.Normal},
		{"short", volts(0), contact.Short, contact.Short},
	} {
		closed, whole := gpio.Level(c.v < 2.9), gpio.Level(c.v > 1.2 && c.v < 4.2)
		for _, low := range []bool{false, true} { // the same wires behind inverting comparators
			for nc, want := range map[bool]contact.State{false: c.no, true: c.nc} {
				m := mustMachine(t, contact.Config{ID: "x", Line: "a", Second: "b", ActiveLow: low, SecondActiveLow: low, NormallyClosed: nc})
				if got := settled(m, closed != gpio.Level(low), whole != gpio.Level(low), time.Hour); got != want {
					t.Errorf("%s, normally closed %v, inverted %v: %v, want %v", c.wires, nc, low, got, want)
				}
			}
		}
	}
}

func TestPlainContact(t *testing.T) {
	for _, c := range []struct {
		level   gpio.Level
		low, nc bool
		want    contact.State
	}{
		{false, false, false, contact.Normal}, {true, false, false, contact.Active},
		{false, true, false, contact.Active}, {true, true, false, contact.Normal},
		{false, false, true, contact.Active}, {true, false, true, contact.Normal},
		{false, true, true, contact.Normal}, {true, true, true, contact.Active},
	} {
		m := mustMachine(t, contact.Config{ID: "x", Line: "a", ActiveLow: c.low, NormallyClosed: c.nc})
		if got := settled(m, c.level, false, time.Hour); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestDebounce(t *testing.T) {
	m := mustMachine(t, contact.Config{ID: "leak", Line: "a", Debounce: 50 * ms})
	at := time.Hour
	type heard struct {
		state contact.State
		at    time.Duration
	}
	var got []heard
	step := func(e contact.Event, after time.Duration) {
		at += after
		if c, ok := m.Step(e, at); ok {
			got = append(got, heard{c.State, c.At - time.Hour})
		}
	}
	edge := func(l gpio.Level) contact.Event { return contact.Event{Edge: drivers.Edge{Line: "a", Level: l}} }
	step(edge(false), 0)
	step(contact.Event{}, 49*ms)
	step(contact.Event{}, 1*ms) // normal since 0
	for range 10 {              // ten bounces, then it stays
		step(edge(true), 10*ms)
		step(edge(false), 10*ms)
	}
	step(edge(true), 10*ms)
	step(contact.Event{}, 50*ms) // active since 260
	// A short press that was handed over late, both edges at once: the edges
	// tell that it lasted, though no time has passed here between them.
	step(edge(false), 100*ms) // 410
	step(edge(true), 60*ms)   // 470: normal had lasted
	step(contact.Event{}, 50*ms)
	want := []heard{{contact.Normal, 0}, {contact.Active, 260 * ms}, {contact.Normal, 410 * ms}, {contact.Active, 470 * ms}}
	if len(got) != len(want) {
		t.Fatalf("heard %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %v, want %v", i, got[i], want[i])
		}
	}
	if m.Bounces() != 10 {
		t.Errorf("%d bounces, want 10", m.Bounces())
	}
}

func TestLostLinesAreUnknownAtOnce(t *testing.T) {
	m := mustMachine(t, contact.Config{ID: "x", Line: "a"})
	settled(m, true, false, time.Hour)
	c, ok := m.Step(contact.Event{Lost: "chip gone"}, 2*time.Hour)
	if !ok || c.State != contact.Unknown || c.Was != contact.Active || c.Why != "chip gone" || c.At != 2*time.Hour {
		t.Errorf("%+v %v", c, ok)
	}
	if _, again := m.Step(contact.Event{Lost: "still gone"}, 3*time.Hour); again {
		t.Error("told twice")
	}
	if got := settled(m, true, false, 4*time.Hour); got != contact.Active {
		t.Errorf("after the return: %v", got)
	}
}

func TestImpossibleSettingsAreRefused(t *testing.T) {
	for name, c := range map[string]contact.Config{
		"no ID":           {Line: "a"},
		"no line":         {ID: "x"},
		"one line twice":  {ID: "x", Line: "a", Second: "a"},
		"polarity of nil": {ID: "x", Line: "a", SecondActiveLow: true},
		"negative":        {ID: "x", Line: "a", Debounce: -1},
		"minutes":         {ID: "x", Line: "a", Debounce: 5 * time.Minute},
	} {
		if _, err := contact.New(c, newBank()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, c := range map[string]contact.OutputConfig{
		"no ID":          {Line: "lamp"},
		"no line":        {ID: "x"},
		"half a rhythm":  {ID: "x", Line: "lamp", On: time.Second},
		"a wearing one":  {ID: "x", Line: "lamp", On: ms, Off: ms},
		"time backwards": {ID: "x", Line: "lamp", For: -1},
	} {
		if _, err := contact.NewOutput(c, newBank()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever the edges: reported states alternate, each had stood for the
// debounce, and after silence the machine says what the wires say.
func TestRandomEdges(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		m := mustMachine(t, contact.Config{ID: "x", Line: "a", Second: "b", Debounce: 20 * ms})
		at, standing := time.Hour, contact.Unknown
		var level [2]gpio.Level
		step := func(e contact.Event) {
			c, ok := m.Step(e, at)
			if !ok {
				return
			}
			if c.Was != standing || c.State == standing || c.State == contact.Unknown || at-c.At < 20*ms {
				t.Fatalf("%+v while %v at %v", c, standing, at)
			}
			standing = c.State
		}
		for range 500 {
			at += time.Duration(rng.ExpFloat64() * float64(10*ms))
			i := rng.IntN(2)
			level[i] = rng.IntN(2) == 0
			step(contact.Event{Edge: drivers.Edge{Line: []string{"a", "b"}[i], Level: level[i]}})
		}
		at += time.Second
		step(contact.Event{})
		want := map[[2]gpio.Level]contact.State{
			{false, false}: contact.Cut, {false, true}: contact.Normal, {true, true}: contact.Active, {true, false}: contact.Short,
		}[level]
		if m.State() != want {
			t.Fatalf("%v for levels %v, want %v", m.State(), level, want)
		}
	}
}
