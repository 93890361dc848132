package native_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/sandbox"
)

// Limits are the process's own, and that of an exec too; one that cannot be had
// is told by name, value and the most that there is.
func TestUlimits(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "c", "sh", "-c", "ulimit -S -n; ulimit -H -n; ulimit -c; sleep 1000")
	cfg.Resources.Rlimits = []container.Rlimit{{Name: "nofile", Soft: 100, Hard: 200}, {Name: "core", Soft: 0, Hard: 0}}
	p.start(t, cfg)
	require.Equal(t, "100\n200\n", p.exec(t, "c", "", "ulimit -S -n; ulimit -H -n"))

	var files unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files))
	cfg = p.config(t, "high", "true")
	cfg.Resources.Rlimits = []container.Rlimit{{Name: "nofile", Soft: -1, Hard: -1}} // no kernel gives that
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	var limit *sandbox.RlimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "nofile", limit.Name)
	require.GreaterOrEqual(t, limit.Most, files.Max)
	require.ErrorContains(t, err, "raise the hard limit nofile to unlimited: ")
	require.ErrorContains(t, err, "; ask for ")
}
