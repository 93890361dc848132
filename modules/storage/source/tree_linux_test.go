package source

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func refToDir(t testing.TB, dir string) Ref {
	t.Helper()
	ref, err := Parse("file://"+dir, "")
	require.NoError(t, err)
	return ref
}

func treeDigest(t testing.TB, dir string) Digest {
	t.Helper()
	r, err := Open(context.Background(), refToDir(t, dir), Limits{})
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, Drain(r))
	return r.Digest()
}

// populate fills a folder with one of everything.
func populate(t testing.TB, dir string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin", "app"), []byte("ELF"), 0o755))
	require.NoError(t, os.Link(filepath.Join(dir, "bin", "app"), filepath.Join(dir, "bin", "zapp")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "up")))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o622))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	f, err := os.Create(filepath.Join(dir, "sparse"))
	require.NoError(t, err)
	require.NoError(t, f.Truncate(4<<20))
	_, err = f.WriteAt([]byte("tail"), 4<<20)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, unix.Setxattr(filepath.Join(dir, "bin", "app"), "user.note", []byte("n"), 0))
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	populate(t, dir)
	when := time.Unix(1_000_000_000, 5000)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "bin", "app"), when, when))

	r, err := Open(t.Context(), refToDir(t, dir), Limits{})
	require.NoError(t, err)
	defer r.Close()
	var names []string
	headers := map[string]*tar.Header{}
	for {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		names = append(names, hdr.Name)
		headers[hdr.Name] = hdr
		if hdr.Name == "bin/app" {
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "ELF", string(data))
		}
	}
	require.Equal(t, []string{"./", "bin/", "bin/app", "bin/zapp", "link", "pipe", "sparse", "up"}, names, "sorted, and without the socket")
	require.EqualValues(t, 0o755, headers["./"].Mode, "the folder's own mode says nothing")
	require.True(t, headers["bin/app"].ModTime.Equal(when))
	require.Equal(t, "n", headers["bin/app"].PAXRecords["SCHILY.xattr.user.note"])
	require.EqualValues(t, tar.TypeLink, headers["bin/zapp"].Typeflag)
	require.Equal(t, "bin/app", headers["bin/zapp"].Linkname)
	require.Equal(t, "/etc/passwd", headers["link"].Linkname)
	require.EqualValues(t, tar.TypeGNUSparse, headers["sparse"].Typeflag)
	require.EqualValues(t, tar.TypeFifo, headers["pipe"].Typeflag)
	require.Equal(t, r.Digest(), r.DiffID())
}

// What changes the digest of a folder, and what does not.
func TestTreeDigest(t *testing.T) {
	path := func(dir string, elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	tests := []struct {
		name   string
		change func(dir string) error
		same   bool
	}{
		{"nothing", func(string) error { return nil }, true},
		{"times", func(dir string) error { return os.Chtimes(path(dir, "bin", "app"), time.Now(), time.Now()) }, true},
		{"mode of the folder itself", func(dir string) error { return os.Chmod(dir, 0o700) }, true},
		{"content", func(dir string) error { return os.WriteFile(path(dir, "bin", "app"), []byte("ELG"), 0o755) }, false},
		{"mode", func(dir string) error { return os.Chmod(path(dir, "bin"), 0o700) }, false},
		{"name", func(dir string) error { return os.Rename(path(dir, "pipe"), path(dir, "pipf")) }, false},
		{"empty folder", func(dir string) error { return os.Mkdir(path(dir, "new"), 0o755) }, false},
		{"attribute", func(dir string) error {
			return unix.Setxattr(path(dir, "bin", "app"), "user.note", []byte("m"), 0)
		}, false},
		{"link target", func(dir string) error {
			return errors.Join(os.Remove(path(dir, "up")), os.Symlink("../..", path(dir, "up")))
		}, false},
		{"copy in place of a hard link", func(dir string) error {
			return errors.Join(os.Remove(path(dir, "bin", "zapp")), os.WriteFile(path(dir, "bin", "zapp"), []byte("ELF"), 0o755),
				unix.Setxattr(path(dir, "bin", "zapp"), "user.note", []byte("n"), 0))
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			populate(t, a)
			populate(t, b)
			require.NoError(t, tt.change(b))
			if tt.same {
				require.Equal(t, treeDigest(t, a), treeDigest(t, b))
			} else {
				require.NotEqual(t, treeDigest(t, a), treeDigest(t, b))
			}
		})
	}
}

func TestTreeErrors(t *testing.T) {
	_, err := Open(t.Context(), Ref{Scheme: SchemeFile, Path: "/nonexistent"}, Limits{})
	require.ErrorIs(t, err, fs.ErrNotExist)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = Open(t.Context(), Ref{Scheme: SchemeFile, Path: file}, Limits{})
	require.ErrorIs(t, err, unix.ENOTDIR)
	require.ErrorContains(t, err, "use tar://")

	dir := t.TempDir()
	populate(t, dir)
	ref := refToDir(t, dir)
	ref.Digest = Digest(someDigest)
	r, err := Open(t.Context(), ref, Limits{})
	require.NoError(t, err)
	defer r.Close()
	var mismatch *DigestError
	require.ErrorAs(t, Drain(r), &mismatch)
	require.Equal(t, treeDigest(t, dir), mismatch.Got)

	r, err = Open(t.Context(), refToDir(t, dir), Limits{Entries: 3})
	require.NoError(t, err)
	defer r.Close()
	var limit *LimitError
	require.ErrorAs(t, Drain(r), &limit)
	require.Equal(t, "entries", limit.Limit)
}

// A file that changes while it is read would give a digest of a state that
// never was.
func TestTreeChangedWhileRead(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"longer":  func(path string) error { return os.WriteFile(path, make([]byte, 3000), 0o644) },
		"shorter": func(path string) error { return os.Truncate(path, 10) },
		"same size": func(path string) error {
			time.Sleep(20 * time.Millisecond) // beyond the clock's tick
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("x"), 1999)
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			require.NoError(t, os.WriteFile(path, make([]byte, 2000), 0o644))
			r, err := Open(t.Context(), refToDir(t, dir), Limits{})
			require.NoError(t, err)
			defer r.Close()
			for range 2 {
				_, err = r.Next()
				require.NoError(t, err)
			}
			_, err = r.Read(make([]byte, 5))
			require.NoError(t, err)
			require.NoError(t, change(path))
			require.ErrorIs(t, Drain(r), ErrChanged)
		})
	}
}

