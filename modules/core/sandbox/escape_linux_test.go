package sandbox_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

func kernelAtLeast(t testing.TB, major, minor int) bool {
	ok := false
	t.(*testing.T).Run("kernel", func(t *testing.T) { kerneltest.RequireKernel(t, major, minor); ok = true })
	return ok
}

// canary makes a folder of the host that nothing in a container may reach. Its
// content must be the same after the test.
func canary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("canary"), 0o600))
	var before, after unix.Stat_t
	require.NoError(t, unix.Stat(file, &before))
	t.Cleanup(func() {
		require.NoError(t, unix.Stat(file, &after))
		before.Atim, after.Atim = unix.Timespec{}, unix.Timespec{}
		require.Equal(t, before, after)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "canary", string(b))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	})
	return dir
}

// Links in the image's place of a mount point lead somewhere inside the image
// or nowhere, never to the host.
func TestLinkedTargets(t *testing.T) {
	for _, name := range []string{"dev", "proc", "sys"} {
		t.Run(name+" leads out", func(t *testing.T) {
			dir, out := image(t), canary(t)
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
			require.NoError(t, os.Symlink(out, filepath.Join(dir, name)))
			_, err := sandbox.Launch(t.Context(), spec(t, dir, "probe"), sandbox.Options{})
			require.EqualError(t, err, "sandbox: mount /"+name+": no such file or directory")

			// Where the image has that path itself, it is mounted there.
			require.NoError(t, os.MkdirAll(filepath.Join(dir, out), 0o755))
			s := spec(t, dir, "try", "list", out)
			s.Mounts = s.Mounts[:0]
			for _, m := range rootfs.Default().Mounts {
				if strings.HasPrefix(m.Target, "/dev") || m.Target == "/"+name {
					s.Mounts = append(s.Mounts, m)
				}
			}
			require.NotContains(t, output(t, s), ": 0 entries")
		})
		t.Run(name+" climbs", func(t *testing.T) {
			dir, out := image(t), canary(t)
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
			require.NoError(t, os.Symlink("../../../../../../.."+out, filepath.Join(dir, name)))
			_, err := sandbox.Launch(t.Context(), spec(t, dir, "probe"), sandbox.Options{})
			require.EqualError(t, err, "sandbox: mount /"+name+": no such file or directory")
		})
	}
}

// A link that leads elsewhere once something is mounted in its way must not keep
// what is dangerous in /proc from being hidden.
func TestMasksOfALinkedProc(t *testing.T) {
	dir := image(t)
	for _, name := range []string{"tmp/way", "real"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "proc")))
	require.NoError(t, os.Symlink("/tmp/way/../../real", filepath.Join(dir, "proc")))
	over := rootfs.Mount{Target: "/tmp", Type: "tmpfs"}

	s := spec(t, dir, "try", "write", "/real/sys/kernel/core_pattern")
	s.Mounts = append(s.Mounts, over)
	require.Equal(t, "/real/sys/kernel/core_pattern: open /real/sys/kernel/core_pattern: read-only file system\n", output(t, s))

	s = spec(t, dir, "try", "read", "/real/interrupts")
	s.Mounts = append(s.Mounts, over)
	require.Equal(t, "/real/interrupts: 0 bytes\n", output(t, s))
}

func TestLinkedNull(t *testing.T) {
	dir, out := image(t), canary(t)
	require.NoError(t, os.Symlink(filepath.Join(out, "file"), filepath.Join(dir, "dev/null")))
	s := spec(t, dir, "probe")
	s.Mounts = s.Mounts[:3] // nothing on /dev
	_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
	require.EqualError(t, err, "sandbox: open /dev/null: too many levels of symbolic links")
}

// The folder of a descriptor would lead out of the root.
func TestWorkingDirectoryOfDescriptor(t *testing.T) {
	dir := image(t)
	p := running(t, spec(t, dir))
	for fd := range 64 {
		name := "/proc/self/fd/" + itoa(fd)
		s := spec(t, dir, "probe")
		s.Dir = name
		_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
		var failed *sandbox.StepError
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, "enter the working directory "+name, failed.Step)

		c := sandbox.Command{Args: []string{"/bin/probe"}, Dir: name}
		_, err = sandbox.Exec(t.Context(), p, sandbox.ExecSpec{Command: c}, sandbox.Options{})
		require.ErrorAs(t, err, &failed, name)
	}
}

// A target that changes between a folder and a link out, while containers
// start.
func TestSwappedTarget(t *testing.T) {
	dir, out := image(t), canary(t)
	target, link := filepath.Join(dir, "work"), filepath.Join(dir, "other")
	require.NoError(t, os.Symlink(out, link))
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, target, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			}
		}
	})
	defer swapping.Wait()
	defer close(stop)
	mounted := 0
	for range 100 {
		s := spec(t, dir, "try", "write", "/work/x")
		s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/work", Type: "tmpfs"})
		p, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
		if err != nil {
			require.EqualError(t, err, "sandbox: mount /work: no such file or directory")
			continue
		}
		mounted++
		_, err = p.Wait(t.Context())
		require.NoError(t, err)
		require.NoError(t, p.Close())
	}
	require.NotZero(t, mounted)
}

// A lookup through ".." gets EAGAIN when anything is renamed or mounted at the
// same time; the launch must try again and not fail.
func TestBusyMachine(t *testing.T) {
	dir := image(t)
	require.NoError(t, os.Symlink("../../../work", filepath.Join(dir, "etc/link")))
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	require.NoError(t, os.Mkdir(a, 0o755))
	stop := make(chan struct{})
	var renaming sync.WaitGroup
	renaming.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = os.Rename(a, b), os.Rename(b, a)
			}
		}
	})
	defer renaming.Wait()
	defer close(stop)
	for range rounds(100) {
		s := spec(t, dir, "exit", "0")
		for range 20 {
			s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/etc/link", Type: "tmpfs"})
		}
		output(t, s)
	}
}

// Where the host has two mounts over its "/", one would stay visible in the
// container.
func TestStackedHostRoot(t *testing.T) {
	dir := image(t)
	alone(t, func() {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		if err := unix.Mount("none", "/", "tmpfs", 0, ""); err != nil {
			t.Errorf("mount: %v", err)
			return
		}
		_, err := sandbox.Launch(t.Context(), spec(t, dir, "probe"), sandbox.Options{})
		if err == nil || err.Error() != "sandbox: change the root: invalid cross-device link" {
			t.Errorf("got %v", err)
		}
	})
}
