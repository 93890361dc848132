package cgroup_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/kerneltest"
)

// limited makes a cgroup with limits, where the machine has their controllers.
func limited(t *testing.T, path string, limits cgroup.Limits) *cgroup.Cgroup {
	t.Helper()
	opts := options(t)
	for _, name := range limits.Controllers() {
		kerneltest.RequireController(t, filepath.Dir(opts.Root), name)
	}
	// The folder of these tests hands down what it is given.
	g, err := cgroup.Create(t.Context(), cgroup.Spec{Path: filepath.Join(top, path), Limits: limits}, cgroup.Options{Root: filepath.Dir(opts.Root)})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, g.Kill())
		require.NoError(t, g.WaitEmpty(context.Background()))
		require.NoError(t, g.Remove(context.Background()))
		require.NoError(t, g.Close())
		require.NoError(t, os.MkdirAll(opts.Root, 0o755)) // for the tests that follow
	})
	require.Empty(t, g.Missing())
	return g
}

// run runs a script in the cgroup until it ends, and returns how.
func run(t *testing.T, g *cgroup.Cgroup, script string) (syscall.WaitStatus, string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.File().Fd())}
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), string(out)
}

func stats(t *testing.T, g *cgroup.Cgroup) cgroup.Stats {
	t.Helper()
	s, err := g.Stats()
	require.NoError(t, err)
	return s
}

func file(t *testing.T, g *cgroup.Cgroup, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.Path(), name))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// eat needs 64 MiB of memory.
const eat = "exec dd if=/dev/zero of=/dev/null bs=64M count=1"

func TestMemoryLimit(t *testing.T) {
	for _, group := range []bool{false, true} {
		t.Run("of the group "+strconv.FormatBool(group), func(t *testing.T) {
			g := limited(t, "memory/x", cgroup.Limits{Memory: 16 << 20, Swap: cgroup.NoSwap, OOMGroup: group})
			beside := start(t, g, "exec sleep 600")
			status, out := run(t, g, eat)
			require.Equal(t, unix.SIGKILL, status.Signal(), "%v %s", status, out)
			s := stats(t, g).Memory
			require.Positive(t, s.Max)
			require.Positive(t, s.OOM)
			require.Positive(t, s.OOMKills)
			require.LessOrEqual(t, s.Peak, int64(16<<20))
			if group {
				require.NoError(t, g.WaitEmpty(t.Context()))
				require.GreaterOrEqual(t, s.OOMKills, int64(2)) // who caused it counts twice
				return
			}
			pids, err := g.Procs()
			require.NoError(t, err)
			require.Equal(t, []int{beside.Process.Pid}, pids, "who is small lives on")
			require.EqualValues(t, 1, s.OOMKills)
		})
	}
	t.Run("high is no wall", func(t *testing.T) {
		g := limited(t, "memory/y", cgroup.Limits{MemoryHigh: 16 << 20})
		target := filepath.Join(t.TempDir(), "file")
		status, out := run(t, g, "dd if=/dev/zero bs=1M count=64 of="+target)
		require.Zero(t, status, out)
		s := stats(t, g).Memory
		require.Positive(t, s.High)
		require.Zero(t, s.OOMKills)
		require.Less(t, s.Current, int64(32<<20), "what was written is not kept")
	})
}

// spin are two processes that want a processor each.
const spin = "while :; do :; done & while :; do :; done"

// usage measures the processors that are used over some seconds.
func usage(t *testing.T, seconds float64, groups ...*cgroup.Cgroup) []float64 {
	t.Helper()
	before := make([]time.Duration, len(groups))
	for i, g := range groups {
		before[i] = stats(t, g).CPU.Usage
	}
	begin := time.Now()
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	used := make([]float64, len(groups))
	for i, g := range groups {
		used[i] = float64(stats(t, g).CPU.Usage-before[i]) / float64(time.Since(begin))
	}
	return used
}

func TestProcessorLimit(t *testing.T) {
	g := limited(t, "cpu/x", cgroup.Limits{CPUs: 0.25})
	start(t, g, spin)
	require.Eventually(t, func() bool { return stats(t, g).CPU.Throttled > 0 }, patience, time.Millisecond)
	require.InDelta(t, 0.25, usage(t, 5, g)[0], 0.03)

	// It can be raised while they run.
	require.NoError(t, g.SetLimits(cgroup.Limits{CPUs: 0.75}))
	require.InDelta(t, 0.75, usage(t, 3, g)[0], 0.09)
}

