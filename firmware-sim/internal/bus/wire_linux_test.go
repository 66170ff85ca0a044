package bus_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/pd"
)

// setSpeed is what a controller's serial library does.
func (l *line) setSpeed(baud uint32) {
	l.t.Helper()
	raw, err := l.slave.SyscallConn()
	if err != nil {
		l.t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, failed = unix.IoctlGetTermios(int(fd), unix.TCGETS2); failed != nil {
			return
		}
		t.Cflag = t.Cflag&^unix.CBAUD | unix.BOTHER
		t.Ispeed, t.Ospeed = baud, baud
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS2, t)
	}); err != nil || failed != nil {
		l.t.Fatal(errors.Join(err, failed))
	}
}

// enough is the share over the wire's own time at which an exchange is believed
// to be held up by nothing but the wire; a busy machine needs several tries.
const enough = 1.2

// TestWireTime measures each direction against what the wire needs: never less,
// and at its best little more.
func TestWireTime(t *testing.T) {
	for _, baud := range []int{9600, 115200} {
		byteTime := 10 * time.Second / time.Duration(baud)
		for _, c := range []struct {
			name     string
			code     byte
			data     []byte
			down, up int // bytes of command and reply, the marks among them
		}{
			{"POLL", pd.CmdPoll, nil, 9, 9},
			{"a long command", pd.CmdText, append([]byte{0, 1, 0, 1, 1, 100}, bytes.Repeat([]byte{'x'}, 100)...), 115, 9},
			{"a long reply", pd.CmdMFG, append([]byte{0x02, 0x53, 0x4B}, make([]byte, 60)...), 72, 72},
		} {
			t.Run(fmt.Sprintf("%d %s", baud, c.name), func(t *testing.T) {
				l := mustLine(t, bus.Config{Baud: baud}, 0)
				l.setSpeed(uint32(baud))
				l.link(0)
				wire, best := time.Duration(c.down+c.up)*byteTime, time.Hour
				for i, end := 0, time.Now().Add(20*time.Second); float64(best) > enough*float64(wire); i++ {
					if time.Now().After(end) {
						t.Fatalf("the best of %d exchanges took %v; the wire needs %v", i, best, wire)
					}
					command := pd.Frame{Seq: byte((i+1)%3 + 1), CRC: true, Code: c.code, Data: c.data}.Encode()
					if len(command) != c.down {
						t.Fatalf("the command has %d bytes", len(command))
					}
					began := time.Now()
					l.write(hex.EncodeToString(command))
					got := l.read(c.up, 5*time.Second)
					took := time.Since(began)
					if len(got) != c.up || got[6] == pd.ReplyNak {
						t.Fatalf("% x", got)
					}
					if took < wire {
						t.Fatalf("%v is faster than the wire's %v", took, wire)
					}
					best = min(best, took)
				}
				t.Logf("%d+%d bytes: wire %v, best %v, ratio %.3f", c.down, c.up, wire, best, float64(best)/float64(wire))
			})
		}
	}
}

// TestBytesComeOneByOne: bytes come one by one, not at once at the end.
func TestBytesComeOneByOne(t *testing.T) {
	l := mustLine(t, bus.Config{Baud: 9600}, 0)
	l.link(0)
	l.write("ff 53 00 08 00 06 60 89 cc")
	first := l.read(1, 2*time.Second)
	began := time.Now()
	rest := l.read(8, 2*time.Second)
	if len(first) != 1 || len(rest) != 8 {
		t.Fatalf("% x % x", first, rest)
	}
	if gap := time.Since(began); gap < 6*10*time.Second/9600 { // two bytes may have come together
		t.Errorf("eight bytes came within %v", gap)
	}
}

// TestHalfDuplex: a controller that talks while the reader does spoils both.
func TestHalfDuplex(t *testing.T) {
	l := mustLine(t, bus.Config{Baud: 9600}, 0)
	l.link(0)
	l.send(0, 2, pd.CmdMFG, append([]byte{0x02, 0x53, 0x4B}, bytes.Repeat([]byte{0xA5}, 200)...)...)
	first := l.read(10, 2*time.Second)
	l.write("ff 53 00 08 00 07 60 b8 ff") // POLL in the middle of the reply
	rest := l.read(202, 2*time.Second)
	reply := append(first, rest...)
	if len(reply) != 212 {
		t.Fatalf("%d bytes", len(reply))
	}
	if _, err := pd.Decode(reply[1:]); err == nil {
		t.Error("the reply came through a collision")
	}
	if got := l.read(1, 3*silence); len(got) > 0 {
		t.Errorf("the command came through a collision: % x", got)
	}
	l.send(0, 2, pd.CmdMFG, append([]byte{0x02, 0x53, 0x4B}, bytes.Repeat([]byte{0xA5}, 200)...)...) // again
	if got := l.read(212, 2*time.Second); len(got) != 212 || got[6] != pd.ReplyMFGReport {
		t.Fatalf("after the collision: % x", got)
	} else if _, err := pd.Decode(got[1:]); err != nil {
		t.Error(err)
	}
}

