package namespace_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/namespace"
)

func TestOpen(t *testing.T) {
	for _, kind := range []namespace.Kind{
		namespace.Cgroup, namespace.IPC, namespace.Mount, namespace.Network,
		namespace.PID, namespace.User, namespace.UTS,
	} {
		t.Run(string(kind), func(t *testing.T) {
			mine, err := namespace.Current(kind)
			require.NoError(t, err)
			defer mine.Close()
			byPID, err := namespace.Open(os.Getpid(), kind)
			require.NoError(t, err)
			defer byPID.Close()
			same, err := namespace.Same(mine, byPID)
			require.NoError(t, err)
			require.True(t, same)
			other, err := namespace.Current(otherThan(kind))
			require.NoError(t, err)
			defer other.Close()
			same, err = namespace.Same(mine, other)
			require.NoError(t, err)
			require.False(t, same)
		})
	}
}

func otherThan(kind namespace.Kind) namespace.Kind {
	if kind == namespace.UTS {
		return namespace.IPC
	}
	return namespace.UTS
}

func TestOpenErrors(t *testing.T) {
	_, err := namespace.Open(1<<30, namespace.Network)
	var nsErr *namespace.Error
	require.ErrorAs(t, err, &nsErr)
	require.Equal(t, "open", nsErr.Op)
	require.ErrorIs(t, err, fs.ErrNotExist)

	_, err = namespace.Open(os.Getpid(), "../status")
	require.ErrorIs(t, err, unix.EINVAL, "a kind is no path")
}

func TestNewIsEmptyAndOthersStay(t *testing.T) {
	kerneltest.RequireRoot(t)
	before := identifyCurrent(t)
	ns, err := namespace.New(namespace.Network, nil)
	require.NoError(t, err)
	defer ns.Close()
	id, err := namespace.Identify(ns)
	require.NoError(t, err)
	require.NotEqual(t, before, id)
	require.Equal(t, before, identifyCurrent(t))

	var names []string
	require.NoError(t, namespace.Do(ns, func() error {
		links, err := net.Interfaces()
		for _, l := range links {
			names = append(names, l.Name)
		}
		return err
	}))
	require.Equal(t, []string{"lo"}, names)
}

func TestNewRefusesWhatThreadsCannotLeave(t *testing.T) {
	for _, kind := range []namespace.Kind{namespace.Mount, namespace.PID, namespace.User, "nonsense"} {
		_, err := namespace.New(kind, nil)
		require.ErrorIs(t, err, unix.EINVAL, kind)
	}
}

func TestSetupFails(t *testing.T) {
	kerneltest.RequireRoot(t)
	boom := errors.New("boom")
	ns, err := namespace.New(namespace.UTS, func() error { return boom })
	require.ErrorIs(t, err, boom)
	require.Nil(t, ns)
}

