package native_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/rootless"
	"github.com/containust/containust/modules/sdk/native"
)

func TestMain(m *testing.M) {
	if options := os.Getenv(supervisorEnv); options != "" {
		if err := superviseUntilKilled(options); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if rootless.Needed() && os.Getenv(kerneltest.RequireEnv) != "" {
		os.Exit(insideRootless())
	}
	os.Exit(kerneltest.Main(m, kerneltest.Leaks{}))
}

// insideRootless runs this program once more, in a user namespace in which an
// ordinary user is root.
func insideRootless() int {
	exit, err := rootless.Run(context.Background(), os.Args, os.Environ(), rootless.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return exit.Code
}

// TestRootless: an ordinary user's containers do all of this too, but for what
// is skipped there.
func TestRootless(t *testing.T) {
	if rootless.Needed() || idmap.Confined() {
		t.Skip("this is the ordinary user")
	}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "programs"), 0o755))
	for _, name := range []string{"get", "setid", "write"} {
		require.NoError(t, kerneltest.Build(filepath.Join(dir, "programs", name), "./testdata/"+name))
	}
	kerneltest.AsUser(t, dir, ".", kerneltest.ProgramsEnv+"="+filepath.Join(dir, "programs"))
}

// rootOnly skips what is not so for an ordinary user, and why.
func rootOnly(t *testing.T, why string) {
	t.Helper()
	if idmap.Confined() {
		t.Skip("as an ordinary user: " + why)
	}
}

// layer makes a root file system with BusyBox.
func layer(t *testing.T) container.Layer {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	bin := filepath.Join(dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	busybox, err := os.ReadFile("/bin/busybox")
	require.NoError(t, err, "the Debian package busybox-static is needed")
	require.NoError(t, os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755))
	for _, name := range []string{"sh", "cat", "echo", "sleep", "httpd", "wget", "id", "ls", "touch", "mount", "hostname", "stat", "nc", "head", "wc", "grep", "mkdir", "chmod", "chown", "rm"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(bin, name)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "srv/data"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "srv/data/hello"), []byte("from the image"), 0o640))
	return container.Layer{Digest: "sha256:" + strings.Repeat("0", 64), Path: dir}
}

// project is a backend of its own whose traces are removed at the end.
type project struct {
	*native.Backend
	opts native.Options
}

func newProject(t *testing.T) *project {
	t.Helper()
	kerneltest.RequireRoot(t)
	p := &project{opts: native.Options{
		Project:  "test-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())),
		StateDir: t.TempDir(), RunDir: filepath.Join(t.TempDir(), "run"),
	}}
	p.open(t)
	t.Cleanup(func() {
		ctx := context.Background()
		infos, err := p.List(ctx)
		require.NoError(t, err)
		for _, info := range infos {
			require.NoError(t, p.Stop(ctx, info.ID, container.StopOptions{Timeout: -1}))
		}
		require.NoError(t, p.Release(ctx))
		require.NoError(t, p.Close())
	})
	return p
}

func (p *project) open(t *testing.T) {
	t.Helper()
	b, err := native.Open(t.Context(), p.opts)
	require.NoError(t, err)
	p.Backend = b
}

func (p *project) config(t *testing.T, name string, args ...string) container.Config {
	return container.Config{
		Name: name, Layers: []container.Layer{layer(t)}, Args: args, ReadOnly: true,
		Network: container.Network{Mode: container.NetworkProject},
	}
}

// run starts a container and returns how it ended and what it wrote.
func (p *project) run(t *testing.T, cfg container.Config) (container.ExitStatus, string) {
	t.Helper()
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)
	exit, err := p.Wait(t.Context(), id)
	require.NoError(t, err)
	return exit, p.log(t, id)
}

