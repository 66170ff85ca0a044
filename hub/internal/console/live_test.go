package console_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

var after = regexp.MustCompile(`data-live="([^"]+)" data-after="(-?\d+)"`)

// follow opens the stream a page names, as its script does.
func (b *browser) follow(t *testing.T, path string) (*events, string) {
	t.Helper()
	m := after.FindStringSubmatch(b.page(path))
	if m == nil {
		t.Fatalf("%s has no stream", path)
	}
	address := strings.ReplaceAll(m[1], "&amp;", "&")
	if strings.Contains(address, "?") {
		address += "&after=" + m[2]
	} else {
		address += "?after=" + m[2]
	}
	return b.stream(t, address, ""), address
}

var rowID = regexp.MustCompile(`<tr id="row-([^"]+)"( data-gone)?`)

// TestLiveRows: a row appears, changes in place and leaves a filtered list.
func TestLiveRows(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	all, _ := b.follow(t, "/registers/entry")
	open, _ := b.follow(t, "/registers/entry?open=1")
	other, _ := b.follow(t, "/registers/entry?room=R21")
	who, _ := b.follow(t, "/occupants")
	who.next(t, "fragment")
	now := clock.Now()
	w.event(record.KindEntered, enters("P07", "0000012345"), now.Add(-time.Minute))
	key := "R31-" + fiscalYear(now) + "-1"
	for name, s := range map[string]*events{"all": all, "open": open} {
		if e := s.next(t, "rows"); !strings.Contains(e.data, "row-"+key) || !strings.Contains(e.data, "在室中") || strings.Contains(e.data, "0000012345") {
			t.Errorf("%s: %s", name, e.data)
		}
	}
	if e := who.next(t, "fragment"); !strings.Contains(e.data, "𠮷田 誠") {
		t.Errorf("在室者一覧: %s", e.data)
	}
	out := enters("P07", "0000012345")
	out.Direction = record.DirectionOut
	w.event(record.KindExited, out, now)
	if e := all.next(t, "rows"); !strings.Contains(e.data, "row-"+key) || strings.Contains(e.data, "在室中") {
		t.Errorf("all after the exit: %s", e.data)
	}
	if e := open.next(t, "rows"); !strings.Contains(e.data, `row-`+key+`" data-gone`) {
		t.Errorf("open after the exit: %s", e.data)
	}
	if e := who.next(t, "fragment"); strings.Contains(e.data, "𠮷田 誠") {
		t.Errorf("在室者一覧 after the exit: %s", e.data)
	}
	elsewhere := enters("P01", "")
	elsewhere.Room, elsewhere.Door = "R21", "D21"
	w.event(record.KindEntered, elsewhere, now)
	if e := other.next(t, "rows"); !strings.Contains(e.data, "row-R21-") || strings.Contains(e.data, "row-R31-") {
		t.Errorf("another room's list: %s", e.data)
	}
}

// TestNoLoss: streams that break at any event, and hubs that restart, lose and
// invent no row: what was shown is what the register holds.
func TestNoLoss(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	s, address := b.follow(t, "/registers/denials")
	const rounds, each = 6, 40
	seen := map[string]bool{}
	last, made := "", 0
	for round := range rounds {
		for n := range each {
			w.late(record.KindDenied, record.Passage{Door: "D31", Room: "R31", Level: 3, Person: "P05", Reason: record.ReasonNoPermit},
				clock.Now().Add(-time.Duration(n)*time.Millisecond), clock.Now())
			made++
		}
		if round%2 == 0 { // more is written while nobody is connected
			w.stop()
			w.start()
		}
		w.settle()
		for stop := made - round - 1; len(seen) < stop; {
			e, ok := s.read()
			if !ok {
				s = b.stream(t, address, last)
				continue
			}
			last = e.id
			for _, m := range rowID.FindAllStringSubmatch(e.data, -1) {
				if seen[m[1]] {
					t.Errorf("row %s came twice", m[1])
				}
				seen[m[1]] = true
			}
		}
		s.end() // break off in the middle
		s = b.stream(t, address, last)
	}
	for len(seen) < made {
		e := s.next(t, "rows")
		for _, m := range rowID.FindAllStringSubmatch(e.data, -1) {
			seen[m[1]] = true
		}
	}
	for n := range made {
		if key := fmt.Sprintf("R31-%s-%d", fiscalYear(clock.Now()), n+1); !seen[key] {
			t.Errorf("row %s never came", key)
		}
	}
}

// TestManyRowsOfOneFact: one fact that changes more rows than a look reads is
// one event: an id in the middle would lose the rest.
func TestManyRowsOfOneFact(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	now := clock.Now()
	const people = 450
	for n := range people { // unknown persons each have a stay of their own
		w.late(record.KindEntered, enters(record.PersonID(fmt.Sprintf("X%03d", n)), ""), now.Add(-time.Hour), now.Add(-time.Hour))
	}
	w.event(record.KindFireRelease, record.DoorState{Door: "D31", Room: "R31", Level: 3}, now)
	s := b.stream(t, "/live/entry?after=0", "")
	state := map[string]bool{}
	for burning := 0; burning < people; {
		e := s.next(t, "rows")
		parts := strings.Split(e.data, "<tr ")
		for _, p := range parts[1:] {
			id := rowID.FindStringSubmatch("<tr " + p)[1]
			if fire := strings.Contains(p, "火災解錠"); fire && !state[id] {
				state[id] = true
				burning++
			}
		}
		if burning > 0 && burning < people && len(parts)-1 != people {
			t.Fatalf("an event of %d rows, %d of them after the fire", len(parts)-1, burning)
		}
	}
}

// TestRebuilt: a page that is ahead of the registers is told to load anew.
func TestRebuilt(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	b.stream(t, "/live/entry", "999999999").next(t, "reload")
}

// TestStreamEnds: no session, no stream; a hub that stops ends its streams.
func TestStreamEnds(t *testing.T) {
	w := newTown(t)
	if r, _ := w.browser().get("/live/entry"); r.StatusCode != 401 {
		t.Errorf("a stranger's stream: %s", r.Status)
	}
	s := w.signedIn("yamada").stream(t, "/live/entry", "")
	w.cancel()
	for _, ok := s.read(); ok; _, ok = s.read() {
	}
	w.stop()
	w.start()
}
