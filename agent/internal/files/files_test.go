package files_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sekimori/agent/internal/files"
)

const envWriter = "SEKIMORI_TEST_WRITER"

// TestMain lets a copy of this program write until it is killed.
func TestMain(m *testing.M) {
	path := os.Getenv(envWriter)
	if path == "" {
		os.Exit(m.Run())
	}
	for n := byte(0); ; n++ {
		if err := files.Write(path, content(n)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func content(n byte) []byte { return bytes.Repeat([]byte{'a' + n%26}, 64<<10) }

// A writer killed at any moment leaves the old content or the new.
func TestWriteIsAtomic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := files.Write(path, content(0)); err != nil {
		t.Fatal(err)
	}
	for round := range 15 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envWriter+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; { // it has begun to write
			now, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(before, now) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing was written")
			}
		}
		time.Sleep(time.Duration(round) * 300 * time.Microsecond) // somewhere within a write
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		got, err := os.ReadFile(path)
		if err != nil || len(got) == 0 || !bytes.Equal(got, content(got[0]-'a')) {
			t.Fatalf("round %d: %d bytes, %v", round, len(got), err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 2 {
		t.Errorf("killed writers left %v behind, %v", list, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestReadJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	var got map[string]int
	if found, err := files.ReadJSON(path, &got); found || err != nil {
		t.Fatal(found, err)
	}
	if err := files.WriteJSON(path, map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if found, err := files.ReadJSON(path, &got); !found || err != nil || got["a"] != 1 {
		t.Fatal(found, err, got)
	}
	if err := os.WriteFile(path, []byte(`{"a":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := files.ReadJSON(path, &got); !found || err == nil {
		t.Fatal(found, err)
	}
	if err := files.SetAside(path); err != nil {
		t.Fatal(err)
	}
	if found, err := files.ReadJSON(path, &got); found || err != nil {
		t.Fatal(found, err)
	}
	for range 2 { // one that is not there is no error
		if err := files.Remove(path + ".bad"); err != nil {
			t.Fatal(err)
		}
	}
}
