// Package settings reads the YAML settings of every sekimori program, and is
// unforgiving and helpful at once: nothing unknown, doubtful or missing is let
// through, and every fault is told in one go with its place, what is wrong and
// how to mend it, in Japanese and in English.
//
//	file ─ lint ─ parse ─ walk against the Go struct ─ Validate hooks ─ value
//	         │      │        │                            │
//	         └──────┴────────┴──────── *Faults ───────────┘
//
// Vocabulary:
//
//	fault    one thing to mend, at file:line:column
//	path     where a setting stands, "doors[0].readers[1].baud"
//	hook     Validate(*Validator) on a settings struct: the rules one field
//	         cannot know, such as a reader that names a door
//
// A settings file begins with `version: 1`. It has no anchors, aliases, tags or
// merge keys, so that what is written is what is meant and a small file cannot
// unfold into a large one.
//
// The struct says the rules:
//
//	type Reader struct {
//	    ID   string            `yaml:"id" settings:"required,id"`
//	    Addr int               `yaml:"address" settings:"min=0,max=126"`
//	    Kind string            `yaml:"kind" settings:"required,enum=osdp|wiegand"`
//	    Poll settings.Duration `yaml:"poll" settings:"min=50ms,max=10s"`
//	}
//	func (r *Reader) SetDefaults() { r.Poll = settings.Every(200 * time.Millisecond) }
//
// required: the key is written, and a text or list is not empty. min, max: of a
// number or Duration its value, of a text its characters, of a list or map its
// entries. enum: one of the words. id: letters, digits, "-", "_" and ".", and
// unlike its neighbours in the list. A rule that is written wrong panics at the
// first Parse; it is a mistake of the program, not of the file.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Version is the one version of the settings language this program reads.
const Version = 1

// MaxSize is the largest settings file in bytes.
const MaxSize = 1 << 20

// Defaulter gives a settings struct its defaults before the file is read into
// it; fields the file does not mention keep them.
type Defaulter interface{ SetDefaults() }

// Hook is the rules of a settings struct that no single field can hold. It runs
// after the whole file is read, innermost structs first, also when there are
// other faults: it must bear zero values.
type Hook interface{ Validate(v *Validator) }

// Load reads the settings file at path. The error is a *Faults, also when the
// file cannot be read (errors.Is finds fs.ErrNotExist in it then).
func Load[T any](path string) (T, error) {
	var into T
	data, err := read(path)
	if err != nil {
		f := fault{code: codeFile, ja: "設定ファイルを読めません: " + err.Error(), en: "cannot read the settings file: " + err.Error(),
			fixJA: "パスと読取り権限(サービスの利用者で読めること)を確かめてください。", fixEN: "Check the path, and that the service's user may read it."}
		return into, &Faults{List: []Fault{f.at(path, pos{}, "")}, cause: err}
	}
	err = Parse(path, data, &into)
	return into, err
}

// read takes one byte more than allowed, so that Parse can tell "too large".
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}

// Parse reads settings from data into the struct that into points to, after
// giving it its defaults. name is what faults call the file. The error is a
// *Faults that holds every fault found, in the order of the file.
func Parse(name string, data []byte, into any) error {
	rv := reflect.ValueOf(into)
	if rv.Kind() != reflect.Pointer || rv.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("settings.Parse needs a pointer to a struct, not %T", into))
	}
	applyDefaults(rv.Elem())
	w := &walker{file: name, places: map[string]pos{}, faulty: map[string]bool{}}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if w.lint(data); len(w.faults) == 0 {
		if root := w.parse(data); root != nil {
			w.document(root, rv.Elem())
		}
	}
	if len(w.faults) == 0 {
		return nil
	}
	return w.result()
}

// parse turns text into a syntax tree, or reports the first thing that is not
// YAML: after it the rest of a file cannot be understood.
func (w *walker) parse(data []byte) ast.Node {
	file, err := parseYAML(data)
	var syntax yaml.Error
	switch {
	case errors.As(err, &syntax):
		p := pos{1, 1}
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			p = pos{t.Position.Line, t.Position.Column}
		}
		w.report(p, "", syntaxFault(syntax.GetMessage()))
		return nil
	case err != nil:
		w.report(pos{1, 1}, "", syntaxFault(err.Error()))
		return nil
	}
	var docs []*ast.DocumentNode
	for _, d := range file.Docs {
		if d.Body != nil {
			docs = append(docs, d)
		}
	}
	if len(docs) == 0 {
		w.report(pos{1, 1}, "", emptyFile())
		return nil
	}
	if len(docs) > 1 {
		w.report(place(docs[1].Body), "", manyDocuments())
		return nil
	}
	if w.foreign(docs[0].Body); len(w.faults) > 0 {
		return nil
	}
	return docs[0].Body
}

// parseYAML keeps a fault of the YAML library from ending the program: a
// settings file is checked by people at a prompt, and by a running service.
func parseYAML(data []byte) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("not readable as YAML: %v", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}
