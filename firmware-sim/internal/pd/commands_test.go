package pd_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/pd"
)

// TestEveryCommandInClear: command, data, and what comes back, on a reader fresh
// after its power-up was told.
func TestEveryCommandInClear(t *testing.T) {
	const red = 1
	cases := []struct {
		name string
		code byte
		data []byte
		want byte
		body []byte
	}{
		{"POLL", 0x60, nil, 0x40, nil},
		{"ID", 0x61, []byte{0}, 0x45, []byte{0x02, 0x53, 0x4B, 1, 1, 0x0D, 0x0C, 0x0B, 0x0A, 1, 0, 0}}, // vendor 3, model, version, serial 4, firmware 3
		{"CAP", 0x62, []byte{0}, 0x46, []byte{1, 1, 1, 2, 1, 1, 3, 1, 0, 4, 4, 1, 5, 2, 0, 6, 1, 1, 8, 1, 0, 9, 1, 1, 10, 0xA0, 5, 13, 0, 1, 14, 1, 0, 16, 2, 0}},
		{"LSTAT", 0x64, nil, 0x48, []byte{0, 0}},                                               // tamper, power
		{"ISTAT", 0x65, nil, 0x49, []byte{0}},                                                  // one input
		{"OSTAT", 0x66, nil, 0x4A, []byte{0}},                                                  // one output
		{"RSTAT", 0x67, nil, 0x4B, []byte{0}},                                                  // one reader: normal
		{"OUT", 0x68, []byte{0, 2, 0, 0}, 0x40, nil},                                           // output 0, on
		{"LED", 0x69, []byte{0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, red, red}, 0x40, nil},         // for good
		{"BUZ", 0x6A, []byte{0, 2, 1, 1, 1}, 0x40, nil},                                        // once
		{"TEXT", 0x6B, []byte{0, 1, 0, 1, 1, 2, 'O', 'K'}, 0x40, nil},                          // for good
		{"COMSET", 0x6E, []byte{9, 0x00, 0x4B, 0, 0}, 0x54, []byte{9, 0x00, 0x4B, 0, 0}},       // address 9, 19200
		{"BIOREAD", 0x73, []byte{0, 0, 2, 0x80}, 0x40, nil},                                    //
		{"BIOMATCH", 0x74, []byte{0, 0, 2, 0x80, 2, 0, 0, 7}, 0x40, nil},                       // slot 7, high byte first
		{"KEYSET in clear", 0x75, append([]byte{1, 16}, make([]byte, 16)...), 0x41, []byte{6}}, //
		{"ACURXSIZE", 0x7B, []byte{0, 4}, 0x40, nil},                                           // 1024
		{"FILETRANSFER", 0x7C, []byte{1, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 'a', 'b'}, 0x7A, []byte{1, 0, 0, 0, 0, 0, 0}},
		{"MFG", 0x80, []byte{0x02, 0x53, 0x4B, 1, 2}, 0x90, []byte{0x02, 0x53, 0x4B, 1, 2}},
		{"MFG of another make", 0x80, []byte{1, 2, 3}, 0x41, []byte{9}},
		{"ABORT", 0xA2, nil, 0x40, nil},
		{"KEEPACTIVE", 0xA7, []byte{0x10, 0x27}, 0x40, nil},
		{"unknown", 0x9F, nil, 0x41, []byte{3}},
		{"CHLNG without security block", 0x76, make([]byte, 8), 0x41, []byte{6}},
		{"too short", 0x6E, []byte{9}, 0x41, []byte{2}},
		{"too long", 0x60, []byte{9}, 0x41, []byte{2}},
		{"OUT, one byte over", 0x68, []byte{0, 2, 0, 0, 0}, 0x41, []byte{2}},
		{"TEXT, wrong length", 0x6B, []byte{0, 1, 0, 1, 1, 3, 'O', 'K'}, 0x41, []byte{2}},
		{"BIOREAD of an eye", 0x73, []byte{0, 0x0B, 2, 0}, 0x41, []byte{7}},
		{"BIOMATCH with minutiae", 0x74, []byte{0, 0, 2, 0x80, 3, 0, 1, 2, 3}, 0x41, []byte{8}},
		{"BIOMATCH in another format", 0x74, []byte{0, 0, 3, 0x80, 2, 0, 0, 7}, 0x41, []byte{8}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := &acu{t: t, pd: pd.New(pd.Config{Serial: 0x0A0B0C0D, Baud: 9600, Security: pd.Install, Biometric: true})}
			a.send(0, pd.CmdPoll)
			a.send(1, pd.CmdPoll)
			wantCode(t, a.send(2, c.code, c.data...), c.want, c.body...)
		})
	}
}

