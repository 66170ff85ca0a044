//go:build linux && !simtime

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// killsWanted is how many processes die in one TestKill9.
const killsWanted = 210

// storm is a city whose programs are killed at random moments while people come
// and go.
type storm struct {
	*city
	rnd     *rand.Rand
	targets []*target
	simLife atomic.Int64 // counts the simulator's lives; moves between its death and its next start
}

// target is one program that is killed over and over.
type target struct {
	*proc
	shortest, longest time.Duration // a life, drawn evenly
	due               time.Time     // of the next death
	kills             int
	lives             []life
}

// life is from start to death, CLOCK_MONOTONIC; the last one's end is far away.
type life struct{ from, to time.Duration }

// [T-40, T-41, T-52] `kill -9` of hub, agents and simulator at random moments
// under traffic: no row lost, doubled or out of order, no gap in 通番, no unlock
// without its row, and the ledger proves all this on a copy, with nothing
// running. (A kill keeps the page cache, so this alone says nothing of syncs:
// see TestTrace and the fake disk of agent/internal/journal.)
func TestKill9LosesNothing(t *testing.T) {
	began := time.Now()
	c := prepare(t, baseDay(9, 0, 0))
	c.importThisYear()
	c.startAll()
	c.waitReady()
	s := newStorm(c, crashSeed(t))
	people := s.letPeopleIn()
	s.rage(killsWanted)
	seen := people.goHome()
	s.settle()
	for _, p := range s.targets {
		p.proc.kill()
	}
	raged := time.Since(began)
	s.judge(seen)
	t.Logf("%s in %v, %v with the judging", s.toll(), raged.Round(time.Second), time.Since(began).Round(time.Second))
}

// crashSeed is printed, and can be given again in SEKIMORI_SEED.
func crashSeed(t *testing.T) uint64 {
	seed := rand.Uint64()
	if text := os.Getenv("SEKIMORI_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEKIMORI_SEED: %v", err)
		}
	}
	t.Logf("SEKIMORI_SEED=%d", seed)
	return seed
}

func newStorm(c *city, seed uint64) *storm {
	s := &storm{city: c, rnd: rand.New(rand.NewPCG(seed, 0))}
	for _, x := range []struct {
		p                 *proc
		shortest, longest time.Duration
	}{
		{c.hub, 50 * time.Millisecond, 4 * time.Second},
		{c.agents["DC-31"], 50 * time.Millisecond, 4 * time.Second},
		{c.agents["DC-21"], 50 * time.Millisecond, 4 * time.Second},
		{c.sim, 5 * time.Second, 20 * time.Second},
	} {
		s.targets = append(s.targets, &target{proc: x.p, shortest: x.shortest, longest: x.longest, lives: []life{{to: forever}}})
	}
	return s
}

const forever = time.Duration(1<<63 - 1)

// monotonic is the clock of the simulator's events.
func monotonic() time.Duration { return readClock(unix.CLOCK_MONOTONIC) }

func readClock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic(err) // Linux has both clocks
	}
	return time.Duration(ts.Nano())
}

// importThisYear gives the fixture's people permits for the real today.
func (c *city) importThisYear() {
	c.t.Helper()
	now := time.Now().In(jst)
	year := now.Year()
	if now.Month() < time.April {
		year--
	}
	if year == 2026 {
		return
	}
	text := strings.NewReplacer("2026-", fmt.Sprintf("%d-", year), "2027-", fmt.Sprintf("%d-", year+1)).Replace(c.fixture())
	c.write("city.yaml", text)
	c.hubDo("", "import", c.path("city.yaml"), "--as", "P01")
}

