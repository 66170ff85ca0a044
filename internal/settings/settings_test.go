package settings_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sekimori/internal/settings"
)

var update = flag.Bool("update", false, "write the golden files again")

// site is a settings struct with every kind of field and rule.
type site struct {
	Hub     hub               `yaml:"hub" settings:"required"`
	Role    string            `yaml:"role" settings:"required,enum=door|terminal"`
	Doors   []door            `yaml:"doors" settings:"required,min=1,max=3"`
	Tags    []string          `yaml:"tags" settings:"enum=new|old"`
	Limits  map[string]int    `yaml:"limits"`
	Keep    settings.Duration `yaml:"keep" settings:"min=1h,max=30d"`
	Debug   bool              `yaml:"debug"`
	Ratio   float64           `yaml:"ratio" settings:"min=0,max=1"`
	Extra   *hub              `yaml:"extra"`
	Comment string            `yaml:"comment" settings:"max=5"`
}

type hub struct {
	Address netip.AddrPort `yaml:"address" settings:"required"`
	Data    string         `yaml:"data"`
	Port    uint16         `yaml:"port"`
}

type door struct {
	ID      string   `yaml:"id" settings:"required,id"`
	Readers []reader `yaml:"readers"`
}

type reader struct {
	ID   string            `yaml:"id" settings:"required,id"`
	Baud int               `yaml:"baud" settings:"min=300,max=115200"`
	Addr int               `yaml:"address" settings:"min=0,max=126"`
	Poll settings.Duration `yaml:"poll" settings:"min=50ms"`
	Next string            `yaml:"next"`
}

func (s *site) SetDefaults()   { s.Keep = settings.Every(24 * time.Hour) }
func (r *reader) SetDefaults() { r.Baud = 9600 }

func (s *site) Validate(v *settings.Validator) {
	var ids []string
	for _, d := range s.Doors {
		for _, r := range d.Readers {
			ids = append(ids, r.ID)
		}
	}
	for i, d := range s.Doors {
		for j, r := range d.Readers {
			v.Ref(fmt.Sprintf("doors[%d].readers[%d].next", i, j), r.Next, ids)
		}
	}
}

func (r *reader) Validate(v *settings.Validator) {
	if r.Addr == 13 {
		v.Fault("address", settings.Message{Code: "unlucky", JA: "13 は使いません。", EN: "13 is not used.",
			FixJA: "14 にしてください。", FixEN: "Use 14."})
	}
}

const good = `version: 1
hub: {address: "127.0.0.1:8883", data: 'C:\sekimori\new', port: 0x22}
role: door
doors:
  - id: D21
    readers:
      - {id: R-1, poll: 1m30s, next: R-2}
      - id: R-2
        baud: 115200
tags: [new, old]
limits: {a: 1}
debug: true
ratio: 0.5
comment: |
  二行
`

func TestGoodSettingsAreReadWithDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"LF": good, "CRLF": strings.ReplaceAll(good, "\n", "\r\n"), "BOM": "\ufeff" + good,
	} {
		var s site
		if err := settings.Parse("site.yaml", []byte(text), &s); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := s.Doors[0].Readers
		if s.Hub.Data != `C:\sekimori\new` || s.Hub.Port != 0x22 || s.Hub.Address.Port() != 8883 || s.Keep.D() != 24*time.Hour ||
			r[0].Baud != 9600 || r[0].Poll.D() != 90*time.Second || r[1].Baud != 115200 || !s.Debug || s.Limits["a"] != 1 ||
			strings.TrimSpace(s.Comment) != "二行" || s.Extra != nil {
			t.Errorf("%s: read as %+v", name, s)
		}
	}
}

