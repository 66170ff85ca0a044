package bus_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/pd"
)

// line is a running bus and the controller's end of it, spoken to in raw bytes.
type line struct {
	t        *testing.T
	path     string
	slave    *os.File
	stations []*bus.Station
}

func mustLine(t *testing.T, cfg bus.Config, addrs ...byte) *line {
	t.Helper()
	l := &line{t: t, path: filepath.Join(t.TempDir(), "bus0")}
	port, err := bus.OpenPty(l.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		l.stations = append(l.stations, bus.NewStation(pd.Config{Addr: a, Serial: uint32(a), Baud: cfg.Baud}, func() {}, func() {}))
	}
	cfg.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- bus.New(cfg, port, l.stations...).Run(ctx) }()
	l.open()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.slave.Close()
		if err := port.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(l.path); !errors.Is(err, os.ErrNotExist) {
			t.Error("the link outlived the line")
		}
	})
	return l
}

func (l *line) open() {
	l.t.Helper()
	fd, err := unix.Open(l.path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	l.slave = os.NewFile(uintptr(fd), "slave")
}

func (l *line) write(hexBytes string) {
	l.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(hexBytes, " ", ""))
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.slave.Write(b); err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) send(addr, seq, code byte, data ...byte) {
	l.t.Helper()
	l.write(hex.EncodeToString(pd.Frame{Addr: addr, Seq: seq, CRC: true, Code: code, Data: data}.Encode()))
}

// read gives what arrives until n bytes are there or the time is over.
func (l *line) read(n int, within time.Duration) []byte {
	l.t.Helper()
	if err := l.slave.SetReadDeadline(time.Now().Add(within)); err != nil {
		l.t.Fatal(err)
	}
	var got []byte
	buf := make([]byte, 256)
	for len(got) < n {
		k, err := l.slave.Read(buf)
		got = append(got, buf[:k]...)
		if err != nil {
			break
		}
	}
	return got
}

const silence = 60 * time.Millisecond

func (l *line) want(hexBytes string) {
	l.t.Helper()
	want, err := hex.DecodeString(strings.ReplaceAll(hexBytes, " ", ""))
	if err != nil {
		l.t.Fatal(err)
	}
	if got := l.read(len(want), 2*time.Second); !bytes.Equal(got, want) {
		l.t.Fatalf("the reader said % x, want % x", got, want)
	}
}

// link takes a reader to where its next number is 2 and nothing is to tell.
func (l *line) link(addr byte) {
	l.t.Helper()
	for seq, size := range []int{11, 11} { // LSTATR twice: power had failed, power is back
		l.send(addr, byte(seq), pd.CmdPoll)
		if got := l.read(size, 2*time.Second); len(got) != size {
			l.t.Fatalf("no LSTATR: % x", got)
		}
	}
}

var fast = bus.Config{Baud: 115200, Unpaced: true}

// TestWireVectors speaks the bytes captured from other implementations to a
// reader on a real pty.
func TestWireVectors(t *testing.T) {
	l := mustLine(t, fast, 0, 1)
	l.link(0)
	l.write("ff 53 00 08 00 06 60 89 cc") // POLL, number 2
	l.want("ff 53 80 08 00 06 40 3b ca")  // ACK
	l.write("ff 53 00 08 00 06 60 89 cc") // repeated: the cached reply
	l.want("ff 53 80 08 00 06 40 3b ca")

	card, err := cards.NewBits([]byte{0xa0, 0, 0, 0}, 26)
	if err != nil {
		t.Fatal(err)
	}
	l.stations[0].Card(card)
	l.send(0, 3, pd.CmdPoll)
	l.read(17, 2*time.Second)
	l.stations[0].Card(card)
	l.send(0, 1, pd.CmdPoll)
	got := l.read(17, 2*time.Second)
	if want, _ := hex.DecodeString("ff5380100005500001" + "1a00a0000000"); len(got) != 17 || !bytes.Equal(got[:15], want) {
		t.Errorf("RAW came as % x", got)
	}
}

func TestSilenceOnBadBytes(t *testing.T) {
	l := mustLine(t, fast, 0, 1)
	l.link(0)
	l.write("ff 53 00 08 00 06 60 89 cd") // one bit wrong
	l.write("ff 53 05 08 00 06 60")       // another address, cut short
	if got := l.read(1, silence); len(got) > 0 {
		t.Fatalf("answered % x", got)
	}
	l.send(0x7F, 2, pd.CmdPoll) // broadcast with two readers on the line
	if got := l.read(1, 3*silence); len(got) > 0 {
		t.Fatalf("answered a broadcast that would collide: % x", got)
	}
	l.write("ff 53 00 08 00 06 60 89 cc")
	l.want("ff 53 80 08 00 06 40 3b ca")
}

func TestTwoReadersOneLine(t *testing.T) {
	l := mustLine(t, fast, 0, 1)
	l.link(0)
	l.link(1)
	l.stations[1].Keys("7#")
	l.send(0, 2, pd.CmdPoll)
	l.want("ff 53 80 08 00 06 40 3b ca")
	l.send(1, 2, pd.CmdPoll)
	got := l.read(13, 2*time.Second)
	if len(got) != 13 || got[2] != 0x81 || got[6] != pd.ReplyKeypad || got[9] != '7' || got[10] != 0x0D {
		t.Errorf("reader 1 said % x", got)
	}
}

