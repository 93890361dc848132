package wholefile_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/internal/wholefile"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(path, []byte("12345"), 0o600))
	for limit, want := range map[int64]string{4: "", 5: "12345", 6: "12345"} {
		text, err := wholefile.Read(path, limit)
		if want == "" {
			require.ErrorIs(t, err, wholefile.ErrTooLarge)
		} else {
			require.NoError(t, err)
		}
		require.Equal(t, want, string(text))
	}
	for limit, want := range map[int64]string{4: "1234", 6: "12345"} {
		text, err := wholefile.Head(path, limit)
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
	_, err := wholefile.Head(dir, 5)
	require.ErrorIs(t, err, wholefile.ErrNotRegular)
	_, err = wholefile.Head(filepath.Join(dir, "none"), 5)
	require.ErrorIs(t, err, os.ErrNotExist)
	if runtime.GOOS == "windows" {
		return // links take a privilege there
	}
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(path, link))
	_, err = wholefile.Read(link, 5)
	require.ErrorIs(t, err, wholefile.ErrNotRegular)
	text, err := wholefile.Head(link, 5)
	require.NoError(t, err)
	require.Equal(t, "12345", string(text))
}
