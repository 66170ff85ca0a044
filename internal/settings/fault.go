package settings

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Lang is the language faults are told in.
type Lang string

// The languages of faults.
const (
	JA Lang = "ja"
	EN Lang = "en"
)

// Fault is one thing to mend. Line and Column count from 1, in characters; both
// are 0 when the fault is the file itself. Path is empty for the whole file.
type Fault struct {
	File         string
	Line, Column int
	Path         string // "doors[0].readers[1].baud"
	Code         string // stable, for scripts: "unknown-key"
	JA, EN       string // what is wrong
	FixJA, FixEN string // how to mend it
}

// Place is "file:line:column", or the file alone.
func (f Fault) Place() string {
	if f.Line == 0 {
		return f.File
	}
	return fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
}

func (f Fault) text(lang Lang) string {
	what, fix, label := f.JA, f.FixJA, "直し方"
	if lang == EN {
		what, fix, label = f.EN, f.FixEN, "fix"
	}
	head := f.Place() + ": "
	if f.Path != "" {
		head += f.Path + ": "
	}
	return fmt.Sprintf("%s%s [%s]\n    %s: %s", head, what, f.Code, label, fix)
}

// Faults is everything found wrong in one file, in the order of the file.
type Faults struct {
	List  []Fault
	cause error
}

// Unwrap is why the file could not be read, if that is the fault.
func (f *Faults) Unwrap() error { return f.cause }

// Error is every fault in English, for logs.
func (f *Faults) Error() string {
	var b strings.Builder
	f.print(&b, EN)
	return strings.TrimSuffix(b.String(), "\n")
}

// Print writes every fault and a closing count, for a person.
func (f *Faults) Print(w io.Writer, lang Lang) error {
	var b strings.Builder
	f.print(&b, lang)
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *Faults) print(b *strings.Builder, lang Lang) {
	for _, one := range f.List {
		b.WriteString(one.text(lang) + "\n")
	}
	if lang == EN {
		fmt.Fprintf(b, "%d to mend; the settings were not used.\n", len(f.List))
		return
	}
	fmt.Fprintf(b, "直すところ: %d か所。この設定は使われていません。\n", len(f.List))
}

// pos is a place in the file, counted from 1.
type pos struct{ line, column int }

// fault is a Fault before its place is known.
type fault struct{ code, ja, en, fixJA, fixEN string }

func (f fault) at(file string, p pos, path string) Fault {
	return Fault{File: file, Line: p.line, Column: p.column, Path: path,
		Code: f.code, JA: f.ja, EN: f.en, FixJA: f.fixJA, FixEN: f.fixEN}
}

func (w *walker) report(p pos, path string, f fault) {
	w.faults = append(w.faults, f.at(w.file, p, path))
	w.faulty[path] = true
}

func (w *walker) result() *Faults {
	slices.SortStableFunc(w.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Faults{List: w.faults}
}
