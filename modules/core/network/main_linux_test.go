package network_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/containust/containust/modules/core/kerneltest"
)

const insideEnv = "CTST_NETWORK_TEST_INSIDE"

// TestMain runs the tests in a network namespace of their own, which stands for
// the host: the machine's interfaces and tables are not touched, and everything
// that a test leaves behind is seen.
func TestMain(m *testing.M) {
	if os.Geteuid() == 0 && os.Getenv(insideEnv) == "" {
		os.Exit(runInside())
	}
	os.Exit(kerneltest.Main(m, kerneltest.Leaks{Interfaces: "ctst"}))
}

func runInside() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// The signal above follows the thread that starts the process.
	runtime.LockOSThread()
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run the tests in a network namespace:", err)
		return 1
	}
	return 0
}
