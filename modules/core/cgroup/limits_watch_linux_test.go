package cgroup

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWatchLimits works on files that change as the kernel's do; the scripts
// limits_* see the kernel's own.
func TestWatchLimits(t *testing.T) {
	g := &Cgroup{path: t.TempDir()}
	require.NoError(t, g.WatchLimits(t.Context(), func(LimitHits) { t.Error("there is nothing to hit") }))

	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(g.path, name), []byte(text), 0o600))
	}
	write("memory.events", "low 0\nmax 2\noom_kill 0\n")
	write("pids.events", "max 0\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var total LimitHits
	err := g.WatchLimits(ctx, func(hits LimitHits) {
		total.Memory += hits.Memory
		total.PIDs += hits.PIDs
		total.OOMKills += hits.OOMKills
		switch {
		case total.PIDs == 3:
			cancel()
		case total.OOMKills == 1:
			write("pids.events", "max 3\n")
		case total.Memory == 2:
			write("memory.events", "low 0\nmax 5\noom_kill 1\n")
		}
	})
	require.NoError(t, err)
	require.Equal(t, LimitHits{Memory: 5, PIDs: 3, OOMKills: 1}, total)
}
