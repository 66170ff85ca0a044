package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"
)

// A segment file, all integers little-endian:
//
//	   0  header  120 bytes, zero to 4096 (so that no write of a record
//	              touches the header's page)
//	4096  record, record, … each on a multiple of 8
//	 end  zeros
//
// Header:
//
//	 0  8  magic
//	 8  8  segment number, rises by one over all epochs
//	16  8  size of the file
//	24 16  epoch
//	40 16  previous epoch; zero in the first
//	56  8  last sequence number the previous epoch is known to have reached
//	64  8  sequence number of the first record
//	72 32  commitment of the record before; zero before the first
//	104 8  wall clock at creation, Unix milliseconds
//	112 4  zero
//	116 4  CRC-32C of bytes 0 to 115
//
// Record:
//
//	 0  4  CRC-32C over epoch, segment number, offset in the file, bytes 4 to end
//	 4  4  CRC of the record before (of the header for the first): the chain
//	 8  4  length of the event
//	12  4  distance back to the last record that was durable when this was written
//	16  8  sequence number
//	24  8  wall clock, Unix milliseconds
//	32  1  class
//	33  7  zero
//	40 32  salt
//	72  …  event
//
// Epoch, number and offset go into the CRC so that a record left over from
// another life of the same disk blocks cannot pass for one of this segment; the
// chain keeps out a leftover from this segment's own unconfirmed past. The
// distance back is what lets recovery tell a torn tail from damage: a broken
// record was confirmed if and only if a later one says so.
const (
	magic      = "SKJRNL1\n"
	headerSize = 120
	dataStart  = 4096
	recordHead = 72
	alignment  = 8

	// MaxEvent is the longest event, in bytes.
	MaxEvent = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Commitment is SHA-256("sekimori/event/v1" || salt || event): what the hub's
// ledger keeps for ever, also after event and salt have been erased [T-27].
type Commitment [32]byte

// String is the commitment in hexadecimal.
func (c Commitment) String() string { return fmt.Sprintf("%x", c[:]) }

const commitPrefix = "sekimori/event/v1"

// Commit computes the commitment of event under salt.
func Commit(salt [32]byte, event []byte) Commitment {
	h := sha256.New()
	h.Write([]byte(commitPrefix))
	h.Write(salt[:])
	h.Write(event)
	var c Commitment
	h.Sum(c[:0])
	return c
}

// header is the fixed part at the start of a segment.
type header struct {
	no           uint64
	size         int64
	epoch        Epoch
	previous     Epoch
	previousLast uint64
	first        uint64
	prev         Commitment
	made         time.Time
}

// encode returns the whole header block and the CRC the first record chains to.
func (h header) encode() ([]byte, uint32) {
	b := make([]byte, dataStart)
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[8:], h.no)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.size))
	copy(b[24:], h.epoch[:])
	copy(b[40:], h.previous[:])
	binary.LittleEndian.PutUint64(b[56:], h.previousLast)
	binary.LittleEndian.PutUint64(b[64:], h.first)
	copy(b[72:], h.prev[:])
	binary.LittleEndian.PutUint64(b[104:], uint64(h.made.UnixMilli()))
	crc := crc32.Checksum(b[:116], castagnoli)
	binary.LittleEndian.PutUint32(b[116:], crc)
	return b, crc
}

// decodeHeader reads a header; false means that it is not whole.
func decodeHeader(b []byte) (header, uint32, bool) {
	if len(b) < headerSize || !bytes.HasPrefix(b, []byte(magic)) {
		return header{}, 0, false
	}
	crc := binary.LittleEndian.Uint32(b[116:])
	if crc != crc32.Checksum(b[:116], castagnoli) {
		return header{}, 0, false
	}
	h := header{
		no:           binary.LittleEndian.Uint64(b[8:]),
		size:         int64(binary.LittleEndian.Uint64(b[16:])),
		previousLast: binary.LittleEndian.Uint64(b[56:]),
		first:        binary.LittleEndian.Uint64(b[64:]),
		made:         time.UnixMilli(int64(binary.LittleEndian.Uint64(b[104:]))),
	}
	copy(h.epoch[:], b[24:])
	copy(h.previous[:], b[40:])
	copy(h.prev[:], b[72:])
	if h.first == 0 || h.epoch == (Epoch{}) {
		return header{}, 0, false
	}
	return h, crc, true
}

