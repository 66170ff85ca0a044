package settings

import (
	"encoding"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

var (
	// wholeNumber leaves out 010, which is ten to a person and eight to YAML.
	wholeNumber = regexp.MustCompile(`^(?:-?(?:0|[1-9][0-9]*)|0x[0-9A-Fa-f]+)$`)
	// idForm keeps the names of rooms out of IDs, which travel in topics and
	// certificates [T-26, 001-3.1(2)イ].
	idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

func isScalar(v reflect.Value) bool {
	if v.CanAddr() {
		if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
			return true
		}
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface, reflect.Array:
		return false
	}
	return true
}

func (w *walker) scalar(n ast.Node, path string, v reflect.Value, r rules) {
	var f *fault
	text, isText := textOf(n)
	u, _ := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Type() == durationType:
		f = setDuration(n, v, r)
	case u != nil && !isText:
		f = ptr(wantText(rawText(n)))
	case u != nil:
		if err := u.UnmarshalText([]byte(text)); err != nil {
			f = ptr(badText(text, err))
		}
	default:
		f = w.basic(n, v, r)
	}
	if f != nil {
		w.report(place(n), path, *f)
	}
}

func (w *walker) basic(n ast.Node, v reflect.Value, r rules) *fault {
	switch v.Kind() {
	case reflect.String:
		return setString(n, v, r)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return ptr(wantBool(rawText(n)))
		}
		v.SetBool(b.Value)
		return nil
	case reflect.Float32, reflect.Float64:
		return setFloat(n, v, r)
	}
	return setInt(n, v, r)
}

func setDuration(n ast.Node, v reflect.Value, r rules) *fault {
	d, err := ParseDuration(rawText(n))
	if err != nil {
		return ptr(badDuration(rawText(n)))
	}
	if !r.within(float64(d)) {
		return ptr(outOfRange(rawText(n), r, "", ""))
	}
	v.SetInt(int64(d))
	return nil
}

func setString(n ast.Node, v reflect.Value, r rules) *fault {
	s, ok := textOf(n)
	if !ok {
		return ptr(wantText(rawText(n)))
	}
	_, literal := n.(*ast.LiteralNode)
	switch {
	case strings.ContainsFunc(s, func(c rune) bool { return isControl(c) && !(literal && c == '\n') }):
		return ptr(controlInText(n.GetToken().Type == token.DoubleQuoteType))
	case s == "" && (r.required || r.id):
		return ptr(emptyValue())
	case r.id && !idForm.MatchString(s):
		return ptr(badID(s))
	case r.enum != nil && !contains(r.enum, s):
		return ptr(notInEnum(s, r.enum))
	case !r.within(float64(utf8.RuneCountInString(s))):
		return ptr(outOfRange(strconv.Itoa(utf8.RuneCountInString(s)), r, "文字", " characters"))
	}
	v.SetString(s)
	return nil
}

func setInt(n ast.Node, v reflect.Value, r rules) *fault {
	raw := rawText(n)
	_, isInt := n.(*ast.IntegerNode)
	if !isInt || !wholeNumber.MatchString(raw) {
		return ptr(wantNumber(raw))
	}
	if v.CanUint() {
		x, err := strconv.ParseUint(raw, 0, v.Type().Bits())
		if err != nil || !r.within(float64(x)) {
			return ptr(outOfRange(raw, r.bounded(v.Kind()), "", ""))
		}
		v.SetUint(x)
		return nil
	}
	x, err := strconv.ParseInt(raw, 0, v.Type().Bits())
	if err != nil || !r.within(float64(x)) {
		return ptr(outOfRange(raw, r.bounded(v.Kind()), "", ""))
	}
	v.SetInt(x)
	return nil
}

// bounded names the limits of a type where the tag names none.
func (r rules) bounded(k reflect.Kind) rules {
	bits := reflect.TypeOf(0).Bits()
	switch k {
	case reflect.Uint8, reflect.Int8:
		bits = 8
	case reflect.Uint16, reflect.Int16:
		bits = 16
	case reflect.Uint32, reflect.Int32:
		bits = 32
	}
	low, high := "0", strconv.FormatUint(1<<bits-1, 10)
	if k >= reflect.Int && k <= reflect.Int64 {
		low, high = strconv.FormatInt(-1<<(bits-1), 10), strconv.FormatInt(1<<(bits-1)-1, 10)
	}
	if r.limits[0] == "" {
		r.limits[0] = low
	}
	if r.limits[1] == "" {
		r.limits[1] = high
	}
	return r
}

func setFloat(n ast.Node, v reflect.Value, r rules) *fault {
	raw := rawText(n)
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
	default:
		return ptr(wantNumber(raw))
	}
	x, err := strconv.ParseFloat(raw, v.Type().Bits())
	if err != nil {
		return ptr(wantNumber(raw))
	}
	if !r.within(x) {
		return ptr(outOfRange(raw, r, "", ""))
	}
	v.SetFloat(x)
	return nil
}

// textOf is the text of a node that is a text, as opposed to 12, true or a list.
func textOf(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	}
	return "", false
}

// rawText is what is written, as far as one line can show it.
func rawText(n ast.Node) string {
	if s, ok := textOf(n); ok {
		return s
	}
	switch n.(type) {
	case *ast.MappingNode, *ast.SequenceNode, *ast.MappingValueNode:
		return ""
	}
	if t := n.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func ptr(f fault) *fault { return &f }
