package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
)

func removeAll(path string) error { return os.RemoveAll(path) }

// small mounts a file system of some MiB.
func small(t *testing.T, mib int) string {
	t.Helper()
	kerneltest.RequireRoot(t)
	dir := t.TempDir()
	require.NoError(t, unix.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", mib)))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// fill takes all the space that is left.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	require.NoError(t, err)
	for _, size := range []int{1 << 20, 4096} {
		for err = error(nil); err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		require.ErrorIs(t, err, unix.ENOSPC)
	}
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}

// The disk is full while a project runs: its containers go on, commands say what
// is wrong, the state can be read, and when there is space again all goes on.
func TestFullWhileRunning(t *testing.T) {
	p := newProject(t, small(t, 64), stack)
	p.ctst(t, "run", "-d")
	before := p.running(t, "db", "web")
	p.write(t, "x.ctst", stack+`COMPONENT new { image = "file://./root" command = ["/app", "wait"] }`)
	free := fill(t, p.dir)

	require.Equal(t, before, p.components(t))
	require.Equal(t, "migrated\n", p.ctst(t, "exec", "db", "/app", "read", "/data/mark"))
	p.ctst(t, "logs", "web")
	said, code := p.try(t, "run", "-d")
	require.NotZero(t, code, said)
	require.Contains(t, said, "no space left on device")
	require.Equal(t, before["db"], p.components(t)["db"], "what ran goes on")

	// The supervisor dies, too: the next one finds everything.
	p.kill(t, "supervisor", "guardian")
	require.Equal(t, before["db"], p.components(t)["db"])

	free()
	p.ctst(t, "run", "-d")
	after := p.running(t, "db", "new", "web")
	require.Equal(t, before["db"], after["db"])
	p.ctst(t, "stop")
	p.clean(t)
}

// A disk that is full when a project begins, and one that becomes full.
func TestFullRun(t *testing.T) {
	p := newProject(t, small(t, 64), stack)
	free := fill(t, p.dir)
	said, code := p.try(t, "run", "-d")
	require.NotZero(t, code, said)
	require.Contains(t, said, "no space left on device")
	free()
	p.ctst(t, "run", "-d")
	p.running(t, "db", "web")
	free = fill(t, p.dir)
	// It is stopped all the same, and if that could not be written down it is said.
	if said, code := p.try(t, "stop"); code != 0 {
		require.Contains(t, said, "no space left on device")
	}
	p.clean(t)
	free()
	p.ctst(t, "run", "-d")
	p.running(t, "db", "web")
}

// An import that does not fit says so and leaves nothing of it.
func TestFullBuild(t *testing.T) {
	dir := small(t, 24)
	p := newProject(t, dir, stack)
	big := filepath.Join(p.path("root"), "big")
	require.NoError(t, os.WriteFile(big, make([]byte, 11<<20), 0o644))
	said, code := p.try(t, "build")
	require.NotZero(t, code, said)
	require.Contains(t, said, "no space left on device")
	var kept int64
	require.NoError(t, filepath.WalkDir(p.path(".cache"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			kept += info.Size()
		}
		return err
	}))
	require.Less(t, kept, int64(64<<10), "what was begun is gone")
	require.NoError(t, os.Remove(big))
	p.ctst(t, "build")
}

// An archive that ends early, wherever that is, is told, and nothing is kept.
func TestTruncatedArchives(t *testing.T) {
	p := newProject(t, t.TempDir(), `COMPONENT c { image = "tar://./image.tar" command = ["/app", "say", "all"] job = true }`)
	whole := archive(t, p.path("root"))
	for part := range 16 {
		require.NoError(t, os.WriteFile(p.path("image.tar"), whole[:len(whole)*part/16], 0o644))
		said, code := p.try(t, "build")
		require.Equal(t, 65, code, "%d/16: %s", part, said)
		require.Contains(t, said, "x.ctst:1:", "%d/16", part)
	}
	require.NoError(t, os.WriteFile(p.path("image.tar"), whole, 0o644))
	p.ctst(t, "run", "-d")
	require.Equal(t, "all\n", p.ctst(t, "logs", "c"))
	_, err := os.Stat(p.path(".cache/tmp"))
	require.True(t, err == nil || errors.Is(err, fs.ErrNotExist))
}
