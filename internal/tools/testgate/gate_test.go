package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes a small module that needs nothing but the standard library.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example\n\ngo 1.26\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func body(statements string) string {
	return "package example\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n\nfunc TestOther(t *testing.T) {\n" + statements + "\n}\n"
}

func TestOnlyWholeRunsPass(t *testing.T) {
	cases := map[string]struct {
		files           map[string]string
		counts, err, in string
	}{
		"all pass":     {map[string]string{"a_test.go": body("")}, "2 passed, 0 failed, 0 skipped", "", "ok    example"},
		"one fails":    {map[string]string{"a_test.go": body(`t.Error("broken")`)}, "1 passed, 1 failed, 0 skipped", "example.TestOther", "broken"},
		"one skipped":  {map[string]string{"a_test.go": body(`t.Skip("later")`)}, "1 passed, 0 failed, 1 skipped", "skipped tests are failures here: example.TestOther", "later"},
		"subtest":      {map[string]string{"a_test.go": body(`t.Run("x", func(t *testing.T) { t.SkipNow() })`)}, "2 passed, 0 failed, 1 skipped", "example.TestOther/x", "SKIP"},
		"no tests":     {map[string]string{"a.go": "package example\n"}, "0 passed, 0 failed, 0 skipped", "no test ran", ""},
		"not compiled": {map[string]string{"a_test.go": body("undefined()")}, "0 passed, 1 failed, 0 skipped", "tests failed: example", "undefined: undefined"},
		"process ends": {map[string]string{"a_test.go": strings.Replace(body(`t.Log("last words"); os.Exit(3)`), "import", "import \"os\"\nimport", 1)}, "1 passed, 1 failed, 0 skipped", "tests failed", "FAIL"},
		"panic":        {map[string]string{"a_test.go": body(`panic("oh")`)}, "1 passed, 1 failed, 0 skipped", "example.TestOther", "panic: oh"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			tally := filepath.Join(t.TempDir(), "tally")
			err := run(&out, options{label: "unit", tally: tally, dir: module(t, c.files), args: []string{"-count=1", "./..."}})
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("ended with %v, want %q", err, c.err)
			}
			if !strings.HasSuffix(out.String(), "unit: "+c.counts+"\n") || !strings.Contains(out.String(), c.in) {
				t.Errorf("printed\n%s\nwant %q in it and %q at the end", out.String(), c.in, c.counts)
			}
			var sum strings.Builder
			if err := printSum(&sum, tally); err != nil || !strings.HasSuffix(sum.String(), "\n"+c.counts+"\n") {
				t.Errorf("summed up as %q (%v), want %q", sum.String(), err, c.counts)
			}
		})
	}
}

func TestRunsAreSummedUp(t *testing.T) {
	tally := filepath.Join(t.TempDir(), "tally")
	for _, c := range []counts{{Label: "unit", Passed: 40, Seconds: 12}, {Label: "e2e", Passed: 2, Failed: 1, Skipped: 3}} {
		if err := addTally(tally, c); err != nil {
			t.Fatal(err)
		}
	}
	var sum strings.Builder
	if err := printSum(&sum, tally); err != nil || !strings.HasSuffix(sum.String(), "\n42 passed, 1 failed, 3 skipped\n") {
		t.Errorf("summed up as %q (%v)", sum.String(), err)
	}
	if err := printSum(&sum, tally+".none"); err == nil {
		t.Error("a tally that is not there was summed up")
	}
}
