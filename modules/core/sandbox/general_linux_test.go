package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// each runs f with and without a user namespace.
func each(t *testing.T, f func(t *testing.T, s sandbox.Spec)) {
	dir := image(t)
	t.Run("caller's user namespace", func(t *testing.T) { f(t, spec(t, dir, "probe")) })
	t.Run("own user namespace", func(t *testing.T) { f(t, userSpec(t, dir, "probe")) })
}

// What a process can be given, seen from inside.
func TestProcessSettings(t *testing.T) {
	each(t, func(t *testing.T, s sandbox.Spec) {
		umask := uint32(0o027)
		s.Umask, s.Personality = &umask, 8
		s.IOPriority = &sandbox.IOPriority{Class: sandbox.IOBestEffort, Level: 6}
		s.Scheduler = &sandbox.Scheduler{Policy: unix.SCHED_BATCH, Nice: 7}
		s.CPUs = []int{0}
		s.Hostname, s.Domainname = "box", "example"
		r := observe(t, s)
		require.Equal(t, 0o027, r.Umask)
		require.Equal(t, 2<<13|6, r.IOPriority)
		require.EqualValues(t, unix.SCHED_BATCH, r.Scheduler.Policy)
		require.EqualValues(t, 7, r.Scheduler.Nice)
		require.Equal(t, "0", r.Status["Cpus_allowed_list"])

		s = again(t, s, "try", "cat", "/proc/sys/kernel/domainname")
		require.Equal(t, "/proc/sys/kernel/domainname: example\n", output(t, s))
	})
}

// again is a spec with another program, and a root that was not used up.
func again(t *testing.T, s sandbox.Spec, args ...string) sandbox.Spec {
	t.Helper()
	root, err := rootfs.Folder(image(t), rootfs.Bind{})
	require.NoError(t, err)
	t.Cleanup(func() { root.Close() })
	if s.User != nil && !idmap.Confined() {
		require.NoError(t, idmap.Mount(root, s.User, false))
	}
	s.Root, s.Args = root, args
	return s
}

// The value is the process's, and the caller keeps its own: both share their
// memory for a while.
func TestOOMScoreAdj(t *testing.T) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	require.NoError(t, err)
	each(t, func(t *testing.T, s sandbox.Spec) {
		adj := 432
		s.OOMScoreAdj = &adj
		p := running(t, s)
		got, err := os.ReadFile(filepath.Join("/proc", itoa(p.PID()), "oom_score_adj"))
		require.NoError(t, err)
		require.Equal(t, "432\n", string(got))
		after, err := os.ReadFile("/proc/self/oom_score_adj")
		require.NoError(t, err)
		require.Equal(t, string(own), string(after))
	})
}

func TestPersonality(t *testing.T) {
	each(t, func(t *testing.T, s sandbox.Spec) {
		s.Args = []string{"try", "cat", "/proc/self/personality"}
		s.Personality = 8
		require.Equal(t, "/proc/self/personality: 00000008\n", output(t, s))
	})
}

func TestCapabilitySets(t *testing.T) {
	each(t, func(t *testing.T, s sandbox.Spec) {
		s.UID = 1000
		sets := sandbox.CapabilitySets{
			Bounding:    capability.Of(capability.CHOWN, capability.NET_RAW, capability.KILL, capability.FOWNER),
			Permitted:   capability.Of(capability.CHOWN, capability.NET_RAW),
			Effective:   capability.Of(capability.CHOWN),
			Inheritable: capability.Of(capability.CHOWN, capability.KILL),
			Ambient:     capability.Of(capability.CHOWN),
		}
		s.CapabilitySets = &sets
		r := observe(t, s)
		for name, want := range map[string]capability.Set{
			"CapBnd": sets.Bounding, "CapInh": sets.Inheritable, "CapAmb": sets.Ambient,
			// What runs a program keeps the ambient ones alone.
			"CapPrm": sets.Ambient, "CapEff": sets.Ambient,
		} {
			got, err := capability.Decode(r.Status[name])
			require.NoError(t, err)
			require.Equal(t, want, got, name)
		}
	})
}

