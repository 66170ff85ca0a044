// Command guest is process 1 of the virtual machine of `make vm-test`: it makes
// the machine fit for a test, runs /vmtest.test and switches off. The host reads
// the lines that begin with "vmtest:" on the serial console.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const modules = "/modules" // *.ko, in the order they are to be loaded

func main() {
	code := 1
	if err := prepare(); err != nil {
		fmt.Println("vmtest: not prepared:", err)
	} else {
		code = test()
	}
	fmt.Printf("vmtest: exit=%d\n", code)
	unix.Sync()
	// The console is a serial line: what is still in its buffer dies with the power.
	time.Sleep(200 * time.Millisecond)
	fmt.Println("vmtest: not switched off:", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

func prepare() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}} {
		if err := mount(m[0], m[1]); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(modules + "/*.ko")
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := load(f); err != nil {
			return fmt.Errorf("load %s: %w", f, err)
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	uptime, err := os.ReadFile("/proc/uptime")
	fmt.Printf("vmtest: kernel=%s version=%q up=%ss modules=%d\n", unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Version[:]),
		strings.Fields(string(uptime) + " ?")[0], len(files))
	return errors.Join(err, mount("configfs", "/sys/kernel/config"), loopback())
}

func mount(kind, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, at, kind, 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	return nil
}

func load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// loopback brings up the one interface there is, for a pretend hub in the test.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}

// test runs the tests with what follows "--" on the kernel's command line.
func test() int {
	cmd := exec.Command("/vmtest.test", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = os.Stdout, os.Stderr, "/tmp"
	cmd.Env = []string{"PATH=/", "HOME=/tmp", "TMPDIR=/tmp", "GOTRACEBACK=single"}
	began := time.Now()
	err := cmd.Run()
	fmt.Printf("vmtest: tested in %.1fs\n", time.Since(began).Seconds())
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return failed.ExitCode()
	}
	if err != nil {
		fmt.Println("vmtest:", err)
		return 1
	}
	return 0
}
