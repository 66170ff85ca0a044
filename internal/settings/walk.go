package settings

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// walker carries one reading of one file. It goes down the syntax tree and the
// Go struct together, and never stops at a fault.
type walker struct {
	file   string
	faults []Fault
	places map[string]pos  // path → where its value stands
	faulty map[string]bool // path → already reported, so hooks do not repeat it
	hooks  []hook          // innermost first
}

type hook struct {
	path string
	run  Hook
}

// place is where a person would point: at a mapping's first key rather than at
// the colon the parser remembers.
func place(n ast.Node) pos {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		n = m.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return pos{t.Position.Line, t.Position.Column}
	}
	return pos{1, 1}
}

func (w *walker) document(root ast.Node, v reflect.Value) {
	m, ok := root.(*ast.MappingNode)
	if !ok {
		w.report(place(root), "", wantKeys())
		return
	}
	if !w.version(m) {
		return
	}
	w.places[""] = place(m)
	w.mapping(m, "", v)
	for _, h := range w.hooks {
		h.run.Validate(&Validator{w: w, base: h.path})
	}
}

// version is checked first, because under another version every other key may
// mean something else.
func (w *walker) version(m *ast.MappingNode) bool {
	for i, kv := range m.Values {
		if keyText(kv) != "version" {
			continue
		}
		if n, ok := kv.Value.(*ast.IntegerNode); !ok || n.Token.Value != strconv.Itoa(Version) {
			w.report(place(kv.Value), "version", otherVersion(rawText(kv.Value)))
			return false
		}
		if i > 0 {
			w.report(place(kv.Key), "version", versionNotFirst())
		}
		return true
	}
	w.report(place(m), "version", noVersion())
	return true
}

// mapping fills the struct v from m.
func (w *walker) mapping(m *ast.MappingNode, path string, v reflect.Value) {
	fields := map[string]rules{}
	var known []string
	for _, r := range rulesOf(v.Type()) {
		fields[r.name] = r
		known = append(known, r.name)
	}
	seen := map[string]pos{}
	for _, kv := range m.Values {
		key := keyText(kv)
		at := place(kv.Key)
		sub := join(path, key)
		if first, twice := seen[key]; twice {
			w.report(at, sub, duplicateKey(key, first.line))
			continue
		}
		seen[key] = at
		r, ok := fields[key]
		switch {
		case ok:
			w.value(kv.Value, at, sub, v.Field(r.index), r)
		case path == "" && key == "version":
		default:
			w.report(at, sub, unknownKey(key, known))
		}
	}
	for _, name := range known {
		if _, ok := seen[name]; !ok && fields[name].required {
			w.report(place(m), join(path, name), missing(name, fields[name]))
		}
	}
	if h, ok := v.Addr().Interface().(Hook); ok {
		w.hooks = append(w.hooks, hook{path, h})
	}
}

// value fills v, whatever it is, from n. key is where its key stands.
func (w *walker) value(n ast.Node, key pos, path string, v reflect.Value, r rules) {
	if _, empty := n.(*ast.NullNode); n == nil || empty {
		w.report(key, path, emptyValue())
		return
	}
	w.places[path] = place(n)
	if isScalar(v) {
		w.scalar(n, path, v, r)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		applyDefaults(p.Elem())
		w.value(n, key, path, p.Elem(), r)
		v.Set(p)
	case reflect.Struct:
		if m, ok := n.(*ast.MappingNode); ok {
			w.mapping(m, path, v)
			return
		}
		w.report(place(n), path, wantKeys())
	case reflect.Slice:
		w.list(n, path, v, r)
	case reflect.Map:
		w.table(n, path, v, r)
	default:
		panic(fmt.Sprintf("settings: no rule for a field of type %s", v.Type()))
	}
}

func (w *walker) list(n ast.Node, path string, v reflect.Value, r rules) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		w.report(place(n), path, wantList())
		return
	}
	w.count(n, path, len(s.Values), r)
	// Made at full length before filling: hooks hold pointers into it.
	v.Set(reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values)))
	for i, item := range s.Values {
		applyDefaults(v.Index(i))
		w.value(item, place(item), fmt.Sprintf("%s[%d]", path, i), v.Index(i), rules{enum: r.enum, id: r.id})
	}
	w.unique(path, v, r)
}

// unique holds IDs apart within one list, be they plain words or a field of the
// list's structs.
func (w *walker) unique(path string, v reflect.Value, r rules) {
	seen := map[string]int{}
	for i := range v.Len() {
		id, sub, ok := idOf(v.Index(i), r)
		if !ok || id == "" {
			continue
		}
		at := fmt.Sprintf("%s[%d]%s", path, i, sub)
		if first, twice := seen[id]; twice {
			w.report(w.placeOf(at), at, duplicateID(id, w.placeOf(fmt.Sprintf("%s[%d]%s", path, first, sub)).line))
			continue
		}
		seen[id] = i
	}
}

func idOf(v reflect.Value, r rules) (id, sub string, ok bool) {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.String:
		return v.String(), "", r.id
	case v.Kind() != reflect.Struct || isScalar(v):
		return "", "", false
	}
	for _, f := range rulesOf(v.Type()) {
		if f.id && v.Field(f.index).Kind() == reflect.String {
			return v.Field(f.index).String(), "." + f.name, true
		}
	}
	return "", "", false
}

func (w *walker) table(n ast.Node, path string, v reflect.Value, r rules) {
	m, ok := n.(*ast.MappingNode)
	if !ok || v.Type().Key().Kind() != reflect.String {
		w.report(place(n), path, wantKeys())
		return
	}
	w.count(n, path, len(m.Values), r)
	v.Set(reflect.MakeMap(v.Type()))
	seen := map[string]pos{}
	for _, kv := range m.Values {
		key, at := keyText(kv), place(kv.Key)
		sub := join(path, key)
		if first, twice := seen[key]; twice {
			w.report(at, sub, duplicateKey(key, first.line))
			continue
		}
		seen[key] = at
		e := reflect.New(v.Type().Elem())
		applyDefaults(e.Elem())
		w.value(kv.Value, at, sub, e.Elem(), rules{enum: r.enum})
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e.Elem())
	}
}

func (w *walker) count(n ast.Node, path string, got int, r rules) {
	if r.required && got == 0 {
		w.report(place(n), path, emptyValue())
		return
	}
	if !r.within(float64(got)) {
		w.report(place(n), path, outOfRange(strconv.Itoa(got), r, "件", " entries"))
	}
}

func (r rules) within(x float64) bool {
	return (r.min == nil || x >= *r.min) && (r.max == nil || x <= *r.max)
}

func keyText(kv *ast.MappingValueNode) string {
	if t := kv.Key.GetToken(); t != nil {
		return t.Value
	}
	return kv.Key.String()
}

// join is path.name, and path[0] where name is an index.
func join(path, name string) string {
	if path == "" || name == "" || strings.HasPrefix(name, "[") {
		return path + name
	}
	return path + "." + name
}

// placeOf is where path stands, or the nearest thing around it that is written.
func (w *walker) placeOf(path string) pos {
	for {
		if p, ok := w.places[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return w.places[""]
		}
		path = path[:i]
	}
}
