package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestExec(t *testing.T) {
	s := spec(t, image(t))
	s.Hostname = "box"
	p := running(t, s)
	out, exit := execute(t, p, sandbox.Command{
		Args: []string{"probe", "x"}, Env: []string{"PATH=/bin", "B=1"}, Dir: "/work",
		UID: 1000, GID: 1000, Groups: []uint32{9}, NewSession: true,
		Capabilities: capability.Of(capability.CHOWN),
	})
	require.Equal(t, container.ExitStatus{}, exit)
	r := decode(t, out)
	require.Equal(t, []string{"probe", "x"}, r.Args)
	require.Equal(t, []string{"PATH=/bin", "B=1"}, r.Env)
	require.Equal(t, "/work", r.Dir)
	require.Equal(t, "box", r.Hostname)
	require.Greater(t, r.PID, 1, "not the container's first process")
	require.Equal(t, []int{9}, r.Groups)
	require.Equal(t, "0000000000000001", r.Status["CapEff"])
	require.Equal(t, "0000000000000001", r.Status["CapBnd"])
	require.Equal(t, "1", r.Status["NoNewPrivs"])
	for fd := range r.Files {
		require.Contains(t, []string{"0", "1", "2"}, fd, "open: %v", r.Files)
	}
	for _, ns := range []string{"pid", "mnt", "net", "ipc", "uts", "cgroup"} {
		want, err := os.Readlink(filepath.Join("/proc", itoa(p.PID()), "ns", ns))
		require.NoError(t, err)
		require.Equal(t, want, r.Namespaces[ns])
	}

	_, exit = execute(t, p, sandbox.Command{Args: []string{"exit", "7"}})
	require.Equal(t, container.ExitStatus{Code: 7}, exit)
}

func TestExecErrors(t *testing.T) {
	p := running(t, spec(t, image(t)))
	_, err := sandbox.Exec(t.Context(), p, sandbox.ExecSpec{Command: sandbox.Command{Args: []string{"/nothing"}}}, sandbox.Options{})
	var notRun *sandbox.ExecError
	require.ErrorAs(t, err, &notRun)
	require.Equal(t, 127, notRun.ExitCode())

	_, err = sandbox.Exec(t.Context(), p, sandbox.ExecSpec{Command: sandbox.Command{Args: []string{"/bin/probe"}, Dir: "/bin/probe"}}, sandbox.Options{})
	require.EqualError(t, err, "sandbox: enter the working directory /bin/probe: not a directory")

	require.NoError(t, p.Signal(syscall.SIGKILL))
	_, err = p.Wait(t.Context())
	require.NoError(t, err)
	_, err = sandbox.Exec(t.Context(), p, sandbox.ExecSpec{Command: sandbox.Command{Args: []string{"/bin/probe"}}}, sandbox.Options{})
	require.EqualError(t, err, "sandbox: enter the container: no such process")

	require.NoError(t, p.Close())
	_, err = sandbox.Exec(t.Context(), p, sandbox.ExecSpec{Command: sandbox.Command{Args: []string{"/bin/probe"}}}, sandbox.Options{})
	require.ErrorIs(t, err, os.ErrClosed)
}

// A process in the container must not reach the memory of the caller through
// the child of an exec, which shares it and is visible there.
func TestExecUnreadable(t *testing.T) {
	s := spec(t, image(t))
	s.Args = []string{"peek"}
	p, r := start(t, s)
	lines := bufio.NewReader(r)
	_, err := lines.ReadString('\n')
	require.NoError(t, err)
	for range rounds(300) {
		_, exit := execute(t, p, sandbox.Command{Args: []string{"exit", "0"}})
		require.Equal(t, container.ExitStatus{}, exit)
	}
	require.NoError(t, p.Signal(syscall.SIGTERM))
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "done\n", line)

	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	require.NoError(t, err)
	require.Equal(t, 1, dumpable, "afterwards as before")
}

