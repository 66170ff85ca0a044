package console_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTemplates: what the content security policy would block silently is found
// here, in templates and in the script.
func TestTemplates(t *testing.T) {
	files, err := filepath.Glob("web/templates/*.html")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	forbidden := regexp.MustCompile(`(?i)\sstyle\s*=|<style|\son[a-z]+\s*=|javascript:|hx-|https?://|<script(>|[^>]*>[^<])|safeHTML|template\.HTML`)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if m := forbidden.Find(b); m != nil {
			t.Errorf("%s: %q", name, m)
		}
	}
	js, err := os.ReadFile("web/static/live.js")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`eval|new Function|document\.write|\.style\b|https?://`).Find(js); m != nil {
		t.Errorf("live.js: %q", m)
	}
}

// TestVendor: vendored files are the ones their list names.
func TestVendor(t *testing.T) {
	list, err := os.ReadFile("web/static/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("web/static/vendor", func(name string, d fs.DirEntry, err error) error {
		base := filepath.Base(name)
		if err != nil || d.IsDir() || base == "README.md" {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		if !strings.HasPrefix(base, "LICENSE") && !strings.Contains(string(list), hex.EncodeToString(sum[:])) {
			t.Errorf("%s is not the file that is listed", base)
		}
		if !strings.Contains(string(list), base) {
			t.Errorf("%s is not listed", base)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestWeight: JavaScript ≤ 25 kB compressed, first screen ≤ 100 kB as sent.
func TestWeight(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	body := b.page("/")
	sum := len(body)
	for _, m := range regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(body, -1) {
		r, file := b.get(m[1])
		sum += len(file)
		if !strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: Cache-Control %q", m[1], r.Header.Get("Cache-Control"))
		}
		if strings.Contains(m[1], ".js") {
			var z bytes.Buffer
			g := gzip.NewWriter(&z)
			if _, err := g.Write([]byte(file)); err != nil {
				t.Fatal(err)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d bytes, %d compressed", m[1], len(file), z.Len())
			if z.Len() > 25_000 {
				t.Errorf("%d bytes of JavaScript", z.Len())
			}
		}
	}
	t.Logf("first screen: %d bytes, not compressed", sum)
	if sum > 100_000 {
		t.Errorf("the first screen is %d bytes", sum)
	}
}
