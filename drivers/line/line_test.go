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
