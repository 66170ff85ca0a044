package host_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sekimori/agent/internal/host"
)

// What root leaves in the folder of a service belongs to the service afterwards;
// what belongs to others, or lies elsewhere, is left alone.
func TestGiveBack(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(keys, 0o700))
	for _, path := range []string{elsewhere, filepath.Join(keys, "D31-in.osdp"), filepath.Join(keys, "other")} {
		must(os.WriteFile(path, nil, 0o600))
	}
	must(os.Symlink(elsewhere, filepath.Join(keys, "link")))
	must(os.Link(elsewhere, filepath.Join(keys, "hard")))
	const service, other = 54321, 54322
	root := os.Geteuid() == 0
	if root {
		must(os.Chown(filepath.Join(keys, "other"), other, other))
		must(os.Chown(dir, service, service))
	}
	must(host.GiveBack(dir))
	must(host.GiveBack(filepath.Join(dir, "not-there")))
	for path, want := range map[string]uint32{keys: service, filepath.Join(keys, "D31-in.osdp"): service, filepath.Join(keys, "other"): other, elsewhere: 0} {
		info, err := os.Stat(path)
		must(err)
		if !root { // nobody else can give anything away
			want = uint32(os.Geteuid())
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%s belongs to %d, want %d", path, got, want)
		}
	}
}