func (p *project) log(t *testing.T, id container.ID) string {
	t.Helper()
	var all bytes.Buffer
	for _, stderr := range []bool{false, true} {
		r, err := p.Logs(t.Context(), id, container.LogOptions{Stderr: stderr})
		require.NoError(t, err)
		_, err = io.Copy(&all, r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	return all.String()
}

func TestExitAndOutput(t *testing.T) {
	p := newProject(t)
	exit, out := p.run(t, p.config(t, "one", "sh", "-c", "echo out; echo err >&2; exit 3"))
	require.Equal(t, container.ExitStatus{Code: 3}, exit)
	require.Equal(t, "out\nerr\n", out)

	id, err := p.Create(t.Context(), p.config(t, "two", "sleep", "1000"))
	require.NoError(t, err)
	pid, err := p.Start(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	exit, err = p.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 137, exit.Code)
	require.Equal(t, 9, exit.Signal)
}

func TestRootIsReadOnlyButTmpfs(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "ro", "sh", "-c", "touch /x; touch /tmp/x && echo tmp works; cat /run/secrets/key; ls -l /run/secrets/key")
	cfg.Mounts = []container.Mount{{Kind: container.MountTmpfs, Target: "/tmp"}, {Kind: container.MountTmpfs, Target: "/run", Size: 1 << 20}}
	cfg.Files = []container.File{{Path: "/run/secrets/key", Content: []byte("open sesame\n"), Mode: 0o400}}
	_, out := p.run(t, cfg)
	require.Contains(t, out, "touch: /x: Read-only file system")
	require.Contains(t, out, "tmp works")
	require.Contains(t, out, "open sesame")
	require.Contains(t, out, "-r--------")
}

func TestWritableRootLastsUntilRemoved(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "rw", "sh", "-c", "cat /x; echo kept >/x")
	cfg.ReadOnly = false
	_, out := p.run(t, cfg)
	require.Contains(t, out, "No such file")
	_, err := p.Start(t.Context(), "rw")
	require.NoError(t, err)
	_, err = p.Wait(t.Context(), "rw")
	require.NoError(t, err)
	require.Contains(t, p.log(t, "rw"), "kept")

	require.NoError(t, p.Remove(t.Context(), "rw", container.RemoveOptions{}))
	_, out = p.run(t, cfg)
	require.NotContains(t, out, "kept", "a removed container's files are gone")
}

func TestNamedVolume(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "v", "sh", "-c", "cat /srv/data/hello; echo more >>/srv/data/hello")
	cfg.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/srv/data"}}
	_, out := p.run(t, cfg)
	require.Equal(t, "from the image", out, "a new volume has the image's content")
	require.NoError(t, p.Remove(t.Context(), "v", container.RemoveOptions{}))
	_, out = p.run(t, cfg)
	require.Equal(t, "from the imagemore\n", out, "a volume outlives its container")
}

func TestHostFolderAndFile(t *testing.T) {
	p := newProject(t)
	host := t.TempDir()
	require.NoError(t, os.WriteFile(host+"/f", []byte("host file\n"), 0o644))
	cfg := p.config(t, "b", "sh", "-c", "cat /mnt/f /etc/one; touch /mnt/new; touch /ro/new")
	cfg.Mounts = []container.Mount{
		{Kind: container.MountBind, Source: host, Target: "/mnt"},
		{Kind: container.MountBind, Source: host, Target: "/ro", ReadOnly: true},
		{Kind: container.MountBind, Source: host + "/f", Target: "/etc/one"},
	}
	_, out := p.run(t, cfg)
	require.Contains(t, out, "host file\nhost file\n")
	require.Contains(t, out, "touch: /ro/new: Read-only file system")
	require.FileExists(t, host+"/new")
}

func TestExec(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "x", "sleep", "1000")
	cfg.Env = []string{"A=1", "B=2"}
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)

	r, w, err := os.Pipe()
	require.NoError(t, err)
	result, err := p.Exec(t.Context(), id, container.ExecOptions{
		Args: []string{"sh", "-c", "echo $A $B $(hostname); exit 5"}, Env: []string{"B=3"}, Stdout: w,
	})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, "1 3 x\n", string(out))
	require.Equal(t, 5, result.Exit.Code)

	_, err = p.Exec(t.Context(), id, container.ExecOptions{Args: []string{"/no/such"}})
	require.ErrorIs(t, err, container.ErrCommandNotFound)
	_, err = p.Exec(t.Context(), id, container.ExecOptions{Args: []string{"/etc/hosts"}})
	require.ErrorIs(t, err, container.ErrNotExecutable)

	// Time enough to start on a slow machine: giving up before is another error.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	result, err = p.Exec(ctx, id, container.ExecOptions{Args: []string{"sleep", "1000"}})
	require.NoError(t, err)
	require.Equal(t, 9, result.Exit.Signal, "giving up an exec ends its process")
}

