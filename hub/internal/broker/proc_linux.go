package broker

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end the child with us, even if we are killed
// before the end of its stdin can tell it.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
