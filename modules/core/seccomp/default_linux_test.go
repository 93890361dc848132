package seccomp

import (
	"encoding/json"
	"io/fs"
	"os"
	"slices"
	"testing"

	moby "github.com/moby/profiles/seccomp"
	"github.com/stretchr/testify/require"
)

func TestAvailable(t *testing.T) {
	actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.Error(t, Available())
		return
	}
	require.Contains(t, string(actions), "errno")
	require.NoError(t, Available())
}

// The default profile is Docker's without socketcall. -update writes it anew
// after Docker's moved on.
func TestDefaultIsDockers(t *testing.T) {
	p := moby.DefaultProfile()
	for _, entry := range p.Syscalls {
		entry.Names = slices.DeleteFunc(entry.Names, func(name string) bool { return name == "socketcall" })
	}
	want, err := json.MarshalIndent(p, "", "\t")
	require.NoError(t, err)
	want = append(want, '\n')
	if *update {
		require.NoError(t, os.WriteFile("default.json", want, 0o644))
	}
	got, err := os.ReadFile("default.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run this test with -update and look at the difference")
}