func TestSysctls(t *testing.T) {
	each(t, func(t *testing.T, s sandbox.Spec) {
		s.Args = []string{"try", "cat", "/proc/sys/net/ipv4/ip_default_ttl", "/proc/sys/kernel/shmmni", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/net/ipv4/conf/lo/forwarding"}
		s.Sysctls = map[string]string{
			"net.ipv4.ip_default_ttl": "77", "kernel/shmmni": "78", "fs.mqueue.msg_max": "79", "net.ipv4.conf.lo.forwarding": "1",
		}
		before, err := os.ReadFile("/proc/sys/kernel/shmmni")
		require.NoError(t, err)
		require.Equal(t, "/proc/sys/net/ipv4/ip_default_ttl: 77\n/proc/sys/kernel/shmmni: 78\n/proc/sys/fs/mqueue/msg_max: 79\n/proc/sys/net/ipv4/conf/lo/forwarding: 1\n", output(t, s))
		after, err := os.ReadFile("/proc/sys/kernel/shmmni")
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
	})
}

// The clocks of a container that was moved go on where they were.
func TestTimeOffsets(t *testing.T) {
	kerneltest.RequireKernel(t, 6, 2)
	each(t, func(t *testing.T, s sandbox.Spec) {
		s.TimeOffsets = sandbox.TimeOffsets{Boottime: 1000 * time.Hour, Monotonic: time.Millisecond}
		var now unix.Timespec
		require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &now))
		r := observe(t, s)
		require.InDelta(t, now.Sec+3600*1000, r.Boottime, 60)
		require.NotEqual(t, ownNamespaces(t)["time"], r.Namespaces["time"])

		s = again(t, s)
		s.TimeOffsets = sandbox.TimeOffsets{Boottime: 1000 * time.Hour}
		p := running(t, s)
		out, exit := execute(t, p, sandbox.Command{Args: []string{"probe"}})
		require.Zero(t, exit)
		r = decode(t, out)
		require.InDelta(t, now.Sec+3600*1000, r.Boottime, 60, "of an exec")
		want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", p.PID()))
		require.NoError(t, err)
		require.Equal(t, want, r.Namespaces["time"])
	})
	require.Equal(t, "monotonic -1 999000000\nboottime 2 5\n", sandbox.TimeOffsets{Monotonic: -time.Millisecond, Boottime: 2*time.Second + 5}.String())
}

// On an older kernel the program would run, with the host's clocks.
func TestTimeOffsetsNeedKernel(t *testing.T) {
	for release, can := range map[string]bool{"5.14.0": false, "6.1.0-56-cloud-amd64": false, "6.2.0": true, "6.18.44": true, "7.0-rc1": true} {
		err := sandbox.CheckClocks(release)
		require.Equal(t, can, err == nil, "%s: %v", release, err)
		if !can {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, "needs Linux 6.2, this is "+release)
		}
	}
	require.Error(t, sandbox.CheckClocks("unknown"))
}

// Namespaces are the caller's, those of another container, or new ones.
func TestNamespacesByFile(t *testing.T) {
	own := ownNamespaces(t)
	each(t, func(t *testing.T, s sandbox.Spec) {
		s.UTS.Host = true
		r := observe(t, s)
		require.Equal(t, own["uts"], r.Namespaces["uts"])
		require.NotEqual(t, own["ipc"], r.Namespaces["ipc"])
		require.Equal(t, 1, r.PID)

		first := running(t, again(t, s))
		open := func(k namespace.Kind) *os.File {
			f, err := namespace.Open(first.PID(), k)
			require.NoError(t, err)
			t.Cleanup(func() { f.Close() })
			return f
		}
		s = again(t, s, "probe")
		s.UTS, s.CgroupNamespace = sandbox.Namespace{File: open(namespace.UTS)}, sandbox.Namespace{File: open(namespace.Cgroup)}
		s.PID, s.IPC = sandbox.Namespace{File: open(namespace.PID)}, sandbox.Namespace{File: open(namespace.IPC)}
		r = observe(t, s)
		require.NotEqual(t, 1, r.PID, "the second in the first's")
		for _, name := range []string{"pid", "ipc", "uts", "cgroup"} {
			link, err := os.Readlink(filepath.Join("/proc", itoa(first.PID()), "ns", name))
			require.NoError(t, err)
			require.Equal(t, link, r.Namespaces[name], name)
		}
		require.NotEqual(t, own["mnt"], r.Namespaces["mnt"])

		// All of it, its root too.
		s.Root, s.Plan, s.ReadOnlyRoot, s.Mount = nil, rootfs.Plan{}, false, open(namespace.Mount)
		r = observe(t, s)
		link, err := os.Readlink(filepath.Join("/proc", itoa(first.PID()), "ns/mnt"))
		require.NoError(t, err)
		require.Equal(t, link, r.Namespaces["mnt"])
		require.NotEmpty(t, r.Mounts)
	})
	s := spec(t, image(t), "probe")
	s.PID.Host, s.IPC.Host, s.CgroupNamespace.Host = true, true, true
	r := observe(t, s)
	require.Equal(t, own["pid"], r.Namespaces["pid"])
	require.Equal(t, own["ipc"], r.Namespaces["ipc"])
	require.Equal(t, own["cgroup"], r.Namespaces["cgroup"])
}

