package traceability_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/internal/traceability"
)

const repository = "../.."

func mustLoad(t *testing.T) *traceability.Clauses {
	t.Helper()
	c, err := traceability.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryTagNamesAClause(t *testing.T) {
	clauses := mustLoad(t)
	tags, err := traceability.Tags(repository)
	if err != nil || len(tags) == 0 {
		t.Fatalf("%d tags in the repository: %v", len(tags), err)
	}
	for _, tag := range tags {
		if clauses.Resolve(tag.Name) == nil {
			t.Errorf("%s:%d: [%s] names no clause of clauses.txt; write it as the matrix does, several as \"[000-7.2, T-40]\"", tag.File, tag.Line, tag.Name)
		}
	}
}

func TestPageIsUpToDate(t *testing.T) {
	tags, err := traceability.Tags(repository)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(repository, "TRACEABILITY.md"))
	if err != nil {
		t.Fatalf("%v: run make trace", err)
	}
	if text := strings.ReplaceAll(string(got), "\r\n", "\n"); text != traceability.Page(mustLoad(t), tags) {
		t.Error("TRACEABILITY.md is not what the tags say: run make trace and commit it")
	}
}

// TestClausesAreThoseOfTheReport compares with the report where it lies beside
// the repository; the list stands by itself elsewhere.
func TestClausesAreThoseOfTheReport(t *testing.T) {
	beside := filepath.Join(repository, "..", "shared")
	domain, err := os.ReadFile(filepath.Join(beside, "domain.md"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("the domain report is not beside the repository")
		return
	}
	acceptance, err2 := os.ReadFile(filepath.Join(beside, "acceptance.md"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	want, err := traceability.Extract(string(domain), string(acceptance))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("clauses.txt")
	if err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != want {
		t.Errorf("clauses.txt differs from the report (%v): run go run ./internal/traceability/trace -from ../shared", err)
	}
}

func TestResolve(t *testing.T) {
	clauses := mustLoad(t)
	for tag, want := range map[string]string{
		"000-7.2":         "000-7.2-L3 000-7.2-L2 000-7.2-L1 000-7.2-B",
		"000-7.2-L3":      "000-7.2-L3",
		"000-21.1ウ":       "000-21.1ウ",
		"000-21.1ウ(ア)":    "000-21.1ウ",
		"000-21.1ウ(イ)":    "000-21.1ウイ",
		"001-3.1(1)エ":     "001-3.1(1)ウエ",
		"001-3.2(3)":      "001-3.2",
		"001-4.10(2)":     "001-4.10(1)–(5)",
		"003-4(6)":        "003-4(6)",
		"000-24":          "000-23/24",
		"T-40":            "T-40",
		"AS-01":           "AS-01",
		"AS-07":           "AS-07",
		"T-4":             "",
		"T-58":            "",
		"T-00":            "",
		"AS-99":           "",
		"000-7.3":         "",
		"000-7.":          "",
		"000-":            "",
		"000-99":          "",
		"005-1":           "",
		"000-7.2-L4":      "",
		"000-7.2 L3":      "",
		"000-21.4イ(ア)(イ)": "",
	} {
		if got := strings.Join(clauses.Resolve(tag), " "); got != want {
			t.Errorf("[%s] is %q, want %q", tag, got, want)
		}
	}
	if got := clauses.Resolve("001-4.1"); len(got) != 4 || got[0] != "001-4.1(1)" {
		t.Errorf("[001-4.1] is %q, want the four items of 4-1 and none of 4-10", got)
	}
}

func TestPageShowsWhatCarriesAClause(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go":              "// Package a [000-7.2-L3].\npackage a\n\nvar s = \"x [T-40, 000-9.1]\"\n\nvar i = [3]int{}[0-0]\n",
		"a/a_test.go":         "package a\n\nimport \"testing\"\n\n// [000-7.2-L3]\nfunc TestAS02Denied(t *testing.T) {}\n",
		"a/testdata/x.go":     "package x // [T-01]\n",
		"scratch/x.go":        "package x // [T-02]\n",
		"a/notes.txt":         "[T-03]\n",
		"a/generated_test.go": "package a // [not a tag] [x-1]\n",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tags, err := traceability.Tags(root)
	if err != nil || len(tags) != 5 {
		t.Fatalf("tags %+v, %v; want 5", tags, err)
	}
	page := traceability.Page(mustLoad(t), tags)
	for _, want := range []string{
		"| 000-7.2-L3 | 第7条2 L3 | ", "[a/a.go](a/a.go) | [a/a_test.go](a/a_test.go) |",
		"| Denied entries | – | [a/a_test.go](a/a_test.go) |", "| **未** | **未** |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Count(page, "a/a.go](a/a.go)") != 3 {
		t.Errorf("a/a.go is named %d times, want once for each of its three clauses", strings.Count(page, "a/a.go](a/a.go)"))
	}
}
