package fingerprint_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"sekimori/drivers/drivertest"
	"sekimori/drivers/fingerprint"
	"sekimori/drivers/line"
)

// envModule makes this test binary the module at the other end of a pty.
const envModule = "SEKIMORI_TEST_FINGERPRINT_MODULE"

func TestMain(m *testing.M) {
	if os.Getenv(envModule) == "" {
		os.Exit(m.Run())
	}
	pretend := bound()
	for _, f := range []int{sugiNoYubi, stranger, sugiNoYubi} {
		pretend.touch(touch{finger: f})
	}
	pretend.serve(os.NewFile(3, "pty"))
}

// A module in another process, over a pty, by the operating system's clock.
func TestRealPTY(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close() // open until the end: without a slave the module reads EIO
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envModule+"=1")
	cmd.ExtraFiles = []*os.File{ptmx}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ptmx.Close()
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()

	port, err := line.Serial(tty.Name(), fingerprint.DefaultBaud)()
	if err != nil {
		t.Fatal(err)
	}
	probed, err := fingerprint.Probe(t.Context(), port)
	if err != nil || !probed.Bound {
		t.Errorf("probed %+v, %v", probed, err)
	}
	port.Close()

	reader := mustReader(t, settings(t), line.Serial(tty.Name(), fingerprint.DefaultBaud))
	rec := &drivertest.Recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = reader.Run(ctx, rec) })
	r := &rig{t: t, reader: reader, rec: rec}
	r.until(20*time.Second, "three touches", func() bool { return len(r.slots()) >= 3 })
	if got := r.slots(); !slices.Equal(got, []int{7, 0, 7}) {
		t.Errorf("slots %v", got)
	}
	if n, err := reader.Count(ctx); n != 1 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
	if err := reader.Delete(ctx, 7); err != nil {
		t.Error(err)
	}
	if n, err := reader.Count(ctx); n != 0 || err != nil {
		t.Errorf("counted %d after the deletion, %v", n, err)
	}
	if _, err := line.Serial(tty.Name(), fingerprint.DefaultBaud)(); err == nil {
		t.Error("a second program could open the port")
	}
}
