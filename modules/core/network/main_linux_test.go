package network_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const insideEnv = "CTST_NETWORK_TEST_INSIDE"

// TestMain runs the tests again in network and mount namespaces of their own,
// which stand for the host: neither its interfaces and tables nor its mounts
// are touched, and what a test leaves behind is seen.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// With CLONE_NEWNS here, the root is made private too.
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the tests in namespaces of their own:", err)
		os.Exit(1)
	}
}
