package sandbox_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestIsolation(t *testing.T) {
	s := spec(t, image(t), "probe", "one", "two three", "")
	s.Hostname = "box"
	s.Dir = "/work"
	s.Env = append(s.Env, "A=b=c")
	// A file that its owner does not close on exec goes no further.
	in, err := unix.FcntlInt(s.Root.Fd(), unix.F_DUPFD, 50)
	require.NoError(t, err)
	root := os.NewFile(uintptr(in), "root")
	defer root.Close()
	s.Root = root
	r := observe(t, s)

	require.Equal(t, []string{"probe", "one", "two three", ""}, r.Args)
	require.Equal(t, []string{"PATH=/bin", "A=b=c"}, r.Env)
	require.Equal(t, "/work", r.Dir)
	require.Equal(t, "box", r.Hostname)
	require.Equal(t, 1, r.PID)
	require.Equal(t, 1, r.SID, "leader of a new session")
	require.Equal(t, 0o022, r.Umask)
	require.Equal(t, "0::/\n", lastLine(r.Cgroup), "the root of its cgroup namespace")

	own := ownNamespaces(t)
	for _, ns := range []string{"pid", "mnt", "net", "ipc", "uts", "cgroup"} {
		require.NotEmpty(t, r.Namespaces[ns])
		require.NotEqual(t, own[ns], r.Namespaces[ns], "%s namespace", ns)
	}
	require.Contains(t, r.Interfaces, "lo:")
	require.Equal(t, 3, strings.Count(r.Interfaces, "\n"), "loopback alone: %s", r.Interfaces)

	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		require.Equal(t, "0000000000000000", r.Status[set], set)
	}
	for _, signals := range []string{"SigBlk", "SigIgn"} {
		require.Equal(t, "0000000000000000", r.Status[signals], signals)
	}
	require.Equal(t, "1", r.Status["NoNewPrivs"])
	require.Empty(t, r.Groups)
	require.Equal(t, "/dev/null", r.Files["0"])
	for fd := range r.Files {
		// Go's own poller is no leak; it opened nothing yet in the probe.
		require.Contains(t, []string{"0", "1", "2"}, fd, "open: %v", r.Files)
	}
	keyring, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err == nil {
		require.NotEqual(t, keyring, r.Keyring, "session keyring")
	}
}

func TestMounts(t *testing.T) {
	t.Run("this kernel", func(t *testing.T) { testMounts(t, sandbox.Launch) })
	t.Run("before 6.15", func(t *testing.T) { testMounts(t, sandbox.LaunchOnOldKernel) })
}

type launcher = func(context.Context, sandbox.Spec, sandbox.Options) (*sandbox.Process, error)

func testMounts(t *testing.T, launch launcher) {
	checkMounts(t, decode(t, outputOf(t, launch, spec(t, image(t), "probe"))))
}

// outputOf is output with another launch.
func outputOf(t *testing.T, launch launcher, s sandbox.Spec) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	s.Stdout = w
	p, err := launch(t.Context(), s, sandbox.Options{})
	require.NoError(t, w.Close())
	require.NoError(t, err)
	endWith(t, p)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(out)
}

func checkMounts(t *testing.T, r report) {
	m := mountFields(r)
	roots := 0
	for _, line := range r.Mounts {
		if strings.Fields(line)[4] == "/" {
			roots++
		}
	}
	require.Equal(t, 1, roots, "the old root is gone: %v", r.Mounts)
	for point, options := range map[string]string{
		"/":              "ro",
		"/proc":          "rw,nosuid,nodev,noexec",
		"/sys":           "ro,nosuid,nodev,noexec",
		"/sys/fs/cgroup": "ro,nosuid,nodev,noexec",
		"/dev":           "rw,nosuid,noexec",
		"/dev/pts":       "rw,nosuid,noexec",
		"/dev/shm":       "rw,nosuid,nodev,noexec",
		"/dev/mqueue":    "rw,nosuid,nodev,noexec",
		"/proc/sys":      "ro,nosuid,nodev,noexec",
		"/proc/bus":      "ro,nosuid,nodev,noexec",
		"/proc/fs":       "ro,nosuid,nodev,noexec",
		"/proc/irq":      "ro,nosuid,nodev,noexec",
	} {
		require.True(t, strings.HasPrefix(m[point]+",", options+","), "%s has %q, want %q", point, m[point], options)
	}
	for point := range m {
		require.NotContains(t, point, "/mnt", "a mount of the host")
	}
}

