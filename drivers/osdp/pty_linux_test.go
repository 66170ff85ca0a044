package osdp_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/drivers/drivertest"
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
	baud, err := strconv.Atoi(os.Getenv(envModel))
	if err != nil {
		panic(err)
	}
	w := newWire(master{os.NewFile(3, "pty"), baud}, modelled(0), modelled(1))
	<-w.done
}

// modelled is a reader that speaks in clear text and under ownKey.
func modelled(addr byte) *reader {
	r := newReader(addr)
	r.hidden.key = ownKey[:]
	return r
}

// master is the reader's end of a pty; it needs no time-outs. With a baud its
// bytes come one by one, as from a wire, and the command before them has taken
// its time too.
type master struct {
	*os.File
	baud int
}

func (m master) Write(p []byte) (int, error) {
	if m.baud == 0 {
		return m.File.Write(p)
	}
	char := 10 * time.Second / time.Duration(m.baud)
	began := time.Now()
	const command = 9 // bytes: of a POLL
	for i := range p {
		time.Sleep(time.Until(began.Add(time.Duration(command+i+1) * char)))
		if _, err := m.File.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

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
	w := newWire(master{ptmx, 0}, pd)
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

// BenchmarkCPU tells how much of a core a bus takes in this process, as the
// metric core-% of five seconds: at rest with two readers, and while people are
// about, with one. The readers are another process.
func BenchmarkCPU(b *testing.B) {
	for _, baud := range []int{9600, 115200} {
		for _, rest := range []bool{false, true} {
			for _, secure := range []bool{false, true} {
				b.Run(fmt.Sprintf("%d/%s/%s", baud, pick(rest, "rest", "busy"), pick(secure, "secure", "clear")), func(b *testing.B) {
					benchmarkCPU(b, baud, rest, secure)
				})
			}
		}
	}
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

func benchmarkCPU(b *testing.B, baud int, rest, secure bool) {
	ptmx, path := openPTY(b)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envModel+"="+strconv.Itoa(baud))
	child.ExtraFiles = []*os.File{ptmx}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { child.Process.Kill(); child.Wait() })
	cfg := osdp.Config{Baud: baud, Readers: []osdp.ReaderConfig{{Reader: "in", Address: 0}}}
	if rest {
		cfg.Readers = append(cfg.Readers, osdp.ReaderConfig{Reader: "out", Address: 1})
	}
	if secure {
		for i := range cfg.Readers {
			key := ownKey
			cfg.Readers[i].Key = &key
		}
	}
	recs := started(b, mustBus(b, cfg, line.Serial(path, baud)))
	for _, rec := range recs {
		await(b, "online", isOnline(rec))
	}
	if rest {
		time.Sleep(31 * time.Second) // nobody has been about for half a minute
	}
	const span = 5 * time.Second
	before := cpu(b)
	for range b.N {
		time.Sleep(span)
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(span)/float64(b.N)*100, "core-%")
	b.ReportMetric(0, "ns/op")
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// started runs all readers of a bus until the test ends.
func started(t testing.TB, bus *osdp.Bus) []*drivertest.Recorder {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(cancel)
	recs := []*drivertest.Recorder{}
	for _, r := range bus.Readers() {
		rec := &drivertest.Recorder{}
		recs = append(recs, rec)
		wg.Go(func() {
			if err := r.Run(ctx, rec); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	return recs
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !ok(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited 10 s for: %s", what)
		}
	}
}
