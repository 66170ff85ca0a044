//go:build vmtest && linux

package vmtest_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/gpio"
)

// board is the chip of every test that does not pull its own one out, with the
// lines of one door.
var board *chip

var doorLines = []string{"D0", "D1", "CONTACT", "REX", "FIRE", "TAMPER", "RELAY", "LED", "SPARE"}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == holdArg {
		os.Exit(hold(os.Args[2:]))
	}
	var err error
	if board, err = makeChip("door", doorLines...); err != nil {
		fmt.Println("no chip:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// open opens the board as an agent would, under names of our own.
func open(t *testing.T, c *chip) drivers.Lines {
	t.Helper()
	bank, err := gpio.Open(context.Background(), config(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bank.Close(); err != nil {
			t.Error(err)
		}
	})
	return bank
}

func config(c *chip) gpio.Config {
	cfg := gpio.Config{Backend: gpio.Kernel, Chip: c.label, Lines: map[string]gpio.Line{}}
	for name, offset := range c.lines {
		cfg.Lines[name] = gpio.Line{Name: name}
		if offset%2 == 1 { // either way of naming a line
			cfg.Lines[name] = gpio.Line{Name: fmt.Sprint(offset)}
		}
	}
	return cfg
}

// next is the next edge, or the test's end.
func next(t *testing.T, edges <-chan drivers.Edge) drivers.Edge {
	t.Helper()
	select {
	case e, ok := <-edges:
		if !ok {
			t.Fatal("the edges have ended")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no edge came")
	}
	return drivers.Edge{}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// figures prints how long things took.
func figures(t *testing.T, what string, all []time.Duration) {
	t.Helper()
	slices.Sort(all)
	at := func(p float64) time.Duration { return all[int(p*float64(len(all)-1))].Round(time.Microsecond) }
	t.Logf("%s: n=%d p50=%v p90=%v p99=%v max=%v", what, len(all), at(.5), at(.9), at(.99), at(1))
}
