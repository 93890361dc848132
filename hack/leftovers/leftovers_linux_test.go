package main

import (
	"slices"
	"testing"
)

const mountinfo = `24 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
25 24 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
26 24 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
30 24 0:30 / / ro,relatime - overlay overlay ro,lowerdir=/x/.containust/cache/layers/1
31 30 254:1 /home/u/book/.containust/volumes/entries /data rw - ext4 /dev/vda1 rw
32 24 0:4 net:[4026532000] /run/containust/ns/1 rw - nsfs nsfs rw
33 24 0:4 / /home/u/containust/src rw - ext4 /dev/vdb rw
34 24 0:50 / /mnt rw - tmpfs containust rw
`

func TestOurMounts(t *testing.T) {
	want := []string{"/", "/data", "/run/containust/ns/1", "/mnt"}
	if got := ourMounts(mountinfo); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestCgroupRoots(t *testing.T) {
	if got := cgroupRoots(mountinfo); !slices.Equal(got, []string{"/sys/fs/cgroup/unified"}) {
		t.Fatalf("got %q", got)
	}
}

func TestIsCommand(t *testing.T) {
	for exe, want := range map[string]bool{
		"/usr/bin/ctst": true, "/src/bin/ctst (deleted)": true,
		"/usr/bin/ctstat": false, "/ctst/other": false, "": false,
	} {
		if got := isCommand(exe); got != want {
			t.Errorf("%q: got %v", exe, got)
		}
	}
}

func TestStartTime(t *testing.T) {
	stat := "77 (a b) 3 4) S 1 77 77 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 1 0 123456 789 10"
	if got := startTime(stat); got != "123456" {
		t.Fatalf("got %q", got)
	}
	if got := startTime(""); got != "?" {
		t.Fatalf("got %q", got)
	}
}