func TestFiles(t *testing.T) {
	dir := image(t)
	s := spec(t, dir, "try", "write", "/new", "/etc/new", "/proc/sys/kernel/hostname", "/sys/kernel/new", "/sys/fs/cgroup/new", "/dev/shm/new")
	require.Equal(t, `/new: open /new: read-only file system
/etc/new: open /etc/new: read-only file system
/proc/sys/kernel/hostname: open /proc/sys/kernel/hostname: read-only file system
/sys/kernel/new: open /sys/kernel/new: read-only file system
/sys/fs/cgroup/new: open /sys/fs/cgroup/new: read-only file system
/dev/shm/new: <nil>
`, output(t, s))

	s = spec(t, dir, "try", "write", "/new")
	s.ReadOnlyRoot = false
	require.Equal(t, "/new: <nil>\n", output(t, s))
	require.FileExists(t, filepath.Join(dir, "new"))

	s = spec(t, dir, "try", "read", "/proc/interrupts", "/proc/keys", "/proc/timer_list")
	for line := range strings.Lines(output(t, s)) {
		require.Contains(t, line, ": 0 bytes")
	}
	s = spec(t, dir, "try", "list", "/sys/firmware", "/proc/acpi", "/bin/..")
	require.Regexp(t, `^/sys/firmware: 0 entries\n/proc/acpi: (0 entries|.*no such file.*)\n/bin/..: [1-9]`, output(t, s))
}

func TestMasks(t *testing.T) {
	dir := image(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "secrets"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets/a"), []byte("a"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/b"), []byte("b"), 0o644))
	require.NoError(t, os.Symlink("../etc/b", filepath.Join(dir, "empty/link")))
	masking := func(args ...string) sandbox.Spec {
		s := spec(t, dir, args...)
		s.ReadOnlyRoot = false
		s.Masked = append(s.Masked, "/secrets", "/empty/link", "/not/there")
		s.ReadOnly = append(s.ReadOnly, "/work", "/nor/this")
		return s
	}
	const want = "/secrets/a: open /secrets/a: no such file or directory\n/etc/b: 0 bytes\n/work/c: open /work/c: no such file or directory\n"
	read := []string{"try", "read", "/secrets/a", "/etc/b", "/work/c"}
	require.Equal(t, want, output(t, masking(read...)))
	require.Equal(t, want, outputOf(t, sandbox.LaunchOnOldKernel, masking(read...)), "before 6.15")
	require.Equal(t, "/secrets/a: open /secrets/a: read-only file system\n/work/c: open /work/c: read-only file system\n/etc/d: <nil>\n", output(t, masking("try", "write", "/secrets/a", "/work/c", "/etc/d")))
}

