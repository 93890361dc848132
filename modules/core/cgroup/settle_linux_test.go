package cgroup_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/cgroup"
)

// A process settles in a leaf of a folder and leaves it again, with the folders
// that were made for it.
func TestSettle(t *testing.T) {
	top := create(t, "home")
	home := top.Path()
	project := filepath.Join(home, "containust", "shop")
	require.NoError(t, os.MkdirAll(project, 0o755))
	pid := start(t, top, "exec sleep 1000").Process.Pid
	where := func() string {
		dir, err := cgroup.Of(pid)
		require.NoError(t, err)
		return dir
	}
	require.Equal(t, home, where())

	require.NoError(t, cgroup.Settle(project, pid))
	require.Equal(t, filepath.Join(project, cgroup.Leaf), where())
	require.NoError(t, cgroup.Settle(project, pid), "a second time")
	g, err := cgroup.Create(t.Context(), cgroup.Spec{Path: "web"}, cgroup.Options{Root: project})
	require.NoError(t, err)
	defer g.Close()

	require.NoError(t, cgroup.Leave(project, home, pid))
	require.Equal(t, home, where())
	require.NoDirExists(t, filepath.Join(project, cgroup.Leaf))
	require.DirExists(t, g.Path(), "in use by another")
	require.NoError(t, g.Remove(t.Context()))
	require.NoError(t, cgroup.Settle(project, pid), "dir is there still")
	require.NoError(t, cgroup.Leave(project, home, pid))
	require.NoDirExists(t, filepath.Join(home, "containust"))

	err = cgroup.Settle(filepath.Join(home, "nowhere"), pid)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "cgroup: settle in "+filepath.Join(home, "nowhere")+": ")
	_, err = cgroup.Of(1 << 30)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, ok := cgroup.Settled()
	require.False(t, ok, "these tests were not moved")

	require.NoError(t, cgroup.Delegated(home))
	require.ErrorIs(t, cgroup.Delegated(filepath.Join(home, "nowhere")), fs.ErrNotExist)
}