// rage kills until n have died. A program that ends by itself is started again,
// as its supervisor would, and is a fault.
func (s *storm) rage(n int) {
	s.t.Helper()
	for _, p := range s.targets {
		p.due = s.nextDeath(p)
	}
	for killed := 0; killed < n; {
		for _, p := range s.targets {
			switch {
			case !p.running():
				s.t.Errorf("%s ended by itself\n%s", p.name, p.tail())
				s.again(p)
			case time.Now().After(p.due):
				s.again(p)
				p.kills++
				killed++
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *storm) nextDeath(p *target) time.Time {
	return time.Now().Add(p.shortest + time.Duration(s.rnd.Int64N(int64(p.longest-p.shortest))))
}

// again kills a program and starts it at once.
func (s *storm) again(p *target) {
	s.t.Helper()
	p.proc.kill()
	p.lives[len(p.lives)-1].to = monotonic()
	if p.proc == s.sim {
		s.simLife.Add(1)
	}
	p.lives = append(p.lives, life{monotonic(), forever})
	p.start()
	p.due = s.nextDeath(p)
}

func (s *storm) toll() string {
	var parts []string
	total := 0
	for _, p := range s.targets {
		parts = append(parts, fmt.Sprintf("%s %d", p.name, p.kills))
		total += p.kills
	}
	return fmt.Sprintf("%d kills (%s)", total, strings.Join(parts, ", "))
}

// settle waits until everything the devices wrote down is in the ledger and in
// the registers.
func (s *storm) settle() {
	s.t.Helper()
	var last string
	defer func() {
		if s.t.Failed() {
			s.t.Log("settling: " + last)
		}
	}()
	eventually(s.t, 60*time.Second, "everything delivered and registered", func() bool {
		text, err := s.tryExport(s.path("hub/hub.db"))
		if err != nil {
			last = err.Error()
			return false
		}
		book := readBook(s.t, text)
		for _, id := range []string{"DC-31", "DC-21"} {
			kept := s.journal(id)
			if have := len(book.of(id)); have != len(kept) {
				last = fmt.Sprintf("%s: %d of %d events", id, have, len(kept))
				return false
			}
		}
		entered, stays := book.count("entered"), len(book.stays())
		last = fmt.Sprintf("%d entered, %d rows of REG-01", entered, stays)
		return stays >= entered
	})
}

// judge looks at the copy of the store with nothing running.
func (s *storm) judge(seen []happening) {
	s.t.Helper()
	copied := s.copyStore()
	text, err := s.tryExport(copied)
	if err != nil {
		s.t.Fatal(err)
	}
	book := readBook(s.t, text)
	for _, id := range []string{"DC-31", "DC-21"} {
		sameAsJournal(s.t, id, book.of(id), s.journal(id))
	}
	book.nothingDoubtful(s.t)
	book.grantsAndPassages(s.t)
	book.registers(s.t)
	pulses := book.unlocksHaveRows(s.t, seen)
	steady := s.openingsHaveRows(book, seen)
	s.verifyOffline(copied)
	s.t.Logf("%d ledger rows, %d events of devices (%d granted, %d denied, %d entered, %d exited, %d left by button), %d rows of REG-01",
		len(book.facts), len(book.of("DC-31"))+len(book.of("DC-21")), book.count("access_granted"), book.count("access_denied"),
		book.count("entered"), book.count("exited"), book.count("exit_without_credential"), len(book.stays()))
	s.t.Logf("%d relay pulses seen, %d openings under a program that lived", pulses, steady)
	s.t.Logf("kinds: %v", book.kinds())
	if pulses < 40 || steady < 20 || book.count("entered") < 40 {
		s.t.Error("too little traffic to prove anything")
	}
}

func (s *storm) tryExport(store string) (string, error) {
	return try(s.env("hub"), "", filepath.Join(bin, "sekimori-hub"), "export", "--store", store, "--settings", s.path("hub.yaml"))
}

// verifyOffline checks the copy, alone and against what each witness keeps.
func (s *storm) verifyOffline(copied string) {
	s.t.Helper()
	if out, err := s.verify("--store", copied); err != nil {
		s.t.Errorf("verify: %v\n%s", err, out)
	}
	for _, id := range []string{"DC-31", "DC-21"} {
		note := once(s.t, s.env(id), "", filepath.Join(bin, "sekimori-agent"), "checkpoint", "--settings", s.path(id+".yaml"))
		s.write(id+".checkpoint", note)
		if out, err := s.verify("--store", copied, "--against", s.path(id+".checkpoint")); err != nil {
			s.t.Errorf("verify against %s: %v\n%s", id, err, out)
		}
	}
}

// crowd is the people of the storm and the one who watches the doors.
type crowd struct {
	stop context.CancelFunc
	done sync.WaitGroup
	seen []happening // by the watcher; read after done
}

// goHome ends the traffic and returns what was seen at the doors.
func (p *crowd) goHome() []happening {
	p.stop()
	p.done.Wait()
	return p.seen
}
