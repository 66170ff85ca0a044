// Package place is the directory a simulator runs in: one simulator at a time,
// and sockets that replace what a killed one left behind.
package place

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// Dir is a directory that is ours until Close or until this process dies.
type Dir struct {
	Path string
	lock *os.File
}

// ErrInUse: another simulator runs in the directory.
var ErrInUse = errors.New("another sekimori-sim runs in this directory")

// Take creates the directory if need be and makes it ours. The lock is the
// kernel's, so a killed simulator leaves none behind.
func Take(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the simulator's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, "sim.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the simulator's lock: %w", err)
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Dir{Path: path, lock: f}, nil
}

// Close gives the directory up.
func (d *Dir) Close() error { return d.lock.Close() }

// File is a path in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.Path, name) }

// maxSocketPath is what sun_path of every system holds.
const maxSocketPath = 103

// Listen makes a unix socket for this user only. A socket of an earlier run is
// replaced: nobody can be behind it while the directory is ours. Anything else
// at that path is an error.
func (d *Dir) Listen(name string) (net.Listener, error) {
	path := d.File(name)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path %s is too long for a unix socket (%d bytes at most): use a shorter --dir", path, maxSocketPath)
	}
	old, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the socket's path: %w", err)
	case old.Mode().IsDir() || old.Mode().IsRegular() && old.Size() > 0 || old.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s is in the way: it is not a socket of an earlier run", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the socket of an earlier run: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("close the socket to other users: %w", err)
	}
	return l, nil
}

// Write replaces a file in one step: a reader, or a run after a kill, finds the
// old content or the new.
func (d *Dir) Write(name string, data []byte) error {
	tmp := d.File(name + ".new")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, d.File(name)); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}
