//go:build linux && !simtime

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// book is an export of the hub's store.
type book struct {
	facts []bookFact
	rows  []bookRow
}

// bookFact is a row of the ledger.
type bookFact struct {
	Index    int64           `json:"index"`
	Kind     string          `json:"kind"`
	Device   string          `json:"device"`
	Epoch    string          `json:"epoch"`
	Seq      uint64          `json:"seq"`
	Event    string          `json:"event"` // the commitment
	Mono     time.Duration   `json:"mono"`  // since boot
	Received time.Time       `json:"received"`
	Body     json.RawMessage `json:"body"`

	passage passage // of Body
}

// passage is what facts at a door share.
type passage struct {
	Door  string `json:"door"`
	Grant string `json:"grant"`
	Dir   string `json:"dir"`
}

// bookRow is a row of a register.
type bookRow struct {
	Register string `json:"register"`
	Series   string `json:"series"`
	Year     int    `json:"year"`
	Number   int64  `json:"number"`
	Data     struct {
		Device  string     `json:"device"`
		Seq     uint64     `json:"seq"`
		Entered *time.Time `json:"entered"`
	} `json:"data"`
}

func readBook(t *testing.T, text string) *book {
	t.Helper()
	b := &book{}
	for line := range strings.Lines(text) {
		var table struct{ Table string }
		into := any(&table)
		err := json.Unmarshal([]byte(line), into)
		switch {
		case err != nil:
		case table.Table == "ledger":
			var f bookFact
			if err = json.Unmarshal([]byte(line), &f); err == nil && f.Device != "" && len(f.Body) > 0 {
				err = json.Unmarshal(f.Body, &f.passage)
			}
			b.facts = append(b.facts, f)
		default:
			var r bookRow
			err = json.Unmarshal([]byte(line), &r)
			b.rows = append(b.rows, r)
		}
		if err != nil {
			t.Fatalf("export: %v\n%s", err, line)
		}
	}
	for i, f := range b.facts {
		if f.Index != int64(i) {
			t.Fatalf("ledger row %d has index %d", i, f.Index)
		}
	}
	return b
}

// of lists a device's events in the order of the ledger. Facts about a device
// that are the hub's own have no seq.
func (b *book) of(device string) (out []bookFact) {
	for _, f := range b.facts {
		if f.Device == device && f.Seq > 0 {
			out = append(out, f)
		}
	}
	return out
}

func (b *book) count(kind string) int { return b.kinds()[kind] }

func (b *book) kinds() map[string]int {
	n := map[string]int{}
	for _, f := range b.facts {
		n[f.Kind]++
	}
	return n
}

// stays are the rows of 入退室管理簿 with an entry.
func (b *book) stays() (out []bookRow) {
	for _, r := range b.rows {
		if r.Register == "REG-01" && r.Data.Entered != nil {
			out = append(out, r)
		}
	}
	return out
}

// nothingDoubtful: a killed program is no loss of evidence and no attack.
func (b *book) nothingDoubtful(t *testing.T) {
	t.Helper()
	for _, f := range b.facts {
		switch f.Kind {
		case "ledger_doubt", "hub.evidence_gap", "hub.security_finding", "hub.opaque_event", "journal_full", "policy_rejected", "order_rejected":
			t.Errorf("ledger row %d: %s %s %s", f.Index, f.Kind, f.Device, f.Body)
		}
	}
}

// grantsAndPassages: each entry and exit by credential has one grant before it,
// and no grant lets two through.
func (b *book) grantsAndPassages(t *testing.T) {
	t.Helper()
	granted, used := map[string]bool{}, map[string]bool{}
	for _, f := range b.facts {
		g := f.passage.Grant
		switch f.Kind {
		case "access_granted":
			if granted[g] {
				t.Errorf("ledger row %d: grant %s twice", f.Index, g)
			}
			granted[g] = true
		case "entered", "exited":
			if !granted[g] || used[g] {
				t.Errorf("ledger row %d: %s under grant %q: granted before %v, used before %v", f.Index, f.Kind, g, granted[g], used[g])
			}
			used[g] = true
		}
	}
}

