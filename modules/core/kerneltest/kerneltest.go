// Package kerneltest helps tests that need a real kernel: it skips them where
// the machine cannot run them, finds what they leave behind, and builds the
// programs that they start.
//
//	func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }
//
//	func TestLaunch(t *testing.T) {
//		kerneltest.RequireRoot(t)
//		...
//	}
//
// A missing requirement skips the test, so that a laptop can run what it can.
// Where everything must run, the environment variable CTST_TEST_REQUIRE lists
// what is required, separated by commas: "root,kernel,memory". A test then
// fails instead: a skip cannot hide.
//
// The package compiles everywhere; outside of Linux all requirements are
// missing and there are no leaks. Functions may be called from any test.
package kerneltest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// RequireEnv is the environment variable that lists what must not be missing:
// "root", "kernel", "cgroup" for version 2 of it, or the name of one of its
// controllers.
const RequireEnv = "CTST_TEST_REQUIRE"

// Missing skips the test because of what the machine lacks, or fails it when
// the environment requires that capability. It is for requirements that this
// package does not know; capability is the word in the environment variable.
func Missing(t testing.TB, capability, format string, args ...any) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv(RequireEnv), ","), capability) {
		t.Fatalf("required by "+RequireEnv+": "+format, args...)
	}
	t.Skipf(format, args...)
}

// Leaks says what Main looks for beyond open files, goroutines, mounts and
// child processes.
type Leaks struct {
	// Cgroups are folders of cgroup v2 below which no cgroup may be left.
	Cgroups []string

	// Interfaces is the beginning of the names of network interfaces that the
	// tests make in the namespace they run in. Empty: they make none.
	Interfaces string
}
