package main

import (
	"strings"

	"github.com/containust/containust/integration/guest/job"
	"github.com/containust/containust/modules/core/kerneltest"
)

// required is what the guest has: a test that misses it fails instead of being
// skipped. "kernel" is not among it, because newer kernels have what this one has
// not; see skips.
var required = []string{"root", "cgroup", "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}

// jobs returns what the guest is to run. All of it runs as root so far.
func jobs(suites []suite, o options) []job.Job {
	var list []job.Job
	for _, s := range suites {
		// Short: translated instructions are some ten times slower.
		args := []string{"-test.short", "-test.timeout=" + o.each.String()}
		pattern := s.run
		if o.run != "" {
			pattern = o.run
		}
		if pattern != "" {
			args = append(args, "-test.run="+pattern)
		}
		list = append(list, job.Job{
			Package: s.pkg, Program: s.program(), Folder: s.workFolder(), Args: args,
			Env: []string{
				"PATH=/usr/bin", "HOME=/root", "USER=root", "TMPDIR=/tmp",
				kerneltest.RequireEnv + "=" + strings.Join(required, ","),
				kerneltest.ProgramsEnv + "=" + s.programFolder(),
			},
		})
	}
	return list
}
