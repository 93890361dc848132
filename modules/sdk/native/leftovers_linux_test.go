package native_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/sdk/native"
	"github.com/containust/containust/modules/sdk/state"
)

const goneProject = "gone-0badcafe"

// leftOf returns the kinds of what is left of the project.
func leftOf(t *testing.T, base string) map[string]int {
	t.Helper()
	left, err := native.Leftovers(t.Context(), base)
	require.NoError(t, err)
	kinds := map[string]int{}
	for _, l := range left {
		if l.Project == goneProject {
			kinds[l.Kind]++
		}
	}
	return kinds
}

func TestLeftovers(t *testing.T) {
	kerneltest.RequireRoot(t)
	base, stateDir := t.TempDir(), t.TempDir()
	runDir := filepath.Join(base, goneProject)
	require.NoError(t, os.MkdirAll(filepath.Join(runDir, "containers", "db"), 0o700))
	require.NoError(t, unix.Mount("none", filepath.Join(runDir, "containers"), "tmpfs", 0, ""))
	require.Empty(t, leftOf(t, base), "one that was just made may be about to live")
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(runDir, old, old))
	require.Equal(t, map[string]int{"records": 1, "mount": 1}, leftOf(t, base))

	// A supervisor that holds its lock lives.
	text, err := json.Marshal(map[string]string{"state_dir": stateDir})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(runDir, "project.json"), text, 0o600))
	lock, err := state.Acquire(stateDir, "lock")
	require.NoError(t, err)
	require.Empty(t, leftOf(t, base))
	require.NoError(t, lock.Close())
	require.NotEmpty(t, leftOf(t, base))

	// So does a container, whose process is this one.
	record := func(start uint64) {
		text, err := json.Marshal(map[string]any{"pid": os.Getpid(), "start_time": start})
		require.NoError(t, err)
		dir := filepath.Join(runDir, "containers", "db")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "container.json"), text, 0o600))
	}
	record(startTime(t))
	require.Empty(t, leftOf(t, base))
	left := []native.Leftover{{Project: goneProject, Kind: "records", Name: runDir}}
	require.ErrorContains(t, native.RemoveLeftovers(t.Context(), base, left), "it lives again")
	require.DirExists(t, runDir)
	record(startTime(t) + 1) // the number is another process's now
	all, err := native.Leftovers(t.Context(), base)
	require.NoError(t, err)
	left = slices.DeleteFunc(all, func(l native.Leftover) bool { return l.Project != goneProject }) // other tests have theirs
	require.NotEmpty(t, left)
	require.Equal(t, stateDir, left[0].StateDir)

	require.NoError(t, native.RemoveLeftovers(t.Context(), base, left[:1]))
	require.NoDirExists(t, runDir)
	require.Empty(t, leftOf(t, base))
}

// startTime is when this process was started.
func startTime(t *testing.T) uint64 {
	t.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	start, err := strconv.ParseUint(strings.Fields(rest)[19], 10, 64) // field 22, proc_pid_stat(5)
	require.NoError(t, err)
	return start
}
