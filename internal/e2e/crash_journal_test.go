//go:build linux && !simtime

package e2e_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"

	"sekimori/internal/record"
)

// written is an event as it lies in a device's journal.
type written struct {
	epoch      string
	seq        uint64
	commitment string
}

// journal reads a device's journal from its files, after the description in
// agent/internal/journal/format.go and without its code.
func (c *city) journal(id string) (all []written) {
	c.t.Helper()
	names, err := filepath.Glob(c.path(id + "/journal/*.seg"))
	if err != nil || len(names) == 0 {
		c.t.Fatalf("no journal of %s (%v)", id, err)
	}
	for _, name := range names { // sorted: names are numbers of one width
		b, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, segmentRecords(b)...)
	}
	return all
}

const (
	segmentMagic = "SKJRNL1\n"
	segmentData  = 4096
	recordHead   = 72
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentRecords reads records until the first that is not whole.
func segmentRecords(b []byte) (out []written) {
	if len(b) < segmentData || !bytes.HasPrefix(b, []byte(segmentMagic)) {
		return nil
	}
	number, epoch := b[8:16], b[24:40]
	place := crc32.Update(crc32.Checksum(epoch, castagnoli), castagnoli, number)
	for off := segmentData; off+recordHead <= len(b); {
		length := int(binary.LittleEndian.Uint32(b[off+8:]))
		end := off + recordHead + length
		if length == 0 || end > len(b) {
			break
		}
		crc := crc32.Update(place, castagnoli, binary.LittleEndian.AppendUint64(nil, uint64(off)))
		if crc32.Update(crc, castagnoli, b[off+4:end]) != binary.LittleEndian.Uint32(b[off:]) {
			break
		}
		var salt record.Salt
		copy(salt[:], b[off+40:])
		out = append(out, written{
			epoch: hex.EncodeToString(epoch), seq: binary.LittleEndian.Uint64(b[off+16:]),
			commitment: record.Commitment(salt, b[off+recordHead:end]).String(),
		})
		off = (end + 7) &^ 7
	}
	return out
}

// sameAsJournal: one epoch, numbers from 1 without gap or repetition, in order,
// and the ledger holds exactly what the device wrote down.
func sameAsJournal(id string, ledger []bookFact, kept []written) (f faults) {
	if len(ledger) != len(kept) {
		f.add("%s: %d events in the ledger, %d in the journal", id, len(ledger), len(kept))
	}
	for i := range min(len(ledger), len(kept)) {
		l, w := ledger[i], kept[i]
		if l.Seq != uint64(i+1) || l.Epoch != ledger[0].Epoch {
			f.add("%s: event %d of the ledger is seq %d of epoch %s: lost, doubled or out of order", id, i+1, l.Seq, l.Epoch)
			return f // one such shifts all that follow
		}
		if w.seq != l.Seq || w.epoch != l.Epoch || w.commitment != l.Event {
			f.add("%s: seq %d: the ledger has %s %s, the journal seq %d %s %s", id, l.Seq, l.Epoch, l.Event, w.seq, w.epoch, w.commitment)
		}
	}
	return f
}
