//go:build !linux

package kerneltest

import "testing"

// RequireRoot needs Linux.
func RequireRoot(t testing.TB) {
	t.Helper()
	Missing(t, "root", "needs Linux")
}

// RequireKernel needs Linux.
func RequireKernel(t testing.TB, _, _ int) {
	t.Helper()
	Missing(t, "kernel", "needs Linux")
}

// RequireLimits needs Linux.
func RequireLimits(t testing.TB) {
	t.Helper()
	Missing(t, "cgroup", "needs Linux")
}

// RequireController needs Linux.
func RequireController(t testing.TB, _, controller string) {
	t.Helper()
	Missing(t, controller, "needs Linux")
}

// RequireRootless needs Linux.
func RequireRootless(t testing.TB) {
	t.Helper()
	Missing(t, "rootless", "needs Linux")
}

// AsUserAlone needs Linux.
func AsUserAlone(t testing.TB, _, _ string, _ ...string) {
	t.Helper()
	Missing(t, "rootless", "needs Linux")
}

// AsUser needs Linux.
func AsUser(t testing.TB, _, _ string, _ ...string) {
	t.Helper()
	Missing(t, "rootless", "needs Linux")
}

// Main runs the tests of a package and returns the code to exit with.
func Main(m *testing.M, _ Leaks) int { return m.Run() }