func TestSourceMounts(t *testing.T) {
	dir, data := image(t), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(data, "file"), []byte("hello"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/conf"), nil, 0o644))
	folder, err := rootfs.Folder(data, rootfs.Bind{ReadOnly: true, Flags: rootfs.NoSuid})
	require.NoError(t, err)
	defer folder.Close()
	opened, err := os.Open(filepath.Join(data, "file"))
	require.NoError(t, err)
	defer opened.Close()
	file, err := rootfs.Clone(opened, rootfs.Bind{})
	require.NoError(t, err)
	defer file.Close()
	memory, err := rootfs.Tmpfs([]string{"size=1m", "mode=0700"}, rootfs.NoDev)
	require.NoError(t, err)
	defer memory.Close()

	s := spec(t, dir, "probe")
	s.Mounts = append(s.Mounts,
		rootfs.Mount{Target: "/work", Source: folder},
		rootfs.Mount{Target: "/etc/conf", Source: file, Flags: rootfs.ReadOnly},
		rootfs.Mount{Target: "/tmp", Source: memory, Flags: rootfs.NoExec},
	)
	m := mountFields(observe(t, s))
	require.Contains(t, m["/work"], "ro,nosuid")
	require.Contains(t, m["/etc/conf"], "ro")
	require.Contains(t, m["/tmp"], "rw,nodev,noexec")
}

func TestUser(t *testing.T) {
	dir := image(t)
	t.Run("with a capability", func(t *testing.T) {
		s := spec(t, dir, "probe")
		s.UID, s.GID, s.Groups = 1000, 1001, []uint32{7, 8}
		s.Capabilities = capability.Of(capability.NET_BIND_SERVICE)
		r := observe(t, s)
		require.Equal(t, 1000, r.UID)
		require.Equal(t, 1001, r.GID)
		require.Equal(t, []int{7, 8}, r.Groups)
		require.Equal(t, "1000\t1000\t1000\t1000", r.Status["Uid"])
		require.Equal(t, "1001\t1001\t1001\t1001", r.Status["Gid"])
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			got, err := capability.Decode(r.Status[set])
			require.NoError(t, err)
			require.Equal(t, s.Capabilities, got, set)
		}
	})
	t.Run("without", func(t *testing.T) {
		s := spec(t, dir, "probe")
		s.UID, s.GID = 1000, 1000
		r := observe(t, s)
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			require.Equal(t, "0000000000000000", r.Status[set], set)
		}
	})
	t.Run("root with capabilities", func(t *testing.T) {
		s := spec(t, dir, "probe")
		s.Capabilities = capability.Docker
		r := observe(t, s)
		for set, want := range map[string]capability.Set{
			"CapInh": 0, "CapPrm": capability.Docker, "CapEff": capability.Docker, "CapBnd": capability.Docker, "CapAmb": 0,
		} {
			got, err := capability.Decode(r.Status[set])
			require.NoError(t, err)
			require.Equal(t, want, got, set)
		}
	})
	t.Run("new privileges allowed", func(t *testing.T) {
		s := spec(t, dir, "probe")
		s.AllowNewPrivileges = true
		require.Equal(t, "0", observe(t, s).Status["NoNewPrivs"])
	})
}

func TestRlimits(t *testing.T) {
	s := spec(t, image(t), "probe")
	core, err := sandbox.ParseRlimit("core")
	require.NoError(t, err)
	s.Rlimits = []sandbox.Rlimit{{Resource: core, Cur: 4096, Max: 8192}}
	r := observe(t, s)
	require.EqualValues(t, 4096, r.Limits.Cur)
	require.EqualValues(t, 8192, r.Limits.Max)
	_, err = sandbox.ParseRlimit("files")
	require.ErrorContains(t, err, "nofile")
}

func TestNetworkNamespace(t *testing.T) {
	dir := image(t)
	t.Run("host", func(t *testing.T) {
		s := spec(t, dir, "probe")
		s.HostNetwork = true
		require.Equal(t, ownNamespaces(t)["net"], observe(t, s).Namespaces["net"])
	})
	t.Run("given", func(t *testing.T) {
		first := running(t, spec(t, dir))
		net, err := os.Open(filepath.Join("/proc", itoa(first.PID()), "ns/net"))
		require.NoError(t, err)
		defer net.Close()
		want, err := os.Readlink(net.Name())
		require.NoError(t, err)
		s := spec(t, dir, "probe")
		s.Network = net
		require.Equal(t, want, observe(t, s).Namespaces["net"])
	})
	t.Run("loopback is up", func(t *testing.T) {
		s := spec(t, dir, "try", "listen", "80")
		s.Capabilities = capability.Of(capability.NET_BIND_SERVICE)
		require.Equal(t, "80: <nil>\n", output(t, s))
	})
}

