package traceability

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Tag is one clause named in one Go file.
type Tag struct {
	Name string // as written
	File string // relative to the root, with slashes
	Line int
}

// Test tells whether the tag stands in a test.
func (t Tag) Test() bool { return strings.HasSuffix(t.File, "_test.go") }

// bracket finds everything that wants to be a tag, also misspelt ones: a tag
// nobody can find is worse than none.
var bracket = regexp.MustCompile(`\[((?:00[0-4]-|T-\d|AS-\d)[^\[\]]*)\]`)

// scenarioTest is the other way a test names its scenario: TestAS01RegularEntry.
var scenarioTest = regexp.MustCompile(`^TestAS(\d\d)`)

var notOurs = []string{".git", "bin", "scratch", "testdata", "node_modules", ".cache"}

// Tags reads every tag in comments and strings of the Go files below root,
// except those of this package, whose examples are no claims.
func Tags(root string) ([]Tag, error) {
	var all []Tag
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		switch {
		case err != nil || relErr != nil:
			return fmt.Errorf("walk the repository: %w", firstOf(err, relErr))
		case d.IsDir() && p != root && (slices.Contains(notOurs, d.Name()) || rel == "internal/traceability"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(p) != ".go":
			return nil
		}
		tags, err := fileTags(p, rel)
		all = append(all, tags...)
		return err
	})
	return all, err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fileTags looks in comments and strings only: in code, brackets are indexes.
func fileTags(file, rel string) ([]Tag, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var tags []Tag
	take := func(text string, at token.Pos) {
		for _, m := range bracket.FindAllStringSubmatchIndex(text, -1) {
			line := fset.Position(at).Line + strings.Count(text[:m[0]], "\n")
			for _, name := range strings.Split(text[m[2]:m[3]], ", ") {
				tags = append(tags, Tag{Name: name, File: rel, Line: line})
			}
		}
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			if m := scenarioTest.FindStringSubmatch(fn.Name.Name); m != nil {
				tags = append(tags, Tag{Name: "AS-" + m[1], File: rel, Line: fset.Position(fn.Pos()).Line})
			}
		}
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			take(c.Text, c.Pos())
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
			take(s.Value, s.Pos())
		}
		return true
	})
	return tags, nil
}
