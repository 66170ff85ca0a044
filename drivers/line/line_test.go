package line_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers/line"
)

func TestPairTimesOutAsASerialPortDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := line.Pair()
		var buf [16]byte
		for _, d := range []time.Duration{0, time.Millisecond, 200 * time.Millisecond} {
			a.SetReadTimeout(d)
			began := time.Now()
			if n, err := a.Read(buf[:]); n != 0 || err != nil {
				t.Errorf("time-out %v: %d, %v", d, n, err)
			}
			if took := time.Since(began); took != d {
				t.Errorf("time-out %v took %v", d, took)
			}
		}
		b.Write([]byte("ab"))
		b.Write([]byte("c"))
		if n, err := a.Read(buf[:]); string(buf[:n]) != "abc" || err != nil {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		a.SetReadTimeout(line.NoTimeout)
		go func() { time.Sleep(time.Hour); b.Write([]byte("late")) }()
		if n, _ := a.Read(buf[:]); string(buf[:n]) != "late" {
			t.Errorf("read %q after an hour", buf[:n])
		}
	})
}

func TestPairAtTakesWireTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := line.PairAt(9600) // 1.0416 ms a byte
		began := time.Now()
		b.Write(make([]byte, 4))
		b.Write(make([]byte, 4))
		a.SetReadTimeout(line.NoTimeout)
		var buf [16]byte
		for got := 0; got < 8; {
			n, err := a.Read(buf[:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if took := time.Since(began); took < 8300*time.Microsecond || took > 8400*time.Microsecond {
			t.Errorf("8 bytes took %v", took)
		}
	})
}

// The wire is a full-duplex one: each direction takes its own time, one byte
// after the other from when it was free, and silence saves none up.
func TestPairAtPacesEachDirection(t *testing.T) {
	for _, baud := range []int{9600, 19200, 38400, 57600, 115200, 230400} {
		synctest.Test(t, func(t *testing.T) {
			a, b := line.PairAt(baud)
			char := 10 * time.Second / time.Duration(baud)
			began := time.Now()
			// arrivals reads n bytes and checks when each of them came.
			arrivals := func(p line.Port, due ...time.Duration) <-chan struct{} {
				done := make(chan struct{})
				go func() {
					defer close(done)
					p.SetReadTimeout(line.NoTimeout)
					for i, want := range due {
						var one [1]byte
						if n, err := p.Read(one[:]); n != 1 || err != nil || one[0] != byte(i) {
							t.Errorf("%d baud: byte %d: %d %v %v", baud, i, n, one, err)
						}
						if took := time.Since(began); took != want {
							t.Errorf("%d baud: byte %d came after %v, want %v", baud, i, took, want)
						}
					}
				}()
				return done
			}
			// a→b: 2 bytes at 0; 1 byte at 1.5 characters, which waits for
			// the wire; 1 byte at 10, which does not. b→a: 2 bytes at 1.
			toB := arrivals(b, char, 2*char, 3*char, 11*char)
			toA := arrivals(a, 2*char, 3*char)
			a.Write([]byte{0, 1})
			time.Sleep(char)
			b.Write([]byte{0, 1})
			time.Sleep(char / 2)
			a.Write([]byte{2})
			time.Sleep(10*char - time.Since(began))
			a.Write([]byte{3})
			<-toB
			<-toA
		})
	}
}

// Bytes that nobody has read yet do not let the next ones come sooner.
func TestPairAtSavesNoTimeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := line.PairAt(9600)
		a.Write([]byte{1})
		time.Sleep(time.Second) // it has arrived, unread
		a.Write([]byte{2})
		b.SetReadTimeout(line.NoTimeout)
		began := time.Now()
		var buf [2]byte
		if n, err := b.Read(buf[:]); n != 1 || err != nil || time.Since(began) != 0 {
			t.Errorf("%d bytes at once, %v", n, err)
		}
		if n, err := b.Read(buf[:]); n != 1 || err != nil || time.Since(began) != 10*time.Second/9600 {
			t.Errorf("%d bytes after %v, %v", n, time.Since(began), err)
		}
	})
}

// A time-out between two bytes gives what has come, and a close lets what is on
// the wire arrive.
func TestPairAtInTheMiddleOfAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := line.PairAt(9600)
		a.Write(make([]byte, 10))
		a.Close()
		b.SetReadTimeout(5200 * time.Microsecond) // 4.99 characters
		var buf [16]byte
		time.Sleep(5200 * time.Microsecond)
		if n, err := b.Read(buf[:]); n != 4 || err != nil {
			t.Errorf("%d bytes after 4.99 characters, %v", n, err)
		}
		time.Sleep(time.Second)
		if n, err := b.Read(buf[:]); n != 6 || err != nil {
			t.Errorf("then %d bytes, %v", n, err)
		}
		if _, err := b.Read(buf[:]); !errors.Is(err, line.ErrGone) {
			t.Errorf("then %v", err)
		}
	})
}

func TestCloseEndsBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := line.Pair()
		got := make(chan error, 2)
		for _, p := range []line.Port{a, b} {
			go func() { _, err := p.Read(make([]byte, 1)); got <- err }()
		}
		synctest.Wait()
		a.Close()
		one, two := <-got, <-got
		if !(errors.Is(one, line.ErrClosed) && errors.Is(two, line.ErrGone) || errors.Is(two, line.ErrClosed) && errors.Is(one, line.ErrGone)) {
			t.Errorf("reads ended with %v and %v", one, two)
		}
		if _, err := b.Write([]byte{1}); !errors.Is(err, line.ErrGone) {
			t.Errorf("write to a port that is gone: %v", err)
		}
		if _, err := a.Write([]byte{1}); !errors.Is(err, line.ErrClosed) {
			t.Errorf("write to a closed port: %v", err)
		}
	})
}

func TestKeepReopensWithBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var opened []time.Duration
		began := time.Now()
		downs := 0
		line.Keep(ctx, func() (line.Port, error) {
			opened = append(opened, time.Since(began))
			if len(opened) < 7 {
				return nil, io.ErrUnexpectedEOF
			}
			a, _ := line.Pair()
			return a, nil
		}, func(_ context.Context, p line.Port) error {
			time.AfterFunc(time.Minute, cancel) // the end of ctx must end the Read
			p.SetReadTimeout(line.NoTimeout)
			_, err := p.Read(make([]byte, 1))
			return err
		}, func(err error) {
			downs++
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("down: %v", err)
			}
		})
		if downs != 6 || opened[1] != 100*time.Millisecond || opened[2] != 300*time.Millisecond || opened[6]-opened[5] != time.Second {
			t.Errorf("%d failures, opened at %v", downs, opened)
		}
	})
}