func TestOutputTimer(t *testing.T) {
	a := linked(t)
	a.send(3, pd.CmdOut, 0, 5, 30, 0) // on for 3 s
	wantCode(t, a.send(1, pd.CmdOStat), pd.ReplyOStatR, 1)
	a.now = 3 * time.Second
	wantCode(t, a.send(2, pd.CmdOStat), pd.ReplyOStatR, 0)
	a.send(3, pd.CmdOut, 0, 2, 0, 0, 1, 2, 0, 0) // on; another output is not there
	wantCode(t, a.send(1, pd.CmdOStat), pd.ReplyOStatR, 1)
	a.send(2, pd.CmdOut, 0, 6, 10, 0) // off for 1 s
	wantCode(t, a.send(3, pd.CmdOStat), pd.ReplyOStatR, 0)
	a.now += time.Second
	wantCode(t, a.send(1, pd.CmdOStat), pd.ReplyOStatR, 1)
}

func TestTextForATime(t *testing.T) {
	a := linked(t)
	a.send(3, pd.CmdText, append([]byte{0, 1, 0, 1, 1, 6}, "CLOSED"...)...)
	a.send(1, pd.CmdText, append([]byte{0, 3, 2, 1, 1, 4}, "OPEN"...)...)
	if l := a.pd.Look(a.now + 1999*time.Millisecond); l.Text != "OPEN" {
		t.Errorf("%q", l.Text)
	}
	if l := a.pd.Look(a.now + 2*time.Second); l.Text != "CLOSED" {
		t.Errorf("%q", l.Text)
	}
}

// TestInputsAreTold: a change is told without asking, and after asking no more.
func TestInputsAreTold(t *testing.T) {
	a := linked(t)
	a.pd.Input(true)
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyIStatR, 1)
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyAck)
	a.pd.Input(false)
	wantCode(t, a.send(2, pd.CmdIStat), pd.ReplyIStatR, 0)
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyAck)
	a.pd.Tamper(true)
	wantCode(t, a.send(1, pd.CmdRStat), pd.ReplyRStatR, 2)
}

// TestComSet: the answer comes from the old address, the next from the new one,
// and what the reader cannot do it does not say it will.
func TestComSet(t *testing.T) {
	a := &acu{t: t, pd: pd.New(pd.Config{Addr: 3, Baud: 9600})}
	a.send(0, pd.CmdPoll)
	f := a.send(1, pd.CmdComSet, 4, 0x00, 0xC2, 0x01, 0) // 115200
	wantCode(t, f, pd.ReplyCom, 4, 0x00, 0xC2, 0x01, 0)
	if f.Addr != 3 {
		t.Errorf("answered from %d", f.Addr)
	}
	if a.pd.Handle(pd.Frame{Addr: 3, Seq: 2, CRC: true, Code: pd.CmdPoll}, 0) != nil {
		t.Error("still at the old address")
	}
	wantCode(t, a.send(2, pd.CmdComSet, 0x7F, 1, 0, 0, 0), pd.ReplyCom, 4, 0x00, 0xC2, 0x01, 0) // nobody's address, no speed
	a.pd.PowerCycle()
	if k := a.pd.Kept(); k.Addr != 4 || k.Baud != 115200 || a.pd.Boxed() {
		t.Errorf("%+v", k)
	}
}

func TestFileTransfer(t *testing.T) {
	a := linked(t)
	file := make([]byte, 300)
	for i := range file {
		file[i] = byte(i)
	}
	piece := func(offset, size int, total uint32) []byte {
		b := binary.LittleEndian.AppendUint32([]byte{1}, total)
		b = binary.LittleEndian.AppendUint32(b, uint32(offset))
		b = binary.LittleEndian.AppendUint16(b, uint16(size))
		return append(b, file[offset:offset+size]...)
	}
	next, malformed, abort := []byte{1, 0, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0xFD, 0xFF, 0, 0}, []byte{1, 0, 0, 0xFF, 0xFF, 0, 0}
	wantCode(t, a.send(3, pd.CmdFile, piece(0, 128, 300)...), pd.ReplyFileStat, next...)
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyAck) // others may come in between
	wantCode(t, a.send(2, pd.CmdFile, piece(128, 128, 300)...), pd.ReplyFileStat, next...)
	wantCode(t, a.send(3, pd.CmdFile, piece(256, 44, 300)...), pd.ReplyFileStat, 1, 0, 0, 1, 0, 0, 0) // all there
	sum := sha256.Sum256(file)
	if f := a.pd.Status(0).File; f == nil || f.SHA256 != hex.EncodeToString(sum[:]) || f.Received != 300 {
		t.Fatalf("%+v", f)
	}
	wantCode(t, a.send(1, pd.CmdFile, piece(128, 10, 300)...), pd.ReplyFileStat, malformed...) // out of order
	wantCode(t, a.send(2, pd.CmdFile, piece(0, 100, 50)...), pd.ReplyFileStat, malformed...)   // more than all of it
	wantCode(t, a.send(3, pd.CmdFile, piece(0, 100, 2<<20)...), pd.ReplyFileStat, abort...)    // too large
	wantCode(t, a.send(1, pd.CmdFile, piece(0, 100, 300)...), pd.ReplyFileStat, next...)
	wantCode(t, a.send(2, pd.CmdAbort), pd.ReplyAck)
	if f := a.pd.Status(0).File; f != nil {
		t.Errorf("aborted, and yet %+v", f)
	}
	wantCode(t, a.send(3, pd.CmdFile, piece(100, 100, 300)...), pd.ReplyFileStat, malformed...)
}

