package main

import (
	"regexp"
	"strings"

	"github.com/containust/containust/integration/guest/job"
)

// skips are the tests that may be skipped in the guest, each with the reason. A
// name stands for its subtests too.
var skips = []struct{ folder, test, reason string }{
	{"modules/core/kerneltest", "TestLeak", "a part of TestLeaksAreFound, which runs it with an environment of its own"},
	{"integration/security", "TestServers", "there are no packages of Debian's in the guest, and no mirror to ask"},
	{"modules/core/cgroup/scope", "TestSystemd", "make test-systemd runs it, in a guest that systemd runs"},
	{"modules/core/cgroup/scope", "TestSystemdAgain", "the same"},
	{"modules/vm/qemu", "TestClose", "there is no QEMU in the guest"},
	{"modules/vm/qemu", "TestEndsWithContext", "the same"},
	{"modules/vm/qemu", "TestEndsWithProcess", "the same"},
}

// newerKernel is what kerneltest.RequireKernel says. The guest's kernel is an
// old one on purpose; the newer ways are tested on machines that have them.
var newerKernel = regexp.MustCompile(`needs Linux [0-9.]+, this is `)

func maySkip(j job.Job, test, output string) bool {
	if j.UID != 0 || newerKernel.MatchString(output) {
		return true
	}
	for _, s := range skips {
		if repository+s.folder == j.Package && (test == s.test || strings.HasPrefix(test, s.test+"/")) {
			return true
		}
	}
	return false
}
