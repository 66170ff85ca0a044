//go:build vmtest && linux

package vmtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	pgpio "periph.io/x/conn/v3/gpio"

	"sekimori/drivers"
	"sekimori/drivers/gpio"
)

// Contact, REX and fire arrive in the order in which they happened, because the
// order of an exit button and a door contact decides between an exit and a
// forced door.
func TestDoorLines(t *testing.T) {
	bank := open(t, board)
	for _, l := range []string{"CONTACT", "REX", "FIRE"} {
		board.set(t, l, l == "FIRE")
	}
	edges, err := bank.Edges(t.Context(), "CONTACT", "REX", "FIRE")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"CONTACT", "REX", "FIRE"} {
		if e := next(t, edges); e.Line != want || bool(e.Level) != (want == "FIRE") || e.Seq != uint64(i+1) {
			t.Errorf("the present level of %s came as %+v", want, e)
		}
	}
	var delays []time.Duration
	seq := uint64(3)
	for range 100 {
		for _, step := range []struct {
			line string
			high bool
		}{{"REX", true}, {"CONTACT", true}, {"REX", false}, {"FIRE", false}, {"CONTACT", false}, {"FIRE", true}} {
			seq++
			before := monotonic(t)
			board.set(t, step.line, step.high)
			e := next(t, edges)
			came := monotonic(t)
			if e.Line != step.line || bool(e.Level) != step.high || e.Seq != seq {
				t.Fatalf("%+v came as %+v, want seq %d", step, e, seq)
			}
			if e.At < before || e.At > came {
				t.Fatalf("stamped %v, pulled at %v and received at %v", e.At, before, came)
			}
			delays = append(delays, came-before)
		}
	}
	figures(t, "pull → edge received", delays)
}

func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// The relay follows Out, and falls when the bank is closed.
func TestRelay(t *testing.T) {
	bank := open(t, board)
	pin, err := bank.Pin("RELAY")
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i := range 200 {
		began := time.Now()
		if err := pin.Out(i%2 == 0); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
		if got := board.level(t, "RELAY"); got != (i%2 == 0) {
			t.Fatalf("driven %v, at the pin %v", i%2 == 0, got)
		}
	}
	figures(t, "relay driven", took)
	if err := pin.Out(true); err != nil {
		t.Fatal(err)
	}
	if err := bank.Close(); err != nil {
		t.Fatal(err)
	}
	if board.level(t, "RELAY") {
		t.Error("the relay stayed on after Close")
	}
}

// An output that is read back stays an output.
func TestReadBack(t *testing.T) {
	pin, err := open(t, board).Pin("RELAY")
	if err != nil {
		t.Fatal(err)
	}
	for _, high := range []bool{true, false, true} {
		if high {
			err = pin.Out(true)
		} else {
			err = pin.Out(false)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := bool(pin.Read()); got != high || board.level(t, "RELAY") != high {
			t.Errorf("driven %v, read %v, at the pin %v", high, got, board.level(t, "RELAY"))
		}
	}
}

// An input's resistor is the kernel's to switch: gpio-sim shows it in pull.
func TestBias(t *testing.T) {
	cfg := config(board)
	cfg.Lines["CONTACT"] = gpio.Line{Name: "CONTACT", Pull: pgpio.PullUp}
	cfg.Lines["REX"] = gpio.Line{Name: "REX", Pull: pgpio.PullDown}
	cfg.Lines["FIRE"] = gpio.Line{Name: "FIRE"}
	board.set(t, "CONTACT", false)
	board.set(t, "REX", true)
	board.set(t, "FIRE", true)
	bank, err := gpio.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer bank.Close()
	edges, err := bank.Edges(t.Context(), "CONTACT", "REX", "FIRE")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false, true} {
		if e := next(t, edges); bool(e.Level) != want {
			t.Errorf("%s is %v, want %v", e.Line, e.Level, want)
		}
	}
}

// hold is this program as another process that has a line.
const holdArg = "hold-line"

func hold(args []string) int {
	cfg := gpio.Config{Backend: gpio.Kernel, Chip: args[0], Lines: map[string]gpio.Line{"x": {Name: args[1]}}}
	bank, err := gpio.Open(context.Background(), cfg)
	if err == nil {
		defer bank.Close()
		_, err = bank.Edges(context.Background(), "x")
	}
	fmt.Println("held:", err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// A line that another process holds is refused with a word about it, and can be
// had as soon as that process has ended.
func TestBusy(t *testing.T) {
	bank := open(t, board)
	for _, line := range []string{"CONTACT", "RELAY"} {
		other := exec.Command(os.Args[0], holdArg, board.name, line)
		in, err := other.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := other.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		said, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || said != "held: <nil>\n" {
			t.Fatalf("the other process said %q, %v", said, err)
		}
		pin, err := bank.Pin("RELAY")
		if err != nil {
			t.Fatal(err)
		}
		take := func() error {
			if line == "RELAY" {
				return pin.Out(true)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			edges, err := bank.Edges(ctx, line)
			if err == nil {
				next(t, edges)
			}
			return err
		}
		for range 3 {
			if err := take(); err == nil || !strings.Contains(err.Error(), "busy") || !strings.Contains(err.Error(), fmt.Sprint(other.Process.Pid)) {
				t.Errorf("%s in use: %v", line, err)
			}
		}
		in.Close()
		if err := other.Wait(); err != nil {
			t.Fatal(err)
		}
		if err := take(); err != nil {
			t.Errorf("%s free again: %v", line, err)
		}
	}
	if !board.level(t, "RELAY") {
		t.Error("the relay did not follow once it was free")
	}
}

// A chip that is pulled out ends the edges at once and fails the outputs; back
// in the machine it serves again.
func TestChipVanishesAndReturns(t *testing.T) {
	usb, err := makeChip("usb", "IN", "OUT")
	if err != nil {
		t.Fatal(err)
	}
	bank := open(t, usb)
	edges, err := bank.Edges(t.Context(), "IN")
	if err != nil {
		t.Fatal(err)
	}
	next(t, edges)
	pin, err := bank.Pin("OUT")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		if err := pin.Out(true); err != nil || !usb.level(t, "OUT") {
			t.Fatalf("round %d: driven: %v", round, err)
		}
		began := time.Now()
		if err := usb.plug(false); err != nil {
			t.Fatal(err)
		}
		select {
		case e, more := <-edges:
			if more {
				t.Fatalf("an edge %+v of a chip that is gone", e)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the loss was not noticed")
		}
		t.Logf("%s: loss noticed after %v: %v", usb.name, time.Since(began).Round(time.Millisecond), bank.Err())
		for range 3 {
			_, err := bank.Edges(t.Context(), "IN")
			for what, err := range map[string]error{"bank": bank.Err(), "output": pin.Out(false), "edges": err} {
				if !errors.Is(err, drivers.ErrDisconnected) {
					t.Errorf("%s of a chip that is gone: %v", what, err)
				}
			}
		}
		if err := usb.plug(true); err != nil {
			t.Fatal(err)
		}
		if edges, err = bank.Edges(t.Context(), "IN"); err != nil {
			t.Fatalf("back again: %v", err)
		}
		if e := next(t, edges); e.Level {
			t.Errorf("back again: %+v", e)
		}
		usb.set(t, "IN", true)
		if e := next(t, edges); !e.Level {
			t.Errorf("back again: %+v", e)
		}
		if err := bank.Err(); err != nil {
			t.Errorf("back again: %v", err)
		}
	}
}
