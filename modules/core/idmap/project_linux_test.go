package idmap_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }

// project is one with a registry of its own, which must be gone in the end.
func project(t testing.TB, name string) idmap.Project {
	t.Helper()
	dir := t.TempDir()
	return idmap.Project{Name: name, Holder: holder(t, name), Registry: filepath.Join(dir, "run", "ids.json")}
}

func holder(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.Mkdir(dir, 0o700))
	return dir
}

func allocate(t testing.TB, p idmap.Project, container string) uint32 {
	t.Helper()
	first, err := p.Allocate(t.Context(), container)
	require.NoError(t, err)
	require.GreaterOrEqual(t, first, uint32(524288))
	require.LessOrEqual(t, first, uint32(1879048191-65535))
	require.Zero(t, first%65536)
	return first
}

func TestAllocate(t *testing.T) {
	p := project(t, "shop")
	web, api := allocate(t, p, "web"), allocate(t, p, "api")
	require.NotEqual(t, web, api)
	require.Equal(t, web, allocate(t, p, "web"), "asked again")
	require.NoError(t, p.Free(t.Context(), "web", "unknown"))
	require.FileExists(t, p.Registry)
	require.Equal(t, web, allocate(t, p, "web"), "it comes again")

	// Where somebody else has what it would have, it gets others.
	other := idmap.Project{Name: "other", Holder: holder(t, "other"), Registry: p.Registry}
	for _, who := range []idmap.Project{p, other} {
		require.NoError(t, p.Free(t.Context(), "web"))
		require.NoError(t, who.Claim(t.Context(), "faster", web, false))
		require.NotEqual(t, web, allocate(t, p, "web"))
		require.NoError(t, who.Free(t.Context(), "faster"))
	}
	require.NoError(t, p.FreeAll(t.Context()))
	require.NoDirExists(t, filepath.Dir(p.Registry), "nothing is left")

	_, err := idmap.Project{Name: "x", Registry: p.Registry}.Allocate(t.Context(), "web")
	require.ErrorContains(t, err, "holder")
}

