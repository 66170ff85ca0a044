package pn532_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/drivers/line"
	"sekimori/drivers/pn532"
)

// probe runs Probe against a module in virtual time.
func probe(t *testing.T, m *module, check func(pn532.Firmware, error, time.Duration)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := line.PairAt(115200)
		var wg sync.WaitGroup
		wg.Go(func() { m.serve(theirs) })
		defer wg.Wait()
		defer ours.Close()
		began := time.Now()
		about, err := pn532.Probe(t.Context(), ours)
		check(about, err, time.Since(began))
		if _, err := ours.Write([]byte{0}); err != nil {
			t.Errorf("the port is not left open: %v", err)
		}
	})
}

func TestProbe(t *testing.T) {
	probe(t, newModule(), func(about pn532.Firmware, err error, took time.Duration) {
		if err != nil || about.String() != "PN532 firmware 1.6" || took > 100*time.Millisecond {
			t.Errorf("%v, %v after %v", about, err, took)
		}
	})
	slow := newModule()
	slow.loseACK, slow.delay = 1, 50*time.Millisecond
	probe(t, slow, func(about pn532.Firmware, err error, _ time.Duration) {
		if err != nil || !about.IsPN532() {
			t.Errorf("slow: %v, %v", about, err)
		}
	})
	absent := newModule()
	absent.unplugged = true
	other := newModule()
	other.ic = 0x07
	for name, m := range map[string]*module{"silence": absent, "another chip": other} {
		probe(t, m, func(_ pn532.Firmware, err error, took time.Duration) {
			if !errors.Is(err, pn532.ErrNoModule) || took > 1500*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, took)
			}
		})
	}
}

// A port that another device babbles on, one that echoes and one that fails.
func TestProbeOfOtherThings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := line.PairAt(9600)
		var wg sync.WaitGroup
		wg.Go(func() { // a loopback plug
			buf := make([]byte, 64)
			for {
				n, err := theirs.Read(buf)
				if err != nil {
					return
				}
				theirs.Write(buf[:n])
			}
		})
		if _, err := pn532.Probe(t.Context(), ours); !errors.Is(err, pn532.ErrNoModule) {
			t.Errorf("an echo: %v", err)
		}
		ours.Close()
		wg.Wait()
		if _, err := pn532.Probe(t.Context(), ours); !errors.Is(err, line.ErrClosed) {
			t.Errorf("a closed port: %v", err)
		}
		silent, _ := line.Pair()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := pn532.Probe(ctx, silent); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 450*time.Millisecond {
			t.Errorf("a context that ended: %v after %v", err, time.Since(began))
		}
	})
}
