package qemu

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel kill the program when this thread ends. A group
// of its own keeps a terminal's interrupt from it: we end it.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
