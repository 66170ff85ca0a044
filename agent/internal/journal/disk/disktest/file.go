package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"slices"

	"sekimori/agent/internal/journal/disk"
)

// file is an open handle; it dies with the boot it was opened in.
type file struct {
	d     *Disk
	boot  int
	inode *inode
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.down || f.boot != f.d.boot {
		return 0, ErrCrashed
	}
	if off >= int64(len(f.inode.seen)) {
		return 0, io.EOF
	}
	n := copy(b, f.inode.seen[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	done, err := f.d.stepLocked(f.boot)
	if !done {
		return 0, err
	}
	room := len(b)
	if f.d.space > 0 {
		grow := off + int64(len(b)) - int64(len(f.inode.seen))
		if free := f.d.space - f.d.usedLocked(); grow > 0 && grow > free {
			room = max(0, len(b)-int(grow-max(free, 0)))
			err = fmt.Errorf("write: %w", disk.ErrNoSpace)
		}
	}
	if room > 0 {
		f.inode.seen = overwrite(f.inode.seen, off, b[:room])
		f.inode.writes = append(f.inode.writes, write{off: off, b: slices.Clone(b[:room])})
	}
	return room, err
}

// usedLocked is the sum of the lengths of all files that have a name.
func (d *Disk) usedLocked() int64 {
	var used int64
	for _, f := range d.now {
		used += int64(len(f.seen))
	}
	return used
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	done, err := f.d.stepLocked(f.boot)
	if !done {
		return err
	}
	f.d.syncs++
	if f.d.badSync[f.d.syncs] {
		f.inode.writes = nil // the pages are called clean now
		return ErrIO
	}
	if f.d.lie {
		return err
	}
	for _, w := range f.inode.writes {
		f.inode.safe = overwrite(f.inode.safe, w.off, w.b)
	}
	f.inode.writes = nil
	return err
}

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.down || f.boot != f.d.boot {
		return 0, ErrCrashed
	}
	return int64(len(f.inode.seen)), nil
}

func (f *file) Close() error { return nil }

// Corrupt changes a file behind the program's back, in what it sees and in
// what a power cut leaves: the rot of an SD card. It is an error if there is no
// such file.
func (d *Disk) Corrupt(name string, change func(content []byte) []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.now[name]
	if f == nil {
		return fmt.Errorf("corrupt %s: %w", name, fs.ErrNotExist)
	}
	f.seen = change(slices.Clone(f.seen))
	f.safe, f.writes = slices.Clone(f.seen), nil
	return nil
}
