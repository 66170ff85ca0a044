//go:build linux && !simtime

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
	var found faults
	t.Cleanup(func() { // after the programs' logs, where a reader of the end looks
		for _, fault := range found {
			t.Log("found: " + fault)
		}
	})
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
	found = s.judge(seen)
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
		{c.hub, 50 * time.Millisecond, 3 * time.Second},
		{c.agents["DC-31"], 50 * time.Millisecond, 7 * time.Second},
		{c.agents["DC-21"], 50 * time.Millisecond, 7 * time.Second},
		{c.sim, 5 * time.Second, 20 * time.Second},
	} {
		s.targets = append(s.targets, &target{proc: x.p, shortest: x.shortest, longest: x.longest, lives: []life{{to: forever}}})
	}
	return s
}

const forever = time.Duration(1<<63 - 1)

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
// as its supervisor would, and is a fault; unless it started while its lines were
// dead.
func (s *storm) rage(n int) {
	s.t.Helper()
	for _, p := range s.targets {
		p.due = s.nextDeath(p)
	}
	for killed := 0; killed < n; {
		for _, p := range s.targets {
			switch {
			case !p.running():
				if log := p.tail(); !linesDead.MatchString(log) {
					s.t.Errorf("%s ended by itself\n%s", p.name, log)
				}
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

// linesDead: an agent does not start without the lines its relays are on.
var linesDead = regexp.MustCompile(`\nsekimori-agent: .*the line bank is not connected[^\n]*\n$`)

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

// judge looks at the copy of the store with nothing running, and returns the
// faults it has reported.
func (s *storm) judge(seen []happening) faults {
	s.t.Helper()
	copied := s.copyStore()
	text, err := s.tryExport(copied)
	if err != nil {
		s.t.Fatal(err)
	}
	book := readBook(s.t, text)
	found := slices.Concat(s.examine(book, seen), s.examineDoctored(book, seen))
	for _, fault := range found {
		s.t.Error(fault)
	}
	s.verifyOffline(copied)

	pulses, _ := book.unlocksHaveRows(seen)
	openings, _ := s.openingsHaveRows(book, seen)
	s.t.Logf("%d ledger rows, %d of them from devices; %d relay pulses and %d openings compared; %v",
		len(book.facts), len(book.of("DC-31"))+len(book.of("DC-21")), pulses, openings, book.kinds())
	if pulses < 100 || openings < 20 || book.count("entered") < 50 {
		s.t.Error("too little traffic to prove anything")
	}
	return found
}

// examine is every judgement of a book.
func (s *storm) examine(b *book, seen []happening) (f faults) {
	for _, id := range []string{"DC-31", "DC-21"} {
		f = append(f, sameAsJournal(id, b.of(id), s.journal(id))...)
	}
	_, unlocks := b.unlocksHaveRows(seen)
	_, openings := s.openingsHaveRows(b, seen)
	return slices.Concat(f, b.nothingDoubtful(), b.grantsAndPassages(), b.registers(), unlocks, openings)
}

// examineDoctored: the judgements must find what is wrong with books in which one
// thing was changed.
func (s *storm) examineDoctored(b *book, seen []happening) (f faults) {
	s.t.Helper()
	some := func(kind string) int { // a row in the middle of the storm
		for i := len(b.facts) / 2; i < len(b.facts); i++ {
			if b.facts[i].Kind == kind {
				return i
			}
		}
		s.t.Fatalf("no %s in the second half of the ledger", kind)
		return 0
	}
	for what, change := range map[string]func(d *book){
		"a grant is missing":  func(d *book) { i := some("access_granted"); d.facts = slices.Delete(d.facts, i, i+1) },
		"an entry is missing": func(d *book) { i := some("entered"); d.facts = slices.Delete(d.facts, i, i+1) },
		"a denial is doubled": func(d *book) { i := some("access_denied"); d.facts = slices.Insert(d.facts, i, d.facts[i]) },
		"an event is another": func(d *book) { d.facts[some("access_denied")].Event = strings.Repeat("0", 64) },
		"an epoch is another": func(d *book) { d.facts[some("access_denied")].Epoch = strings.Repeat("0", 32) },
		"a last row is gone": func(d *book) {
			i := len(d.facts) - 1
			for d.facts[i].Seq == 0 {
				i--
			}
			d.facts = slices.Delete(d.facts, i, i+1)
		},
		"a doubt": func(d *book) { d.facts[some("hub.started")].Kind = "ledger_doubt" },
		"a hole in the numbers": func(d *book) {
			i := slices.IndexFunc(d.rows, func(r bookRow) bool { return r.Register == "REG-01" && r.Number == 1 })
			d.rows = slices.Delete(d.rows, i, i+1)
		},
	} {
		d := &book{facts: slices.Clone(b.facts), rows: slices.Clone(b.rows)}
		change(d)
		if len(s.examine(d, seen)) == 0 {
			f.add("a book in which %s passes", what)
		}
	}
	// Rows that never were, on both sides: only what the doors did can tell.
	without := func(kind string) *book {
		return &book{facts: slices.DeleteFunc(slices.Clone(b.facts), func(x bookFact) bool { return x.Kind == kind })}
	}
	if _, found := without("access_granted").unlocksHaveRows(seen); len(found) == 0 {
		f.add("unlocks without a row pass")
	}
	if _, found := s.openingsHaveRows(without("entered"), seen); len(found) == 0 {
		f.add("openings without a row pass")
	}
	return f
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
