// Package traceability compares the clause tags in code and tests with the list
// of clauses, and writes the page that shows which clause is carried where.
//
//	clauses.txt ─┐
//	             ├─ Page ─► TRACEABILITY.md  (make trace)
//	tags in *.go ┘
//
// A tag is a clause ID in square brackets in a comment or a string, such as
// [000-7.2] or [T-40, AS-01]. Clause IDs are municipal rules and the national
// standard (seed-article), traps (T-nn) and acceptance scenarios (AS-nn); they
// come from the domain report, which is not part of this repository, so
// clauses.txt is the copy the repository lives by.
//
// A tag may be wider than an ID of the list ([000-7.2] carries 000-7.2-L1 to
// 000-7.2-B alike), or narrower by one bracketed item ([001-3.2(3)] is 001-3.2).
package traceability

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

//go:embed clauses.txt
var clausesText string

// Clause is one line of clauses.txt.
type Clause struct {
	ID      string // "000-7.2-L3", "T-40", "AS-01"
	Article string // "第7条2 L3"; of traps and scenarios the group they stand in
	Demand  string // a few words, Japanese or English as in the domain report
	Aliases []string
}

// Clauses is the list, in the order of the domain report.
type Clauses struct {
	List []Clause
	byID map[string][]string // ID or alias → IDs
}

// Load reads the embedded list.
func Load() (*Clauses, error) { return parseClauses(clausesText) }

// parseClauses reads ID, article, demand and aliases, separated by tabs; the
// aliases among themselves by spaces.
func parseClauses(text string) (*Clauses, error) {
	c := &Clauses{byID: map[string][]string{}}
	for n, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 || !idForm.MatchString(f[0]) || f[2] == "" {
			return nil, fmt.Errorf("clauses.txt:%d: not ID, article, demand and aliases: %q", n+1, line)
		}
		one := Clause{ID: f[0], Article: f[1], Demand: f[2], Aliases: strings.Fields(f[3])}
		if c.byID[one.ID] != nil {
			return nil, fmt.Errorf("clauses.txt:%d: %s is there twice", n+1, one.ID)
		}
		c.byID[one.ID] = []string{one.ID}
		c.List = append(c.List, one)
	}
	for _, one := range c.List {
		for _, a := range one.Aliases {
			c.byID[a] = append(c.byID[a], one.ID)
		}
	}
	return c, nil
}

var (
	idForm   = regexp.MustCompile(`^(?:00[0-4]-[^\s,\[\]]+|T-\d\d|AS-\d\d)$`)
	lastItem = regexp.MustCompile(`\([^()]+\)$`)
)

// Resolve tells which clauses a tag names; none if it names no clause.
func (c *Clauses) Resolve(tag string) []string {
	if ids := c.byID[tag]; ids != nil {
		return ids
	}
	var ids []string
	for _, one := range c.List {
		if rest, ok := strings.CutPrefix(one.ID, tag); ok && boundary(tag, rest) {
			ids = append(ids, one.ID)
		}
	}
	if ids == nil && lastItem.MatchString(tag) {
		return c.byID[lastItem.ReplaceAllString(tag, "")]
	}
	return ids
}

// boundary keeps 001-4.1 from meaning 001-4.10, and 000- from meaning all.
func boundary(tag, rest string) bool {
	next, _ := utf8.DecodeRuneInString(rest)
	last, _ := utf8.DecodeLastRuneInString(tag)
	return last != '-' && last != '.' && last != '(' && (next < '0' || next > '9')
}
