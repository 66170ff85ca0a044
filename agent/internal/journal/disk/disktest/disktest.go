// Package disktest is a disk that keeps no more than it promised.
//
// A program that never calls fsync passes any test that kills it, because the
// kernel writes its pages out in the end. Only losing power tells. Disk models
// what a power cut may leave, as unkindly as POSIX allows:
//
//	written, not synced    each piece of each write may or may not be there,
//	                       torn at any byte, in any order
//	name not synced        a created file, a rename, a removal may or may not
//	                       have happened, each on its own
//	sync failed            the kernel calls the pages clean, so the program goes
//	                       on reading its data, the next sync succeeds, and a
//	                       power cut loses it all the same
//
// Crash ends every open handle and leaves a disk in one of the states that were
// possible; a seed makes the choice repeatable.
package disktest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"sekimori/agent/internal/journal/disk"
)

var (
	// ErrCrashed is returned by everything between the power cut and Crash,
	// and for ever by handles that were open at the time.
	ErrCrashed = errors.New("the power is cut")
	// ErrIO stands for EIO.
	ErrIO = errors.New("input/output error")
)

// Disk is a disk.FS in memory. Its zero value is not ready; see New.
type Disk struct {
	mu    sync.Mutex
	rng   *rand.Rand
	boot  int // handles of an earlier boot are dead
	now   map[string]*inode
	safe  map[string]*inode // the names as they would be found after a power cut
	moves []move            // changes of names not yet synced, oldest first
	locks map[string]bool

	ops     int // operations that change something, since the start
	crashAt int // the operation during which power fails; 0 never
	down    bool
	space   int64 // bytes; 0 unlimited
	syncs   int   // file syncs since the start
	badSync map[int]bool
	badDir  bool // the next SyncDir fails
	lie     bool // Sync returns nil and does nothing
	lieDir  bool // SyncDir likewise
}

var _ disk.FS = (*Disk)(nil)

// inode is a file's content: what the program sees, and what the platter has.
type inode struct {
	seen   []byte
	safe   []byte
	writes []write // seen but not synced, oldest first
}

type write struct {
	off int64
	b   []byte
}

// move is one change of names: file becomes known as to, and from ends.
type move struct {
	from, to string
	file     *inode // nil: to is removed
}

// New returns an empty disk whose choices follow seed.
func New(seed uint64) *Disk {
	return &Disk{
		rng:     rand.New(rand.NewPCG(seed, 0x5e4b)),
		now:     map[string]*inode{},
		safe:    map[string]*inode{},
		locks:   map[string]bool{},
		badSync: map[int]bool{},
	}
}

// CrashAt cuts the power during the n-th changing operation from now on (1 is
// the next); that operation may have taken effect or not.
func (d *Disk) CrashAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashAt = d.ops + n
}

// Ops counts the operations so far that changed something: create, write, sync,
// rename, remove, sync of a directory.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// LimitBytes makes the disk n bytes large; 0 lifts the limit.
func (d *Disk) LimitBytes(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = n
}

// FailSync makes the n-th sync of a file from now on (1 is the next) fail with
// ErrIO, and drops what it should have written.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.badSync[d.syncs+n] = true
}

// FailSyncDir makes the next sync of a directory fail with ErrIO; the changes of
// names stay in doubt.
func (d *Disk) FailSyncDir() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.badDir = true
}

// Lie makes Sync (files) or SyncDir (names) return nil and do nothing. A test of
// durability that passes on a lying disk tests nothing.
func (d *Disk) Lie(files, names bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lie, d.lieDir = files, names
}

// Crash cuts the power, if it is not cut yet, and restores it: the disk now
// holds one of the states it could have been left in, and no limit or fault is
// armed.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.moves {
		if d.rng.IntN(2) == 0 {
			apply(d.safe, m)
		}
	}
	files := map[*inode]bool{}
	for _, name := range slices.Sorted(maps.Keys(d.safe)) {
		if f := d.safe[name]; !files[f] {
			files[f] = true
			d.settle(f)
		}
	}
	d.now = maps.Clone(d.safe)
	d.moves, d.locks, d.badSync = nil, map[string]bool{}, map[int]bool{}
	d.boot++
	d.down, d.crashAt, d.space = false, 0, 0
}

