package native_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/sandbox"
)

// A launch that a backend did not live to write down ends when the next one opens,
// with a cgroup and without; what was written down goes on.
func TestUserUnrecordedLaunch(t *testing.T) {
	p := newProject(t)
	start := func(name string) *sandbox.Process {
		id, err := p.Create(t.Context(), p.config(t, name, "sleep", "1000"))
		require.NoError(t, err)
		pid, err := p.Start(t.Context(), id)
		require.NoError(t, err)
		info, err := p.Inspect(t.Context(), id)
		require.NoError(t, err)
		process, err := sandbox.Open(pid, info.StartTime)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, process.Close()) })
		return process
	}
	written, unwritten := start("written"), start("unwritten")
	require.NoError(t, p.Close())
	file := filepath.Join(p.opts.RunDir, "containers", "unwritten", "container.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var record map[string]any
	require.NoError(t, json.Unmarshal(text, &record))
	for _, name := range []string{"pid", "start_time", "cgroup"} {
		delete(record, name)
	}
	text, err = json.Marshal(record)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))

	p.open(t)
	require.Eventually(t, func() bool { return !alive(t, unwritten) }, 20*time.Second, 5*time.Millisecond)
	require.True(t, alive(t, written))
	_, err = unix.Wait4(unwritten.PID(), nil, unix.WALL, nil) // a guardian would
	require.NoError(t, err)
	_, err = p.Start(t.Context(), "unwritten")
	require.NoError(t, err)
}

func alive(t *testing.T, p *sandbox.Process) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.PIDFD().Fd()), Events: unix.POLLIN}}, 0)
	require.NoError(t, err)
	return n == 0
}