// finger is a biometric reader that waits for the finger of slot 0x0107.
func finger(t *testing.T) *acu {
	a := &acu{t: t, pd: pd.New(pd.Config{Baud: 9600, Biometric: true})}
	a.send(0, pd.CmdPoll)
	a.send(1, pd.CmdPoll)
	wantCode(t, a.send(2, pd.CmdBioMatch, 0, 0, 2, 0x80, 2, 0, 0x01, 0x07), pd.ReplyAck)
	wantCode(t, a.send(3, pd.CmdPoll), pd.ReplyAck) // nobody has touched it yet
	return a
}

// TestFinger: what a finger on the sensor makes of BIOMATCH [T-23].
func TestFinger(t *testing.T) {
	for name, c := range map[string]struct {
		slot  uint16
		score byte
	}{"the right one": {0x0107, 0xFF}, "another's": {0x0701, 0}, "nobody's": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			a := finger(t)
			if !a.pd.Finger(c.slot, 0) {
				t.Fatal("the sensor does not wait")
			}
			wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyBioMatch, 0, 0, c.score) // reader, status, score
			if a.pd.Finger(c.slot, 0) {
				t.Error("the sensor waits after it has answered")
			}
		})
	}
}

func TestNobodyTouches(t *testing.T) {
	a := finger(t)
	a.now = pd.FingerWait
	wantCode(t, a.send(1, pd.CmdPoll), pd.ReplyBioMatch, 0, 1, 0) // status 1: nobody came
	if a.pd.Finger(0x0107, a.now) {
		t.Error("the sensor still waits")
	}
	a = finger(t)
	wantCode(t, a.send(1, pd.CmdAbort), pd.ReplyAck)
	if a.pd.Finger(0x0107, 0) {
		t.Error("aborted, and yet it waits")
	}
}

func TestBioRead(t *testing.T) {
	a := &acu{t: t, pd: pd.New(pd.Config{Baud: 9600, Biometric: true})}
	a.send(0, pd.CmdPoll)
	a.send(1, pd.CmdPoll)
	for i, want := range [][]byte{{0, 0, 2, 0x50, 2, 0, 0, 9}, {0, 0, 2, 0x50, 0, 0}} { // slot 9; nobody's
		a.now += time.Second
		wantCode(t, a.send([]byte{2, 1}[i], pd.CmdBioRead, 0, 2, 2, 0x80), pd.ReplyAck)
		a.pd.Finger([]uint16{9, 0}[i], a.now)
		wantCode(t, a.send([]byte{3, 2}[i], pd.CmdPoll), pd.ReplyBioRead, want...)
	}
	plain := linked(t)
	wantCode(t, plain.send(3, pd.CmdBioRead, 0, 0, 0, 0), pd.ReplyNak, 3) // no sensor
}

// FuzzReader: whatever arrives, a reader answers with one good frame of its own
// address or with silence, and the key never leaves it.
func FuzzReader(f *testing.F) {
	f.Add(byte(0), unhex(f, "53 00 08 00 06 60 89 cc"))
	f.Add(byte(1), unhex(f, "53 00 0D 00 04 6E 00 80 25 00 00 6E 38"))
	f.Add(byte(2), pd.Frame{CRC: true, Security: []byte{3, 0x11, 1}, Code: 0x76, Data: make([]byte, 8)}.Encode())
	f.Add(byte(1), pd.Frame{CRC: true, Security: []byte{3, 0x11, 0}, Code: 0x76, Data: make([]byte, 8)}.Encode())
	f.Add(byte(0), pd.Frame{Seq: 0, Code: 0x7C, Data: []byte{1, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 'a', 'b'}}.Encode())
	modes := []pd.Security{pd.Clear, pd.Install, pd.Own}
	f.Fuzz(func(t *testing.T, mode byte, wire []byte) {
		p := pd.New(pd.Config{Baud: 9600, Security: modes[int(mode)%len(modes)], Key: key, Biometric: mode&4 != 0})
		var scan pd.Scanner
		for i, b := range wire {
			for _, frame := range scan.Feed(b) {
				addr := p.Kept().Addr
				reply := p.Handle(frame, time.Duration(i)*time.Millisecond)
				if reply == nil {
					continue
				}
				got, err := pd.Decode(reply[1:])
				if err != nil || !got.Reply || got.Addr != addr {
					t.Fatalf("% x was answered % x: %v", wire, reply, err)
				}
			}
		}
		p.Finger(7, time.Minute)
		p.Status(time.Minute)
	})
}
