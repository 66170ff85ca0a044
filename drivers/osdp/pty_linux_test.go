package osdp_test

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
)

// envModel makes this test binary the readers of a pty, so that the processor
// time of the driver can be told from the model's.
const envModel = "SEKIMORI_TEST_OSDP_READERS"

func TestMain(m *testing.M) {
	if os.Getenv(envModel) == "" {
		os.Exit(m.Run())
	}
	w := newWire(master{os.NewFile(3, "pty")}, newReader(0), newReader(1))
	<-w.done
}

// master is the reader's end of a pty; it needs no time-outs.
type master struct{ *os.File }

func (master) SetReadTimeout(time.Duration) error { return nil }

func openPTY(t testing.TB) (ptmx *os.File, path string) {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	// The slave stays open until the end: without one the master reads EIO.
	t.Cleanup(func() { tty.Close(); ptmx.Close() })
	return ptmx, tty.Name()
}

func TestRealPTY(t *testing.T) {
	ptmx, path := openPTY(t)
	pd := newReader(9)
	w := newWire(master{ptmx}, pd)
	cfg := oneReader(9)
	cfg.Baud = 115200
	rec := started(t, mustBus(t, cfg, line.Serial(path, cfg.Baud)))[0]
	await(t, "online", isOnline(rec))
	if _, err := line.Serial(path, 9600)(); err == nil {
		t.Error("a second program could open the bus")
	}
	var took []time.Duration
	for i := range 40 {
		began := time.Now()
		pd.Present(card(t, 26, byte(i), 2, 3, 0x40))
		await(t, "the card", func() bool { return len(rec.Readings()) == i+1 })
		took = append(took, time.Since(began))
		time.Sleep(time.Duration(300+i%7*13) * time.Millisecond / 4)
	}
	slices.Sort(took)
	t.Logf("card to reading on a pty at 115200: p50 %v p90 %v max %v", took[20], took[36], took[39])
	ptmx.Close()
	<-w.done
}

// BenchmarkIdleCPU tells how much of a core an idle bus of two readers takes:
// the metric core-% of five seconds each.
func BenchmarkIdleCPU(b *testing.B) {
	for _, baud := range []int{9600, 115200} {
		b.Run(map[int]string{9600: "9600", 115200: "115200"}[baud], func(b *testing.B) {
			ptmx, path := openPTY(b)
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), envModel+"=1")
			child.ExtraFiles = []*os.File{ptmx}
			if err := child.Start(); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { child.Process.Kill(); child.Wait() })
			cfg := osdp.Config{Baud: baud, Readers: []osdp.ReaderConfig{{Reader: "in", Address: 0}, {Reader: "out", Address: 1}}}
			recs := started(b, mustBus(b, cfg, line.Serial(path, baud)))
			await(b, "online", func() bool { return recs[0].Last().Online && recs[1].Last().Online })
			const span = 5 * time.Second
			before := cpu(b)
			for range b.N {
				time.Sleep(span)
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(span)/float64(b.N)*100, "core-%")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
