package native_test

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/cgroup"
)

// A launch that a backend did not live to write down ends when the next one opens.
func TestUnrecordedLaunchEnds(t *testing.T) {
	p := newProject(t)
	id, err := p.Create(t.Context(), p.config(t, "a", "sleep", "1000"))
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)
	g, err := cgroup.Create(t.Context(), cgroup.Spec{Path: cgroup.Path(p.opts.Project, "b")}, cgroup.Options{})
	require.NoError(t, err)
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.File().Fd())}
	require.NoError(t, cmd.Start())
	dir := g.Path()
	require.NoError(t, g.Close())
	require.NoError(t, p.Close())

	p.open(t)
	require.Error(t, cmd.Wait())
	require.Equal(t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	require.NoDirExists(t, dir)
	require.DirExists(t, filepath.Join(filepath.Dir(dir), "a"))
	info, err := p.Inspect(t.Context(), id)
	require.NoError(t, err)
	require.NotZero(t, info.PID, "what was written down goes on")
}
