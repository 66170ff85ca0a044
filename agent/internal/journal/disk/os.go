package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// OS is the file system of this computer.
type OS struct{}

var _ FS = OS{}

// MkdirAll makes dir with rights for this user only, and syncs each parent
// that got a new name.
func (OS) MkdirAll(dir string) error {
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is not a directory", dir)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (OS{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return explain(err)
	}
	return syncDir(parent)
}

// List skips directories: the journal keeps none.
func (OS) List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			entries = append(entries, Entry{Name: e.Name(), Size: info.Size()})
		}
	}
	return entries, nil
}

// Create makes a file readable by this user only.
func (OS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open opens for reading and writing.
func (OS) Open(name string) (File, error) { return open(name, os.O_RDWR) }

// OpenRead opens for reading.
func (OS) OpenRead(name string) (File, error) { return open(name, os.O_RDONLY) }

// Rename replaces an existing file, on Windows too.
func (OS) Rename(from, to string) error { return explain(os.Rename(from, to)) }

// Remove deletes a file.
func (OS) Remove(name string) error { return explain(os.Remove(name)) }

// SyncDir makes the names in dir durable; Windows does so by itself.
func (OS) SyncDir(dir string) error { return syncDir(dir) }

// Lock creates the lock file if needed; the file itself stays.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, explain(err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, explain(err)
	}
	return osFile{f}, nil
}

// explain adds ErrNoSpace to the errors that mean it.
func explain(err error) error {
	if err != nil && noSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

type osFile struct{ *os.File }

func (f osFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	return n, explain(err)
}

func (f osFile) Sync() error { return explain(syncData(f.File)) }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}
