package line_test

import (
	"errors"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/drivers/line"
)

func TestSerialOnAPTY(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	port, err := line.Serial(tty.Name(), 9600)()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	if _, err := line.Serial(tty.Name(), 9600)(); !errors.Is(err, line.ErrBusy) {
		t.Errorf("second opening: %v, want ErrBusy", err)
	}
	port.SetReadTimeout(20 * time.Millisecond)
	var buf [8]byte
	began := time.Now()
	if n, err := port.Read(buf[:]); n != 0 || err != nil || time.Since(began) < 15*time.Millisecond {
		t.Errorf("time-out: %d, %v after %v", n, err, time.Since(began))
	}
	// Every byte value must pass: the line is raw in both directions.
	for _, b := range []byte{0x00, 0x03, 0x0A, 0x0D, 0x11, 0x13, 0x7F, 0xFF} {
		port.Write([]byte{b})
		if _, err := ptmx.Read(buf[:1]); err != nil || buf[0] != b {
			t.Errorf("%02X went out as %02X, %v", b, buf[0], err)
		}
		ptmx.Write([]byte{b})
		port.SetReadTimeout(time.Second)
		if n, err := port.Read(buf[:]); n != 1 || err != nil || buf[0] != b {
			t.Errorf("%02X came in as % X, %v", b, buf[:n], err)
		}
	}
	// Nobody reads, yet Write must not block for ever.
	done := make(chan bool)
	go func() {
		for range 3000 {
			port.SetReadTimeout(0)
			port.Read(buf[:])
			port.Write(buf[:])
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("writes to a line nobody reads block")
	}
	port.SetReadTimeout(line.NoTimeout)
	tty.Close()
	go ptmx.Close()
	for err == nil {
		_, err = port.Read(buf[:])
	}
	port.Close()
	if _, err := line.Serial("/dev/no-such-port", 9600)(); err == nil {
		t.Error("opened a port that is not there")
	}
}
