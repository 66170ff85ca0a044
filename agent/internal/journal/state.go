package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"time"

	"sekimori/agent/internal/journal/disk"
)

// The state file holds what is not in the segments: what the hub has
// acknowledged, and how many events were refused. It is two slots of one sector
// written in turn, and never grows, so that it can be written on a full disk.
//
//	 0  8  magic
//	 8  8  version of the state; the higher of the two valid slots counts
//	16  8  events refused in the open episode
//	24  8  its beginning, Unix milliseconds
//	32 16  epoch and
//	48  8  sequence number of the last record before it
//	56  8  number of entries
//	64 24  entry: epoch, acknowledged sequence number; the last one is the epoch
//	       being written
//	 …
//	4092 4 CRC-32C
//
// A slot is given up for new writing only after the other has been synced, so
// there is always a whole one.
const (
	stateName  = "state"
	stateMagic = "SKJSTAT1"
	stateSlot  = 4096
	stateSize  = 2 * stateSlot
	entryAt    = 64
	entrySize  = 24
	maxEntries = (stateSlot - entryAt - 4) / entrySize
)

// ackEntry is how far the hub has one epoch.
type ackEntry struct {
	epoch Epoch
	acked uint64
}

// state is the content of the state file.
type state struct {
	version uint64
	full    episode
	acks    []ackEntry // by age of the epoch, the current one last
}

func (s state) encode() []byte {
	b := make([]byte, stateSlot)
	copy(b, stateMagic)
	binary.LittleEndian.PutUint64(b[8:], s.version)
	binary.LittleEndian.PutUint64(b[16:], s.full.refused)
	binary.LittleEndian.PutUint64(b[24:], uint64(s.full.since.UnixMilli()))
	copy(b[32:], s.full.epoch[:])
	binary.LittleEndian.PutUint64(b[48:], s.full.after)
	acks := s.acks
	if len(acks) > maxEntries { // forgetting a receipt only means sending again
		acks = acks[len(acks)-maxEntries:]
	}
	binary.LittleEndian.PutUint64(b[56:], uint64(len(acks)))
	for i, a := range acks {
		at := entryAt + i*entrySize
		copy(b[at:], a.epoch[:])
		binary.LittleEndian.PutUint64(b[at+16:], a.acked)
	}
	binary.LittleEndian.PutUint32(b[stateSlot-4:], crc32.Checksum(b[:stateSlot-4], castagnoli))
	return b
}

func decodeState(b []byte) (state, bool) {
	if string(b[:8]) != stateMagic ||
		binary.LittleEndian.Uint32(b[stateSlot-4:]) != crc32.Checksum(b[:stateSlot-4], castagnoli) {
		return state{}, false
	}
	s := state{version: binary.LittleEndian.Uint64(b[8:])}
	s.full.refused = binary.LittleEndian.Uint64(b[16:])
	s.full.since = time.UnixMilli(int64(binary.LittleEndian.Uint64(b[24:])))
	copy(s.full.epoch[:], b[32:])
	s.full.after = binary.LittleEndian.Uint64(b[48:])
	n := binary.LittleEndian.Uint64(b[56:])
	if n > maxEntries {
		return state{}, false
	}
	for i := range int(n) {
		at := entryAt + i*entrySize
		var a ackEntry
		copy(a.epoch[:], b[at:])
		a.acked = binary.LittleEndian.Uint64(b[at+16:])
		s.acks = append(s.acks, a)
	}
	return s, true
}

// stateFile is the open state file.
type stateFile struct {
	f       disk.File
	version uint64
	slot    int64 // the slot to write next; the other one is durable
}

// openState opens or creates the state file. known is false if nothing could be
// read from it.
func openState(fsys disk.FS, dir string) (sf *stateFile, s state, known bool, err error) {
	name := filepath.Join(dir, stateName)
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return createState(fsys, dir)
	}
	if err != nil {
		return nil, state{}, false, fmt.Errorf("open the journal's state: %w", err)
	}
	best := int64(0)
	for slot := range int64(2) {
		b := make([]byte, stateSlot)
		if n, _ := f.ReadAt(b, slot*stateSlot); n < stateSlot {
			continue
		}
		if got, ok := decodeState(b); ok && (!known || got.version > s.version) {
			s, known, best = got, true, slot
		}
	}
	if !known { // its space may not be allocated
		f.Close()
		return createState(fsys, dir)
	}
	// What a killed process left in the page cache is read here too, but does
	// not count as the whole slot until it is on the disk.
	if err := f.Sync(); err != nil {
		f.Close()
		return nil, state{}, false, fmt.Errorf("sync the journal's state: %w", err)
	}
	return &stateFile{f: f, version: s.version, slot: 1 - best}, s, true, nil
}

// createState makes the file aside and gives it its name when its space is
// allocated.
func createState(fsys disk.FS, dir string) (*stateFile, state, bool, error) {
	fail := func(f disk.File, err error) (*stateFile, state, bool, error) {
		if f != nil {
			f.Close()
		}
		return nil, state{}, false, fmt.Errorf("create the journal's state: %w", err)
	}
	name := filepath.Join(dir, stateName)
	f, err := fsys.Create(name + ".new")
	if err != nil {
		return fail(nil, err)
	}
	if _, err := f.WriteAt(make([]byte, stateSize), 0); err != nil {
		return fail(f, err)
	}
	if err := f.Sync(); err != nil {
		return fail(f, err)
	}
	// Windows renames no open file.
	if err := f.Close(); err != nil {
		return fail(nil, err)
	}
	if err := fsys.Rename(name+".new", name); err != nil {
		return fail(nil, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fail(nil, err)
	}
	if f, err = fsys.Open(name); err != nil {
		return fail(nil, err)
	}
	return &stateFile{f: f}, state{}, false, nil
}

// write stores s; without durable it will be lost if power is cut soon.
func (sf *stateFile) write(s state, durable bool) error {
	sf.version++
	s.version = sf.version
	if _, err := sf.f.WriteAt(s.encode(), sf.slot*stateSlot); err != nil {
		return fmt.Errorf("write the journal's state: %w", err)
	}
	if !durable {
		return nil
	}
	if err := sf.f.Sync(); err != nil {
		return fmt.Errorf("sync the journal's state: %w", err)
	}
	sf.slot = 1 - sf.slot
	return nil
}
