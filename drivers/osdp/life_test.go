package osdp_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers/osdp"
)

// life is one reader of a day: the driver's pure link, the model of the reader,
// and the faults between them, all on a clock that is a number.
type life struct {
	began time.Time
	link  osdp.Link
	pd    *reader
	lost  int           // answers the cable eats
	away  time.Duration // unplugged until then
	shown int           // cards presented
	read  int           // cards read
	back  time.Duration // plugged in again and not yet online; 0 when all is well
	worst time.Duration // from being plugged in to being online
}

// TestADayOfBusLife lets four readers, three of them secure, live through 24
// hours of random faults: lost, damaged, late and double answers, BUSY, power
// cuts of milliseconds to minutes, forged MACs. At the end of each calm spell
// every reader must be online and secure, every card read once, and nothing
// forbidden said. The bus is driven through Link.Step alone, so that the day
// takes seconds.
func TestADayOfBusLife(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	synctest.Test(t, func(t *testing.T) { dayOfLife(t, 24*time.Hour) }) // the model reads the time
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines more than before", n-goroutines)
	}
}

func dayOfLife(t *testing.T, day time.Duration) {
	random := rand.New(rand.NewPCG(39, 5))
	began := time.Now()
	now := func() time.Duration { return time.Since(began) }
	var bus []*life
	for i := range byte(4) {
		pd, cfg := secureReader(i, ownKey[:]), osdp.ReaderConfig{Reader: fmt.Sprint("r", i), Address: i}
		if i == 3 {
			pd = newReader(i)
		} else {
			key := ownKey
			cfg.Key = &key
		}
		bus = append(bus, &life{began: began, link: osdp.NewLink(cfg, 400*time.Millisecond, 400*time.Millisecond), pd: pd})
	}
	probed, forbidden, turns := time.Duration(0), 0, 0
	calm := func() bool { return now()%(10*time.Minute) > 8*time.Minute }
	for now() < day {
		best := soonest(bus, probed, now())
		l := best.life
		if d := best.due - now(); d > 0 {
			time.Sleep(d)
		}
		if !l.link.Alive() {
			probed = now()
		}
		turns++
		said := l.exchange(t, random, calm())
		forbidden += publicOrKeySet(said)
		if l.link.Health().Online && l.back != 0 {
			l.worst, l.back = max(l.worst, now()-l.back), 0
		}
		if calm() && now()%(10*time.Minute) > 9*time.Minute+50*time.Second {
			for _, l := range bus {
				if h := l.link.Health(); !h.Online || h.Refused || h.Secure != (l.pd != bus[3].pd) || l.read != l.shown {
					t.Fatalf("after %v: %+v, %d of %d cards", now(), h, l.read, l.shown)
				}
			}
		}
	}
	for i, l := range bus {
		t.Logf("reader %d: %d cards, %d retries, %d noise, back within %v", i, l.read, l.link.Health().Retries, l.link.Health().Noise, l.worst)
		if l.worst > 5*time.Second {
			t.Errorf("reader %d was %v from its return to being online", i, l.worst)
		}
		if l.shown < 100 || l.link.Health().Retries < 100 {
			t.Errorf("reader %d saw hardly anything", i)
		}
	}
	if forbidden != 0 {
		t.Errorf("%d commands with SCBK-D or KEYSET", forbidden)
	}
	if turns < 700_000 {
		t.Errorf("only %d turns in %v: the polling drifts", turns, day)
	}
}

type candidate struct {
	*life
	due time.Duration
}

// soonest is whose turn it is, with one probe of an absent reader a second.
func soonest(bus []*life, probed, now time.Duration) (best candidate) {
	for _, l := range bus {
		due := max(l.link.Due(), now)
		if !l.link.Alive() {
			due = max(due, probed+time.Second)
		}
		if best.life == nil || due < best.due {
			best = candidate{l, due}
		}
	}
	return best
}

// exchange is one turn on a wire of 9600 baud with faults, and what was said.
func (l *life) exchange(t *testing.T, random *rand.Rand, calm bool) (said [][]byte) {
	if !calm {
		l.trouble(random)
	}
	if l.away != 0 && (calm || l.now() >= l.away) {
		l.away, l.back = 0, l.now()
		l.pd.Plug(true)
	}
	if l.link.Health().Online && l.away == 0 && random.IntN(1500) == 0 {
		l.present(t, random)
	}
	turn := osdp.Turn{Shared: true}
	if l.link.NeedsNonce() {
		for i := range turn.Nonce {
			turn.Nonce[i] = byte(random.Uint32())
		}
	}
	e := l.step(turn)
	command := e.Send
	if command[0] == 0xFF {
		command = command[1:]
	}
	said = append(said, command)
	time.Sleep(time.Duration(len(e.Send)) * 1042 * time.Microsecond)
	out := l.pd.obey(command)
	if out == nil || l.lost > 0 {
		l.lost = max(l.lost-1, 0)
		time.Sleep(e.Window)
		l.step(osdp.Silent{})
		return said
	}
	time.Sleep(time.Duration(len(out)) * 1042 * time.Microsecond)
	f, _, err := osdp.Parse(out)
	if err != nil || !calm && random.IntN(300) == 0 {
		time.Sleep(e.Window)
		l.step(osdp.Silent{Noise: 1})
		return said
	}
	if e := l.step(osdp.Heard{Frame: f}); e.Listen {
		l.step(osdp.Silent{})
	}
	return said
}

func (l *life) now() time.Duration { return time.Since(l.began) }

func (l *life) step(in osdp.Input) (e osdp.Effects) {
	l.link, e = l.link.Step(in, l.now())
	for _, r := range e.Readings {
		l.read++
		if r.Authenticated != (l.link.Health().Reader != "r3") {
			panic("a reading says the wrong thing of its link")
		}
	}
	return e
}

func (l *life) present(t *testing.T, random *rand.Rand) {
	l.shown++
	l.pd.Present(card(t, 26, byte(random.Uint32()), 2, 3, 0x40))
}

// trouble lets something go wrong now and then.
func (l *life) trouble(random *rand.Rand) {
	switch random.IntN(4000) {
	case 0, 1, 2:
		l.lost = 1 + random.IntN(3)
	case 3:
		l.pd.busy = 1 + random.IntN(10)
	case 4:
		l.pd.hidden.wrongMAC = 1
	case 5:
		l.pd.lose = true
	case 6:
		if l.away == 0 && len(l.pd.events) == 0 {
			l.pd.Plug(false)
			l.away = l.now() + time.Duration(random.ExpFloat64()*float64(10*time.Second))
		}
	}
}
