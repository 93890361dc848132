package security

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/rootfs"
)

// What a default container is given, to the last line, is that of the golden
// file; and a process of exec gets the same.
func TestIsolation(t *testing.T) {
	p := newProject(t, `
COMPONENT seen { image = "file://./root" command = ["/probe", "see"] job = true }
COMPONENT waits { image = "file://./root" command = ["/probe", "wait"] hostname = "seen" }
COMPONENT guest { image = "file://./root" command = ["/probe", "see"] job = true user = "guest" hostname = "seen" }
`)
	p.ctst(t, "run", "-d")
	start := normal(t, p.logs(t, "seen"))
	golden(t, "isolation.golden", start)

	masked(t, p.logs(t, "seen"), "/proc")

	exec := normal(t, p.ctst(t, "exec", "waits", "/probe", "see"))
	require.Equal(t, onlyStart.ReplaceAllString(start, "$1"), onlyStart.ReplaceAllString(exec, "$1"))

	ids := regexp.MustCompile(`(?m)^(ids: |status: (Uid|Gid):|environment: HOME=).*$`)
	guest := normal(t, p.logs(t, "guest"))
	require.Equal(t, ids.ReplaceAllString(start, "$1"), ids.ReplaceAllString(guest, "$1"), "another user has the same, and no more")
	require.Contains(t, guest, "ids: 1000 1000 []\n")

	// Every namespace is another than ours.
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		require.Contains(t, start, "namespace: "+name+":[…]\n")
		require.NotEqual(t, namespace(t, os.Getpid(), name), namespace(t, p.status(t, "waits").PID, name))
	}
}

// onlyStart is what a container's output and its process alone have.
var onlyStart = regexp.MustCompile(`(?m)^(file [012]: ).*$`)

// mountLines is a mount table in a report.
var mountLines = regexp.MustCompile(`(?m)(^mountinfo: .*\n)+`)

// normal takes out of a report what differs from one container, machine or
// kernel to the next and says nothing about isolation.
func normal(t *testing.T, text string) string {
	t.Helper()
	for _, c := range []struct{ what, by string }{
		{`(?m)^status: (Name|State|Umask|Tgid|Ngid|Pid|PPid|TracerPid|FDSize|NStgid|NSpid|NSpgid|NSsid|Kthread|Vm\w+|Hugetlb\w+|Rss\w+|CoreDumping|THP_enabled|untag_mask|Threads|SigQ|\w+Pnd|Sig\w+|Shd\w+|Speculation\w+|Cpus_\w+|Mems_\w+|\w*ctxt_switches|x86_Thread_\w+):.*\n`, ""},
		{`[ \t]+`, " "},
		{`(?m)^([ug]id_map: 0) \d+`, "$1 …"},
		{`/run/containust/[^/]+/containers/\w+/`, "/run/containust/…/"},
		{`\[\d+\]`, "[…]"},
		// The hierarchies of cgroup v1.
		{`(?m)^cgroup: [1-9].*\n`, ""},
		// Ids of mounts and devices, what is masked, which masked has its own
		// test for, and options that depend on the kernel or say where layers are.
		{`(?m)^mountinfo: \d+ \d+ \d+:\d+ `, "mountinfo: "},
		{`(?m)^mountinfo: \S+ /(proc|sys/firmware|sys/devices)/.*\n`, ""},
		{`(?m)^mountinfo: \S+ /sys/firmware .*\n`, ""},
		{`(?m)^(mountinfo: .* - (overlay|cgroup2) \w+) .*$`, "$1"},
		{`,inode64`, ""},
		{`(uid|gid)=[1-9]\d{5,}`, "$1=…"},
	} {
		text = regexp.MustCompile(c.what).ReplaceAllString(text, c.by)
	}
	// Before Linux 6.8 mounts are listed in another order.
	return mountLines.ReplaceAllStringFunc(text, func(block string) string {
		return strings.Join(slices.Sorted(strings.Lines(block)), "")
	})
}

// masked checks in a mount table that of what this kernel has in /proc and /sys
// everything is hidden or read-only that must be, where proc is /proc.
func masked(t *testing.T, mountinfo, proc string) {
	t.Helper()
	hidden := 0
	where := func(path string) (string, bool) {
		_, err := os.Lstat(path)
		if rest, ok := strings.CutPrefix(path, "/proc/"); ok {
			path = proc + "/" + rest
		}
		return regexp.QuoteMeta(path), err == nil
	}
	for _, path := range rootfs.Default().Masked {
		if at, ok := where(path); ok {
			hidden++
			require.Regexp(t, `(?m) (/null|/) `+at+` .* - tmpfs `, mountinfo)
		}
	}
	require.NotZero(t, hidden)
	for _, path := range rootfs.Default().ReadOnly {
		if at, ok := where(path); ok {
			require.Regexp(t, `(?m) `+at+` ro,.* - proc `, mountinfo)
		}
	}
}
