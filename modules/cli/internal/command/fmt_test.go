package command

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFmtReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everything")
	}
	path := filepath.Join(t.TempDir(), "a.ctst")
	require.NoError(t, os.WriteFile(path, []byte("LET  a=1"), 0o444))
	stdout, stderr, code := ctst(t, "fmt", path)
	require.Equal(t, codeFailed, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, path)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "LET  a=1", string(text))
}

func TestFmtLeavesNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ctst")
	require.NoError(t, os.WriteFile(path, []byte("LET  a=1"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "b.ctst"), 0o755))
	outside := filepath.Join(t.TempDir(), "notes")
	require.NoError(t, os.WriteFile(outside, []byte("#  not yours\n\n\n\n#  to change"), 0o600))
	nowhere := filepath.Join(dir, "c.ctst")
	if runtime.GOOS != "windows" {
		require.NoError(t, os.Symlink("nowhere", nowhere))
		require.NoError(t, os.Symlink(outside, filepath.Join(dir, "d.ctst")))
	}
	stdout, stderr, code := ctst(t, "fmt", dir)
	require.Zero(t, code, stderr)
	require.Equal(t, path+"\n", stdout, "a link is not followed out of the folder")
	kept, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "#  not yours\n\n\n\n#  to change", string(kept))
	_, stderr, code = ctst(t, "fmt", nowhere)
	require.Equal(t, codeFailed, code)
	require.Contains(t, stderr, "c.ctst", "a file that is named is told")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "LET a = 1\n", string(text))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		require.Equal(t, ".ctst", filepath.Ext(entry.Name()))
	}
}