// Many at once, of several projects, have nothing in common.
func TestAllocateConcurrently(t *testing.T) {
	a := project(t, "a")
	b := idmap.Project{Name: "b", Holder: holder(t, "b"), Registry: a.Registry}
	var mutex sync.Mutex
	var group sync.WaitGroup
	owners := map[uint32]string{}
	for _, p := range []idmap.Project{a, b} {
		for i := range 20 {
			group.Go(func() {
				name := fmt.Sprint("c", i)
				first, err := p.Allocate(t.Context(), name)
				mutex.Lock()
				defer mutex.Unlock()
				if other, ok := owners[first]; err != nil || ok {
					t.Errorf("%s/%s has %d, as %q; %v", p.Name, name, first, other, err)
				}
				owners[first] = p.Name + "/" + name
			})
		}
	}
	group.Wait()
	require.Len(t, owners, 40)
	text, err := os.ReadFile(a.Registry)
	require.NoError(t, err)
	var file struct {
		Projects map[string]struct {
			Has struct{ Ranges map[string]uint32 }
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	require.Len(t, file.Projects["a"].Has.Ranges, 20)
	require.Len(t, file.Projects["b"].Has.Ranges, 20)
}

// What a crash left: a registry that speaks of a project whose folder is gone,
// or of another boot.
func TestLeftovers(t *testing.T) {
	p := project(t, "crashed")
	first := allocate(t, p, "web")
	next := idmap.Project{Name: "next", Holder: holder(t, "next"), Registry: p.Registry}
	var taken *idmap.TakenError
	require.ErrorAs(t, next.Claim(t.Context(), "x", first, false), &taken)
	require.Equal(t, "project crashed", taken.By)
	require.NoError(t, os.Remove(p.Holder))
	require.NoError(t, next.Claim(t.Context(), "x", first, false))
	require.NoError(t, next.Free(t.Context(), "x"))

	require.NoError(t, os.Mkdir(filepath.Dir(p.Registry), 0o700))
	require.NoError(t, os.WriteFile(p.Registry, fmt.Appendf(nil,
		`{"version":1,"projects":{"old":{"boot":"another","has":{"holder":"/","ranges":{"web":%d}}}}}`, first), 0o600))
	require.NoError(t, next.Claim(t.Context(), "x", first, false))
}

// The registry is lost while containers have ranges: they claim theirs again.
func TestLostRegistry(t *testing.T) {
	p := project(t, "shop")
	first := allocate(t, p, "web")
	require.NoError(t, os.RemoveAll(filepath.Dir(p.Registry)))
	require.NoError(t, p.Claim(t.Context(), "web", first, false))
	require.NoError(t, p.Claim(t.Context(), "web", first, false), "again")
	var taken *idmap.TakenError
	require.ErrorAs(t, p.Claim(t.Context(), "api", first, true), &taken)
	require.Equal(t, "container web", taken.By)
	require.EqualError(t, taken, fmt.Sprintf("the ids %d–%d are in use by container web", first, first+65535))
	for _, wrong := range []uint32{0, 1000, first + 1, 1879048192, 524288 - 65536} {
		require.ErrorContains(t, p.Claim(t.Context(), "api", wrong, false), "no range begins at")
	}
}

// What others use is left alone, by name in files or by processes.
func TestOthersRanges(t *testing.T) {
	kerneltest.RequireRoot(t)
	for _, test := range []struct {
		name string
		take func(t *testing.T, first uint32)
		by   string
	}{
		{"subordinate users", func(t *testing.T, first uint32) {
			overmount(t, "/etc/subuid", fmt.Sprintf("# comment\nalice:100000:65536\nbroken:1\nbob:%d:1\n", first+65535))
		}, "/etc/subuid"},
		{"subordinate groups", func(t *testing.T, first uint32) {
			overmount(t, "/etc/subgid", fmt.Sprintf("alice:%d:65536\n", first-1))
		}, "/etc/subgid"},
		{"a user namespace", func(t *testing.T, first uint32) {
			process(t, &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(first + 100), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			})
		}, "process "},
		{"a namespace's groups", func(t *testing.T, first uint32) {
			process(t, &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(first), Size: 70000}},
			})
		}, "process "},
		{"a user of the host", func(t *testing.T, first uint32) {
			process(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: first + 5, Gid: 0}})
		}, "process "},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := project(t, "shop")
			first := allocate(t, p, "web")
			require.NoError(t, p.Free(t.Context(), "web"))
			test.take(t, first)
			require.NotEqual(t, first, allocate(t, p, "web"))
			require.NoError(t, p.Free(t.Context(), "web"))
			var taken *idmap.TakenError
			require.ErrorAs(t, p.Claim(t.Context(), "web", first, false), &taken)
			require.Contains(t, taken.By, test.by)
			require.NoError(t, p.Claim(t.Context(), "web", first, true), "the processes are its own")
			require.NoError(t, p.Claim(t.Context(), "web", first, false), "what is registered stays")
		})
	}
	t.Run("all", func(t *testing.T) {
		overmount(t, "/etc/subuid", "greedy:524288:2000000000\n")
		_, err := project(t, "shop").Allocate(t.Context(), "web")
		require.ErrorIs(t, err, idmap.ErrNoRange)
	})
}

// A look that is not the newest keeps nobody from a range that was left since, and
// what it found to be free is taken for free.
func TestEarlierLook(t *testing.T) {
	kerneltest.RequireRoot(t)
	p := project(t, "shop")
	first := allocate(t, p, "web")
	require.NoError(t, p.Free(t.Context(), "web"))
	var before *idmap.Host
	t.Run("while it is used", func(t *testing.T) {
		process(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: first, Gid: 0}})
		before = idmap.Look()
		p.Host = func() *idmap.Host { return before }
		require.NotEqual(t, first, allocate(t, p, "web"))
		require.NoError(t, p.Free(t.Context(), "web"))
		var taken *idmap.TakenError
		require.ErrorAs(t, p.Claim(t.Context(), "web", first, false), &taken)
	})
	require.Equal(t, first, allocate(t, p, "web"))
	require.NoError(t, p.Free(t.Context(), "web"))
	require.NoError(t, p.Claim(t.Context(), "web", first, false))
}

// overmount puts a file over another one, in the tests' own mount namespace.
func overmount(t *testing.T, target, text string) {
	t.Helper()
	if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
		kerneltest.Missing(t, "kernel", "this machine has no %s", target)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	require.NoError(t, unix.Mount(file, target, "", unix.MS_BIND, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(target, 0)) })
}

// process runs for the time of the test.
func process(t *testing.T, attr *syscall.SysProcAttr) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "echo; exec cat")
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { in.Close(); require.NoError(t, cmd.Wait()) })
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
}