// Every option of a mount, as mountinfo shows it inside.
func TestMountOptions(t *testing.T) {
	for name, test := range map[string]struct {
		mount rootfs.Mount
		want  string // in the fields of the mount
		not   string
	}{
		"relatime":    {rootfs.Mount{}, "rw,relatime ", "shared:"},
		"noatime":     {rootfs.Mount{Flags: rootfs.NoAtime}, "rw,noatime ", "relatime"},
		"strictatime": {rootfs.Mount{Flags: rootfs.StrictAtime}, "rw ", "atime"},
		"nodiratime":  {rootfs.Mount{Flags: rootfs.NoDirAtime}, "nodiratime", ""},
		"all":         {rootfs.Mount{Flags: rootfs.ReadOnly | rootfs.NoSuid | rootfs.NoDev | rootfs.NoExec | rootfs.NoSymlinks}, "ro,nosuid,nodev,noexec,relatime,nosymfollow", ""},
		"shared":      {rootfs.Mount{Propagation: rootfs.Shared}, " shared:", ""},
		"slave":       {rootfs.Mount{Propagation: rootfs.Slave}, "rw", "shared:"},
		"unbindable":  {rootfs.Mount{Propagation: rootfs.Unbindable}, " unbindable ", ""},
		"top":         {rootfs.Mount{Top: rootfs.NoExec}, "noexec", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, image(t), "probe")
			m := test.mount
			m.Target, m.Type = "/work", "tmpfs"
			s.Mounts = append(s.Mounts, m)
			line := mountLine(t, observe(t, s), "/work")
			require.Contains(t, line, test.want)
			if test.not != "" {
				require.NotContains(t, line, test.not)
			}
		})
	}
	s := spec(t, image(t), "probe")
	s.RootPropagation = rootfs.Shared
	require.Contains(t, mountLine(t, observe(t, s), "/"), " shared:")
}

// mountLine returns the line of mountinfo of a mount point.
func mountLine(t *testing.T, r report, point string) string {
	t.Helper()
	for _, line := range r.Mounts {
		if strings.Fields(line)[4] == point {
			return line
		}
	}
	require.Fail(t, "no mount "+point, "%v", r.Mounts)
	return ""
}

// A slave of a host's shared mount gets what is mounted there, and gives nothing
// back; what is said of the top is not said of what lies below.
func TestSourceOptions(t *testing.T) {
	dir, host := image(t), t.TempDir()
	require.NoError(t, unix.Mount("test", host, "tmpfs", unix.MS_NOEXEC|unix.MS_NOATIME, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(host, unix.MNT_DETACH)) })
	require.NoError(t, unix.Mount("", host, "", unix.MS_SHARED, ""))
	require.NoError(t, os.Mkdir(filepath.Join(host, "sub"), 0o755))
	require.NoError(t, unix.Mount("test", filepath.Join(host, "sub"), "tmpfs", 0, ""))

	source, err := rootfs.Folder(host, rootfs.Bind{Recursive: true, Propagation: rootfs.Slave, Clear: rootfs.NoExec, Flags: rootfs.RelAtime})
	require.NoError(t, err)
	defer source.Close()
	s := spec(t, dir)
	s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/work", Source: source, Propagation: rootfs.Slave, Top: rootfs.ReadOnly})
	p := running(t, s)
	require.NoError(t, os.Mkdir(filepath.Join(host, "late"), 0o755))
	require.NoError(t, unix.Mount("test", filepath.Join(host, "late"), "tmpfs", 0, ""))
	info, err := os.ReadFile(filepath.Join("/proc", itoa(p.PID()), "mountinfo"))
	require.NoError(t, err)
	r := report{Mounts: strings.Split(strings.TrimSpace(string(info)), "\n")}
	require.Contains(t, mountLine(t, r, "/work"), " ro,relatime master:")
	require.NotContains(t, mountLine(t, r, "/work"), "noexec")
	require.Contains(t, mountLine(t, r, "/work/sub"), " rw,relatime ")
	require.Contains(t, mountLine(t, r, "/work/late"), " rw,relatime ")
}

