package sandbox_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// launchOnce starts a container with little in it and waits for its end.
func launchOnce(ctx context.Context, dir string) error {
	root, err := rootfs.Folder(dir, rootfs.Bind{})
	if err != nil {
		return err
	}
	defer root.Close()
	p, err := sandbox.Launch(ctx, sandbox.Spec{
		Root:    root,
		Plan:    rootfs.Default(),
		Command: sandbox.Command{Args: []string{"/bin/exit", "5"}},
	}, sandbox.Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	exit, err := p.Wait(context.WithoutCancel(ctx))
	if err == nil && exit.Code != 5 {
		err = errors.New("exit code " + itoa(exit.Code))
	}
	return err
}

// rounds is a tenth where tests are to be short, as on a slow machine.
func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// The child of a launch shares the memory of a process whose garbage collector
// moves on, and neither may wait for the other.
func TestLaunchesUnderGarbageCollection(t *testing.T) {
	dir := image(t)
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		var kept [64][]byte
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				kept[i%len(kept)] = make([]byte, 64<<10)
			}
		}
	})
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	defer load.Wait()
	defer close(stop)
	for range rounds(2000) {
		require.NoError(t, launchOnce(t.Context(), dir))
	}
}

// A launch that is cancelled at any moment leaves a process that ran to its
// end, or none. The leak checks of TestMain look for the rest.
func TestCancelledLaunches(t *testing.T) {
	dir := image(t)
	cancelled := 0
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*20*time.Microsecond, cancel)
		if err := launchOnce(ctx, dir); err != nil {
			require.ErrorIs(t, err, context.Canceled)
			cancelled++
		}
		timer.Stop()
		cancel()
	}
	require.NotZero(t, cancelled)
}

func TestCancelledExecs(t *testing.T) {
	p := running(t, spec(t, image(t)))
	cancelled := 0
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*5*time.Microsecond, cancel)
		e, err := sandbox.Exec(ctx, p, sandbox.ExecSpec{Command: sandbox.Command{Args: []string{"/bin/exit", "0"}}}, sandbox.Options{})
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			cancelled++
		} else {
			_, err = e.Wait(t.Context())
			require.NoError(t, err)
			require.NoError(t, e.Close())
		}
		timer.Stop()
		cancel()
	}
	require.NotZero(t, cancelled)
}

// A launch into a frozen cgroup does not get anywhere. It ends with its
// context, and holds up nobody else: their launches do not wait for the copies
// of files that its child has.
func TestCancelBlockedLaunch(t *testing.T) {
	dir := image(t)
	cgroup := newCgroup(t)
	require.NoError(t, os.WriteFile(cgroup.Name()+"/cgroup.freeze", []byte("1"), 0))
	ctx, cancel := context.WithCancel(t.Context())
	blocked, others := make(chan error, 40), make(chan error, 80)
	for i := range cap(others) {
		if i < cap(blocked) {
			s := spec(t, dir, "exit", "0")
			s.Cgroup = cgroup
			go func() {
				_, err := sandbox.Launch(ctx, s, sandbox.Options{})
				blocked <- err
			}()
		}
		go func() { others <- launchOnce(t.Context(), dir) }()
	}
	late := time.AfterFunc(30*time.Second, cancel)
	for range cap(others) {
		require.NoError(t, <-others)
	}
	require.True(t, late.Stop(), "the others waited for the blocked ones")
	cancel()
	for range cap(blocked) {
		require.ErrorIs(t, <-blocked, context.Canceled)
	}
}

// Signals that the caller ignores, as below nohup, are not ignored inside.
func TestIgnoredSignals(t *testing.T) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1, syscall.Signal(64))
	defer signal.Reset(syscall.SIGHUP, syscall.SIGUSR1, syscall.Signal(64))
	r := observe(t, spec(t, image(t), "probe"))
	require.Equal(t, "0000000000000000", r.Status["SigIgn"])
}

// A handler of the embedding program never sees a launch that failed.
func TestNoSignalOfFailedLaunch(t *testing.T) {
	dir := image(t)
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGCHLD)
	defer signal.Stop(c)
	_, err := sandbox.Launch(t.Context(), spec(t, dir, "/nothing"), sandbox.Options{})
	require.Error(t, err)
	require.Empty(t, c)
	require.NoError(t, launchOnce(t.Context(), dir))
	require.Equal(t, syscall.SIGCHLD, <-c, "of the container that ran")
}

// Streams that have each other's numbers do not confuse a launch.
func TestSwappedStreams(t *testing.T) {
	dir := image(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	in, err := os.Open(dir + "/bin")
	require.NoError(t, err)
	defer in.Close()
	s := spec(t, dir, "probe")
	var p *sandbox.Process
	withoutStreams(t, func() {
		if err = unix.Dup3(int(w.Fd()), 0, unix.O_CLOEXEC); err != nil {
			return
		}
		if err = unix.Dup3(int(in.Fd()), 1, unix.O_CLOEXEC); err != nil {
			return
		}
		s.Stdin, s.Stdout, s.Stderr = os.NewFile(1, "in"), os.NewFile(0, "out"), nil
		p, err = sandbox.Launch(t.Context(), s, sandbox.Options{})
		s.Stdin.Close()
		s.Stdout.Close()
	})
	require.NoError(t, w.Close())
	require.NoError(t, err)
	endWith(t, p)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	report := decode(t, string(out))
	require.Contains(t, report.Files["0"], "bin")
	require.Contains(t, report.Files["1"], "pipe:")
	require.Equal(t, "/dev/null", report.Files["2"])
	require.Len(t, report.Files, 3)
}

// A caller without standard streams gives their numbers to other files, the
// launch's own among them.
func TestNoStreams(t *testing.T) {
	dir := image(t)
	for range rounds(100) { // to lose the launch's own file to a stream is a race
		s := spec(t, dir, "exit", "5")
		s.Stderr = nil
		var err error
		withoutStreams(t, func() {
			var p *sandbox.Process
			if p, err = sandbox.Launch(t.Context(), s, sandbox.Options{}); err == nil {
				_, err = p.Wait(t.Context())
				err = errors.Join(err, p.Close())
			}
		})
		require.NoError(t, err)
	}
}

// withoutStreams closes the standard streams of the test while f runs. f must
// leave their numbers free.
func withoutStreams(t *testing.T, f func()) {
	t.Helper()
	var saved [3]int
	for fd := range saved {
		var err error
		saved[fd], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 100)
		require.NoError(t, err)
	}
	for fd := range saved {
		unix.Close(fd)
	}
	f()
	for fd := range saved {
		require.NoError(t, unix.Dup3(saved[fd], fd, 0))
		unix.Close(saved[fd])
	}
}
