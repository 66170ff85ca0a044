//go:build linux && !simtime

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
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

// faults are what a judgement found.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// doubtful are kinds that a killed program must not cause: it is no loss of
// evidence and no attack.
var doubtful = []string{"ledger_doubt", "hub.evidence_gap", "hub.security_finding", "hub.opaque_event", "journal_full", "policy_rejected", "order_rejected"}

func (b *book) nothingDoubtful() (f faults) {
	for _, x := range b.facts {
		// An agent that dies while it says hello looks like anybody who hangs up.
		hungUp := x.Kind == "hub.security_finding" && strings.Contains(string(x.Body), `"finding":"handshake_failed"`)
		if slices.Contains(doubtful, x.Kind) && !hungUp {
			f.add("ledger row %d: %s %s %s", x.Index, x.Kind, x.Device, x.Body)
		}
	}
	return f
}

// grantsAndPassages: each entry and exit by credential has one grant before it,
// and no grant lets two through.
func (b *book) grantsAndPassages() (f faults) {
	granted, used := map[string]bool{}, map[string]bool{}
	for _, x := range b.facts {
		g := x.passage.Grant
		switch x.Kind {
		case "access_granted":
			if granted[g] {
				f.add("ledger row %d: grant %s twice", x.Index, g)
			}
			granted[g] = true
		case "entered", "exited":
			if !granted[g] || used[g] {
				f.add("ledger row %d: %s under grant %q: granted before %v, used before %v", x.Index, x.Kind, g, granted[g], used[g])
			}
			used[g] = true
		}
	}
	return f
}

// registers: 通番 runs from 1 without a gap in each series and 年度, and each
// entry in the ledger is one stay.
func (b *book) registers() (f faults) {
	numbers := map[string][]int64{}
	for _, r := range b.rows {
		series := fmt.Sprintf("%s %s %d", r.Register, r.Series, r.Year)
		numbers[series] = append(numbers[series], r.Number)
	}
	for series, list := range numbers {
		slices.Sort(list)
		for i, n := range list {
			if n != int64(i+1) {
				f.add("%s: 通番 %d where %d should be", series, n, i+1)
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
	for _, x := range b.facts {
		if x.Kind == "entered" && rows[event{x.Device, x.Seq}] != 1 {
			f.add("entry %s %d has %d rows in 入退室管理簿", x.Device, x.Seq, rows[event{x.Device, x.Seq}])
		}
	}
	if n := len(b.stays()); n != b.count("entered") {
		f.add("%d stays for %d entries", n, b.count("entered"))
	}
	return f
}
