package cgroup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/kerneltest"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	// Named after the first process: the tests run again in namespaces, and
	// others may run them at the same time.
	if top = os.Getenv(topEnv); top == "" {
		top = fmt.Sprintf("containust-cgroup-test-%d", os.Getpid())
		if err := os.Setenv(topEnv, top); err != nil {
			panic(err)
		}
	}
	var leaks kerneltest.Leaks
	if h, err := cgroup.Find(); err == nil {
		// Only what these tests make: others use the hierarchy at the same
		// time.
		leaks.Cgroups = []string{filepath.Join(h.Mount, top)}
		if os.Geteuid() == 0 {
			if err := os.MkdirAll(leaks.Cgroups[0], 0o755); err != nil {
				panic(err)
			}
		}
	}
	code := kerneltest.Main(m, leaks)
	for _, dir := range leaks.Cgroups {
		_ = os.Remove(dir) // by the outermost process; the others find it in use or gone
	}
	os.Exit(code)
}

// top is the folder that all cgroups of these tests are in.
var top string

const topEnv = "CTST_CGROUP_TEST_TOP"

func options(t testing.TB) cgroup.Options {
	t.Helper()
	kerneltest.RequireRoot(t)
	h, err := cgroup.Find()
	if err != nil {
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	return cgroup.Options{Root: filepath.Join(h.Mount, top)}
}

func create(t testing.TB, path string, controllers ...string) *cgroup.Cgroup {
	t.Helper()
	g, err := cgroup.Create(t.Context(), cgroup.Spec{Path: path, Controllers: controllers}, options(t))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, g.Kill())
		require.NoError(t, g.WaitEmpty(context.Background()))
		require.NoError(t, g.Remove(context.Background()))
		require.NoError(t, g.Close())
	})
	return g
}

// start starts a shell in the cgroup and reaps it when it ends.
func start(t testing.TB, g *cgroup.Cgroup, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.File().Fd())}
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return cmd
}

func TestFind(t *testing.T) {
	h, err := cgroup.Find()
	if err != nil {
		require.ErrorIs(t, err, cgroup.ErrNoHierarchy)
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	text, err := os.ReadFile(filepath.Join(h.Mount, "cgroup.controllers"))
	require.NoError(t, err)
	require.ElementsMatch(t, strings.Fields(string(text)), h.Controllers)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.Equal(t, strings.Contains(string(mounts), " - cgroup "), h.Hybrid)
}

func TestLife(t *testing.T) {
	opts := options(t)
	spec := cgroup.Spec{Path: cgroup.Path("life", "web")}
	require.Equal(t, "containust/life/web", spec.Path)
	_, err := cgroup.Open(spec, opts)
	require.ErrorIs(t, err, fs.ErrNotExist)

	g, err := cgroup.Create(t.Context(), spec, opts)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(opts.Root, spec.Path), g.Path())
	require.Empty(t, g.Missing())
	_, err = cgroup.Create(t.Context(), spec, opts)
	require.ErrorIs(t, err, fs.ErrExist)

	again, err := cgroup.Open(spec, opts)
	require.NoError(t, err)
	populated, err := again.Populated()
	require.NoError(t, err)
	require.False(t, populated)
	require.NoError(t, again.Close())
	require.NoError(t, again.Close(), "twice")

	sibling, err := cgroup.Create(t.Context(), cgroup.Spec{Path: cgroup.Path("life", "db")}, opts)
	require.NoError(t, err)
	require.NoError(t, g.Remove(t.Context()))
	require.NoError(t, g.Remove(t.Context()), "twice")
	require.NoDirExists(t, g.Path())
	require.DirExists(t, sibling.Path())
	require.NoError(t, sibling.Remove(t.Context()))
	require.NoDirExists(t, filepath.Join(opts.Root, "containust"), "empty ancestors go")
	require.DirExists(t, opts.Root)
	require.NoError(t, errors.Join(g.Close(), sibling.Close()))
}

func TestPathsStayBelowTheRoot(t *testing.T) {
	opts := options(t)
	for _, path := range []string{"", ".", "..", "/", "a/../..", "../x", "/x"} {
		_, err := cgroup.Create(t.Context(), cgroup.Spec{Path: path}, opts)
		require.ErrorIs(t, err, fs.ErrInvalid, "%q", path)
	}
	dir := t.TempDir()
	_, err := cgroup.Create(t.Context(), cgroup.Spec{Path: "x"}, cgroup.Options{Root: dir})
	require.ErrorIs(t, err, fs.ErrInvalid, "no cgroup file system")
	require.NoDirExists(t, filepath.Join(dir, "x"))
	_, err = cgroup.Create(t.Context(), cgroup.Spec{Path: "x"}, cgroup.Options{Root: filepath.Join(dir, "no")})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoDirExists(t, filepath.Join(dir, "no"))
}

