package fingerprint_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sekimori/drivers/fingerprint"
)

// sources are the package's files without its tests.
func sources(t *testing.T) (files []*ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) < 10 {
		t.Fatalf("%d files: the test looks in the wrong place", len(files))
	}
	return files
}

// There is no command that carries a template or a picture over the wire: the
// instruction codes 0x08 to 0x0B (UpChar, DownChar, UpImage, DownImage) have no
// name, every function that makes a command has a vector, and nobody else can
// make one because Command shows no field [003-5D, T-23].
func TestNoTemplateOrPictureCommand(t *testing.T) {
	vectors := map[string]bool{}
	for _, c := range commands {
		code := c.command.Packet(0).Payload[0]
		if code >= 0x08 && code <= 0x0B {
			t.Errorf("%s is instruction %#02x", c.name, code)
		}
		vectors[c.name] = true
	}
	codes := 0
	for _, f := range sources(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if id, ok := n.Type.(*ast.Ident); !ok || id.Name != "instruction" {
					break
				}
				for _, v := range n.Values {
					code, err := strconv.ParseUint(v.(*ast.BasicLit).Value, 0, 8)
					if err != nil || code >= 0x08 && code <= 0x0B {
						t.Errorf("an instruction %#02x has a name, %v", code, err)
					}
					codes++
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "instruction" {
					t.Error("an instruction is made of a number")
				}
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.Ident); ok && id.Name == "Command" && !named(n) {
					t.Error("a Command is made of something that has no name")
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && n.Name.Name == "Command" {
					for _, field := range s.Fields.List {
						if slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
							t.Error("Command shows a field")
						}
					}
				}
			case *ast.FuncDecl:
				makes := n.Recv == nil && n.Name.IsExported() && n.Type.Results != nil && len(n.Type.Results.List) == 1
				if id, ok := result(n); makes && ok && id == "Command" && !hasVector(n.Name.Name) {
					t.Errorf("%s makes a command and has no vector", n.Name.Name)
				}
			}
			return true
		})
	}
	if codes != len(vectors) {
		t.Errorf("%d instructions have a name and %d have a vector", codes, len(vectors))
	}
}

// named tells whether a Command literal is made of a constant's name or of a
// parameter that can only be one.
func named(c *ast.CompositeLit) bool {
	if len(c.Elts) == 0 {
		return true
	}
	first := c.Elts[0]
	if kv, ok := first.(*ast.KeyValueExpr); ok {
		first = kv.Value
	}
	_, ok := first.(*ast.Ident)
	return ok
}

func result(n *ast.FuncDecl) (string, bool) {
	if n.Type.Results == nil || len(n.Type.Results.List) != 1 {
		return "", false
	}
	id, ok := n.Type.Results.List[0].Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return id.Name, true
}

// hasVector lists the functions the vectors above call; a new one is added to
// both, by a person who has read the test.
func hasVector(name string) bool {
	return slices.Contains([]string{"VerifyPassword", "SetPassword", "ReadParameters", "SetSecurityLevel", "CaptureImage", "Extract",
		"Combine", "StoreTemplate", "LoadTemplate", "CompareBuffers", "SearchTemplates", "DeleteTemplates", "DeleteAll",
		"CountTemplates", "ReadIndex", "AuraLED"}, name)
}

func TestEveryErrorHasAdvice(t *testing.T) {
	general := fingerprint.Advice(nil)
	seen := map[string]bool{}
	for _, err := range []error{fingerprint.ErrNotRunning, fingerprint.ErrOffline, fingerprint.ErrRefused, fingerprint.ErrInterrupted,
		fingerprint.ErrNoSuchSlot, fingerprint.ErrSlotTaken, fingerprint.ErrSlotEmpty, fingerprint.ErrFull, fingerprint.ErrNobody,
		fingerprint.ErrUnreadable, fingerprint.ErrTouchesDiffer, fingerprint.ErrAlreadyEnrolled, fingerprint.ErrDifferentFinger,
		fingerprint.ErrStorage, fingerprint.ErrStillThere, fingerprint.ErrNotKept, fingerprint.ErrForeign} {
		a := fingerprint.Advice(fmt.Errorf("door D31: %w", err))
		if a == general || seen[a] {
			t.Errorf("%v is advised %q", err, a)
		}
		seen[a] = true
	}
	for s := fingerprint.StepPlace; s <= fingerprint.StepDone; s++ {
		if s.String() == "" {
			t.Errorf("step %d has no words", s)
		}
	}
}