func TestStopDoesNotWaitInVain(t *testing.T) {
	p := newProject(t)
	// sleep neither catches nor blocks SIGTERM: as the first process of its
	// namespace it would never notice.
	id, err := p.Create(t.Context(), p.config(t, "s", "sleep", "1000"))
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, p.Stop(t.Context(), id, container.StopOptions{Timeout: time.Minute}))
	require.Less(t, time.Since(began), 30*time.Second)

	id, err = p.Create(t.Context(), p.config(t, "trap", "sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done"))
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(p.log(t, id), "up") }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, p.Stop(t.Context(), id, container.StopOptions{Timeout: time.Minute}))
	exit, err := p.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 7, exit.Code)
	require.Contains(t, p.log(t, id), "bye")
}

// A first process that waits for signals instead of catching them, as tini does,
// listens to the stop signal: while it waits, and while it deals with another one.
// The init of a container is such a process.
func TestWaitingForSignalsIsNoticed(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "waits", "sleep", "1000")
	cfg.Init = true
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	pid, err := p.Start(t.Context(), id)
	require.NoError(t, err)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	require.Contains(t, string(status), "SigCgt:\t0000000000000000\n", "it catches none")
	end := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				_ = unix.Kill(pid, unix.SIGURG) // which means nothing to sleep
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	defer others.Wait()
	defer close(end)
	for range 1000 {
		notices, err := native.NoticesSignal(pid, unix.SIGTERM)
		require.NoError(t, err)
		require.True(t, notices)
	}
}

func TestLinksNamesAndExposure(t *testing.T) {
	p := newProject(t)
	web := p.config(t, "web", "httpd", "-f", "-p", "80", "-h", "/srv/data")
	port := freePort(t)
	web.Network.Expose = []container.Exposure{{Address: "127.0.0.1", HostPort: port, ContainerPort: 80, Protocol: "tcp"}}
	linked := p.config(t, "linked", "sleep", "1000")
	linked.Network.Links = []string{"web"}
	get := buildGet(t)
	for _, cfg := range []container.Config{web, linked, p.config(t, "alone", "sleep", "1000")} {
		require.NoError(t, os.WriteFile(cfg.Layers[0].Path+"/bin/get", get, 0o755))
		id, err := p.Create(t.Context(), cfg)
		require.NoError(t, err)
		_, err = p.Start(t.Context(), id)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		return p.Probe(t.Context(), "web", container.Health{HTTP: ":80/hello"}) == nil
	}, 5*time.Second, 10*time.Millisecond)
	require.NoError(t, p.Probe(t.Context(), "web", container.Health{TCP: 80}))
	require.ErrorContains(t, p.Probe(t.Context(), "web", container.Health{HTTP: ":80/missing"}), "404")

	resp, err := http.Get("http://" + net.JoinHostPort("127.0.0.1", itoa(port)) + "/hello")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.Equal(t, "from the image", string(body))

	result, err := p.Exec(t.Context(), "linked", container.ExecOptions{Args: []string{"get", "http://web/hello"}})
	require.NoError(t, err)
	require.Equal(t, 0, result.Exit.Code, "a linked container reaches web by name")
	infos, err := p.List(t.Context())
	require.NoError(t, err)
	result, err = p.Exec(t.Context(), "alone", container.ExecOptions{Args: []string{"get", "http://" + infos[2].Address + "/hello"}})
	require.NoError(t, err)
	require.NotEqual(t, 0, result.Exit.Code, "without a link not even by address")
}

// TestTakeOver is what happens when a supervisor was killed: another backend
// finds what runs, and the output goes on without a gap.
func TestTakeOver(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "on", "sh", "-c", "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.002; done; exit 4")
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	pid, err := p.Start(t.Context(), id)
	require.NoError(t, err)
	for range 5 {
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, p.Close())
		p.open(t)
		infos, err := p.List(t.Context())
		require.NoError(t, err)
		require.Len(t, infos, 1)
		require.Equal(t, container.StatusRunning, infos[0].Status)
		require.Equal(t, pid, infos[0].PID)
	}
	exit, err := p.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 4, exit.Code)
	var want strings.Builder
	for i := range 400 {
		want.WriteString(itoa(uint16(i)) + "\n")
	}
	require.Equal(t, want.String(), p.log(t, id))
}

