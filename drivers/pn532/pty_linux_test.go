package pn532_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/drivers"
	"sekimori/drivers/drivertest"
	"sekimori/drivers/line"
	"sekimori/drivers/pn532"
)

// envModel makes this test binary the module at the other end of a pty, so that
// the processor time of the driver can be told from the model's.
const envModel = "SEKIMORI_TEST_PN532_MODULE"

func TestMain(m *testing.M) {
	if os.Getenv(envModel) == "" {
		os.Exit(m.Run())
	}
	newModule().serve(master{os.NewFile(3, "pty")})
}

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
	for i := range 6 {
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
	t.Logf("card to proven reading on a pty, the module taking 5 ms an answer: p50 %v max %v", took[3], took[5])
	cancel()
	ran.Wait()
	tty.Close()
	ptmx.Close()
	served.Wait()
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("waited 20 s for: %s", what)
		}
	}
}

// BenchmarkIdleCPU tells how much of a core a reader without a card takes: the
// metric core-% of five seconds each.
func BenchmarkIdleCPU(b *testing.B) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envModel+"=1")
	child.ExtraFiles = []*os.File{ptmx}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	r, rec := mustReader(b, plain(), line.Serial(tty.Name(), pn532.DefaultBaud)), &drivertest.Recorder{}
	ctx, cancel := context.WithCancel(b.Context())
	var ran sync.WaitGroup
	defer ran.Wait()
	defer cancel()
	ran.Go(func() { r.Run(ctx, rec) })
	await(b, "online", func() bool { return rec.Last().Online })
	const span = 5 * time.Second
	before := processorTime(b)
	for range b.N {
		time.Sleep(span)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(span)/float64(b.N)*100, "core-%")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