func TestDo(t *testing.T) {
	kerneltest.RequireRoot(t)
	ns, err := namespace.New(namespace.UTS, func() error { return unix.Sethostname([]byte("inside")) })
	require.NoError(t, err)
	defer ns.Close()
	outside, err := os.Hostname()
	require.NoError(t, err)
	require.NotEqual(t, "inside", outside)

	// Many at once, beside goroutines that must never see the namespace.
	stop := make(chan struct{})
	var watchers, workers sync.WaitGroup
	for range 4 {
		watchers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				name, err := os.Hostname()
				if err != nil || name != outside {
					t.Errorf("a goroutine outside sees %q, %v", name, err)
					return
				}
				runtime.Gosched()
			}
		})
	}
	for range 8 {
		workers.Go(func() {
			for range 50 {
				var name string
				err := namespace.Do(ns, func() (err error) {
					name, err = os.Hostname()
					return err
				})
				if err != nil || name != "inside" {
					t.Errorf("inside: %q, %v", name, err)
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	watchers.Wait()

	boom := errors.New("boom")
	require.ErrorIs(t, namespace.Do(ns, func() error { return boom }), boom)
}

// The main thread stands for the process in /proc: it must never be moved.
func TestDoLeavesTheMainThread(t *testing.T) {
	kerneltest.RequireRoot(t)
	ns, err := namespace.New(namespace.UTS, nil)
	require.NoError(t, err)
	defer ns.Close()
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for range 20 {
				err := namespace.Do(ns, func() error {
					if unix.Gettid() == unix.Getpid() {
						return errors.New("on the main thread")
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
}

// A thread that cannot go back must not be used for anything else. Here it
// loses the privilege that going back needs, as it is from the first in a user
// namespace that does not own the one it came from.
func TestThreadThatCannotReturnDies(t *testing.T) {
	kerneltest.RequireRoot(t)
	ns, err := namespace.New(namespace.UTS, func() error { return unix.Sethostname([]byte("trap")) })
	require.NoError(t, err)
	defer ns.Close()
	var tid int
	err = namespace.Do(ns, func() error {
		tid = unix.Gettid()
		return dropThreadCapabilities()
	})
	require.NoError(t, err, "what was to be done is done")
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join("/proc/self/task", strconv.Itoa(tid)))
		return errors.Is(err, fs.ErrNotExist)
	}, eventually, tick, "thread %d is still there", tid)
}

func TestInMount(t *testing.T) {
	kerneltest.RequireRoot(t)
	dir := t.TempDir()
	boom := errors.New("boom")
	var opened *os.File
	require.ErrorIs(t, namespace.InMount(func() error {
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			return err
		}
		var err error
		if opened, err = os.Create(filepath.Join(dir, "file")); err != nil {
			return err
		}
		return boom
	}), boom)
	require.NotNil(t, opened)
	defer opened.Close()
	_, err := opened.WriteString("still there")
	require.NoError(t, err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "nobody else sees the mount")
}

func TestPin(t *testing.T) {
	kerneltest.RequireRoot(t)
	path := filepath.Join(t.TempDir(), "pin")
	ns, err := namespace.New(namespace.Network, nil)
	require.NoError(t, err)
	want, err := namespace.Identify(ns)
	require.NoError(t, err)

	require.NoError(t, namespace.Pin(ns, path))
	t.Cleanup(func() { _ = namespace.Unpin(path) })
	require.ErrorIs(t, namespace.Pin(ns, path), fs.ErrExist)
	require.NoError(t, ns.Close()) // now the pin alone keeps it

	_, err = namespace.OpenPinned(path, namespace.UTS)
	require.ErrorIs(t, err, unix.EINVAL, "another kind")
	again, err := namespace.OpenPinned(path, namespace.Network)
	require.NoError(t, err)
	got, err := namespace.Identify(again)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NoError(t, again.Close())

	require.NoError(t, namespace.Unpin(path))
	require.NoFileExists(t, path)
	require.NoError(t, namespace.Unpin(path), "twice")
}

func TestPinAfterReboot(t *testing.T) {
	kerneltest.RequireRoot(t)
	path := filepath.Join(t.TempDir(), "pin")
	require.NoError(t, os.WriteFile(path, nil, 0o400))
	_, err := namespace.OpenPinned(path, namespace.Network)
	require.ErrorIs(t, err, fs.ErrNotExist)

	ns, err := namespace.New(namespace.Network, nil)
	require.NoError(t, err)
	defer ns.Close()
	require.NoError(t, namespace.Pin(ns, path))
	require.NoError(t, namespace.Unpin(path))
	require.NoFileExists(t, path)
}

func TestPinRefuses(t *testing.T) {
	kerneltest.RequireRoot(t)
	dir := t.TempDir()
	ns, err := namespace.New(namespace.Network, nil)
	require.NoError(t, err)
	defer ns.Close()

	canary := filepath.Join(dir, "canary")
	require.NoError(t, os.WriteFile(canary, []byte("x"), 0o600))
	require.NoError(t, os.Symlink(canary, filepath.Join(dir, "link")))
	require.ErrorIs(t, namespace.Pin(ns, filepath.Join(dir, "link")), unix.ELOOP)

	file, err := os.Open(canary)
	require.NoError(t, err)
	defer file.Close()
	require.ErrorIs(t, namespace.Pin(file, filepath.Join(dir, "pin")), unix.EINVAL)
	require.NoFileExists(t, filepath.Join(dir, "pin"))
	require.ErrorIs(t, namespace.Pin(ns, filepath.Join(dir, "no", "pin")), fs.ErrNotExist)
}

func identifyCurrent(t *testing.T) namespace.ID {
	t.Helper()
	ns, err := namespace.Current(namespace.Network)
	require.NoError(t, err)
	defer ns.Close()
	id, err := namespace.Identify(ns)
	require.NoError(t, err)
	return id
}
