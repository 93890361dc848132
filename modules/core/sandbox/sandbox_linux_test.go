package sandbox_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/rootless"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv(enduranceEnv); ok {
		os.Exit(endure(dir))
	}
	if rootless.Needed() && os.Getenv(kerneltest.RequireEnv) != "" {
		os.Exit(insideRootless())
	}
	os.Exit(kerneltest.Main(m, kerneltest.Leaks{}))
}

// insideRootless runs this program once more, in a user namespace in which an
// ordinary user is root.
func insideRootless() int {
	args := append([]string{"/proc/self/exe"}, os.Args[1:]...)
	exit, err := rootless.Run(context.Background(), args, os.Environ(), rootless.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return exit.Code
}

// TestRootless: this is so for an ordinary user too, whose containers have the ids
// of who starts them.
func TestRootless(t *testing.T) {
	if idmap.Confined() {
		t.Skip("this is the ordinary user")
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(dir, "image"), os.DirFS(image(t))))
	const pattern = "^Test(Exec|ExecErrors|ExecUnreadable|UserExec|UserExecUnreadable|Terminal|UserNamespace|UserHostNetwork)$"
	kerneltest.AsUser(t, dir, pattern, imageEnv+"="+filepath.Join(dir, "image"), longEnv+"="+os.Getenv(longEnv))
}

// report is what the probe tells about itself.
type report struct {
	Args, Env  []string
	Dir        string
	Hostname   string
	UID, GID   int
	Groups     []int
	PID, SID   int
	Umask      int
	Files      map[string]string
	Namespaces map[string]string
	Status     map[string]string
	Mounts     []string
	Cgroup     string
	Limits     struct{ Cur, Max uint64 }
	Interfaces string
	Keyring    int
	IOPriority int
	Scheduler  struct {
		Policy uint32
		Nice   int32
	}
	Boottime int64
}

// buildProbe compiles the probe once for all tests.
var buildProbe = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "probe")
	if err := kerneltest.Build(out, "./testdata/probe", "GOFLAGS=-trimpath"); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// imageEnv names a root file system for who cannot build one.
const imageEnv = "CTST_TEST_IMAGE"

// image makes a root file system: the probe under all its names, and mount
// points. It returns its path.
func image(t testing.TB) string {
	t.Helper()
	kerneltest.RequireRoot(t)
	kerneltest.RequireKernel(t, 5, 14)
	dir := t.TempDir()
	if ready, ok := os.LookupEnv(imageEnv); ok {
		require.NoError(t, os.Remove(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS(ready)))
		require.NoError(t, os.Chmod(dir, 0o755))
		return dir
	}
	probe, err := buildProbe()
	require.NoError(t, err)
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp", "work", "empty"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/probe"), probe, 0o755))
	for _, name := range []string{"exit", "kill", "wait", "try", "peek", "call", "tty", "repeat", "init", "orphans", "orphan", "hear"} {
		require.NoError(t, os.Symlink("probe", filepath.Join(dir, "bin", name)))
	}
	return dir
}

// spec describes a container with the defaults that most tests want. Its files
// are closed after the test.
func spec(t testing.TB, dir string, args ...string) sandbox.Spec {
	t.Helper()
	root, err := rootfs.Folder(dir, rootfs.Bind{})
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	return sandbox.Spec{
		Root:         root,
		ReadOnlyRoot: true,
		Plan:         rootfs.Default(),
		Command:      sandbox.Command{Args: args, Env: []string{"PATH=/bin"}, NewSession: true, Stderr: os.Stderr},
	}
}

// start launches with a pipe for the output, and ends the process with the test.
func start(t testing.TB, s sandbox.Spec) (*sandbox.Process, io.Reader) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	s.Stdout = w
	p, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
	require.NoError(t, w.Close())
	require.NoError(t, err)
	endWith(t, p)
	return p, r
}

func endWith(t testing.TB, p *sandbox.Process) {
	t.Cleanup(func() {
		_ = p.Signal(9) // most have ended
		_, err := p.Wait(context.Background())
		require.NoError(t, err)
		require.NoError(t, p.Close())
	})
}

// output runs a container to its end and returns what it wrote.
func output(t testing.TB, s sandbox.Spec) string {
	t.Helper()
	p, r := start(t, s)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	exit, err := p.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, container.ExitStatus{}, exit, "output: %s", out)
	return string(out)
}

// observe runs the probe in a container.
func observe(t testing.TB, s sandbox.Spec) report {
	t.Helper()
	s.Args = append([]string{"probe"}, s.Args[1:]...)
	return decode(t, output(t, s))
}

func decode(t testing.TB, out string) (r report) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(out), &r), "output: %s", out)
	return r
}

// running starts the program wait and returns when it is there.
func running(t testing.TB, s sandbox.Spec) *sandbox.Process {
	t.Helper()
	s.Args = []string{"wait"}
	p, r := start(t, s)
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return p
}

// execute runs a command in a container and returns what it wrote.
func execute(t testing.TB, target *sandbox.Process, c sandbox.Command) (string, container.ExitStatus) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	c.Stdout = w
	if c.Env == nil {
		c.Env = []string{"PATH=/bin"}
	}
	p, err := sandbox.Exec(t.Context(), target, sandbox.ExecSpec{Command: c}, sandbox.Options{})
	require.NoError(t, w.Close())
	require.NoError(t, err)
	defer p.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	exit, err := p.Wait(t.Context())
	require.NoError(t, err)
	return string(out), exit
}

// ownNamespaces are those of the test itself.
func ownNamespaces(t testing.TB) map[string]string {
	t.Helper()
	ns := map[string]string{}
	names, err := filepath.Glob("/proc/thread-self/ns/*")
	require.NoError(t, err)
	for _, name := range names {
		link, err := os.Readlink(name)
		require.NoError(t, err)
		ns[filepath.Base(name)] = link
	}
	return ns
}

// mountFields returns, for each mount that a report has, its point and options.
func mountFields(r report) map[string]string {
	m := map[string]string{}
	for _, line := range r.Mounts {
		f := strings.Fields(line)
		m[f[4]] = f[5]
	}
	return m
}

func itoa(n int) string { return strconv.Itoa(n) }

// alone runs f on a thread that no other goroutine will use again.
func alone(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread does not end with its goroutine, and is what
			// /proc/self shows. While this one holds it, another gets another.
			defer runtime.UnlockOSThread()
			alone(t, f)
			return
		}
		f() // not unlocked: the thread ends with the goroutine
	}()
	<-done
}