func TestProcessorWeightAndSet(t *testing.T) {
	light := limited(t, "weight/light", cgroup.Limits{CPUWeight: 100, CPUSet: "0"})
	heavy := limited(t, "weight/heavy", cgroup.Limits{CPUWeight: 300, CPUSet: "0"})
	process := start(t, light, spin)
	start(t, heavy, spin)
	text, err := os.ReadFile("/proc/" + strconv.Itoa(process.Process.Pid) + "/status")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^Cpus_allowed_list:\t0$`, string(text))

	used := usage(t, 4, light, heavy)
	require.LessOrEqual(t, used[0]+used[1], 1.05, "both on one processor")
	require.InDelta(t, 3, used[1]/used[0], 0.6, "%v", used)

	// On one processor, two out of three wait at any time.
	pressure := stats(t, light).Pressure.CPU
	require.NotNil(t, pressure)
	require.Greater(t, pressure.Some.Total, 3*time.Second)
}

func TestProcessLimit(t *testing.T) {
	const most = 24
	g := limited(t, "pids/x", cgroup.Limits{PIDs: most})
	start(t, g, "bomb() { bomb | bomb & }; while :; do bomb; done")
	require.Eventually(t, func() bool { return stats(t, g).PIDs.Refused > 100 }, patience, time.Millisecond)
	s := stats(t, g).PIDs
	require.LessOrEqual(t, s.Current, int64(most))
	require.LessOrEqual(t, s.Peak, int64(most))

	require.NoError(t, g.Freeze(t.Context()))
	require.NoError(t, g.Kill())
	require.NoError(t, g.WaitEmpty(t.Context()))
}

func TestDeviceLimit(t *testing.T) {
	opts := options(t)
	kerneltest.RequireController(t, filepath.Dir(opts.Root), "io")
	dir := t.TempDir()
	major, minor, err := cgroup.DeviceOf(dir)
	if err != nil {
		kerneltest.Missing(t, "io", "needs temporary files on a disk: %v", err)
	}
	target := filepath.Join(dir, "file")
	for _, test := range []struct {
		name   string
		limits cgroup.IOLimits
		script string
		amount func(cgroup.IOStats) int64
		want   float64 // a second
	}{
		{
			"written bytes",
			cgroup.IOLimits{WriteBPS: 2 << 20},
			"dd if=/dev/zero bs=64k count=128 oflag=direct of=" + target,
			func(s cgroup.IOStats) int64 { return s.WriteBytes }, 2 << 20,
		},
		{
			"read bytes",
			cgroup.IOLimits{ReadBPS: 2 << 20},
			"dd of=/dev/null bs=64k iflag=direct if=" + target,
			func(s cgroup.IOStats) int64 { return s.ReadBytes }, 2 << 20,
		},
		{
			"read operations",
			cgroup.IOLimits{ReadIOPS: 100},
			"dd of=/dev/null bs=4k count=400 iflag=direct if=" + target,
			func(s cgroup.IOStats) int64 { return s.ReadOps }, 100,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.limits.Major, test.limits.Minor = major, minor
			g := limited(t, "io/x", cgroup.Limits{IO: []cgroup.IOLimits{test.limits}})
			begin := time.Now()
			status, out := run(t, g, test.script)
			took := time.Since(begin)
			require.Zero(t, status, out)
			var amount int64
			for _, s := range stats(t, g).IO {
				if s.Major == major && s.Minor == minor {
					amount = test.amount(s)
				}
			}
			require.InEpsilon(t, test.want, float64(amount)/took.Seconds(), 0.15, "%d in %v", amount, took)
		})
	}
}

// New limits take the place of the old ones.
func TestSetLimits(t *testing.T) {
	major, minor, err := cgroup.DeviceOf(t.TempDir())
	if err != nil {
		kerneltest.Missing(t, "io", "needs temporary files on a disk: %v", err)
	}
	device := strconv.Itoa(int(major)) + ":" + strconv.Itoa(int(minor))
	g := limited(t, "set/x", cgroup.Limits{
		Memory: 64 << 20, MemoryHigh: 32 << 20, Swap: 1 << 20, OOMGroup: true, CPUs: 1.5, CPUWeight: 50, CPUSet: "0", MemSet: "0",
		PIDs: 10, IOWeight: 70, IO: []cgroup.IOLimits{{Major: major, Minor: minor, ReadBPS: 1 << 20, WriteIOPS: 50}},
	})
	values := func() map[string]string {
		found := map[string]string{}
		for _, name := range []string{
			"memory.max", "memory.high", "memory.swap.max", "memory.oom.group", "cpu.max", "cpu.weight", "cpuset.cpus", "cpuset.mems",
			"pids.max", "io.weight", "io.max",
		} {
			found[name] = file(t, g, name)
		}
		return found
	}
	require.Equal(t, map[string]string{
		"memory.max": "67108864", "memory.high": "33554432", "memory.swap.max": "1048576", "memory.oom.group": "1",
		"cpu.max": "150000 100000", "cpu.weight": "50", "cpuset.cpus": "0", "cpuset.mems": "0",
		"pids.max": "10", "io.weight": "default 70", "io.max": device + " rbps=1048576 wbps=max riops=max wiops=50",
	}, values())

	before := values()
	require.ErrorIs(t, g.SetLimits(cgroup.Limits{Memory: 1 << 20, PIDs: -1}), fs.ErrInvalid)
	require.Equal(t, before, values(), "what is wrong changes nothing")

	require.NoError(t, g.SetLimits(cgroup.Limits{PIDs: 20}))
	require.Equal(t, map[string]string{
		"memory.max": "max", "memory.high": "max", "memory.swap.max": "max", "memory.oom.group": "0",
		"cpu.max": "max 100000", "cpu.weight": "100", "cpuset.cpus": "", "cpuset.mems": "",
		"pids.max": "20", "io.weight": "default 100", "io.max": "",
	}, values())
}

func TestRefusedLimit(t *testing.T) {
	g := limited(t, "refused/x", cgroup.Limits{CPUSet: "0"})
	err := g.SetLimits(cgroup.Limits{CPUSet: "4000"})
	var refused *cgroup.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, `write "4000" to cpuset.cpus`, refused.Op)
	require.Equal(t, g.Path(), refused.Path)
}

// Where a controller is missing, a limit is an error or, if that is asked for,
// left out and told.
func TestLimitWithoutController(t *testing.T) {
	bare := create(t, "bare/root") // hands no controller down
	opts := cgroup.Options{Root: bare.Path()}
	spec := cgroup.Spec{Path: "a/b", Limits: cgroup.Limits{Memory: 1 << 30, CPUs: 1}}
	_, err := cgroup.Create(t.Context(), spec, opts)
	require.ErrorIs(t, err, cgroup.ErrNoController)
	require.ErrorContains(t, err, "cgroup_no_v1=all")
	require.NoDirExists(t, filepath.Join(bare.Path(), "a"))

	spec.Lenient = true
	g, err := cgroup.Create(t.Context(), spec, opts)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"cpu", "memory"}, g.Missing())
	require.ErrorIs(t, g.SetLimits(spec.Limits), cgroup.ErrNoController)
	require.NoError(t, g.SetLimits(cgroup.Limits{}))
	require.NoError(t, errors.Join(g.Remove(t.Context()), g.Close()))

	spec = cgroup.Spec{Path: "c", Limits: cgroup.Limits{Memory: -1}, Lenient: true}
	_, err = cgroup.Create(t.Context(), spec, opts)
	require.ErrorIs(t, err, fs.ErrInvalid)
}

func TestDeviceOf(t *testing.T) {
	major, minor, err := cgroup.DeviceOf(t.TempDir())
	if errors.Is(err, fs.ErrNotExist) {
		kerneltest.Missing(t, "io", "needs temporary files on a disk: %v", err)
	}
	require.NoError(t, err)
	whole, err := os.ReadFile("/sys/dev/block/" + strconv.Itoa(int(major)) + ":" + strconv.Itoa(int(minor)) + "/range")
	require.NoError(t, err, "only whole disks have a range of minor numbers")
	require.NotEmpty(t, whole)

	_, _, err = cgroup.DeviceOf("/proc")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "find the device of /proc")
	_, _, err = cgroup.DeviceOf("/nonexistent")
	require.ErrorIs(t, err, fs.ErrNotExist)
}