// TestFaultsAreToldAllAtOnce compares what a person is shown, in both
// languages, with golden files; run it with -update and read the difference.
func TestFaultsAreToldAllAtOnce(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no faulty files to try: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var faults *settings.Faults
			if err := settings.Parse(filepath.Base(file), data, new(site)); !errors.As(err, &faults) {
				t.Fatalf("no faults found: %v", err)
			}
			var got bytes.Buffer
			for _, lang := range []settings.Lang{settings.JA, settings.EN} {
				if err := faults.Print(&got, lang); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", got.Bytes())
			for _, f := range faults.List {
				if f.Line < 1 || f.Column < 1 || f.JA == "" || f.EN == "" || f.FixJA == "" || f.FixEN == "" || f.Code == "" {
					t.Errorf("a fault without place, words or fix: %+v", f)
				}
			}
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("told\n%s\ninstead of\n%s", got, want)
	}
}

func TestFilesThatAreNotSettingsAtAll(t *testing.T) {
	cases := map[string]struct{ text, code string }{
		"nothing":     {"", "empty-file"},
		"comments":    {"# 設定\n", "empty-file"},
		"a list":      {"- version: 1\n", "want-keys"},
		"a word":      {"version\n", "want-keys"},
		"version 2":   {"version: 2\nbogus: 1\n", "version"},
		"version '1'": {"version: '1'\n", "version"},
		"two":         {"version: 1\n---\nversion: 1\n", "many-documents"},
		"UTF-16":      {"\xff\xfev\x00e\x00r\x00", "encoding"},
		"Shift_JIS":   {"version: 1\ncomment: \x8e\xa9\n", "encoding"},
		"NUL":         {"version: 1\n\x00", "control-character"},
		"large":       {strings.Repeat("#", settings.MaxSize+1), "too-large"},
	}
	for name, c := range cases {
		var faults *settings.Faults
		err := settings.Parse("x.yaml", []byte(c.text), new(site))
		if !errors.As(err, &faults) || len(faults.List) != 1 || faults.List[0].Code != c.code {
			t.Errorf("%s: told %v, want one %s", name, err, c.code)
		}
	}
}

// TestHostileTextEndsSoon feeds a quarter of the largest file in the shapes that
// make parsers recurse or slow down: an overflowing stack ends the process, and
// quadratic time shows as the time limit of the test.
func TestHostileTextEndsSoon(t *testing.T) {
	for _, piece := range []string{"[", "{", "- ", "? ", "!a ", "&a ", "*a ", "a: ", `"`, "'", "|\n", "%", "a: &a [", "-\n", ": ", "a:\n", "[{", "]", ",", "\\", "#", "!!", "<<: ", "--- \n", "...\n", "- - - - \n"} {
		text := "version: 1\nx: " + strings.Repeat(piece, settings.MaxSize/4/len(piece))
		start := time.Now()
		if err := settings.Parse("x.yaml", []byte(text), new(site)); err == nil {
			t.Errorf("%q repeated was taken for settings", piece)
		}
		t.Logf("%-8q %v", piece, time.Since(start).Round(time.Millisecond))
	}
}

func TestLoadTellsWhyAFileCannotBeRead(t *testing.T) {
	_, err := settings.Load[site](filepath.Join(t.TempDir(), "none.yaml"))
	var faults *settings.Faults
	if !errors.As(err, &faults) || !errors.Is(err, fs.ErrNotExist) || faults.List[0].Code != "file" {
		t.Errorf("a missing file is told as %v", err)
	}
	path := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := settings.Load[site](path); err != nil || s.Role != "door" {
		t.Errorf("a good file: %+v, %v", s, err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "500ms": 500 * time.Millisecond, "5s": 5 * time.Second, "1h30m": 90 * time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour,
	} {
		d, err := settings.ParseDuration(text)
		if err != nil || d.D() != want || d.String() != text {
			t.Errorf("%q reads as %v (%v), want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "5", "5 s", "-5s", "1.5h", "5S", "30m1h", "\uff15s", "五秒", "999999999999d", "106752d", "s", "5sec"} {
		if d, err := settings.ParseDuration(text); err == nil {
			t.Errorf("%q was taken for %v", text, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := settings.Parse("fuzz.yaml", data, new(site))
		var faults *settings.Faults
		if err != nil && (!errors.As(err, &faults) || len(faults.List) == 0) {
			t.Errorf("an error without faults: %v", err)
		}
	})
}
