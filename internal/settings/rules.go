package settings

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// rules is what a struct tag says of one field.
type rules struct {
	name     string // key in the file
	index    int
	required bool
	id       bool
	min, max *float64 // a Duration's are in nanoseconds
	limits   [2]string
	enum     []string
}

var (
	durationType = reflect.TypeFor[Duration]()
	rulesCache   sync.Map // reflect.Type → []rules
)

// rulesOf lists the fields of a settings struct in the order of the struct.
func rulesOf(t reflect.Type) []rules {
	if r, ok := rulesCache.Load(t); ok {
		return r.([]rules)
	}
	var all []rules
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			panic(fmt.Sprintf("settings: %s.%s needs a yaml tag", t, f.Name))
		}
		if f.Type == reflect.TypeFor[time.Duration]() {
			panic(fmt.Sprintf("settings: %s.%s: a time.Duration would be read as nanoseconds, use settings.Duration", t, f.Name))
		}
		r := rules{name: name, index: i}
		if err := r.parse(f.Tag.Get("settings"), f.Type); err != nil {
			panic(fmt.Sprintf("settings: %s.%s: %v", t, f.Name, err))
		}
		all = append(all, r)
	}
	rulesCache.Store(t, all)
	return all
}

func (r *rules) parse(tag string, t reflect.Type) error {
	for _, word := range strings.Split(tag, ",") {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "":
		case "required":
			r.required = true
		case "id":
			r.id = true
		case "min":
			r.limits[0] = value
			r.min, err = limit(value, t)
		case "max":
			r.limits[1] = value
			r.max, err = limit(value, t)
		case "enum":
			r.enum = strings.Split(value, "|")
		default:
			err = fmt.Errorf("unknown rule %q", word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func limit(s string, t reflect.Type) (*float64, error) {
	if t == durationType {
		d, err := ParseDuration(s)
		f := float64(d)
		return &f, err
	}
	f, err := strconv.ParseFloat(s, 64)
	return &f, err
}

// applyDefaults lets inner structs speak first, so that an outer one can set
// other defaults for a section it holds.
func applyDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.CanSet() {
			applyDefaults(f)
		}
	}
	if d, ok := v.Addr().Interface().(Defaulter); ok {
		d.SetDefaults()
	}
}
