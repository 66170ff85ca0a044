//go:build linux && !simtime

package e2e_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

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
func sameAsJournal(t *testing.T, id string, ledger []bookFact, kept []written) {
	t.Helper()
	if len(ledger) != len(kept) {
		t.Errorf("%s: %d events in the ledger, %d in the journal", id, len(ledger), len(kept))
	}
	for i, f := range ledger {
		if f.Seq != uint64(i+1) {
			t.Fatalf("%s: event %d of the ledger has seq %d: lost, doubled or out of order", id, i+1, f.Seq)
		}
		if i >= len(kept) {
			return
		}
		if w := kept[i]; w.seq != f.Seq || w.epoch != f.Epoch || w.commitment != f.Event {
			t.Fatalf("%s: seq %d: the ledger has %s %s, the journal seq %d %s %s", id, f.Seq, f.Epoch, f.Event, w.seq, w.epoch, w.commitment)
		}
		if f.Epoch != ledger[0].Epoch {
			t.Fatalf("%s: a second epoch began at event %d", id, i+1)
		}
	}
}