// Kill ends the program and not the power: handles and locks are gone, and what
// was written is still seen, but is no safer than before. Faults stay armed,
// except the power cut.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locks = map[string]bool{}
	d.boot++
	d.down, d.crashAt = false, 0
}

// settle leaves of a file what a power cut may leave: every write is cut at
// random bytes and each piece is kept or not.
func (d *Disk) settle(f *inode) {
	style := d.rng.IntN(4) // all, none, and mixtures: the extremes find different faults
	for _, w := range f.writes {
		for len(w.b) > 0 {
			n := len(w.b)
			if style >= 2 {
				n = 1 + d.rng.IntN(n)
			}
			if style == 0 || style >= 2 && d.rng.IntN(2) == 0 {
				f.safe = overwrite(f.safe, w.off, w.b[:n])
			}
			w.off, w.b = w.off+int64(n), w.b[n:]
		}
	}
	f.writes = nil
	f.seen = slices.Clone(f.safe)
}

func apply(names map[string]*inode, m move) {
	if m.file == nil {
		delete(names, m.to)
		return
	}
	if m.from != "" {
		if names[m.from] != m.file {
			return // the file never got its first name
		}
		delete(names, m.from)
	}
	names[m.to] = m.file
}

func overwrite(content []byte, off int64, b []byte) []byte {
	if need := int(off) + len(b); need > len(content) {
		content = append(content, make([]byte, need-len(content))...)
	}
	copy(content[off:], b)
	return content
}

// stepLocked counts one changing operation. It reports whether the operation
// takes effect, and the error to return.
func (d *Disk) stepLocked(boot int) (bool, error) {
	if d.down || boot != d.boot {
		return false, ErrCrashed
	}
	d.ops++
	if d.ops == d.crashAt {
		d.down = true
		return d.rng.IntN(2) == 0, ErrCrashed
	}
	return true, nil
}

// MkdirAll does nothing: a directory exists when it holds something.
func (d *Disk) MkdirAll(string) error { return nil }

// List implements disk.FS.
func (d *Disk) List(dir string) ([]disk.Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, ErrCrashed
	}
	var entries []disk.Entry
	for _, name := range slices.Sorted(maps.Keys(d.now)) {
		if filepath.Dir(name) == filepath.Clean(dir) {
			entries = append(entries, disk.Entry{Name: filepath.Base(name), Size: int64(len(d.now[name].seen))})
		}
	}
	return entries, nil
}

// Create implements disk.FS.
func (d *Disk) Create(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done, err := d.stepLocked(d.boot)
	f := &inode{}
	if done {
		d.moveLocked(move{to: name, file: f})
	}
	if err != nil {
		return nil, err
	}
	return &file{d: d, boot: d.boot, inode: f}, nil
}

func (d *Disk) moveLocked(m move) {
	apply(d.now, m)
	d.moves = append(d.moves, m)
}

// Open implements disk.FS.
func (d *Disk) Open(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, ErrCrashed
	}
	f := d.now[name]
	if f == nil {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return &file{d: d, boot: d.boot, inode: f}, nil
}

// OpenRead implements disk.FS.
func (d *Disk) OpenRead(name string) (disk.File, error) { return d.Open(name) }

// Rename implements disk.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[from] == nil && !d.down {
		return fmt.Errorf("rename %s: %w", from, fs.ErrNotExist)
	}
	done, err := d.stepLocked(d.boot)
	if done {
		d.moveLocked(move{from: from, to: to, file: d.now[from]})
	}
	return err
}

// Remove implements disk.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[name] == nil && !d.down {
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	done, err := d.stepLocked(d.boot)
	if done {
		d.moveLocked(move{to: name})
	}
	return err
}

// SyncDir implements disk.FS; dir is not looked at, for one disk holds one journal.
func (d *Disk) SyncDir(string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	done, err := d.stepLocked(d.boot)
	if done && d.badDir {
		d.badDir = false
		return ErrIO
	}
	if done && !d.lieDir {
		d.safe = maps.Clone(d.now)
		d.moves = nil
	}
	return err
}

// Lock implements disk.FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return nil, ErrCrashed
	}
	if d.locks[name] {
		return nil, disk.ErrLocked
	}
	d.locks[name] = true
	return &held{d: d, boot: d.boot, name: name}, nil
}

type held struct {
	d    *Disk
	boot int
	name string
}

func (h *held) Close() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.boot == h.d.boot {
		delete(h.d.locks, h.name)
	}
	return nil
}
