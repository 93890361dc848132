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