// A filter is on every container, of its process and of what is run inside; the
// profile is the one that there was when it was created.
func TestSystemCallFilter(t *testing.T) {
	p := newProject(t)
	const seccomp = `while read line; do case $line in Seccomp:*) echo $line; esac; done </proc/self/status`
	start := func(name, profile string) container.ID {
		cfg := p.config(t, name, "sh", "-c", seccomp+"; mkdir /tmp/d; sleep 1000")
		cfg.Mounts = []container.Mount{{Kind: container.MountTmpfs, Target: "/tmp"}}
		cfg.Seccomp = profile
		id, err := p.Create(t.Context(), cfg)
		require.NoError(t, err)
		_, err = p.Start(t.Context(), id)
		require.NoError(t, err)
		return id
	}
	exec := func(id container.ID, script string) string {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = p.Exec(t.Context(), id, container.ExecOptions{Args: []string{"sh", "-c", script}, Stdout: w, Stderr: w})
		require.NoError(t, err)
		require.NoError(t, w.Close())
		out, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		return string(out)
	}
	for profile, want := range map[string]string{"": "Seccomp: 2\n", "default": "Seccomp: 2\n", "unconfined": "Seccomp: 0\n"} {
		id := start("c"+profile, profile)
		require.Eventually(t, func() bool { return p.log(t, id) == want }, 5*time.Second, 5*time.Millisecond, "%s: %s", profile, want)
		require.Equal(t, want, exec(id, seccomp))
	}

	file := filepath.Join(t.TempDir(), "p.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errno": "EXDEV"}]}`), 0o600))
	id := start("own", file)
	require.Eventually(t, func() bool { return strings.Contains(p.log(t, id), "link") }, 5*time.Second, 5*time.Millisecond, "the error of EXDEV")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, p.Close())
	p.open(t) // as after the end of a supervisor
	require.Contains(t, exec(id, "mkdir /tmp/e"), "link")
	_, err := p.Create(t.Context(), container.Config{Name: "bad", Seccomp: file, Args: []string{"x"}})
	require.ErrorContains(t, err, file+": seccomp profile: line 1, column 1: this is not JSON")
}

// TestRefusedUpdateChangesNothing: a change in place that cannot be made leaves
// the container, and the rules of the others, as they were.
func TestRefusedUpdateChangesNothing(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "web", "sleep", "100")
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)

	limited := cfg
	limited.Resources.Memory = 64 << 20
	require.ErrorIs(t, p.Update(t.Context(), limited), errors.ErrUnsupported)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	exposed := cfg
	exposed.Network.Expose = []container.Exposure{{
		Address: "127.0.0.1", HostPort: uint16(taken.Addr().(*net.TCPAddr).Port), ContainerPort: 80, Protocol: "tcp",
	}}
	var inUse *network.PortInUseError
	require.ErrorAs(t, p.Update(t.Context(), exposed), &inUse)
	infos, err := p.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, infos[0].Expose)
	exit, _ := p.run(t, p.config(t, "other", "sh", "-c", "exit 0"))
	require.Zero(t, exit.Code, "another one starts")
	unknown := cfg
	unknown.Name = "nobody"
	require.ErrorIs(t, p.Update(t.Context(), unknown), fs.ErrNotExist)
}

// TestRemoveFreesPorts: the port of what is removed leads nowhere at once, also
// while the rest of the project goes on.
func TestRemoveFreesPorts(t *testing.T) {
	p := newProject(t)
	p.start(t, p.config(t, "other", "sleep", "1000"))
	cfg := p.config(t, "web", "httpd", "-f", "-h", "/srv")
	port := freePort(t)
	cfg.Network.Expose = []container.Exposure{{Address: "127.0.0.1", HostPort: port, ContainerPort: 80, Protocol: "tcp"}}
	p.start(t, cfg)
	dial := func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", itoa(port)), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	require.Eventually(t, func() bool { return dial() == nil }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, p.Remove(t.Context(), "web", container.RemoveOptions{Force: true}))
	require.ErrorIs(t, dial(), syscall.ECONNREFUSED)
}

// An init takes the stop signal for a command that would not notice it as the
// first process.
func TestStopWithInit(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "s", "sh", "-c", "echo up; sleep 1000; echo never")
	cfg.Init = true
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(p.log(t, id), "up") }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, "init\n", p.exec(t, "s", "", "cat /proc/1/comm"))
	began := time.Now()
	require.NoError(t, p.Stop(t.Context(), id, container.StopOptions{Timeout: time.Minute}))
	require.Less(t, time.Since(began), 30*time.Second)
	exit, err := p.Wait(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, container.ExitStatus{Code: 128 + int(unix.SIGTERM)}, exit, "it ended by the signal and was not killed")
	require.NotContains(t, p.log(t, id), "never")
}
