package traceability

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	matrixRow   = regexp.MustCompile(`^\| (00[0-4]-[^|]*?) \| ([^|]*?) \| ([^|]*?) \|`)
	trapLine    = regexp.MustCompile(`^\* \*\*(T-\d\d) (.*?)\.?\*\*(.*)$`)
	trapGroup   = regexp.MustCompile(`^\*\*([^*]+)\*\*$`)
	caseLine    = regexp.MustCompile(`^\*\*(AS-\d\d) (.*?)\*\*(?: \((.*)\))?`)
	caseNamed   = regexp.MustCompile(`AS-\d\d`)
	emphasis    = strings.NewReplacer("**", "", "\t", " ")
	itemRange   = regexp.MustCompile(`\((\d)\)–\((\d)\)$`)
	severalTail = regexp.MustCompile(`^(.*[^\d/])?(\d+)/(\d+)$`)
)

// alsoKnownAs gives IDs the spelling of the article itself, where the domain
// report shortened it. Matrix rows that stand for several items are told apart
// by aliasesOf.
var alsoKnownAs = map[string]string{
	"000-21.1ウ":     "000-21.1ウ(ア)",
	"000-21.1ウイ":    "000-21.1ウ(イ)",
	"000-21.5":      "000-21.5ア",
	"001-3.1(1)ウエ":  "001-3.1(1)ウ 001-3.1(1)エ",
	"001-3.3(1)(2)": "001-3.3(1) 001-3.3(2)",
	"002-15.6–15.9": "002-15.6 002-15.7 002-15.8 002-15.9",
	"002-19.1–19.4": "002-19.1 002-19.2 002-19.3 002-19.4",
	"002-22(4)(5)":  "002-22(4) 002-22(5)",
	"002-23(4)(5)":  "002-23(4) 002-23(5)",
	"001-6.2〜6.6":   "001-6.2 001-6.3 001-6.4 001-6.5 001-6.6",
}

// Extract makes clauses.txt from the domain report and the acceptance scenarios:
// every row of the matrix, every trap, every scenario. Scenarios the report
// names but does not publish are listed by their number.
func Extract(domain, acceptance string) (string, error) {
	var b strings.Builder
	b.WriteString("# Clause IDs, tab-separated: ID, article, demand, aliases. Written by `go run ./internal/traceability/trace -from DIR`\n" +
		"# from the domain report; the order is the report's.\n")
	n, where := 0, ""
	line := func(id, article, demand, aliases string) {
		n++
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", id, emphasis.Replace(article), strings.TrimSpace(emphasis.Replace(demand)), aliases)
	}
	for _, l := range strings.Split(domain, "\n") {
		l = strings.TrimSuffix(l, "\r")
		if m := trapGroup.FindStringSubmatch(l); m != nil {
			where = m[1]
		}
		if m := matrixRow.FindStringSubmatch(l); m != nil {
			line(m[1], m[2], m[3], aliasesOf(m[1]))
		}
		if m := trapLine.FindStringSubmatch(l); m != nil {
			line(m[1], where, m[2], "")
		}
	}
	published := map[string]bool{}
	for _, l := range strings.Split(acceptance, "\n") {
		if m := caseLine.FindStringSubmatch(l); m != nil {
			published[m[1]] = true
			line(m[1], m[3], m[2], "")
		}
	}
	for _, id := range caseNamed.FindAllString(domain, -1) {
		if !published[id] {
			published[id] = true
			line(id, "", "(未公開 / not published)", "")
		}
	}
	if n < 200 {
		return "", fmt.Errorf("only %d clauses found: the reports are not written as expected", n)
	}
	return b.String(), nil
}

func aliasesOf(id string) string {
	if a, ok := alsoKnownAs[id]; ok {
		return a
	}
	if m := severalTail.FindStringSubmatch(id); m != nil {
		return m[1] + m[2] + " " + m[1] + m[3]
	}
	var all []string
	if m := itemRange.FindStringSubmatch(id); m != nil {
		for i := digit(m[1]); i <= digit(m[2]); i++ {
			all = append(all, fmt.Sprintf("%s(%d)", strings.TrimSuffix(id, m[0]), i))
		}
	}
	return strings.Join(all, " ")
}

// digit reads one digit the pattern has already seen.
func digit(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
