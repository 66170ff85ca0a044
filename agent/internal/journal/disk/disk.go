// Package disk is the journal's whole view of a file system: nine verbs on
// names and six on an open file. It is narrow so that a test can stand a disk
// in its place that forgets what was not synced (package disktest) [T-40].
//
// Two promises are kept apart, because disks keep them apart:
//
//	File.Sync   the bytes of this file survive a power cut
//	FS.SyncDir  the names in this directory survive a power cut
//
// A file that was written and synced but whose name was not is gone after a
// power cut; so is a rename that was not followed by SyncDir.
package disk

import (
	"errors"
	"io"
)

var (
	// ErrNoSpace is wrapped by every error that means the disk or the quota
	// is full, whatever the operating system calls it.
	ErrNoSpace = errors.New("no space left on the disk")

	// ErrLocked is returned by Lock when another process holds the lock.
	ErrLocked = errors.New("in use by another process")
)

// FS is a file system. Names are full paths in the operating system's form.
// Errors wrap fs.ErrNotExist and fs.ErrExist where these apply.
type FS interface {
	// MkdirAll makes dir and its parents, durably, and is content when they exist.
	MkdirAll(dir string) error
	// List returns the plain files in dir, in the order of their names.
	List(dir string) ([]Entry, error)
	// Create makes a new empty file for reading and writing, and replaces one
	// that is there.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading.
	OpenRead(name string) (File, error)
	// Rename moves a file within its directory, atomically, over an existing one.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(name string) error
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the lock file name for this process until the Closer is
	// closed or the process ends, or returns ErrLocked at once.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync returns when the content (and as much of the metadata as is needed
	// to read it back) is on the disk. After an error nothing is known about
	// any write since the last Sync that succeeded, and calling Sync again
	// proves nothing: the kernel may have dropped the dirty pages.
	Sync() error
	// Size returns the length in bytes.
	Size() (int64, error)
}

// Entry is one file in a directory.
type Entry struct {
	Name string // within the directory
	Size int64  // bytes
}
