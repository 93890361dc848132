package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/sandbox"
)

// Who is killed while it prepares namespaces leaves no process that waits for it.
func TestPrepareLeavesNoOrphan(t *testing.T) {
	const inside = "SANDBOX_TEST_PREPARE"
	if os.Getenv(inside) != "" {
		fmt.Println("ready")
		for {
			ns, err := sandbox.Prepare(t.Context(), idmap.Contiguous(1<<29), sandbox.PrepareOptions{Network: true})
			require.NoError(t, err)
			require.NoError(t, ns.Close())
		}
	}
	kerneltest.RequireRoot(t)
	marker := "-test.run=^" + t.Name() + "$"
	for range 30 {
		cmd := exec.Command(os.Args[0], marker)
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = out.Read(make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(time.Duration(os.Getpid()+cmd.Process.Pid)%7*time.Millisecond + time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		require.Eventually(t, func() bool { return len(processes(t, marker)) == 0 }, 20*time.Second, time.Millisecond)
	}
}

// processes are those, other than this one, that have a word in their command
// line.
func processes(t *testing.T, word string) []string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	var found []string
	for _, dir := range all {
		command, err := os.ReadFile(dir + "/cmdline")
		if err == nil && bytes.Contains(command, []byte(word)) && filepath.Base(dir) != fmt.Sprint(os.Getpid()) {
			found = append(found, dir)
		}
	}
	return found
}
