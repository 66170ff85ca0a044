package console

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekimori/hub/internal/wareki"
	"sekimori/internal/clock"
)

// filter is what a list shows, as its address says it. The same filter read
// from its own address is the same filter: pages, streams and the API share it.
type filter struct {
	Room   string // code
	Year   int    // 年度, by the day it happened
	Month  int    // 1 to 12 in Year; 0 all of it
	From   string // first day, 2026-06-15
	To     string // last day
	Person string // part of a name, a section, or a person's ID
	Result string // 結果 of entries
	Open   bool   // still open
	Kind   string // of denials
	Reason string
	Level  string // severity: alarm, record or empty
	Oldest bool   // oldest first
	Page   int    // from 1
}

// maxText bounds what people type into a filter.
const maxText = 64

// parseFilter reads an address. What cannot be meant is left out rather than
// guessed, so that the page shows which filter holds.
func parseFilter(q url.Values) filter {
	text := func(name string) string {
		v := []rune(strings.TrimSpace(q.Get(name)))
		return string(v[:min(len(v), maxText)])
	}
	number := func(name string, low, high int) int {
		n, err := strconv.Atoi(text(name))
		if err != nil || n < low || n > high {
			return 0
		}
		return n
	}
	day := func(name string) string {
		if _, err := time.Parse(time.DateOnly, text(name)); err != nil {
			return ""
		}
		return text(name)
	}
	f := filter{
		Room: text("room"), Year: number("year", 1868, 9998), Month: number("month", 1, 12), From: day("from"), To: day("to"),
		Person: text("person"), Result: text("result"), Open: text("open") == "1", Kind: text("kind"), Reason: text("reason"),
		Level: text("severity"), Oldest: text("order") == "oldest", Page: max(1, number("page", 1, 1_000_000)),
	}
	if f.Year == 0 {
		f.Month = 0
	}
	return f
}

// Query is the filter as an address, without what is at its default.
func (f filter) Query() string {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" && value != "0" {
			q.Set(name, value)
		}
	}
	set("room", f.Room)
	set("year", strconv.Itoa(f.Year))
	set("month", strconv.Itoa(f.Month))
	set("from", f.From)
	set("to", f.To)
	set("person", f.Person)
	set("result", f.Result)
	set("kind", f.Kind)
	set("reason", f.Reason)
	set("severity", f.Level)
	if f.Open {
		q.Set("open", "1")
	}
	if f.Oldest {
		q.Set("order", "oldest")
	}
	if f.Page > 1 {
		q.Set("page", strconv.Itoa(f.Page))
	}
	return q.Encode()
}

// At is the same filter on another page.
func (f filter) At(page int) filter {
	f.Page = page
	return f
}

// span is when rows of the filter happened: 年度 and month, narrowed by days.
func (f filter) span() (from, to time.Time) {
	if f.Year != 0 {
		from, to = wareki.FiscalYearSpan(f.Year)
	}
	if f.Month != 0 {
		year := f.Year
		if f.Month < 4 { // January to March belong to the 年度 before [T-42]
			year++
		}
		from = time.Date(year, time.Month(f.Month), 1, 0, 0, 0, 0, clock.JST)
		to = from.AddDate(0, 1, 0)
	}
	if d, err := time.ParseInLocation(time.DateOnly, f.From, clock.JST); err == nil && d.After(from) {
		from = d
	}
	if d, err := time.ParseInLocation(time.DateOnly, f.To, clock.JST); err == nil {
		if d = d.AddDate(0, 0, 1); to.IsZero() || d.Before(to) {
			to = d
		}
	}
	return from, to
}

// Summary says the filter in words, for the head of the list and of a print.
func (f filter) Summary(p places, choices []Word) string {
	var s []string
	add := func(format string, v ...any) { s = append(s, fmt.Sprintf(format, v...)) }
	if f.Room != "" {
		name := f.Room
		for code, room := range p.rooms {
			if string(code) == f.Room {
				name += " " + room.Name
			}
		}
		add("室: %s", name)
	}
	if from, to := f.span(); !from.IsZero() || !to.IsZero() {
		first, last := "", ""
		if !from.IsZero() {
			first = wareki.Date(from)
		}
		if !to.IsZero() {
			last = wareki.Date(to.Add(-time.Second))
		}
		add("期間: %s～%s", first, last)
	}
	if f.Person != "" {
		add("氏名・所属: %s", f.Person)
	}
	for _, code := range []string{f.Result, f.Kind, f.Reason, f.Level} {
		for _, c := range choices {
			if code != "" && c.Code == code {
				s = append(s, c.Text)
			}
		}
	}
	if f.Open {
		s = append(s, "未了のみ")
	}
	if len(s) == 0 {
		return "条件なし（すべて）"
	}
	return strings.Join(s, "　")
}
