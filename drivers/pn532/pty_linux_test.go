package pn532_test

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/pn532"
)

// master is the module's end of a pty; it needs no time-outs.
type master struct{ *os.File }

func (master) SetReadTimeout(time.Duration) error { return nil }

// The driver on the system's serial port, against the module in real time.
func TestRealPTY(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	m := newModule()
	var served, ran sync.WaitGroup
	served.Go(func() { m.serve(master{ptmx}) })
	port, err := line.Serial(tty.Name(), pn532.DefaultBaud)()
	if err != nil {
		t.Fatal(err)
	}
	about, err := pn532.Probe(t.Context(), port)
	if err != nil || !about.IsPN532() {
		t.Errorf("probe: %v, %v", about, err)
	}
	port.Close()
	m.reset()

	r, rec := mustReader(t, proving(t, drivers.ProofCryptographic), line.Serial(tty.Name(), pn532.DefaultBaud)), &drivertest.Recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	ran.Go(func() {
		if err := r.Run(ctx, rec); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	await(t, "online", func() bool { return rec.Last().Online })
	var took []time.Duration
	for i := range 10 {
		began := time.Now()
		m.hold(issued(siteKey, append([]byte{4, byte(i)}, uid7[2:]...)))
		await(t, "the card", count(rec, i+1))
		took = append(took, time.Since(began))
		m.hold()
		time.Sleep(time.Duration(480+i*13) * time.Millisecond) // long enough to have gone
	}
	for _, x := range rec.Readings() {
		if x.Proof != drivers.ProofCryptographic {
			t.Errorf("proof %s", x.Proof)
		}
	}
	slices.Sort(took)
	t.Logf("card to proven reading on a pty, the module taking 5 ms an answer: p50 %v max %v", took[5], took[9])
	cancel()
	ran.Wait()
	tty.Close()
	ptmx.Close()
	served.Wait()
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("waited 20 s for: %s", what)
		}
	}
}