func TestProcessIsInAndCounted(t *testing.T) {
	g := create(t, "in/x")
	cmd := start(t, g, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 60")
	pids, err := g.Procs()
	require.NoError(t, err)
	require.Contains(t, pids, cmd.Process.Pid)
	populated, err := g.Populated()
	require.NoError(t, err)
	require.True(t, populated)
	require.Eventually(t, func() bool {
		stats, err := g.Stats()
		require.NoError(t, err)
		return stats.CPU.Usage > 0 && stats.CPU.Usage >= stats.CPU.User
	}, patience, 10*time.Millisecond)
}

func TestKillTakesAll(t *testing.T) {
	g := create(t, "kill/x")
	below, err := cgroup.Create(t.Context(), cgroup.Spec{Path: "kill/x/below"}, options(t))
	require.NoError(t, err)
	defer below.Close()
	// Children that ignore what they can, one of them in a session of its own.
	start(t, g, "trap '' TERM HUP INT; setsid sh -c 'sleep 60; :' & sleep 60")
	start(t, below, "sleep 60")
	err = g.Remove(t.Context())
	require.ErrorIs(t, err, cgroup.ErrBusy)
	require.DirExists(t, g.Path())

	waiting := make(chan error, 1)
	go func() { waiting <- g.WaitEmpty(t.Context()) }()
	select {
	case err := <-waiting:
		t.Fatalf("empty before the kill: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, g.Kill())
	require.NoError(t, <-waiting)
	populated, err := g.Populated()
	require.NoError(t, err)
	require.False(t, populated)
	require.NoError(t, g.Remove(t.Context()), "with the nested one")
	_, err = g.Stats()
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, g.WaitEmpty(t.Context()), "a removed one is empty")
	require.ErrorIs(t, g.Freeze(t.Context()), fs.ErrNotExist)
	require.NoError(t, os.MkdirAll(g.Path(), 0o755)) // for the clean-up
}

func TestWaitEmptyEnds(t *testing.T) {
	t.Run("with the context", func(t *testing.T) {
		g := create(t, "wait/x")
		start(t, g, "sleep 60")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, g.WaitEmpty(ctx), context.DeadlineExceeded)
	})
	t.Run("with the last process", func(t *testing.T) {
		g := create(t, "wait/y")
		start(t, g, "sleep 0.1 & exit 0")
		require.NoError(t, g.WaitEmpty(t.Context()))
	})
	// The notice that a cgroup became empty may come after its removal, and
	// then never: each round is a race between the two.
	t.Run("with the cgroup", func(t *testing.T) {
		for range 50 {
			g, err := cgroup.Create(t.Context(), cgroup.Spec{Path: "wait/z"}, options(t))
			require.NoError(t, err)
			cmd := start(t, g, "exec sleep 60")
			waiting := make(chan error, 1)
			go func() { waiting <- g.WaitEmpty(t.Context()) }()
			require.NoError(t, cmd.Process.Kill())
			require.Eventually(t, func() bool { return g.Remove(t.Context()) == nil }, patience, time.Millisecond)
			select {
			case err := <-waiting:
				require.NoError(t, err)
			case <-time.After(patience):
				t.Fatal("still waiting for a cgroup that is gone")
			}
			require.NoError(t, g.Close())
		}
	})
}

func TestFreeze(t *testing.T) {
	g := create(t, "freeze/x")
	dir := t.TempDir()
	ticks := filepath.Join(dir, "ticks")
	start(t, g, "while :; do echo . >>"+ticks+"; sleep 0.01; done")
	size := func() int64 {
		st, err := os.Stat(ticks)
		if err != nil {
			return 0
		}
		return st.Size()
	}
	require.Eventually(t, func() bool { return size() > 0 }, patience, time.Millisecond)
	require.NoError(t, g.Freeze(t.Context()))
	frozen := size()
	time.Sleep(100 * time.Millisecond)
	require.Equal(t, frozen, size())
	require.NoError(t, g.Thaw(t.Context()))
	require.Eventually(t, func() bool { return size() > frozen }, patience, time.Millisecond)

	require.NoError(t, g.Freeze(t.Context()))
	require.NoError(t, g.Kill(), "frozen processes end too")
	require.NoError(t, g.WaitEmpty(t.Context()))
}

func TestControllers(t *testing.T) {
	h, err := cgroup.Find()
	if err != nil {
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	opts := options(t)
	have, err := os.ReadFile(filepath.Join(opts.Root, "cgroup.controllers"))
	require.NoError(t, err)
	available := strings.Fields(string(have))

	t.Run("missing ones are told", func(t *testing.T) {
		g := create(t, "missing/x", "no-such-controller")
		require.Equal(t, []string{"no-such-controller"}, g.Missing())
	})
	t.Run("stats say what is absent", func(t *testing.T) {
		g := create(t, "absent/x", available...)
		stats, err := g.Stats()
		require.NoError(t, err)
		for name, present := range map[string]bool{
			"memory": stats.Memory != nil, "pids": stats.PIDs != nil, "io": stats.IO != nil,
		} {
			require.Equal(t, slices.Contains(available, name), present, name)
			require.Equal(t, !present, slices.Contains(stats.Absent, name), name)
		}
	})
	t.Run("enabled on the way", func(t *testing.T) {
		if len(h.Controllers) == 0 {
			kerneltest.Missing(t, "cgroup", "no controllers")
		}
		// The folder below the mount gets the controller for as long as this
		// test lives; the mount's own setting is put back.
		// One that is for whole processes: the others ("threaded") may be enabled
		// beside some.
		name := h.Controllers[0]
		for _, whole := range []string{"memory", "io", "hugetlb"} {
			if slices.Contains(h.Controllers, whole) {
				name = whole
				break
			}
		}
		setting := filepath.Join(h.Mount, "cgroup.subtree_control")
		before, err := os.ReadFile(setting)
		require.NoError(t, err)
		g, err := cgroup.Create(t.Context(), cgroup.Spec{Path: top + "/enabled/x", Controllers: []string{name}}, cgroup.Options{})
		require.NoError(t, err)
		defer func() {
			require.NoError(t, g.Remove(context.Background()))
			require.NoError(t, g.Close())
			// Our own parent first: a controller stays on while it is on below.
			require.NoError(t, os.MkdirAll(opts.Root, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(opts.Root, "cgroup.subtree_control"), []byte("-"+name), 0))
			if !slices.Contains(strings.Fields(string(before)), name) {
				require.NoError(t, os.WriteFile(setting, []byte("-"+name), 0))
			}
		}()
		require.Empty(t, g.Missing())
		text, err := os.ReadFile(filepath.Join(g.Path(), "cgroup.controllers"))
		require.NoError(t, err)
		require.Equal(t, name, strings.TrimSpace(string(text)))

		// Not below a cgroup that has processes.
		cmd := start(t, g, "exec sleep 60")
		below := cgroup.Spec{Path: "x/y", Controllers: []string{name}}
		_, err = cgroup.Create(t.Context(), below, cgroup.Options{Root: filepath.Dir(g.Path())})
		require.ErrorIs(t, err, cgroup.ErrBusy)
		require.NoDirExists(t, filepath.Join(g.Path(), "y"))
		require.NoError(t, cmd.Process.Kill())
		require.NoError(t, g.WaitEmpty(t.Context()))
	})
}

// Creating and removing beside each other: the common folders above come and
// go, and nobody fails for it.
func TestCreateBesideRemove(t *testing.T) {
	opts := options(t)
	var workers sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		workers.Go(func() {
			for range 100 {
				g, err := cgroup.Create(context.Background(), cgroup.Spec{Path: cgroup.Path("race", name)}, opts)
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(g.Remove(context.Background()), g.Close()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	require.NoDirExists(t, filepath.Join(opts.Root, "containust"))
}

func TestErrorsNameTheFolder(t *testing.T) {
	opts := options(t)
	_, err := cgroup.Open(cgroup.Spec{Path: "none"}, opts)
	var groupErr *cgroup.Error
	require.ErrorAs(t, err, &groupErr)
	require.Equal(t, "open", groupErr.Op)
	require.Equal(t, filepath.Join(opts.Root, "none"), groupErr.Path)
	require.ErrorIs(t, err, unix.ENOENT)
	require.Equal(t, "cgroup: open "+groupErr.Path+": no such file or directory", err.Error())
}

func BenchmarkCreateRemove(b *testing.B) {
	opts := options(b)
	for b.Loop() {
		g, err := cgroup.Create(b.Context(), cgroup.Spec{Path: "bench/x"}, opts)
		require.NoError(b, err)
		require.NoError(b, errors.Join(g.Remove(b.Context()), g.Close()))
	}
}