// newCgroup makes a cgroup for the test and opens it.
func newCgroup(t testing.TB) *os.File {
	t.Helper()
	parent := "/sys/fs/cgroup"
	if _, err := os.Stat(parent + "/unified/cgroup.procs"); err == nil { // a hybrid host
		parent += "/unified"
	}
	name, err := os.MkdirTemp(parent, "sandbox-test")
	if err != nil {
		kerneltest.Missing(t, "cgroup", "needs a writable cgroup v2: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Rmdir(name)) })
	f, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestCgroup(t *testing.T) {
	cgroup := newCgroup(t)
	s := spec(t, image(t))
	s.Cgroup = cgroup
	p := running(t, s)
	b, err := os.ReadFile(cgroup.Name() + "/cgroup.procs")
	require.NoError(t, err)
	require.Equal(t, itoa(p.PID())+"\n", string(b))

	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	e, err := sandbox.Exec(t.Context(), p, sandbox.ExecSpec{
		Command: sandbox.Command{Args: []string{"/bin/probe"}, Stdout: w}, Cgroup: cgroup,
	}, sandbox.Options{})
	require.NoError(t, w.Close())
	require.NoError(t, err)
	defer e.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "0::/\n", lastLine(decode(t, string(out)).Cgroup), "the same cgroup as seen from inside")
	_, err = e.Wait(t.Context())
	require.NoError(t, err)
}

func TestExitStatus(t *testing.T) {
	dir := image(t)
	for _, test := range []struct {
		args []string
		want container.ExitStatus
	}{
		{[]string{"exit", "0"}, container.ExitStatus{}},
		{[]string{"exit", "3"}, container.ExitStatus{Code: 3}},
		{[]string{"exit", "255"}, container.ExitStatus{Code: 255}},
	} {
		p, _ := start(t, spec(t, dir, test.args...))
		got, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, test.want, got)
		again, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, test.want, again, "asked again")
		require.ErrorIs(t, p.Signal(syscall.SIGTERM), os.ErrProcessDone)
	}
	t.Run("signals", func(t *testing.T) {
		p := running(t, spec(t, dir))
		require.NoError(t, p.Signal(syscall.SIGTERM))
		got, err := p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, container.ExitStatus{Code: 43}, got)

		p = running(t, spec(t, dir))
		require.NoError(t, p.Signal(syscall.SIGKILL))
		got, err = p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, container.ExitStatus{Code: 137, Signal: 9}, got)
	})
}

