package place_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sekimori/firmware-sim/internal/place"
)

func mustTake(t *testing.T, path string) *place.Dir {
	t.Helper()
	d, err := place.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestOneSimulatorPerDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := mustTake(t, path)
	if _, err := place.Take(path); !errors.Is(err, place.ErrInUse) {
		t.Fatalf("a second one was let in: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	mustTake(t, path)
}

func TestStaleSocketIsReplaced(t *testing.T) {
	d := mustTake(t, t.TempDir())
	addr, err := net.ResolveUnixAddr("unix", d.File("a.lines"))
	if err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // as a killed process leaves it
	l, err := d.Listen("a.lines")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestOthersFilesAreLeftAlone(t *testing.T) {
	d := mustTake(t, t.TempDir())
	for name, make := range map[string]func(string) error{
		"file": func(p string) error { return os.WriteFile(p, []byte("mine"), 0o600) },
		"dir":  func(p string) error { return os.Mkdir(p, 0o700) },
		"link": func(p string) error { return os.Symlink("elsewhere", p) },
	} {
		if err := make(d.File(name)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Listen(name); err == nil {
			t.Errorf("%s was replaced", name)
		}
	}
	if _, err := d.Listen(strings.Repeat("x", 200)); err == nil {
		t.Error("a path longer than a socket can have was taken")
	}
}

func TestWriteReplaces(t *testing.T) {
	d := mustTake(t, t.TempDir())
	for _, s := range []string{"one", "two"} {
		if err := d.Write("state.json", []byte(s)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(d.File("state.json")); err != nil || string(got) != s {
			t.Fatalf("%q, %v", got, err)
		}
	}
}
