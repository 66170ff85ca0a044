package layers_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const repository = "../.."

func TestImportsFollowThePolicy(t *testing.T) {
	found, err := check(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestEveryRuleMatchesSomething lists rules that have lost what they were about:
// a folder that was renamed, a library nobody imports any more.
func TestEveryRuleMatchesSomething(t *testing.T) {
	all, err := read(repository)
	if err != nil {
		t.Fatal(err)
	}
	holds := func(folder string) bool {
		for _, s := range all {
			if under(s.dir, folder) {
				return true
			}
		}
		return false
	}
	folders := append([]string{pure.folder}, sharedDrivers...)
	for _, l := range layers {
		folders = append(append(append(folders, l.from), l.not...), l.only...)
	}
	for _, f := range folders {
		if !holds(f) {
			t.Errorf("a rule names %s, where no Go file is", f)
		}
	}
	for _, l := range libraries {
		for _, in := range l.in {
			if !imported(all, l.module, in) {
				t.Errorf("%s may be imported in %s, which does not do so", l.module, in)
			}
		}
	}
	if holds(temporary) {
		t.Errorf("%s", temporaryWhy)
	}
}

func imported(all []source, lib, in string) bool {
	for _, s := range all {
		for _, spec := range s.file.Imports {
			if under(s.dir, in) && under(importOf(spec), lib) {
				return true
			}
		}
	}
	return false
}

// TestEveryLibraryHasItsPlace holds go.mod against the policy. golang.org/x is
// taken for the standard library, as its makers do.
func TestEveryLibraryHasItsPlace(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, l := range libraries {
		known[l.module] = true
	}
	for _, r := range mod.Require {
		if !r.Indirect && !strings.HasPrefix(r.Mod.Path, "golang.org/x/") && !known[r.Mod.Path] {
			t.Errorf("go.mod requires %s: %s", r.Mod.Path, libraryWhy)
		}
		delete(known, r.Mod.Path)
	}
	for l := range known {
		t.Errorf("the policy places %s, which go.mod does not require", l)
	}
}

// TestTheCheckerSeesEachBreach builds small trees that break one rule each.
func TestTheCheckerSeesEachBreach(t *testing.T) {
	imports := func(paths ...string) string {
		return "package p\nimport (\n_ \"" + strings.Join(paths, "\"\n_ \"") + "\"\n)\n"
	}
	skip := "t.Sk" + "ip"
	cases := map[string]struct{ file, text, want string }{
		"record uses hub":            {"internal/record/a.go", imports("sekimori/hub"), "record is the contract"},
		"record's test uses drivers": {"internal/record/a_test.go", imports("sekimori/drivers"), "record is the contract"},
		"driver uses record":         {"drivers/osdp/a.go", imports("sekimori/internal/record"), "a driver knows no person"},
		"driver uses driver":         {"drivers/osdp/a.go", imports("sekimori/drivers/wiegand"), "drivers never import each other"},
		"agent uses hub on Windows":  {"agent/internal/x/a_windows.go", imports("sekimori/hub/internal/store"), "agent and hub meet"},
		"hub's test uses agent":      {"hub/a_test.go", imports("sekimori/agent"), "agent and hub meet"},
		"someone uses cmd":           {"internal/e2e/a_test.go", imports("sekimori/hub/cmd/sekimori-hub"), "cmd only parses"},
		"simulator uses drivers":     {"firmware-sim/internal/osdp/a.go", imports("sekimori/drivers/osdp"), "the other side of each protocol"},
		"serial outside line":        {"drivers/osdp/a.go", imports("go.bug.st/serial/enumerator"), "the serial port has its own seam"},
		"SQL outside the store":      {"hub/internal/console/a.go", imports("modernc.org/sqlite"), "SQL stays in the store"},
		"browser outside tests":      {"hub/internal/console/a.go", imports("github.com/chromedp/chromedp"), "by tests only"},
		"decide uses os":             {"agent/internal/decide/a.go", imports("os/exec"), "decide is pure"},
		"decide uses the clock":      {"agent/internal/decide/a.go", imports("sekimori/internal/clock"), "decide is a function"},
		"decide asks the time":       {"agent/internal/decide/a.go", "package p\nimport \"time\"\nvar t = time.Now()\n", "decide is pure"},
		"decide starts a goroutine":  {"agent/internal/decide/a.go", "package p\nfunc f() { go f() }\n", "decide is pure"},
		"decide uses a channel":      {"agent/internal/decide/a.go", "package p\nvar c chan int\n", "decide is pure"},
		"skipped test":               {"hub/a_test.go", "package p\nimport \"testing\"\nfunc TestX(t *testing.T) { " + skip + "(\"later\") }\n", "proves nothing"},
		"hidden test":                {"hub/a_test.go", "//go:build slow && linux\n\npackage p\n", "nobody builds"},
		"machine path":               {"configs/a.yaml", "dir: /ro" + "ot/x\n", "one machine"},
	}
	for name, c := range cases {
		found, err := check(tree(t, map[string]string{c.file: c.text}))
		if err != nil || len(found) != 1 || !strings.Contains(found[0].why, c.want) || !strings.HasPrefix(found[0].at, c.file+":") {
			t.Errorf("%s: found %v (%v), want one about %q", name, found, err, c.want)
		}
	}
}

func TestTheCheckerLetsTheDesignThrough(t *testing.T) {
	found, err := check(tree(t, map[string]string{
		"drivers/osdp/a.go":            "package p\nimport _ \"sekimori/drivers\"\nimport _ \"sekimori/drivers/line\"\nimport _ \"sekimori/internal/clock\"\n",
		"drivers/osdp/sc/a.go":         "package p\nimport _ \"sekimori/drivers/osdp\"\n",
		"drivers/line/a.go":            "package p\nimport _ \"go.bug.st/serial\"\n",
		"agent/internal/decide/a.go":   "package p\nimport \"time\"\nvar d time.Duration\nfunc f(now time.Time) time.Time { return now.Add(d) }\n",
		"agent/internal/uplink/a.go":   "package p\nimport _ \"github.com/eclipse/paho.mqtt.golang/packets\"\nimport _ \"sekimori/internal/record\"\n",
		"hub/internal/ingest/a.go":     "package p\nimport _ \"sekimori/hub/internal/ledger\"\nimport _ \"os\"\nfunc f(r reader) { r.Skip(3); go f(r) }\ntype reader interface{ Skip(int) }\n",
		"hub/cmd/sekimori-hub/main.go": "package main\nimport _ \"sekimori/hub\"\nimport _ \"github.com/spf13/cobra\"\n",
		"drivers/osdp/a_test.go":       "//go:build linux && simtime\n\npackage p\nimport _ \"github.com/creack/pty\"\n",
	}))
	if err != nil || len(found) != 0 {
		t.Errorf("found %v (%v)", found, err)
	}
}

// TestEveryRuleHasAReason: whoever breaks a rule is told why it is there.
func TestEveryRuleHasAReason(t *testing.T) {
	reason := regexp.MustCompile(`\S+ \S+ \S+`)
	for _, l := range layers {
		if !reason.MatchString(l.why) {
			t.Errorf("the layer %s has no reason", l.from)
		}
	}
	for _, l := range libraries {
		if !reason.MatchString(l.why) {
			t.Errorf("the library %s has no reason", l.module)
		}
	}
}

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