func TestCableOutAndBack(t *testing.T) {
	l := mustLine(t, fast, 0)
	l.link(0)
	l.stations[0].Connect(false)
	l.stations[0].Keys("5")
	l.write("ff 53 00 08 00 06 60 89 cc")
	if got := l.read(1, silence); len(got) > 0 {
		t.Fatalf("a pulled cable carried % x", got)
	}
	l.stations[0].Connect(true)
	l.send(0, 0, pd.CmdPoll)
	if got := l.read(12, 2*time.Second); len(got) != 12 || got[6] != pd.ReplyKeypad {
		t.Errorf("the reader did not keep its event: % x", got)
	}
}

func TestFaults(t *testing.T) {
	l := mustLine(t, fast, 0)
	l.link(0)
	l.stations[0].Fail(bus.BadCRC, 1)
	l.write("ff 53 00 08 00 06 60 89 cc")
	l.want("ff 53 80 08 00 06 40 3b 9f") // ca ^ 55
	l.stations[0].Fail(bus.Truncate, 1)
	l.write("ff 53 00 08 00 06 60 89 cc")
	l.want("ff 53 80 08")
	l.stations[0].Fail(bus.BusyWord, 1)
	l.send(0, 3, pd.CmdPoll)
	if got := l.read(9, 2*time.Second); len(got) != 9 || got[6] != pd.ReplyBusy || got[5]&3 != 0 {
		t.Fatalf("BUSY came as % x", got)
	}
	l.send(0, 3, pd.CmdPoll)
	if got := l.read(9, 2*time.Second); len(got) != 9 || got[6] != pd.ReplyAck {
		t.Fatalf("after BUSY: % x", got)
	}
	l.stations[0].Noise(t.Context(), 40)
	if got := l.read(40, 2*time.Second); len(got) != 40 {
		t.Fatalf("%d bytes of noise", len(got))
	}
	l.stations[0].Fail(bus.Power, 1)
	l.send(0, 1, pd.CmdPoll)
	if got := l.read(10, 2*time.Second); len(got) != 10 || got[6] != pd.ReplyNak || got[7] != 4 {
		t.Fatalf("after power failed: % x", got)
	}
}

// TestStallHoldsUpOneReaderOnly: the late reply still comes, and the neighbour
// answers meanwhile.
func TestStallHoldsUpOneReaderOnly(t *testing.T) {
	l := mustLine(t, fast, 0, 1)
	l.link(0)
	l.link(1)
	const late = 250 * time.Millisecond
	l.stations[0].Stall(late, 1)
	start := time.Now()
	l.send(0, 2, pd.CmdPoll)
	l.send(1, 2, pd.CmdPoll)
	got := l.read(9, 2*time.Second)
	if len(got) != 9 || got[2] != 0x81 || time.Since(start) > late {
		t.Fatalf("the neighbour waited %v: % x", time.Since(start), got)
	}
	l.want("ff 53 80 08 00 06 40 3b ca")
	if d := time.Since(start); d < late {
		t.Errorf("the late reply came after %v", d)
	}
}

// TestHonestPace: 9 bytes out and 9 back at 9600 baud take 18.75 ms of wire.
func TestHonestPace(t *testing.T) {
	l := mustLine(t, bus.Config{Baud: 9600}, 0)
	l.link(0)
	wire := 18 * 10 * time.Second / 9600
	start := time.Now()
	l.write("ff 53 00 08 00 06 60 89 cc")
	l.want("ff 53 80 08 00 06 40 3b ca")
	if d := time.Since(start); d < wire {
		t.Errorf("%v is faster than the wire's %v", d, wire)
	} else {
		t.Logf("POLL and ACK at 9600 baud: %v, the wire needs %v", d, wire)
	}
}

// TestControllerKilled: a program that dies with the line in its hands, marked
// exclusive, does not keep its successor out.
func TestControllerKilled(t *testing.T) {
	l := mustLine(t, fast, 0)
	l.link(0)
	if err := unix.IoctlSetInt(int(l.slave.Fd()), unix.TIOCEXCL, 0); err != nil {
		t.Fatal(err)
	}
	l.slave.Close()
	excl := func() int {
		fd, err := unix.Open(l.path, unix.O_RDWR|unix.O_NOCTTY, 0) // root is let in all the same
		if errors.Is(err, unix.EBUSY) {
			return 1
		}
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		v, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if excl() == 0 {
		t.Fatal("the mark did not outlive its owner: this test shows nothing")
	}
	for deadline := time.Now().Add(5 * time.Second); excl() != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the line stays exclusive")
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.open()
	l.write("ff 53 00 08 00 06 60 89 cc")
	l.want("ff 53 80 08 00 06 40 3b ca")
}

func TestLinkInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus0")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.OpenPty(path); err == nil {
		t.Fatal("a file of somebody else was replaced")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/pts/no-such", path); err != nil { // left by a killed run
		t.Fatal(err)
	}
	p, err := bus.OpenPty(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
