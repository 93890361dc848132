//go:build unix

package command

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFmtKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can format the files of others")
	}
	path := filepath.Join(t.TempDir(), "a.ctst")
	require.NoError(t, os.WriteFile(path, []byte("LET  a=1"), 0o640))
	require.NoError(t, os.Chown(path, 1234, 2345))
	_, stderr, code := ctst(t, "fmt", path)
	require.Zero(t, code, stderr)
	info, err := os.Stat(path)
	require.NoError(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	require.Equal(t, []uint32{1234, 2345}, []uint32{stat.Uid, stat.Gid})
	require.Equal(t, os.FileMode(0o640), info.Mode())
}

// Whoever may write the folder can put a link in the place of what was written.
func TestKeepOwnerFollowsNoLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	theirs, victim := filepath.Join(dir, "theirs.ctst"), filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(theirs, nil, 0o640))
	require.NoError(t, os.WriteFile(victim, nil, 0o600))
	require.NoError(t, os.Chown(theirs, 1234, 2345))
	before, err := os.Stat(theirs)
	require.NoError(t, err)
	require.NoError(t, os.Remove(theirs))
	require.NoError(t, os.Symlink(victim, theirs))
	require.NoError(t, keepOwner(theirs, before))
	info, err := os.Stat(victim)
	require.NoError(t, err)
	require.Zero(t, info.Sys().(*syscall.Stat_t).Uid)
}
