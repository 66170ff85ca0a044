package door_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/agent/internal/decide"
	"sekimori/drivers"
	"sekimori/internal/record"
)

const (
	released = " Low" // the rig's relays are active low
	atRest   = " High"
)

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// [T-40] The fact is durable before the lock moves.
func TestFactBeforeLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		r.take()
		r.readers["D21-in"].present(21)
		r.want("fact access_granted P21 card", "D21"+released, "D21-in granted")
		r.edge("D21.contact", true)
		r.want("fact entered P21 card", "D21"+atRest, "D21-in idle")
		r.edge("D21.contact", false)
		r.readers["D21-in"].present(21)
		r.take()
		r.pass(5 * time.Second) // nobody goes through
		r.want("D21"+atRest, "D21-in idle")
	})
}

// A disk that stalls makes no intruder of who passed in time [T-19].
func TestStalledDiskJudgesByWhenItHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		r.readers["D21-in"].present(21)
		r.pass(4 * time.Second)
		r.take()
		stall := sync.OnceFunc(func() { time.Sleep(3 * time.Second) })
		r.facts.refuse(func(record.Kind, bool) error { stall(); return nil })
		r.bank.set("D31.rex", true) // its fact is what stalls
		time.Sleep(500 * time.Millisecond)
		r.bank.set("D21.contact", true) // in time, and heard after the grant's end
		time.Sleep(5 * time.Second)
		r.want("fact rex_pressed", "fact entered P21 card", "D21"+atRest, "D21-in idle")
	})
}

// [T-40] Without the fact, an entry does not happen: the lock does not move, the
// person sees a refusal, and no grant is left that would explain an opening.
func TestUnwrittenEntryFailsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		r.facts.refuse(entriesRefused)
		r.take()
		r.readers["D21-in"].present(21)
		r.want("lost access_granted", "D21-in denied", "D21"+atRest)
		if s := r.state("D21"); s != "locked" {
			t.Fatalf("the door is %s", s)
		}
		r.edge("D21.contact", true)
		if got := r.take(); !slices.Contains(got, "fact forced_open") {
			t.Fatalf("an opening without a fact was explained: %q", got)
		}
	})
}

// A grant that cannot be written down ends the one it would have replaced, for
// nothing would end that one any more.
func TestUnwrittenGrantEndsTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		r.readers["D21-in"].present(21)
		r.facts.refuse(entriesRefused)
		r.take()
		r.readers["D21-in"].present(21)
		r.want("lost access_granted", "D21-in denied", "D21"+atRest)
	})
}

// A refusal that cannot be written down must not keep another door's lock from
// going back, when both fall due together.
func TestUnwrittenDenialLeavesOtherLocksAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		r.readers["D31-in"].present(31) // a PIN within 10 s
		r.pass(5 * time.Second)
		r.readers["D21-in"].present(21) // released for 5 s
		r.facts.refuse(entriesRefused)
		r.take()
		r.pass(5 * time.Second)
		if got := r.take(); !slices.Contains(got, "D21"+atRest) || !slices.Contains(got, "lost access_denied") {
			t.Fatalf("happened: %q", got)
		}
	})
}

// [T-15] Exit does not wait for a journal, full or broken.
func TestExitsWithoutJournal(t *testing.T) {
	for name, refuse := range map[string]func(record.Kind, bool) error{"full": entriesRefused, "broken": everythingRefused} {
		bubble(t, name, func(t *testing.T) {
			r := start(t, t.TempDir())
			defer r.end()
			r.facts.refuse(refuse)
			r.take()
			r.readers["D21-out"].present(21)
			if got := r.take(); !slices.Contains(got, "D21"+released) {
				t.Fatalf("the exit waited: %q", got)
			}
			r.edge("D31.fire", true)
			if got := r.take(); !slices.Contains(got, "D31"+released) {
				t.Fatalf("the fire release waited: %q", got)
			}
		})
	}
}

// [T-40] Starting, stopping and failing never pulse a lock.
func TestRelayNeverPulses(t *testing.T) {
	never := func(t *testing.T, got []string) {
		t.Helper()
		for _, line := range got {
			if strings.HasSuffix(line, released) {
				t.Fatalf("a lock was released: %q", got)
			}
		}
	}
	bubble(t, "start and stop", func(t *testing.T) {
		r := start(t, t.TempDir())
		r.end()
		never(t, r.take())
	})
	bubble(t, "stop within a grant", func(t *testing.T) {
		r := start(t, t.TempDir())
		r.readers["D21-in"].present(21)
		r.take()
		r.end()
		got := r.take()
		never(t, got)
		if !slices.Contains(got, "D21"+atRest) {
			t.Fatalf("the grant outlived the program: %q", got)
		}
	})
	bubble(t, "a reader that cannot work", func(t *testing.T) {
		r := start(t, t.TempDir())
		broken := errors.New("no such line")
		r.readers["D21-in"].fail <- broken
		if err := <-r.done; !errors.Is(err, broken) || !strings.Contains(err.Error(), "D21-in") {
			t.Fatalf("Run: %v", err)
		}
		never(t, r.take())
	})
	bubble(t, "lines lost", func(t *testing.T) {
		r := start(t, t.TempDir())
		r.bank.lose()
		if err := <-r.done; err == nil || !strings.Contains(err.Error(), "the cable is cut") {
			t.Fatalf("Run: %v", err)
		}
		never(t, r.take())
	})
	bubble(t, "no relay line", func(t *testing.T) {
		r := build(t, t.TempDir())
		r.bank.broken = errors.New("not an output")
		r.run()
		if err := <-r.done; err == nil || !strings.Contains(err.Error(), "D31") {
			t.Fatalf("Run: %v", err)
		}
	})
}

