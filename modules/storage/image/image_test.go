package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/store"
)

func importTar(t *testing.T, s *store.Store, name string) store.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o644}))
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "a.tar")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	ref, err := source.Parse("tar://"+path, "")
	require.NoError(t, err)
	img, err := s.Import(t.Context(), ref, store.ImportOptions{})
	require.NoError(t, err)
	return img
}

func TestCatalog(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the store is for Linux")
	}
	s, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "images")
	c, err := Open(dir, s)
	require.NoError(t, err)

	entries, err := c.List()
	require.NoError(t, err)
	require.Empty(t, entries)
	_, err = c.Lookup("site")
	require.ErrorIs(t, err, fs.ErrNotExist)

	one, two, unnamed := importTar(t, s, "one"), importTar(t, s, "two"), importTar(t, s, "unnamed")
	require.NoError(t, c.Set("site", one.Digest))
	require.NoError(t, c.Set("site:2", two.Digest))
	require.NoError(t, c.Set("alias", two.Digest))
	entries, err = c.List()
	require.NoError(t, err)
	require.Len(t, entries, 3)
	for i, want := range []Entry{{Name: "alias:latest", Digest: two.Digest}, {Name: "site:2", Digest: two.Digest}, {Name: "site:latest", Digest: one.Digest}} {
		require.WithinDuration(t, time.Now(), entries[i].Created, time.Minute)
		entries[i].Created = time.Time{}
		require.Equal(t, want, entries[i])
	}

	// What has a name is kept, by whoever collects.
	result, err := s.GC(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []source.Digest{unnamed.Digest}, result.Images)

	require.NoError(t, c.Set("site:latest", two.Digest))
	entry, err := c.Lookup("site")
	require.NoError(t, err)
	require.Equal(t, two.Digest, entry.Digest)
	result, err = s.GC(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []source.Digest{one.Digest}, result.Images)

	for _, name := range []string{"alias", "site", "site:2"} {
		require.NoError(t, c.Remove(name))
	}
	require.ErrorIs(t, c.Remove("site"), fs.ErrNotExist)
	result, err = s.GC(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []source.Digest{two.Digest}, result.Images)

	require.ErrorIs(t, c.Set("gone", two.Digest), fs.ErrNotExist)
	var name *source.NameError
	require.True(t, errors.As(c.Set("../x", one.Digest), &name))
	require.Equal(t, "../x", name.Name)
}
