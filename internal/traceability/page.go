package traceability

import (
	"fmt"
	"slices"
	"strings"
)

// group is one table of the page: the clauses whose ID begins with prefix.
type group struct{ prefix, title string }

var groups = []group{
	{"000-", "000 十日町市 住基ネットセキュリティ要綱"},
	{"001-", "001 総務省告示第334号 技術的基準"},
	{"002-", "002 新島村 情報セキュリティ対策基準"},
	{"003-", "003 大崎市 緊急時対応規程"},
	{"004-", "004 龍ケ崎市 監査資料"},
	{"T-", "矛盾と落とし穴 (traps)"},
	{"AS-", "受入シナリオ (acceptance scenarios)"},
}

// carriers is who carries a clause.
type carriers struct{ code, tests []string }

// Page is TRACEABILITY.md. It names files and no lines, so that it changes when
// coverage does and not at every edit.
func Page(c *Clauses, tags []Tag) string {
	by := map[string]*carriers{}
	for _, t := range tags {
		for _, id := range c.Resolve(t.Name) {
			if by[id] == nil {
				by[id] = &carriers{}
			}
			list := &by[id].code
			if t.Test() {
				list = &by[id].tests
			}
			if !slices.Contains(*list, t.File) {
				*list = append(*list, t.File)
			}
		}
	}
	var b strings.Builder
	b.WriteString("# 条項と実装の対応 (traceability)\n\n" +
		"`make trace` が書くページです。手で直さないでください。コードと試験に付けた条項の印 (例: `[000-7.2]`) を集めたもので、\n" +
		"**未** はまだ印がない条項です。印は「ここで扱っている」という主張であり、試験の列にある名前がその根拠です。\n\n" +
		"Written by `make trace`; do not edit. **未** marks clauses nothing carries yet. A tag is a claim; the tests named beside it are the evidence.\n\n")
	summary(&b, c, by)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| 条項 | 条 | 内容 | コード | 試験 |\n|---|---|---|---|---|\n", g.title)
		for _, one := range c.List {
			if strings.HasPrefix(one.ID, g.prefix) {
				row(&b, one, by[one.ID])
			}
		}
	}
	return b.String()
}

func summary(b *strings.Builder, c *Clauses, by map[string]*carriers) {
	b.WriteString("| 群 | 条項 | 印あり | 試験あり | 未 |\n|---|--:|--:|--:|--:|\n")
	for _, g := range groups {
		var all, carried, tested int
		for _, one := range c.List {
			if !strings.HasPrefix(one.ID, g.prefix) {
				continue
			}
			all++
			if by[one.ID] != nil {
				carried++
				if len(by[one.ID].tests) > 0 {
					tested++
				}
			}
		}
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d |\n", g.title, all, carried, tested, all-carried)
	}
}

func row(b *strings.Builder, one Clause, by *carriers) {
	code, tests := "**未**", "**未**"
	if by != nil {
		code, tests = files(by.code), files(by.tests)
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", one.ID, cell(one.Article), cell(one.Demand), code, tests)
}

func files(list []string) string {
	if len(list) == 0 {
		return "–"
	}
	slices.Sort(list)
	links := make([]string, len(list))
	for i, f := range list {
		links[i] = "[" + f + "](" + f + ")"
	}
	return strings.Join(links, "<br>")
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