// registers: 通番 runs from 1 without a gap in each series and 年度, and each
// entry in the ledger is one stay.
func (b *book) registers(t *testing.T) {
	t.Helper()
	numbers := map[string][]int64{}
	for _, r := range b.rows {
		series := fmt.Sprintf("%s %s %d", r.Register, r.Series, r.Year)
		numbers[series] = append(numbers[series], r.Number)
	}
	for series, list := range numbers {
		slices.Sort(list)
		for i, n := range list {
			if n != int64(i+1) {
				t.Errorf("%s: 通番 %d where %d should be", series, n, i+1)
				break
			}
		}
	}
	type event struct {
		device string
		seq    uint64
	}
	rows := map[event]int{}
	for _, r := range b.stays() {
		rows[event{r.Data.Device, r.Data.Seq}]++
	}
	for _, f := range b.facts {
		if f.Kind == "entered" && rows[event{f.Device, f.Seq}] != 1 {
			t.Errorf("entry %s %d has %d rows in 入退室管理簿", f.Device, f.Seq, rows[event{f.Device, f.Seq}])
		}
	}
	if n := len(b.stays()); n != b.count("entered") {
		t.Errorf("%d stays for %d entries", n, b.count("entered"))
	}
}

// asleep is how far CLOCK_BOOTTIME, which devices write, is ahead of
// CLOCK_MONOTONIC, which the simulator tells.
func asleep() time.Duration {
	return (readClock(unix.CLOCK_BOOTTIME) - monotonic()).Round(time.Millisecond)
}

// release is how long a grant keeps the lock released, in the fixture.
const release = 5 * time.Second

// unlocksHaveRows: each time a relay was energised, a grant of that door was
// written down before. One grant explains one pulse; a simulator that died and
// came back within the grant sees the line that is still held as a new pulse.
func (b *book) unlocksHaveRows(t *testing.T, seen []happening) (pulses int) {
	t.Helper()
	ahead := asleep()
	type use struct {
		index, life int64
	}
	used := map[use]bool{}
	for _, h := range seen {
		if h.Kind != "relay_on" {
			continue
		}
		pulses++
		var by *bookFact
		for i := range b.facts {
			f := &b.facts[i]
			at := f.Mono - ahead
			if f.Kind == "access_granted" && f.passage.Door == h.Door && at <= h.At && h.At-at <= release+2*time.Second &&
				!used[use{f.Index, h.life}] && (by == nil || f.Mono > by.Mono) {
				by = f
			}
		}
		if by == nil {
			t.Errorf("%s was unlocked at %v (simulator's life %d) without a row", h.Door, h.At, h.life)
			continue
		}
		used[use{by.Index, h.life}] = true
	}
	return pulses
}

// openingsHaveRows: a door that opened before the eyes of a program that lived on
// has exactly one row that explains it, and that is a passage where the relay had
// released it.
func (s *storm) openingsHaveRows(b *book, seen []happening) (steady int) {
	s.t.Helper()
	ahead := asleep()
	causes := map[string][]string{}
	pulsed := map[string]happening{}
	for i, h := range seen {
		switch h.Kind {
		case "released", "causes", "locked":
			causes[h.Door] = h.Causes
		case "relay_on":
			pulsed[h.Door] = h
		case "opened":
			p := pulsed[h.Door]
			until := min(h.At+3*time.Second, nextOpening(seen[i+1:], h.Door))
			if p.Kind == "" || p.life != h.life || !s.lived(h.Door, p.At, h.At+3*time.Second) {
				continue
			}
			steady++
			byRelay := slices.Equal(causes[h.Door], []string{"relay"}) && h.At-p.At < release-time.Second
			s.explained(b, h, until, ahead, byRelay)
		}
	}
	return steady
}

func nextOpening(later []happening, door string) time.Duration {
	for _, h := range later {
		if h.Door == door && h.Kind == "opened" {
			return h.At
		}
	}
	return forever
}

// lived tells whether neither the door's controller nor the simulator died in a
// span of time.
func (s *storm) lived(door string, from, to time.Duration) bool {
	for _, p := range s.targets {
		if p.name != "DC-"+door[1:] && p.proc != s.sim {
			continue
		}
		if !slices.ContainsFunc(p.lives, func(l life) bool { return l.from <= from && to <= l.to }) {
			return false
		}
	}
	return true
}

func (s *storm) explained(b *book, h happening, until, ahead time.Duration, byRelay bool) {
	s.t.Helper()
	var rows []string
	for _, f := range b.facts {
		at := f.Mono - ahead
		if f.passage.Door != h.Door || at < h.At-time.Millisecond || at >= until {
			continue
		}
		switch f.Kind {
		case "entered", "exited", "exit_without_credential", "forced_open", "physical_key_entry":
			rows = append(rows, f.Kind)
		}
	}
	if len(rows) != 1 || byRelay && rows[0] != "entered" && rows[0] != "exited" {
		s.t.Errorf("%s opened at %v (by the relay: %v) and has the rows %v", h.Door, h.At, byRelay, rows)
	}
}