// [001-3.2, T-15] A fire release outlives the program and ends by a named order.
func TestFireReleaseOutlivesTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := start(t, dir)
		r.edge("D31.fire", true)
		r.edge("D31.fire", false)
		r.take()
		r.end()
		if got := r.take(); slices.Contains(got, "D31"+atRest) {
			t.Fatalf("stopping locked the door: %q", got)
		}
		r = start(t, dir)
		defer r.end()
		got := r.take()
		if slices.Contains(got, "D31"+atRest) || !slices.Contains(got, "D31"+released) || r.state("D31") != "released" {
			t.Fatalf("after the restart: %q, %s", got, r.state("D31"))
		}
		order := decide.Ordered{Door: "D31", Order: record.Order{Seq: 1, Purpose: record.PurposeRearm, Issuer: "P01"}}
		if err := r.c.Do(t.Context(), order); err != nil {
			t.Fatal(err)
		}
		r.want("fact rearmed", "D31"+atRest)
		order.Order.Seq++
		if err := r.c.Do(t.Context(), order); record.CodeOf(err) != record.CodeOrderUnknown {
			t.Fatalf("re-armed twice: %v", err)
		}
		order.Door = "D99"
		if err := r.c.Do(t.Context(), order); record.CodeOf(err) != record.CodeOrderUnknown {
			t.Fatalf("a door that is not there obeyed: %v", err)
		}
	})
}

// A relay line that is away for a moment is driven as soon as it is back.
func TestRelayIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		r.readers["D21-in"].present(21)
		r.bank.breakOut(errors.New("away"))
		r.pass(6 * time.Second) // the grant has ended, the relay has not heard of it
		r.take()
		r.bank.breakOut(nil)
		r.pass(2 * time.Second)
		r.want("D21" + atRest)
		r.pass(time.Minute)
		r.want()
	})
}

// A bank that is away while the program starts ends nothing: the relay is put to
// rest when it is back.
func TestRelayBankAwayAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, t.TempDir())
		r.bank.broken = fmt.Errorf("no answer: %w", drivers.ErrDisconnected)
		r.run()
		defer r.end()
		r.pass(3 * time.Second)
		select {
		case err := <-r.done:
			t.Fatalf("ended: %v", err)
		default:
		}
		r.bank.breakOut(nil)
		r.pass(2 * time.Second)
		if got := r.take(); !slices.Contains(got, "D31"+atRest) || !slices.Contains(got, "D21"+atRest) || slices.Contains(got, "D31"+released) {
			t.Fatalf("after the bank came back: %q", got)
		}
	})
}

// What was kept cannot be read: doors are served, and locked.
func TestDamagedMemoryServesDoors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "doors.json"), []byte(`{"doors":`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := start(t, dir)
		defer r.end()
		if !strings.Contains(r.log.String(), "door memory lost") {
			t.Fatalf("nobody was told: %s", r.log)
		}
		r.take()
		r.readers["D21-in"].present(21)
		if got := r.take(); !slices.Contains(got, "D21"+released) {
			t.Fatalf("not served: %q", got)
		}
	})
}

// Facts name the policy that the door judged by.
func TestFactsNameThePolicyInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		next := policy(t)
		next.Version = 8
		if r.facts.policy != 7 {
			t.Fatalf("preloaded: %d", r.facts.policy)
		}
		if err := r.c.Do(t.Context(), decide.PolicyIn{Policy: next}); err != nil || r.facts.policy != 8 {
			t.Fatalf("%v, facts under %d", err, r.facts.policy)
		}
	})
}

// What readers and doors are like can be asked while the doors are served.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.TempDir())
		defer r.end()
		if !r.c.Turns(t.Context()) {
			t.Fatal("the loop does not answer")
		}
		r.readers["D21-in"].sink.Health(drivers.Health{Reader: "D21-in", Online: true, Noise: 3})
		synctest.Wait()
		readers, doors := r.c.Status()
		if len(readers) != 6 || len(doors) != 3 || doors[0].State != "locked" {
			t.Fatalf("%+v %+v", readers, doors)
		}
		for _, x := range readers {
			if !x.Online || (x.Reader == "D21-in") != (x.Noise == 3) {
				t.Errorf("%+v", x)
			}
		}
	})
}
