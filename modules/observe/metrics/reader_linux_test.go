package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/observe/metrics"
)

// busyVariable makes this test's program a process that uses what a test measures.
const busyVariable = "CTST_TEST_BUSY"

func TestMain(m *testing.M) {
	if os.Getenv(busyVariable) != "" {
		busy()
	}
	os.Exit(kerneltest.Main(m, kerneltest.Leaks{}))
}

// busy holds 64 MiB and uses a processor, until its input ends.
func busy() {
	held := bytes.Repeat([]byte{1}, 64<<20)
	go func() {
		for i := 0; ; i++ {
			held[i%len(held)]++
		}
	}()
	_, _ = os.Stdout.WriteString("ready\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// start runs the busy process in a namespace of its own kind and, if there is one,
// in a cgroup.
func start(t testing.TB, group *cgroup.Cgroup) int {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), busyVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET}
	if group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.File().Fd())
	}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	})
	_, err = out.Read(make([]byte, 16))
	require.NoError(t, err)
	return cmd.Process.Pid
}

func newGroup(t testing.TB) *cgroup.Cgroup {
	t.Helper()
	g, err := cgroup.Create(t.Context(), cgroup.Spec{
		Path: cgroup.Path("metrics-test", strings.ReplaceAll(t.Name(), "/", "-")), Controllers: []string{"memory", "pids", "io", "cpu"},
	}, cgroup.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		require.NoError(t, errors.Join(g.Kill(), g.WaitEmpty(ctx), g.Remove(ctx), g.Close()))
	})
	return g
}

func TestRead(t *testing.T) {
	kerneltest.RequireRoot(t)
	reader, err := metrics.Open(metrics.Options{Pressure: true})
	require.NoError(t, err)
	group := newGroup(t)
	targets := []metrics.Target{
		{PID: start(t, group), Cgroup: true, Network: true},
		{PID: start(t, nil), Network: true},
	}
	first := reader.Read(targets)
	time.Sleep(300 * time.Millisecond)
	second := reader.Read(targets)
	for i, name := range []string{"with a cgroup", "without"} {
		t.Run(name, func(t *testing.T) {
			r := second[i]
			require.NoError(t, r.Err)
			require.Greater(t, r.Memory, int64(64<<20))
			require.Less(t, r.Memory, int64(256<<20))
			require.Greater(t, r.PIDs, 1, "a program in Go has threads")
			rates := r.Since(first[i])
			require.GreaterOrEqual(t, rates.Over, 300*time.Millisecond)
			require.Greater(t, rates.CPU, 0.02, "it does nothing but compute, on a machine that may be busy")
			require.Less(t, rates.CPU, 4.0)
			require.Zero(t, r.Since(metrics.Reading{}), "there was no earlier one")
			require.Zero(t, first[i].Since(r).CPU, "time does not go back")
			pids, err := reader.Processes(targets[i])
			require.NoError(t, err)
			require.Equal(t, []int{targets[i].PID}, pids)
			require.Zero(t, r.Net, "its namespace has no interface but loopback")
			require.NotContains(t, r.Missing, metrics.Net)
		})
	}
	require.Equal(t, []metrics.Measure{metrics.CPU, metrics.Memory, metrics.PIDs, metrics.Block}, second[1].Approximate)
	controllers, err := group.Controllers()
	require.NoError(t, err)
	for controller, measure := range map[string]metrics.Measure{"memory": metrics.Memory, "io": metrics.Block} {
		approximate := !strings.Contains(strings.Join(controllers, " "), controller)
		require.Equal(t, approximate, containsMeasure(second[0].Approximate, measure), "%s with %v", measure, controllers)
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil {
		require.NotNil(t, second[0].Pressure.CPU)
	}
}

func containsMeasure(list []metrics.Measure, m metrics.Measure) bool {
	for _, have := range list {
		if have == m {
			return true
		}
	}
	return false
}

func TestReadEnded(t *testing.T) {
	kerneltest.RequireRoot(t)
	reader, err := metrics.Open(metrics.Options{})
	require.NoError(t, err)
	cmd := exec.Command("/bin/true")
	require.NoError(t, cmd.Run())
	for _, target := range []metrics.Target{{PID: cmd.Process.Pid, Cgroup: true, Network: true}, {PID: cmd.Process.Pid}} {
		readings := reader.Read([]metrics.Target{target})
		require.ErrorIs(t, readings[0].Err, fs.ErrNotExist, "%+v", target)
		require.Zero(t, readings[0].Since(readings[0]))
	}
}

// BenchmarkRead reads 100 containers with a process and a cgroup each.
func BenchmarkRead(b *testing.B) {
	kerneltest.RequireRoot(b)
	reader, err := metrics.Open(metrics.Options{})
	require.NoError(b, err)
	var targets []metrics.Target
	for i := range 100 {
		g, err := cgroup.Create(b.Context(), cgroup.Spec{Path: cgroup.Path("metrics-bench", string(rune('a'+i/26))+string(rune('a'+i%26)))}, cgroup.Options{})
		require.NoError(b, err)
		cmd := exec.Command("/bin/sleep", "600")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.File().Fd()), Cloneflags: syscall.CLONE_NEWNET}
		require.NoError(b, cmd.Start())
		b.Cleanup(func() {
			ctx := context.Background()
			require.NoError(b, g.Kill())
			_ = cmd.Wait() // killed
			require.NoError(b, errors.Join(g.WaitEmpty(ctx), g.Remove(ctx), g.Close()))
		})
		targets = append(targets, metrics.Target{PID: cmd.Process.Pid, Cgroup: true, Network: true})
	}
	for b.Loop() {
		for _, r := range reader.Read(targets) {
			require.NoError(b, r.Err)
		}
	}
}
