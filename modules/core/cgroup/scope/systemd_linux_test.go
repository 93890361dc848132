package scope_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/cgroup/scope"
	"github.com/containust/containust/modules/core/kerneltest"
)

// With systemd itself: a process gets a scope, another joins it, limits can be
// set there, and it ends with the last of them.
func TestSystemd(t *testing.T) {
	if !scope.Booted() {
		kerneltest.Missing(t, "systemd", "needs a machine that systemd runs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m, err := scope.Ask(ctx)
	require.NoError(t, err)
	require.Equal(t, os.Geteuid() != 0, m.User)
	require.NotEmpty(t, m.Version)
	require.Contains(t, m.Controllers, "memory")
	require.Contains(t, m.Controllers, "pids")

	spec := scope.Spec{Name: "containust-test_a.b-1", Description: "a test"}
	enter := func() (*exec.Cmd, string) {
		cmd := exec.Command("sleep", "1000")
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { end(cmd) })
		spec.PIDs = []int{cmd.Process.Pid}
		dir, err := scope.Enter(ctx, spec)
		require.NoError(t, err)
		own, err := cgroup.Of(cmd.Process.Pid)
		require.NoError(t, err)
		require.Equal(t, filepath.Join(dir, cgroup.Leaf), own)
		return cmd, dir
	}
	first, dir := enter()
	require.Equal(t, spec.Name+".scope", filepath.Base(dir))
	slice := "machine.slice"
	if m.User {
		slice = "user.slice"
	}
	require.Equal(t, slice, filepath.Base(filepath.Dir(dir)))
	require.NoError(t, cgroup.Delegated(dir))

	limited := cgroup.Spec{Path: "web", Limits: cgroup.Limits{Memory: 64 << 20, PIDs: 10}}
	g, err := cgroup.Create(ctx, limited, cgroup.Options{Root: dir})
	require.NoError(t, err)
	defer g.Close()

	// With controllers enabled no process may be in the scope itself.
	second, again := enter()
	require.Equal(t, dir, again)
	end(first)
	_, again = enter()
	require.Equal(t, dir, again)
	require.NoError(t, g.Remove(ctx))
	end(second)
	require.DirExists(t, dir, "the third lives")
	third, again := enter()
	require.Equal(t, dir, again)
	end(third)
}

// end ends a process. One that ended before stays so.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // killed
}

// Scopes that end and begin again under the same name do not get into each
// other's way, and none stays.
func TestSystemdAgain(t *testing.T) {
	if !scope.Booted() {
		kerneltest.Missing(t, "systemd", "needs a machine that systemd runs")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var dir string
	for range 8 {
		cmd := exec.Command("sleep", "1000")
		require.NoError(t, cmd.Start())
		var err error
		dir, err = scope.Enter(ctx, scope.Spec{Name: "containust-again", PIDs: []int{cmd.Process.Pid}})
		end(cmd)
		require.NoError(t, err)
	}
	gone := func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, fs.ErrNotExist)
	}
	require.Eventually(t, gone, 20*time.Second, 20*time.Millisecond)
}