// TestTwoReadersAtOnce: a late reply that meets another reader's spoils both.
func TestTwoReadersAtOnce(t *testing.T) {
	l := mustLine(t, bus.Config{Baud: 9600}, 0, 1)
	l.link(0)
	l.link(1)
	// Reader 1 begins about when its command is over, 212 bytes after it was
	// written; reader 0, after 9 bytes of its own and a stall that ends amid.
	byteTime := 10 * time.Second / 9600
	l.stations[0].Stall(300*byteTime, 1)
	l.send(0, 2, pd.CmdPoll)
	l.send(1, 2, pd.CmdMFG, append([]byte{0x02, 0x53, 0x4B}, bytes.Repeat([]byte{0xA5}, 200)...)...)
	var scan pd.Scanner
	if frames := scan.Feed(l.read(212+9, 2*time.Second)...); len(frames) > 0 {
		t.Errorf("came through: %+v", frames)
	}
}

// TestSpeeds: a reader hears its own speed only, and follows COMSET.
func TestSpeeds(t *testing.T) {
	l := mustLine(t, bus.Config{Baud: 9600}, 0)
	l.setSpeed(19200)
	l.send(0, 0, pd.CmdPoll)
	if got := l.read(1, 3*silence); len(got) > 0 {
		t.Fatalf("answered at another speed: % x", got)
	}
	l.setSpeed(9600)
	l.link(0)
	l.send(0, 2, pd.CmdComSet, 0, 0x00, 0xC2, 0x01, 0) // 115200
	if got := l.read(14, 2*time.Second); len(got) != 14 || got[6] != pd.ReplyCom {
		t.Fatalf("% x", got)
	}
	l.send(0, 3, pd.CmdPoll)
	if got := l.read(1, 3*silence); len(got) > 0 {
		t.Fatalf("answered at its old speed: % x", got)
	}
	l.setSpeed(115200)
	l.send(0, 3, pd.CmdPoll)
	if got := l.read(9, 2*time.Second); len(got) != 9 || got[6] != pd.ReplyAck {
		t.Fatalf("% x", got)
	}
}

// TestMoreFaults: what the reader does of the faults that a controller must tell
// from each other.
func TestMoreFaults(t *testing.T) {
	l := mustLine(t, fast, 0)
	l.link(0)
	l.stations[0].Fail(bus.Duplicate, 1)
	l.send(0, 2, pd.CmdPoll)
	l.want("ff 53 80 08 00 06 40 3b ca ff 53 80 08 00 06 40 3b ca")
	l.stations[0].Fail(bus.Silent, 1)
	l.send(0, 3, pd.CmdBuz, 0, 2, 1, 1, 1)
	if got := l.read(1, silence); len(got) > 0 {
		t.Fatalf("% x", got)
	}
	if s := l.stations[0].Status(); s.BuzzCmds != 1 || len(s.Faults) != 0 {
		t.Fatalf("silent, the command was carried out once: %+v", s)
	}
	l.send(0, 3, pd.CmdBuz, 0, 2, 1, 1, 1) // the same again: the cached reply
	if got := l.read(9, 2*time.Second); len(got) != 9 || got[6] != pd.ReplyAck || l.stations[0].Status().BuzzCmds != 1 {
		t.Fatalf("% x", got)
	}
	l.stations[0].Fail(bus.BadMAC, 2) // a reply in clear has none: the fault waits
	l.send(0, 1, pd.CmdPoll)
	if got := l.read(9, 2*time.Second); len(got) != 9 || got[6] != pd.ReplyAck {
		t.Fatalf("% x", got)
	}
	if f := l.stations[0].Status().Faults; len(f) != 1 || f[0] != bus.BadMAC {
		t.Errorf("%v", f)
	}
	if l.stations[0].Fail("no such thing", 1) {
		t.Error("there is no such fault")
	}
}

// TestBadMAC: the check is right and the MAC is not.
func TestBadMAC(t *testing.T) {
	// The secure reply to a secure POLL; what matters is its form.
	f := pd.Frame{Reply: true, Seq: 1, CRC: true, Security: []byte{2, 0x16}, Code: pd.ReplyAck, Data: []byte{1, 2, 3, 4}}
	wire, ok := pd.SpoilMAC(f.Encode())
	got, err := pd.Decode(wire[1:])
	if !ok || err != nil || !bytes.Equal(got.Data[:3], f.Data[:3]) || got.Data[3] == f.Data[3] {
		t.Errorf("% x: %v", wire, err)
	}
	for _, plain := range []pd.Frame{
		{Reply: true, Seq: 1, CRC: true, Code: pd.ReplyRaw, Data: []byte{1, 2, 3, 4, 5}},
		{Reply: true, Seq: 1, CRC: true, Security: []byte{3, 0x14, 1}, Code: pd.ReplyRMAC, Data: make([]byte, 16)},
	} {
		if wire, ok := pd.SpoilMAC(plain.Encode()); ok || !bytes.Equal(wire, plain.Encode()) {
			t.Errorf("%#x has no MAC", plain.Code)
		}
	}
}