func TestWaitContext(t *testing.T) {
	p := running(t, spec(t, image(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := p.Wait(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	// The handle still works, for many.
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			exit, err := p.Wait(t.Context())
			if err == nil && exit.Code != 43 {
				err = &sandbox.StepError{Step: "exit " + itoa(exit.Code)}
			}
			results <- err
		}()
	}
	require.NoError(t, p.Signal(syscall.SIGTERM))
	for range cap(results) {
		require.NoError(t, <-results)
	}
}

func TestCloseEndsWait(t *testing.T) {
	p := running(t, spec(t, image(t)))
	again, err := sandbox.Open(p.PID(), startTime(t, p))
	require.NoError(t, err)
	done := make(chan error)
	go func() {
		_, err := again.Wait(context.Background())
		done <- err
	}()
	require.NoError(t, again.Close())
	require.ErrorIs(t, <-done, os.ErrClosed)
	require.NoError(t, again.Close(), "twice")
	require.ErrorIs(t, again.Signal(0), os.ErrClosed)
}

// Whoever waits learns how the process ended, also while another one reaps it.
func TestWaitWhileItIsReaped(t *testing.T) {
	kerneltest.RequireKernel(t, 6, 15) // before, the status is gone with the process
	target := running(t, spec(t, image(t)))
	for range 200 {
		p, err := sandbox.Exec(t.Context(), target, sandbox.ExecSpec{Command: sandbox.Command{Args: []string{"exit", "7"}, Env: []string{"PATH=/bin"}}}, sandbox.Options{})
		require.NoError(t, err)
		start := startTime(t, p)
		var handles [4]*sandbox.Process // before the first of them reaps it
		for i := range handles {
			handles[i], err = sandbox.Open(p.PID(), start)
			require.NoError(t, err)
		}
		var wait sync.WaitGroup
		for _, handle := range handles {
			wait.Go(func() {
				exit, err := handle.Wait(t.Context())
				assert.NoError(t, errors.Join(err, handle.Close()))
				assert.Equal(t, container.ExitStatus{Code: 7}, exit)
			})
		}
		wait.Wait()
		require.NoError(t, p.Close())
	}
}

func startTime(t testing.TB, p *sandbox.Process) uint64 {
	t.Helper()
	start, err := p.StartTime()
	require.NoError(t, err)
	return start
}

func TestOpen(t *testing.T) {
	p := running(t, spec(t, image(t)))
	_, err := sandbox.Open(p.PID(), startTime(t, p)+1)
	require.ErrorIs(t, err, sandbox.ErrNotProcess)
	_, err = sandbox.Open(1<<22, 1)
	require.ErrorIs(t, err, sandbox.ErrNotProcess)
	_, err = sandbox.Open(0, 1)
	require.ErrorIs(t, err, sandbox.ErrNotProcess)

	again, err := sandbox.Open(p.PID(), startTime(t, p))
	require.NoError(t, err)
	defer again.Close()
	require.NoError(t, again.Signal(syscall.SIGTERM))
	exit, err := again.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, container.ExitStatus{Code: 43}, exit)
	// The other handle finds it reaped, and asks the kernel.
	exit, err = p.Wait(t.Context())
	require.NoError(t, err)
	if kernelAtLeast(t, 6, 15) {
		require.Equal(t, container.ExitStatus{Code: 43}, exit)
	} else {
		require.True(t, exit.Unknown)
	}
}

// adopt opens a process whose parent is another one: a shell, which reaps it
// when told to.
func adopt(t *testing.T, script string) *sandbox.Process {
	t.Helper()
	kerneltest.RequireRoot(t)
	parent := exec.Command("/bin/sh", "-c", script)
	in, err := parent.StdinPipe()
	require.NoError(t, err)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	t.Cleanup(func() { in.Close(); _ = parent.Wait() }) // it ends by its own script
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid := strings.TrimSpace(line)
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	require.NoError(t, err)
	fields := strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:])
	p, err := sandbox.Open(atoi(t, pid), uint64(atoi(t, fields[19])))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func TestAdopted(t *testing.T) {
	for name, test := range map[string]struct {
		signal syscall.Signal
		want   container.ExitStatus
	}{
		"exit":   {syscall.SIGTERM, container.ExitStatus{Code: 42}},
		"killed": {syscall.SIGKILL, container.ExitStatus{Code: 137, Signal: 9}},
	} {
		const child = `sh -c 'trap "exit 42" TERM; echo $$; while :; do sleep 0.01; done' & `
		t.Run(name+", parent reaps", func(t *testing.T) {
			kerneltest.RequireKernel(t, 6, 15)
			p := adopt(t, child+`wait; exit 0`)
			require.NoError(t, p.Signal(test.signal))
			got, err := p.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
		t.Run(name+", parent does not reap", func(t *testing.T) {
			// The shell becomes a program that never waits.
			p := adopt(t, child+`exec cat`)
			require.NoError(t, p.Signal(test.signal))
			got, err := p.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}
