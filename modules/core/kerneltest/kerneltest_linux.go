package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// RequireRoot needs the effective user to be root with CAP_SYS_ADMIN.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root", "needs root")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		t.Fatalf("read capabilities: %v", err)
	}
	if sets[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		Missing(t, "root", "needs CAP_SYS_ADMIN")
	}
}

// RequireKernel needs a kernel of at least that version.
func RequireKernel(t testing.TB, major, minor int) {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatalf("read the kernel's version: %v", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(release, "%d.%d", &haveMajor, &haveMinor); err != nil {
		t.Fatalf("read the kernel's version %q: %v", release, err)
	}
	if haveMajor < major || haveMajor == major && haveMinor < minor {
		Missing(t, "kernel", "needs Linux %d.%d, this is %s", major, minor, release)
	}
}

// RequireLimits needs a cgroup v2 that limits processors, memory, processes and
// disks. Hosts where cgroup v1 owns those controllers have none.
func RequireLimits(t testing.TB) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatalf("find cgroup v2: %v", err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if f[2] != "cgroup2" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(f[1], "cgroup.controllers"))
		if err != nil {
			t.Fatalf("read the controllers of cgroup v2: %v", err)
		}
		has := strings.Fields(string(b))
		for _, controller := range []string{"cpu", "memory", "pids", "io"} {
			if !slices.Contains(has, controller) {
				Missing(t, "cgroup", "needs the cgroup v2 controller %s; %s has %q", controller, f[1], has)
			}
		}
		return
	}
	Missing(t, "cgroup", "needs cgroup v2, and none is mounted")
}

// RequireController needs a cgroup v2 controller such as "memory" that can be
// enabled below dir, the cgroup folder that the test makes its own in.
func RequireController(t testing.TB, dir, controller string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		Missing(t, controller, "needs cgroup v2: %v", err)
	}
	for _, name := range strings.Fields(string(b)) {
		if name == controller {
			return
		}
	}
	Missing(t, controller, "needs the cgroup v2 controller %s; %s has %q", controller, dir, b)
}