func TestTreeLeaksNoDescriptors(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(fds)
	}
	dir := t.TempDir()
	populate(t, dir)
	before := count()
	for range 5 {
		r, err := Open(t.Context(), refToDir(t, dir), Limits{})
		require.NoError(t, err)
		for range 3 {
			_, err = r.Next()
			require.NoError(t, err)
		}
		require.NoError(t, r.Close())
		_, err = r.Next()
		require.Error(t, err)
		treeDigest(t, dir)
	}
	require.Equal(t, before, count())
}

func TestStamp(t *testing.T) {
	dir := t.TempDir()
	populate(t, dir)
	archive := refTo(t, []byte("archive"))
	stamp := func(ref Ref) Stamp {
		s, err := StampOf(t.Context(), ref)
		require.NoError(t, err)
		return s
	}
	tree := refToDir(t, dir)
	changes := []struct {
		name   string
		ref    Ref
		change func() error
	}{
		{"archive rewritten", archive, func() error { return os.WriteFile(archive.Path, []byte("ARCHIVE"), 0o600) }},
		{"archive rewritten with its old mtime", archive, func() error {
			info, err := os.Stat(archive.Path)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(archive.Path, []byte("aRCHIVE"), 0o600), os.Chtimes(archive.Path, info.ModTime(), info.ModTime()))
		}},
		{"file in the tree", tree, func() error { return os.WriteFile(filepath.Join(dir, "bin", "app"), []byte("FLE"), 0o755) }},
		{"file added", tree, func() error { return os.WriteFile(filepath.Join(dir, "bin", "new"), nil, 0o755) }},
		{"link retargeted", tree, func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "up")), os.Symlink("xx", filepath.Join(dir, "up")))
		}},
		{"attribute", tree, func() error { return unix.Setxattr(filepath.Join(dir, "bin"), "user.x", []byte("y"), 0) }},
		{"moved", tree, func() error { return os.Rename(filepath.Join(dir, "pipe"), filepath.Join(dir, "bin", "pipe")) }},
	}
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			before := stamp(tt.ref)
			require.Equal(t, before, stamp(tt.ref))
			time.Sleep(20 * time.Millisecond) // beyond the clock's tick
			require.NoError(t, tt.change())
			require.NotEqual(t, before.ID, stamp(tt.ref).ID)
		})
	}
}

func TestStampSettled(t *testing.T) {
	fine := Stamp{Newest: time.Unix(100, 5)}
	require.False(t, fine.Settled(time.Unix(100, 5)))
	require.False(t, fine.Settled(time.Unix(100, 6)))
	require.True(t, fine.Settled(time.Unix(101, 0)))
	coarse := Stamp{Newest: time.Unix(100, 0)}
	require.False(t, coarse.Settled(time.Unix(101, 5)))
	require.True(t, coarse.Settled(time.Unix(103, 0)))
}
