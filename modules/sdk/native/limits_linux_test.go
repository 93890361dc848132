package native_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/sdk/native"
)

// requireControllers needs a cgroup v2 hierarchy that can limit.
func requireControllers(t *testing.T, names ...string) {
	t.Helper()
	h, err := cgroup.Find()
	require.NoError(t, err)
	for _, name := range names {
		kerneltest.RequireController(t, h.Mount, name)
	}
}

// TestLimits: what the configuration says is what the kernel holds, also after
// a change of what runs.
func TestLimits(t *testing.T) {
	requireControllers(t, "memory", "cpu", "pids", "io")
	p := newProject(t)
	p.start(t, p.config(t, "plain", "sleep", "1000"))
	cfg := p.config(t, "c", "sleep", "1000")
	cfg.Resources = container.Resources{Memory: 64 << 20, MemorySwap: 1 << 20, CPUs: 0.25, CPUWeight: 50, PIDs: 32}
	p.start(t, cfg)
	held := func(id container.ID) string {
		return p.exec(t, id, "", "cd /sys/fs/cgroup; cat memory.max memory.oom.group cpu.max cpu.weight pids.max")
	}
	require.Equal(t, "67108864\n1\n25000 100000\n50\n32\n", held("c"))
	require.Equal(t, "max\n0\nmax 100000\n100\n4096\n", held("plain"), "only the number of processes has a default")

	cfg.Resources = container.Resources{Memory: 128 << 20, PIDs: 64}
	require.NoError(t, p.Update(t.Context(), cfg))
	require.Equal(t, "134217728\n1\nmax 100000\n100\n64\n", held("c"))
	require.NoError(t, p.Close())
	p.open(t) // as after the end of a supervisor
	cfg.Resources = container.Resources{}
	require.NoError(t, p.Update(t.Context(), cfg))
	require.Equal(t, "max\n0\nmax 100000\n100\n4096\n", held("c"))
}

// TestOutOfMemory: whoever is killed for want of memory is told from whoever is
// killed, and all of the container ends with it.
func TestOutOfMemory(t *testing.T) {
	requireControllers(t, "memory")
	p := newProject(t)
	cfg := p.config(t, "c", "sh", "-c", "busybox dd if=/dev/zero of=/dev/null bs=128M count=1; sleep 1000")
	cfg.Resources.Memory = 64 << 20
	exit, _ := p.run(t, cfg)
	require.Equal(t, container.ExitStatus{Code: 137, Signal: 9, OutOfMemory: true}, exit)
	require.Equal(t, "ended by signal 9, out of memory", exit.String())

	cfg = p.config(t, "killed", "sh", "-c", "kill -9 $$; exit 9")
	cfg.Resources.Memory = 64 << 20
	exit, _ = p.run(t, cfg)
	require.False(t, exit.OutOfMemory)
}

// TestUnenforcedLimits: limits that this machine cannot enforce are refused by
// name, and left out where that is allowed, which is told.
func TestUnenforcedLimits(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "c", "sleep", "1000")
	cfg.Resources = container.Resources{
		Memory: 64 << 20, MemorySwap: 1 << 20, CPUs: 1, CPUWeight: 10, PIDs: 5,
		IO: &container.IO{Device: "/dev/null", Weight: 10}, // which no machine can limit
	}
	var missing []string
	for _, l := range native.Examine(t.Context()).Lacks(cfg, t.TempDir()) {
		require.True(t, l.Limit, l.Setting)
		require.Error(t, l.Err)
		require.NotEmpty(t, l.Mend)
		missing = append(missing, l.Setting)
	}
	require.Contains(t, missing, "io")
	_, err := p.Create(t.Context(), cfg)
	var lack *native.LackError
	require.ErrorAs(t, err, &lack)
	require.Len(t, lack.Lacks, len(missing))
	for i, l := range lack.Lacks {
		require.Equal(t, missing[i], l.Setting)
		require.ErrorContains(t, err, l.Setting+": "+l.Err.Error())
	}

	cfg.Resources.Lenient = true
	p.start(t, cfg)
	unenforced := func() []string {
		t.Helper()
		info, err := p.Inspect(t.Context(), "c")
		require.NoError(t, err)
		return info.Unenforced
	}
	require.Equal(t, missing, unenforced())
	require.NoError(t, p.Close())
	p.open(t)
	require.Equal(t, missing, unenforced())

	cfg.Resources = container.Resources{Lenient: true, IO: cfg.Resources.IO}
	require.NoError(t, p.Update(t.Context(), cfg))
	require.Equal(t, []string{"io"}, unenforced())
	cfg.Resources.Lenient = false
	require.ErrorAs(t, p.Update(t.Context(), cfg), &lack)
	require.Equal(t, []string{"io"}, unenforced(), "nothing changed")
	cfg.Resources = container.Resources{}
	require.NoError(t, p.Update(t.Context(), cfg))
	require.Empty(t, unenforced())
}

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
