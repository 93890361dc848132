package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/rootless"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/core/seccomp"
)

// The first version with everything that cannot be done without: overlays of
// layers with mapped owners.
const (
	oldestMajor, oldestMinor = 5, 19
	oldestKernel             = "5.19"
)

// Check looks at everything that native containers need of this machine. It
// changes nothing.
func Check(ctx context.Context) []Requirement {
	if idmap.Confined() {
		return []Requirement{
			checkKernel(), checkIDs(), checkOwnCgroup(ctx), checkLimits(ctx), checkOverlay(), checkFilters(),
			checkUserNamespaces(ctx), checkProc(), checkNetwork(ctx), wayOut(),
		}
	}
	found := []Requirement{checkKernel(), checkPrivileges(), checkCgroup(), checkLimits(ctx), checkOverlay(), checkFilters()}
	if found[1].Err == nil {
		// Without privileges they could only fail for want of them.
		found = append(found, checkUserNamespaces(ctx), checkNetwork(ctx), checkForward())
	}
	return found
}

func checkKernel() Requirement {
	r := Requirement{Name: "kernel " + oldestKernel + " or newer", Required: true, Mend: "boot a newer kernel"}
	var uts unix.Utsname
	if r.Err = unix.Uname(&uts); r.Err != nil {
		return r
	}
	release := unix.ByteSliceToString(uts.Release[:])
	var major, minor int
	if _, r.Err = fmt.Sscanf(release, "%d.%d", &major, &minor); r.Err != nil {
		return r
	}
	r.Found = release
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		r.Err = fmt.Errorf("this is %s", release)
	}
	return r
}

func checkPrivileges() Requirement {
	r := Requirement{Name: "root", Required: true, Found: "uid 0", Mend: "run ctst as root (sudo ctst …)"}
	if os.Geteuid() != 0 {
		r.Err = fmt.Errorf("this is user %d", os.Geteuid())
		return r
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if r.Err = unix.Capget(&header, &data[0]); r.Err != nil {
		return r
	}
	for name, number := range map[string]uint{"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_MKNOD": unix.CAP_MKNOD} {
		if data[number/32].Effective&(1<<(number%32)) == 0 {
			r.Err = fmt.Errorf("%s is missing", name)
			r.Mend = "run ctst on the machine itself, or in a container started with --privileged"
		}
	}
	return r
}

func checkCgroup() Requirement {
	r := Requirement{Name: "cgroup v2", Required: true, Mend: "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1"}
	h, err := cgroup.Find()
	if err != nil {
		r.Err = err
		return r
	}
	r.Found = h.Mount
	if h.Hybrid && !idmap.Confined() {
		r.Found += " (hybrid: cgroup v1 owns some controllers)"
	}
	return r
}

// checkLimits looks which limits components can have.
func checkLimits(ctx context.Context) Requirement {
	r := Requirement{Name: "limits", Found: "memory, cpu, pids, io"}
	lacks := Examine(ctx).lackedControllers()
	if len(lacks) == 0 {
		return r
	}
	var names []string
	for _, l := range lacks {
		names = append(names, l.Setting)
	}
	r.Err = fmt.Errorf("%s cannot be enforced: %w", strings.Join(names, ", "), lacks[0].Err)
	r.Mend = lacks[0].Mend + "; components without such limits run"
	return r
}

func checkOverlay() Requirement {
	r := Requirement{Name: "overlay file system", Required: true, Found: "overlay", Mend: "modprobe overlay"}
	// Opening it loads the module, where there is one.
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	switch {
	case err == nil:
		r.Err = unix.Close(fd)
	case errors.Is(err, unix.EPERM):
		text, readErr := os.ReadFile("/proc/filesystems")
		if readErr != nil || !strings.Contains(string(text), "\toverlay\n") {
			r.Err = err
		}
	default:
		r.Err = err
	}
	return r
}

func checkUserNamespaces(ctx context.Context) Requirement {
	r := Requirement{Name: "user namespaces", Required: true, Found: "can be made", Mend: "see the error; in a container, start it with --privileged"}
	ids := idmap.Contiguous(0)
	if own, err := idmap.Own(); err == nil && idmap.Confined() {
		ids = own.Identity()
	}
	ns, err := sandbox.Prepare(ctx, ids, sandbox.PrepareOptions{})
	if err != nil {
		r.Err = err
		if reason, mend := rootless.Obstacle(); reason != "" {
			r.Err, r.Mend = fmt.Errorf("%s (%w)", reason, err), mend
		}
		return r
	}
	r.Err = ns.Close()
	return r
}

// checkProc looks whether /proc is seen whole. Where parts of it are covered, as in
// other engines' containers, the kernel refuses who is root in a user namespace
// only a new one (mount_too_revealing in fs/namespace.c).
func checkProc() Requirement {
	r := Requirement{Name: "whole /proc", Required: true, Found: "nothing of it is covered", Mend: "run ctst on the machine itself, or give the container --security-opt systempaths=unconfined"}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		r.Err = err
		return r
	}
	if covered := coveredProc(string(text)); len(covered) > 0 {
		r.Err = fmt.Errorf("covered are %s", strings.Join(covered, ", "))
	}
	return r
}

// coveredProc lists what is mounted over parts of /proc but in folders that are
// there for that.
func coveredProc(mountinfo string) (covered []string) {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], "/proc/") && fields[4] != "/proc/sys/fs/binfmt_misc" && fields[4] != "/proc/fs/nfsd" {
			covered = append(covered, fields[4])
		}
	}
	return covered
}

// checkForward looks for a firewall that keeps packets of containers.
func checkForward() Requirement {
	r := Requirement{Name: "firewall", Found: "lets packets of containers pass"}
	chains, err := network.Dropping()
	if err != nil {
		r.Err, r.Mend = err, "modprobe nf_tables"
		return r
	}
	if len(chains) > 0 {
		r.Err = fmt.Errorf("components have no way out, and are not reached from other machines: %s drops what is forwarded", strings.Join(chains, ", "))
		r.Mend = "accept in that chain what comes in or goes out by interfaces ctst*; links between components work without"
	}
	return r
}

func checkFilters() Requirement {
	return Requirement{
		Name: "system call filters", Required: true, Found: "seccomp", Err: seccomp.Available(),
		Mend: "boot a kernel with CONFIG_SECCOMP_FILTER",
	}
}

func checkNetwork(ctx context.Context) Requirement {
	r := Requirement{Name: "network namespaces", Required: true, Found: "can be made", Mend: "see the error; in a container, start it with --privileged"}
	e, err := network.None(ctx, network.EndpointOptions{})
	if err != nil {
		r.Err = err
		return r
	}
	r.Err = e.Close()
	return r
}