func TestProgramErrors(t *testing.T) {
	dir := image(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/plain"), []byte("text"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/garbage"), []byte("text"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/script"), []byte("#!/no/shell\n"), 0o755))
	for _, test := range []struct {
		program string
		want    error
		code    int
		says    string
	}{
		{"nothing", fs.ErrNotExist, 127, "is missing"},
		{"/bin/nothing", fs.ErrNotExist, 127, "is missing"},
		{"script", fs.ErrNotExist, 127, "the interpreter that it names"},
		{"plain", fs.ErrPermission, 126, "execute permission"},
		{"garbage", unix.ENOEXEC, 126, "nor a program for this machine"},
		{"/bin", fs.ErrPermission, 126, "execute permission"},
	} {
		t.Run(test.program, func(t *testing.T) {
			for _, init := range []bool{false, true} {
				s := spec(t, dir, test.program)
				s.Env, s.Init = []string{"PATH=/empty:/bin:/nowhere"}, init
				_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
				var failed *sandbox.ExecError
				require.ErrorAs(t, err, &failed, "init: %v", init)
				require.Equal(t, test.program, failed.Path)
				require.ErrorIs(t, err, test.want)
				require.Equal(t, test.code, failed.ExitCode())
				require.ErrorContains(t, err, test.says)
			}
		})
	}
	t.Run("no PATH", func(t *testing.T) {
		for _, init := range []bool{false, true} {
			s := spec(t, dir, "probe")
			s.Env, s.Init = nil, init
			require.Empty(t, observe(t, s).Env)
		}
	})
}

func TestStepErrors(t *testing.T) {
	dir := image(t)
	for name, test := range map[string]struct {
		change func(*sandbox.Spec)
		want   string
		errno  syscall.Errno
	}{
		"no mount point": {
			func(s *sandbox.Spec) { s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/absent", Type: "tmpfs"}) },
			"sandbox: mount /absent: no such file or directory", unix.ENOENT,
		},
		"option": {
			func(s *sandbox.Spec) {
				s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/tmp", Type: "tmpfs", Options: []string{"colour=red"}})
			},
			"sandbox: mount /tmp: invalid argument", unix.EINVAL,
		},
		"file system": {
			func(s *sandbox.Spec) { s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/tmp", Type: "none such"}) },
			"sandbox: mount /tmp: no such device", unix.ENODEV,
		},
		"working directory": {
			func(s *sandbox.Spec) { s.Dir = "/absent" },
			"sandbox: enter the working directory /absent: no such file or directory", unix.ENOENT,
		},
		"sysctl": {
			func(s *sandbox.Spec) { s.Sysctls = map[string]string{"net.ipv4.no_such": "1"} },
			"sandbox: set the sysctl net.ipv4.no_such: no such file or directory", unix.ENOENT,
		},
		"used root": {
			func(s *sandbox.Spec) { s.Root.Close() },
			"sandbox: make mounts private: bad file descriptor", unix.EBADF,
		},
		"network": {
			func(s *sandbox.Spec) { s.Network = os.Stderr },
			"sandbox: enter the network namespace: invalid argument", unix.EINVAL,
		},
		"cgroup": {
			func(s *sandbox.Spec) { s.Cgroup = s.Root },
			"sandbox: clone: bad file descriptor", unix.EBADF,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, dir, "probe")
			test.change(&s)
			_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
			require.EqualError(t, err, test.want)
			var failed *sandbox.StepError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, test.errno, failed.Errno)
		})
	}
}

func TestSpecErrors(t *testing.T) {
	dir := image(t)
	for want, change := range map[string]func(*sandbox.Spec){
		"no program":         func(s *sandbox.Spec) { s.Args = nil },
		"no root":            func(s *sandbox.Spec) { s.Root = nil },
		"both a network":     func(s *sandbox.Spec) { s.Network, s.HostNetwork = s.Root, true },
		"NUL byte":           func(s *sandbox.Spec) { s.Env = []string{"A=\x00"} },
		`"relative" must be`: func(s *sandbox.Spec) { s.Masked = []string{"relative"} },
		`"/.." must be`:      func(s *sandbox.Spec) { s.ReadOnly = []string{"/.."} },
		"is not absolute":    func(s *sandbox.Spec) { s.Dir = "work" },
		"user or group id":   func(s *sandbox.Spec) { s.GID = ^uint32(0) },
		"does not know CAP_": func(s *sandbox.Spec) { s.Capabilities = 1 << 63 },
		"twice":              func(s *sandbox.Spec) { s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/tmp", Type: rootfs.TypeDev}) },
	} {
		t.Run(want, func(t *testing.T) {
			s := spec(t, dir, "probe")
			change(&s)
			_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
			require.ErrorContains(t, err, want)
		})
	}
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := sandbox.Launch(ctx, spec(t, image(t), "probe"), sandbox.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTableInLog(t *testing.T) {
	s := spec(t, image(t), "exit", "0")
	s.Env = append(s.Env, "TOKEN=hunter2")
	var log bytes.Buffer
	opts := sandbox.Options{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	p, err := sandbox.Launch(t.Context(), s, opts)
	require.NoError(t, err)
	endWith(t, p)
	require.Contains(t, log.String(), "pivot_root")
	require.Contains(t, log.String(), "TOKEN=…")
	require.NotContains(t, log.String(), "hunter2")
}

func lastLine(s string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(s, "\n"), "\n")
	return lines[len(lines)-1] + "\n"
}
