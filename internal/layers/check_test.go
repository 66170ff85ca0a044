package layers_test

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// source is one parsed Go file; names are relative to the root, with slashes.
type source struct {
	name, dir string
	test      bool
	fset      *token.FileSet
	file      *ast.File
}

// finding is one breach of the policy.
type finding struct{ at, what, why string }

func (f finding) String() string { return fmt.Sprintf("%s: %s\n\t%s", f.at, f.what, f.why) }

func (s source) finding(n ast.Node, what, why string) finding {
	return finding{fmt.Sprintf("%s:%d", s.name, s.fset.Position(n.Pos()).Line), what, why}
}

var notOurs = []string{".git", "bin", "scratch", "testdata", "node_modules", ".cache"}

// walk calls f for every file below root that belongs to the repository.
func walk(root string, f func(name string) error) error {
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && slices.Contains(notOurs, d.Name()):
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		return f(filepath.ToSlash(rel))
	})
}

func read(root string) ([]source, error) {
	var all []source
	err := walk(root, func(name string) error {
		if path.Ext(name) != ".go" {
			return nil
		}
		s := source{name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
		var err error
		s.file, err = parser.ParseFile(s.fset, filepath.Join(root, filepath.FromSlash(name)), nil, parser.ParseComments|parser.SkipObjectResolution)
		all = append(all, s)
		return err
	})
	return all, err
}

// check reads the tree at root and returns every breach of the policy.
func check(root string) ([]finding, error) {
	all, err := read(root)
	if err != nil {
		return nil, err
	}
	var found []finding
	for _, s := range all {
		for _, spec := range s.file.Imports {
			if what, why := s.importBreach(importOf(spec)); why != "" {
				found = append(found, s.finding(spec, what, why))
			}
		}
		found = append(found, s.impure()...)
		found = append(found, s.skips()...)
	}
	machine, err := machinePaths(root)
	return append(found, machine...), err
}

func importOf(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// under tells whether p is folder or below it.
func under(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

func underAny(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return under(p, f) })
}

func (s source) importBreach(imp string) (what, why string) {
	what = "imports " + imp
	ours, isOurs := strings.CutPrefix(imp, module+"/")
	if !isOurs {
		return what, s.libraryBreach(imp)
	}
	if slices.Contains(strings.Split(ours, "/"), "cmd") {
		return what, cmdWhy
	}
	for _, l := range layers {
		if !under(s.dir, l.from) || under(ours, l.from) || s.test && !l.tests {
			continue
		}
		if underAny(ours, l.not) || l.only != nil && !underAny(ours, l.only) {
			return what, l.why
		}
	}
	if s.driverBreach(ours) {
		return what, driverWhy
	}
	return "", ""
}

func (s source) driverBreach(ours string) bool {
	from, ok := strings.CutPrefix(s.dir, "drivers/")
	to, too := strings.CutPrefix(ours, "drivers/")
	if !ok || !too || underAny(ours, sharedDrivers) {
		return false
	}
	return strings.Split(from, "/")[0] != strings.Split(to, "/")[0]
}

func (s source) libraryBreach(imp string) string {
	if s.dir == temporary {
		return ""
	}
	if under(s.dir, pure.folder) && !s.test && underAny(imp, pure.imports) {
		return pure.why
	}
	for _, l := range libraries {
		if under(imp, l.module) && !underAny(s.dir, l.in) && !(s.test && l.anyTests) {
			return l.why
		}
	}
	return ""
}

// impure finds goroutines, channels and clocks in the code that decides.
func (s source) impure() (found []finding) {
	if !under(s.dir, pure.folder) || s.test {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, s.finding(n, "starts a goroutine", pure.why))
		case *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
			found = append(found, s.finding(n, "uses a channel", pure.why))
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && slices.Contains(pure.calls, x.Name+"."+n.Sel.Name) {
				found = append(found, s.finding(n, "uses "+x.Name+"."+n.Sel.Name, pure.why))
			}
		}
		return true
	})
	return found
}

// skips finds tests that would not run: t.Skip and its kin, testing.Short, and
// build tags the Makefile does not know.
func (s source) skips() (found []finding) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		switch name := sel.Sel.Name; {
		case !ok:
		case slices.Contains([]string{"t", "b", "f", "tb"}, x.Name) && (name == "Skip" || name == "Skipf" || name == "SkipNow"),
			x.Name == "testing" && name == "Short":
			found = append(found, s.finding(n, "calls "+x.Name+"."+name, skipWhy))
		}
		return true
	})
	if !s.test {
		return found
	}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if tag := unknownTag(c.Text); c.Pos() < s.file.Package && tag != "" {
				found = append(found, s.finding(c, "is built only with "+tag, testTagWhy))
			}
		}
	}
	return found
}

func unknownTag(comment string) (unknown string) {
	if !constraint.IsGoBuild(comment) {
		return ""
	}
	x, err := constraint.Parse(comment)
	if err != nil {
		return comment
	}
	x.Eval(func(tag string) bool {
		if !slices.Contains(testTags, tag) {
			unknown = tag
		}
		return true
	})
	return unknown
}

// machine is put together here so that this file does not breach it.
var machine = regexp.MustCompile(`(?:^|[\s"'=:(\x60])/(?:wo` + `rk|fa` + `rm|ro` + `ot|home/[a-z]+)(?:/|["'\s\x60)]|$)`)

func machinePaths(root string) (found []finding, err error) {
	err = walk(root, func(name string) error {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || strings.Contains(string(data), "\x00") {
			return err
		}
		for i, line := range strings.Split(string(data), "\n") {
			if m := machine.FindString(line); m != "" {
				found = append(found, finding{fmt.Sprintf("%s:%d", name, i+1), "names " + strings.TrimSpace(m), machineWhy})
			}
		}
		return nil
	})
	return found, err
}
