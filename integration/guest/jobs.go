package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/integration/guest/job"
	"github.com/containust/containust/modules/core/kerneltest"
)

// required is what the guest has: a test that misses it fails instead of being
// skipped. "kernel" is not among it, because newer kernels have what this one has
// not; see skips.
var required = []string{"root", "rootless", "cgroup", "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}

// A selection is the part of a package's tests that belongs into the guest.
type selection struct {
	run, without string // regular expressions, as for go test; empty: all, none
	linux        bool   // of the files for Linux alone
}

// selections are the packages of which not all tests run, each with the reason.
var selections = map[string]selection{
	// The others read the repository or need no kernel. In those two scripts a
	// program must end within the tenth of a second in which an early end is
	// seen; translated instructions take longer.
	"integration": {run: "^TestScripts$/^(kernel|limits)$", without: "^TestScripts$/^kernel$/^kernel_(failures|foreground)$"},
	// The others use no kernel: that of the first is played by the tests, and
	// waits for fractions of a second; archives are read alike everywhere, and
	// bombs among them take minutes here.
	"modules/sdk/supervise":  {linux: true},
	"modules/storage/source": {linux: true},
	// The others reckon, which is the same everywhere.
	"modules/core/seccomp": {linux: true},
	// It reads the repository.
	"integration/security": {without: "^TestRowsHaveTests$"},
}

// longest are the packages that begin first, so that no guest has much to do when
// the others have nothing.
var longest = []string{"integration", "integration/security", "modules/sdk/native", "modules/core/sandbox"}

// user is the ordinary user of the guest, and usersToo the packages whose tests
// run a second time as that user: they take another way without privileges.
const user = 1000

var usersToo = []string{"modules/storage/unpack"}

// jobs returns what the guests are to run.
func jobs(suites []suite, o options) []job.Job {
	suites = slices.Clone(suites)
	rank := func(s suite) int {
		if i := slices.Index(longest, s.folder); i >= 0 {
			return i
		}
		return len(longest)
	}
	slices.SortStableFunc(suites, func(a, b suite) int { return rank(a) - rank(b) })
	var list []job.Job
	for _, s := range suites {
		list = append(list, s.job(o, 0))
		if slices.Contains(usersToo, s.folder) {
			list = append(list, s.job(o, user))
		}
	}
	return list
}

func (s suite) job(o options, uid uint32) job.Job {
	// Short: translated instructions are some ten times slower.
	args := []string{"-test.short", "-test.timeout=" + o.each.String()}
	selected := selections[s.folder]
	if selected.linux {
		selected.run = "^(" + strings.Join(s.linux, "|") + ")$"
	}
	if o.run != "" {
		selected.run = o.run
	}
	if selected.run != "" {
		args = append(args, "-test.run="+selected.run)
	}
	if selected.without != "" {
		args = append(args, "-test.skip="+selected.without)
	}
	j := job.Job{
		Package: s.pkg, Program: s.program(), Folder: s.workFolder(), Args: args, UID: uid,
		Env: []string{"PATH=/usr/bin", "TMPDIR=/tmp", kerneltest.ProgramsEnv + "=" + s.programFolder()},
	}
	if uid != 0 {
		// What needs root was there before.
		j.Package = fmt.Sprintf("%s (user %d)", s.pkg, uid)
		j.Env = append(j.Env, "HOME=/home", "USER=user")
		return j
	}
	j.Env = append(j.Env, "HOME=/root", "USER=root", kerneltest.RequireEnv+"="+strings.Join(required, ","))
	return j
}
