package pd

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"
)

// transfer is a file on its way into the reader. FILETRANSFER is
//
//	type, size of the whole 4, offset 4, length of this piece 2, the piece
//
// and FTSTAT is control, delay 2, status 2 (signed), longest message 2. Of the
// file only its digest is kept.
type transfer struct {
	kind     byte
	size, at uint32
	sum      hash.Hash
	done     bool
}

const (
	fileHeader    = 11
	fileLimit     = 1 << 20
	fileOpen      = 0x01 // control: polls and other commands may come in between
	fileNext      = 0
	fileDone      = 1
	fileAbort     = -1
	fileMalformed = -3
)

func (p *PD) takeFile(d []byte, _ time.Duration) (byte, []byte) {
	size, offset, piece := binary.LittleEndian.Uint32(d[1:]), binary.LittleEndian.Uint32(d[5:]), d[fileHeader:]
	t := &p.file
	status := fileNext
	switch {
	case int(binary.LittleEndian.Uint16(d[9:])) != len(piece), uint64(offset)+uint64(len(piece)) > uint64(size):
		status = fileMalformed
	case size == 0 || size > fileLimit:
		status = fileAbort
	case offset == 0:
		*t = transfer{kind: d[0], size: size, sum: sha256.New()}
	case t.sum == nil || t.done || t.kind != d[0] || t.size != size || t.at != offset:
		status = fileMalformed
	}
	if status != fileNext {
		*t = transfer{}
		return fileStatus(status)
	}
	t.sum.Write(piece)
	t.at += uint32(len(piece))
	if t.at == t.size {
		t.done = true
		p.Counts.FilesTaken++
		status = fileDone
	}
	return fileStatus(status)
}

func fileStatus(status int) (byte, []byte) {
	return ReplyFileStat, []byte{fileOpen, 0, 0, byte(status), byte(status >> 8), 0, 0}
}

// File is what the reader has of a file.
type File struct {
	Type     int    `json:"type"`
	Size     uint32 `json:"size"`
	Received uint32 `json:"received"`
	SHA256   string `json:"sha256,omitempty"` // of all of it, once it is there
}

func (t transfer) look() *File {
	if t.sum == nil {
		return nil
	}
	f := &File{Type: int(t.kind), Size: t.size, Received: t.at}
	if t.done {
		f.SHA256 = hex.EncodeToString(t.sum.Sum(nil))
	}
	return f
}
