package kerneltest_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// leakEnv makes TestLeak leave something behind.
const leakEnv = "KERNELTEST_LEAK"

var leakDir = os.Getenv("KERNELTEST_DIR")

func TestMain(m *testing.M) {
	leaks := kerneltest.Leaks{Interfaces: "leak"}
	if leakDir != "" {
		leaks.Cgroups = []string{leakDir}
	}
	os.Exit(kerneltest.Main(m, leaks))
}

func TestLeak(t *testing.T) {
	switch os.Getenv(leakEnv) {
	case "":
		t.Skip("is a part of TestLeaksAreFound")
	case "nothing":
		signal.Ignore(unix.SIGUSR1)
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGUSR2)
		signal.Stop(c)
	case "file":
		_, err := unix.Open("/", unix.O_RDONLY, 0)
		require.NoError(t, err)
	case "goroutine":
		go func() { select {} }()
	case "mount":
		require.NoError(t, unix.Mount("none", leakDir, "tmpfs", 0, ""))
	case "child":
		require.NoError(t, exec.Command("/bin/true").Start())
	case "cgroup":
		require.NoError(t, os.Mkdir(filepath.Join(leakDir, "one"), 0o755))
	case "root":
		kerneltest.Missing(t, "root", "the reason is %d", 42)
	case "kernel":
		kerneltest.RequireKernel(t, 99, 0)
	case "controller":
		kerneltest.RequireController(t, leakDir, "none")
	}
}

func TestLeaksAreFound(t *testing.T) {
	if os.Getenv(leakEnv) != "" {
		t.Skip("runs TestLeak")
	}
	for kind, want := range map[string]string{
		"nothing":   "",
		"file":      "open file",
		"goroutine": "goroutines: ",
		"mount":     "mount ",
		"child":     "child process",
		"cgroup":    "cgroup ",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if kind == "mount" {
				kerneltest.RequireRoot(t)
			}
			out, err := leak(t, kind, "")
			if want == "" {
				require.NoError(t, err, out)
				return
			}
			require.Error(t, err, out)
			require.Contains(t, out, "the tests left behind:\n\t"+want)
		})
	}
}

// A requirement skips, or fails where the environment asks for it.
func TestRequirements(t *testing.T) {
	if os.Getenv(leakEnv) != "" {
		t.Skip("runs TestLeak")
	}
	for kind, capability := range map[string]string{"root": "root", "kernel": "kernel", "controller": "none"} {
		out, err := leak(t, kind, "")
		require.NoError(t, err, out)
		require.Contains(t, out, "--- SKIP: TestLeak")
		out, err = leak(t, kind, "something,else")
		require.NoError(t, err, out)
		out, err = leak(t, kind, "something,"+capability)
		require.Error(t, err, out)
		require.Contains(t, out, "required by CTST_TEST_REQUIRE")
	}
	kerneltest.RequireKernel(t, 2, 6)
}

// leak runs TestLeak in a process of its own.
func leak(t *testing.T, kind, require string) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLeak$", "-test.v")
	cmd.Env = []string{leakEnv + "=" + kind, "KERNELTEST_DIR=" + t.TempDir(), kerneltest.RequireEnv + "=" + require, "TMPDIR=" + os.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