// entry is a record as it lies in a segment.
type entry struct {
	class Class
	seq   uint64
	back  uint32
	at    time.Time
	salt  [32]byte
	event []byte
	crc   uint32 // own CRC
	chain uint32 // CRC of the record before
}

// durable is the sequence number that was durable when e was written.
func (e entry) durable() uint64 { return e.seq - uint64(e.back) }

// place is what a record's CRC knows of where the record lies.
type place uint32

// placeOf starts the CRC of every record of one segment.
func placeOf(epoch Epoch, no uint64) place {
	var b [24]byte
	copy(b[:], epoch[:])
	binary.LittleEndian.PutUint64(b[16:], no)
	return place(crc32.Checksum(b[:], castagnoli))
}

func (p place) crc(off int64, b []byte) uint32 {
	var o [8]byte
	binary.LittleEndian.PutUint64(o[:], uint64(off))
	return crc32.Update(crc32.Update(uint32(p), castagnoli, o[:]), castagnoli, b)
}

// recordSize is the room a record takes, padding included.
func recordSize(event int) int {
	return (recordHead + event + alignment - 1) &^ (alignment - 1)
}

// appendRecord appends e to b as the record at file offset off, and returns the
// CRC the next record chains to.
func appendRecord(b []byte, p place, off int64, e entry) ([]byte, uint32) {
	start := len(b)
	size := recordSize(len(e.event))
	b = append(b, make([]byte, recordHead)...)
	r := b[start:]
	binary.LittleEndian.PutUint32(r[4:], e.chain)
	binary.LittleEndian.PutUint32(r[8:], uint32(len(e.event)))
	binary.LittleEndian.PutUint32(r[12:], e.back)
	binary.LittleEndian.PutUint64(r[16:], e.seq)
	binary.LittleEndian.PutUint64(r[24:], uint64(e.at.UnixMilli()))
	r[32] = byte(e.class)
	copy(r[40:], e.salt[:])
	b = append(b, e.event...)
	crc := p.crc(off, b[start+4:])
	binary.LittleEndian.PutUint32(b[start:], crc)
	return append(b, make([]byte, start+size-len(b))...), crc
}

// plausible reads the fixed part of a record and tells whether it could be one;
// only then is the CRC worth computing.
func plausible(b []byte) (e entry, length int, ok bool) {
	e = entry{
		crc:   binary.LittleEndian.Uint32(b),
		chain: binary.LittleEndian.Uint32(b[4:]),
		back:  binary.LittleEndian.Uint32(b[12:]),
		seq:   binary.LittleEndian.Uint64(b[16:]),
		at:    time.UnixMilli(int64(binary.LittleEndian.Uint64(b[24:]))),
		class: Class(b[32]),
	}
	n := binary.LittleEndian.Uint32(b[8:])
	ok = n >= 1 && n <= MaxEvent && e.seq >= 1 && e.back >= 1 && uint64(e.back) <= e.seq &&
		e.class >= Normal && e.class <= classEpoch
	return e, int(n), ok
}

// segmentName is the file name of segment no, sorting in the order of numbers.
func segmentName(no uint64) string { return fmt.Sprintf("%016x.seg", no) }

// parseSegmentName is the inverse of segmentName.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	if !ok {
		return 0, false
	}
	var no uint64
	if _, err := fmt.Sscanf(digits, "%x", &no); err != nil || segmentName(no) != name {
		return 0, false
	}
	return no, true
}
