package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"sekimori/hub/internal/wareki"
	"sekimori/internal/clock"
)

//go:embed web
var web embed.FS

// pages are the parsed templates and the static files with their sums.
type pages struct {
	sets   map[string]*template.Template
	static map[string]file
}

type file struct {
	body []byte
	kind string
	sum  string
}

// loadPages parses everything, so that a broken template stops the start and
// not a page.
func loadPages() (*pages, error) {
	p := &pages{sets: map[string]*template.Template{}, static: map[string]file{}}
	if err := p.loadStatic(); err != nil {
		return nil, err
	}
	base, err := template.New("").Funcs(p.funcs()).ParseFS(web, "web/templates/base.html", "web/templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	names, err := fs.Glob(web, "web/templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		key := strings.TrimSuffix(path.Base(name), ".html")
		if key == "base" || key == "parts" {
			continue
		}
		set, err := base.Clone()
		if err == nil {
			set, err = set.ParseFS(web, name)
		}
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", key, err)
		}
		p.sets[key] = set
	}
	return p, nil
}

func (p *pages) loadStatic() error {
	return fs.WalkDir(web, "web/static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		kind := "text/plain; charset=utf-8" // never what this machine's tables say
		switch path.Ext(name) {
		case ".css":
			kind = "text/css; charset=utf-8"
		case ".js":
			kind = "text/javascript; charset=utf-8"
		case ".svg":
			kind = "image/svg+xml"
		case ".yaml":
			kind = "application/yaml; charset=utf-8"
		}
		sum := sha256.Sum256(b)
		p.static[strings.TrimPrefix(name, "web/static/")] = file{b, kind, hex.EncodeToString(sum[:8])}
		return nil
	})
}

// funcs are what templates call. All times become 和暦 in JST here [T-42].
func (p *pages) funcs() template.FuncMap {
	return template.FuncMap{
		"minute":  wareki.Minute,
		"date":    wareki.Date,
		"second":  func(t time.Time) string { return wareki.Date(t) + t.In(clock.JST).Format(" 15:04:05") },
		"iso":     func(t time.Time) string { return t.In(clock.JST).Format(time.RFC3339) },
		"year":    wareki.FiscalYearName,
		"clockOf": func(t time.Time) string { return strings.TrimPrefix(t.In(clock.JST).Format("15:04"), "0") },
		"mark":    func(class, text string) mark { return mark{class, text} },
		"menu":    newMenu,
		"months":  func() []int { return []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3} },
		"local":   func(t time.Time) string { return t.In(clock.JST).Format(localForm) },
		"sameDay": func(a, b *time.Time) bool { return a != nil && b != nil && wareki.DayOf(*a) == wareki.DayOf(*b) },
		"static":  func(name string) string { return "/static/" + name + "?v=" + p.static[name].sum },
	}
}

// frame is what every page is set in.
type frame struct {
	Title   string
	City    string
	Path    string // of the menu's present item
	Visitor visitor
	Now     time.Time
	Notice  string
	Live    string // address of the page's event stream, or empty
	After   int64  // cursor of what the page shows
	Body    any
}

// menuItem is one of the main pages.
type menuItem struct {
	Path, Text string
	Here       bool
}

func newMenu(here, path, text string) menuItem {
	return menuItem{path, text, here == path || path != "/" && strings.HasPrefix(here, path+"/")}
}

// notices are what a finished act says on the page it leads to.
var notices = map[string]string{
	"closed":  "退室を記入しました。元の退室未確認も記録に残っています。",
	"entered": "入室を記入しました。",
	"ordered": "指示を送りました。扉の制御装置が実行すると、状態が変わります。",
}

// show writes a page.
func (c *console) show(w http.ResponseWriter, r *http.Request, status int, name, title string, body any) error {
	return c.showLive(w, r, status, name, title, body, "", 0)
}

func (c *console) showLive(w http.ResponseWriter, r *http.Request, status int, name, title string, body any, live string, after int64) error {
	now := clock.Now()
	f := frame{
		Title: title, City: c.Directory.Municipality(now).Name, Path: r.URL.Path, Visitor: visitorOf(r.Context()), Now: now,
		Notice: notices[r.URL.Query().Get("done")], Live: live, After: after, Body: body,
	}
	b, err := c.pages.render(name, "base", f)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the browser may be gone
	return nil
}

// render runs one named template of a page's set.
func (p *pages) render(set, name string, v any) ([]byte, error) {
	t := p.sets[set]
	if t == nil {
		return nil, fmt.Errorf("no page %q", set)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, v); err != nil {
		return nil, fmt.Errorf("page %s: %w", set, err)
	}
	return b.Bytes(), nil
}

// static serves the embedded files. An address with a file's sum never changes
// its content.
func (c *console) static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/static/")
		if r.URL.Path == "/api/openapi.yaml" {
			name = "openapi.yaml"
		}
		f, ok := c.pages.static[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", f.kind)
		w.Header().Set("Cache-Control", "no-cache")
		if r.URL.Query().Get("v") == f.sum {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		_, _ = w.Write(f.body)
	})
}
