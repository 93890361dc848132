package kerneltest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/kerneltest"
)

// Where there is no go command, programs come from a folder.
func TestBuildWithoutGo(t *testing.T) {
	dir, output := t.TempDir(), filepath.Join(t.TempDir(), "out")
	t.Setenv(kerneltest.ProgramsEnv, dir)
	t.Setenv("PATH", "")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "probe"), []byte("program"), 0o755))
	for _, pkg := range []string{"./testdata/probe", "example.com/a/probe"} {
		require.NoError(t, kerneltest.Build(output, pkg))
		got, err := os.ReadFile(output)
		require.NoError(t, err)
		require.Equal(t, "program", string(got))
		info, err := os.Stat(output)
		require.NoError(t, err)
		require.NotZero(t, info.Mode()&0o100, "it can be executed")
		require.NoError(t, os.Remove(output))
	}
	err := kerneltest.Build(output, "./testdata/other")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "copy the program of ./testdata/other")

	t.Setenv(kerneltest.ProgramsEnv, "")
	require.ErrorContains(t, kerneltest.Build(output, "./testdata/other"), "go build ./testdata/other")
}