// Devices have the numbers, mode and owner that they are given.
func TestPlanDevices(t *testing.T) {
	s := userSpec(t, image(t), "try", "owner", "/dev/net/tun", "/dev/loop9", "/dev/net", "/dev/null")
	s.Devices = []rootfs.Device{
		{Path: "/dev/net/tun", Major: 10, Minor: 200, Mode: 0o660, UID: 1<<30 + 33, GID: 1<<30 + 34},
		{Path: "/dev/loop9", Block: true, Major: 7, Minor: 9, Mode: 0o600, UID: 1 << 30, GID: 1 << 30},
		{Path: "/dev/null", Major: 1, Minor: 3, Mode: 0o600, UID: 1 << 30, GID: 1 << 30}, // in the place of the standard one
	}
	require.Equal(t, "/dev/net/tun: 33 34 Dcrw-rw----\n/dev/loop9: 0 0 Drw-------\n/dev/net: 0 0 drwxr-xr-x\n/dev/null: 0 0 Dcrw-------\n", output(t, s))
	s = userSpec(t, image(t), "probe")
	s.Devices = []rootfs.Device{{Path: "/etc/x"}}
	_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
	require.ErrorContains(t, err, "make the device /etc/x: it must be below /dev")
}

// What contradicts itself or would change the host is refused before anything
// happens.
func TestRefusedSettings(t *testing.T) {
	no, high, wide := 0, 1001, uint32(0o1777)
	for want, change := range map[string]func(s *sandbox.Spec){
		"the sysctl kernel.panic belongs to the whole machine": func(s *sandbox.Spec) { s.Sysctls = map[string]string{"kernel.panic": "1"} },
		`"net.//.//kernel.panic" is no name of a sysctl`:       func(s *sandbox.Spec) { s.Sysctls = map[string]string{"net.//.//kernel.panic": "1"} },
		"the sysctl net.ipv4.ip_forward is the host's":         func(s *sandbox.Spec) { s.HostNetwork = true; s.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"} },
		"the sysctl kernel.sem is the host's":                  func(s *sandbox.Spec) { s.IPC.Host = true; s.Sysctls = map[string]string{"kernel.sem": "1"} },
		"the sysctl user.max_user_namespaces is the host's":    func(s *sandbox.Spec) { s.Sysctls = map[string]string{"user.max_user_namespaces": "1"} },
		"it would rename the host":                             func(s *sandbox.Spec) { s.UTS.Host = true; s.Hostname = "x" },
		"both a pid namespace and the host's":                  func(s *sandbox.Spec) { s.PID = sandbox.Namespace{File: os.Stdin, Host: true} },
		"enters a mount namespace, so nothing can be mounted":  func(s *sandbox.Spec) { s.Mount = os.Stdin },
		"a process with deadlines cannot enter a user namespace": func(s *sandbox.Spec) {
			s.User = os.Stdin
			s.Scheduler = &sandbox.Scheduler{Policy: unix.SCHED_DEADLINE}
		},
		"oom_score_adj is -1000 to 1000, not 1001":                         func(s *sandbox.Spec) { s.OOMScoreAdj = &high },
		"the file mode mask 01777 is none":                                 func(s *sandbox.Spec) { s.Umask = &wide },
		"not class 4, level 0":                                             func(s *sandbox.Spec) { s.IOPriority = &sandbox.IOPriority{Class: 4, Level: no} },
		"the list of processors is empty":                                  func(s *sandbox.Spec) { s.CPUs = []int{} },
		"there is no processor 1024":                                       func(s *sandbox.Spec) { s.CPUs = []int{1024} },
		"CHOWN cannot be effective, for it is not permitted":               func(s *sandbox.Spec) { s.CapabilitySets = &sandbox.CapabilitySets{Effective: 1} },
		"CHOWN cannot be ambient, for it is not permitted and inheritable": func(s *sandbox.Spec) { s.CapabilitySets = &sandbox.CapabilitySets{Ambient: 1, Permitted: 1} },
		"says its capabilities twice":                                      func(s *sandbox.Spec) { s.CapabilitySets = &sandbox.CapabilitySets{}; s.Capabilities = 1 },
		"the soft limit core = 2 is above the hard limit 1":                func(s *sandbox.Spec) { s.Rlimits = []sandbox.Rlimit{{Resource: unix.RLIMIT_CORE, Cur: 2, Max: 1}} },
	} {
		t.Run(want, func(t *testing.T) {
			s := spec(t, image(t), "probe")
			change(&s)
			_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
			require.ErrorContains(t, err, want)
		})
	}
}
