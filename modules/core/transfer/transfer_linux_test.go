package transfer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/transfer"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }

// tree makes files in a new folder: "path" or "path -> target" as names, a name
// that ends in a slash being a folder. It returns the folder and opens it.
func tree(t testing.TB, files map[string]string) (string, *os.File) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		link, target, isLink := strings.Cut(name, " -> ")
		path := filepath.Join(dir, link)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case isLink:
			require.NoError(t, os.Symlink(target, path))
		case strings.HasSuffix(name, "/"):
			require.NoError(t, os.MkdirAll(path, 0o755))
		default:
			require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	f, err := os.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return dir, f
}

// list returns what is in a folder, as tree takes it.
func list(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(dir, path)
		if err := errors.Join(err, relErr); err != nil || name == "." {
			return err
		}
		switch e.Type() {
		case fs.ModeDir:
			found[name+"/"] = ""
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			found[name+" -> "+target] = ""
			return err
		default:
			text, err := os.ReadFile(path)
			found[name] = string(text)
			return err
		}
		return nil
	}))
	return found
}

func TestCopy(t *testing.T) {
	source := map[string]string{
		"file": "content", "dir/a": "A", "dir/sub/b": "B", "dir/link -> a": "", "link -> file": "", "out -> /dir": "", "empty/": "",
	}
	for _, tt := range []struct {
		name     string
		from, to string
		there    map[string]string
		follow   bool
		want     map[string]string // beside what was there
		err      error
	}{
		{name: "a file to a new name", from: "/file", to: "/new", want: map[string]string{"new": "content"}},
		{name: "a file into a folder", from: "file", to: "d", there: map[string]string{"d/": ""}, want: map[string]string{"d/file": "content"}},
		{name: "a file over another", from: "/file", to: "/old", there: map[string]string{"old": "x"}, want: map[string]string{"old": "content"}},
		{name: "a file to a folder that is not there", from: "/file", to: "/none/", err: transfer.ErrNoFolder},
		{name: "a file below a folder that is not there", from: "/file", to: "/none/file", err: fs.ErrNotExist},
		{name: "a file over a link", from: "/file", to: "/l", there: map[string]string{"l -> x": "", "x": "X"}, want: map[string]string{"l": "content"}},
		{name: "a folder to a new name", from: "/dir", to: "/new", want: map[string]string{"new/": "", "new/a": "A", "new/sub/": "", "new/sub/b": "B", "new/link -> a": ""}},
		{name: "a folder into a folder", from: "/dir/", to: "/d/", there: map[string]string{"d/": ""}, want: map[string]string{"d/dir/": "", "d/dir/a": "A", "d/dir/sub/": "", "d/dir/sub/b": "B", "d/dir/link -> a": ""}},
		{name: "what is in a folder", from: "/dir/.", to: "/d", there: map[string]string{"d/a": "old", "d/x": "X"}, want: map[string]string{"d/a": "A", "d/sub/": "", "d/sub/b": "B", "d/link -> a": ""}},
		{name: "all of a root", from: "/", to: "/d", there: map[string]string{"d/": ""}, want: map[string]string{"d/file": "content", "d/dir/": "", "d/dir/a": "A", "d/dir/sub/": "", "d/dir/sub/b": "B", "d/dir/link -> a": "", "d/link -> file": "", "d/out -> /dir": "", "d/empty/": ""}},
		{name: "a folder over a file", from: "/dir", to: "/old", there: map[string]string{"old": "x"}, err: transfer.ErrIsFolder},
		{name: "a folder over a file in a folder", from: "/dir", to: "/d", there: map[string]string{"d/dir": "x"}, err: transfer.ErrIsFolder},
		{name: "a link", from: "/link", to: "/new", want: map[string]string{"new -> file": ""}},
		{name: "what a link leads to", from: "/link", to: "/new", follow: true, want: map[string]string{"new": "content"}},
		{name: "through a link", from: "/out/a", to: "/new", want: map[string]string{"new": "A"}},
		{name: "into a link to a folder", from: "/file", to: "/l", there: map[string]string{"l -> /d": "", "d/": ""}, want: map[string]string{"d/file": "content"}},
		{name: "nothing", from: "/none", to: "/new", err: fs.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, from := tree(t, source)
			dir, to := tree(t, tt.there)
			want := list(t, dir)
			copied, err := transfer.Copy(t.Context(), transfer.Place{Root: from, Path: tt.from}, transfer.Place{Root: to, Path: tt.to},
				transfer.Options{Follow: tt.follow})
			require.ErrorIs(t, err, tt.err)
			files := 0
			for name, content := range tt.want {
				delete(want, strings.TrimSuffix(name, "/"))
				if !strings.HasSuffix(name, "/") && !strings.Contains(name, " -> ") {
					files++
				}
				want[name] = content
			}
			if tt.name == "a file over a link" {
				delete(want, "l -> x")
			}
			require.Equal(t, want, list(t, dir))
			require.Equal(t, files, copied.Files)
		})
	}
}

func TestCopyKeepsModesAndTimes(t *testing.T) {
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	src, from := tree(t, map[string]string{"d/file": "x", "d/tool": "x"})
	for name, mode := range map[string]fs.FileMode{"d/file": 0o640, "d/tool": 0o755 | fs.ModeSetuid | fs.ModeSetgid, "d": 0o710} {
		require.NoError(t, os.Chmod(filepath.Join(src, name), mode))
		require.NoError(t, os.Chtimes(filepath.Join(src, name), old, old))
	}
	dst, to := tree(t, nil)
	_, err := transfer.Copy(t.Context(), transfer.Place{Root: from, Path: "d"}, transfer.Place{Root: to, Path: "d"}, transfer.Options{})
	require.NoError(t, err)
	for name, mode := range map[string]fs.FileMode{"d/file": 0o640, "d/tool": 0o755, "d": 0o710 | fs.ModeDir} {
		info, err := os.Lstat(filepath.Join(dst, name))
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode(), name)
		require.True(t, info.ModTime().Equal(old), "%s: %v", name, info.ModTime())
	}
}

func TestCopyForAnOwner(t *testing.T) {
	kerneltest.RequireRoot(t)
	_, from := tree(t, map[string]string{"d/file": "x", "d/link -> file": ""})
	dst, to := tree(t, nil)
	owner := &transfer.Owner{UID: 600_000, GID: 600_001}
	_, err := transfer.Copy(t.Context(), transfer.Place{Root: from, Path: "d"}, transfer.Place{Root: to, Path: "d"}, transfer.Options{Owner: owner})
	require.NoError(t, err, "the folder is root's: the caller's capabilities stay")
	for _, name := range []string{"d", "d/file", "d/link"} {
		info, err := os.Lstat(filepath.Join(dst, name))
		require.NoError(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		require.Equal(t, []uint32{600_000, 600_001}, []uint32{stat.Uid, stat.Gid}, name)
	}
	own, err := os.Create(filepath.Join(dst, "own"))
	require.NoError(t, err)
	info, err := own.Stat()
	require.NoError(t, errors.Join(err, own.Close()))
	require.Zero(t, info.Sys().(*syscall.Stat_t).Uid, "no other thread writes as the owner")
}

// canary is a folder outside of a root which must stay as it is.
func canary(t testing.TB) (dir string, check func(testing.TB)) {
	t.Helper()
	dir, _ = tree(t, map[string]string{"secret": "of the host", "d/secret": "of the host"})
	want := list(t, dir)
	return dir, func(t testing.TB) {
		t.Helper()
		require.Equal(t, want, list(t, dir), "files of the host were changed")
	}
}

func TestLinksStayInside(t *testing.T) {
	outside, check := canary(t)
	dir, root := tree(t, map[string]string{"d/x": "own", "up -> ../../../../../../../../../../.." + outside: "", "abs -> " + outside: ""})
	defer check(t)
	host, slash := tree(t, nil)
	for _, link := range []string{"up", "abs"} {
		for _, path := range []string{link + "/secret", link + "/", link + "/d/.."} {
			_, err := transfer.Copy(t.Context(), transfer.Place{Root: root, Path: path}, transfer.Place{Root: slash, Path: "/new"}, transfer.Options{Follow: true})
			require.ErrorIs(t, err, fs.ErrNotExist, path)
		}
		_, from := tree(t, map[string]string{"secret": "evil"})
		_, err := transfer.Copy(t.Context(), transfer.Place{Root: from, Path: "secret"}, transfer.Place{Root: root, Path: link + "/secret"}, transfer.Options{})
		require.ErrorIs(t, err, fs.ErrNotExist, link)
	}
	require.Empty(t, list(t, host))
	require.Len(t, list(t, dir), 4)
}

// TestCopyStaysInItsDestination copies to where a link of this machine's own waits:
// a hostile source could bring that link itself.
func TestCopyStaysInItsDestination(t *testing.T) {
	outside, check := canary(t)
	defer check(t)
	_, from := tree(t, map[string]string{"s/x/secret": "evil", "s/x/d/secret": "evil"})
	dir, _ := tree(t, map[string]string{"d/x -> " + outside: ""})
	slash, err := os.Open("/")
	require.NoError(t, err)
	defer slash.Close()
	_, err = transfer.Copy(t.Context(), transfer.Place{Root: from, Path: "s/."}, transfer.Place{Root: slash, Path: dir + "/d"}, transfer.Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// archive makes a tar stream of headers; regular files hold "evil".
func archive(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		require.NoError(t, w.WriteHeader(&h))
		if h.Size > 0 {
			_, err := io.WriteString(w, "evil")
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return &out
}

func TestUnpackStaysInside(t *testing.T) {
	outside, check := canary(t)
	link := tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: outside}
	for name, headers := range map[string][]tar.Header{
		"up":                  {{Typeflag: tar.TypeReg, Name: "../../../../../../../.." + outside + "/secret"}},
		"absolute":            {{Typeflag: tar.TypeReg, Name: outside + "/secret"}},
		"through a link":      {link, {Typeflag: tar.TypeReg, Name: "x/secret"}},
		"a folder as a link":  {link, {Typeflag: tar.TypeDir, Name: "x/", Mode: 0o777}, {Typeflag: tar.TypeReg, Name: "x/secret"}},
		"over a link":         {{Typeflag: tar.TypeSymlink, Name: "x", Linkname: outside + "/secret"}, {Typeflag: tar.TypeReg, Name: "x"}},
		"hard link to a link": {{Typeflag: tar.TypeSymlink, Name: "x", Linkname: outside + "/secret"}, {Typeflag: tar.TypeLink, Name: "y", Linkname: "x"}, {Typeflag: tar.TypeReg, Name: "y"}},
		"hard link outside":   {link, {Typeflag: tar.TypeLink, Name: "y", Linkname: "x/secret"}},
		"a device":            {{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}},
		"the root as a link":  {{Typeflag: tar.TypeSymlink, Name: ".", Linkname: outside}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, root := tree(t, nil)
			_, err := transfer.Unpack(t.Context(), transfer.Place{Root: root}, archive(t, headers...), transfer.Options{})
			check(t)
			if name == "a device" {
				require.ErrorIs(t, err, transfer.ErrNoFile)
			}
			for file, content := range list(t, dir) {
				require.NotContains(t, content, "of the host", file)
			}
		})
	}
}

func TestNoFilesOfTheKernel(t *testing.T) {
	dir, root := tree(t, map[string]string{"d/file": "x"})
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "d/pipe"), 0o600))
	slash, err := os.Open("/")
	require.NoError(t, err)
	defer slash.Close()
	dst, to := tree(t, nil)
	for _, from := range []transfer.Place{{Root: root, Path: "d/pipe"}, {Root: slash, Path: "/proc/version"}, {Root: slash, Path: "/sys/kernel"}, {Root: slash, Path: "/dev/null"}} {
		_, err := transfer.Copy(t.Context(), from, transfer.Place{Root: to, Path: "/new"}, transfer.Options{})
		require.ErrorIs(t, err, transfer.ErrNoFile, from.Path)
	}
	_, err = transfer.Copy(t.Context(), transfer.Place{Root: slash, Path: "/proc/self/root/etc"}, transfer.Place{Root: to, Path: "/new"}, transfer.Options{})
	require.ErrorIs(t, err, syscall.ELOOP, "links of /proc lead nowhere")
	_, err = transfer.Copy(t.Context(), transfer.Place{Root: root, Path: "d"}, transfer.Place{Root: to, Path: "/new"}, transfer.Options{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"new/": "", "new/file": "x"}, list(t, dst), "a pipe in a folder is left out")
	_, err = transfer.Unpack(t.Context(), transfer.Place{Root: slash, Path: "/proc"}, archive(t), transfer.Options{})
	require.ErrorIs(t, err, transfer.ErrNoFile)
}

// TestSwapped copies while the folder that is copied from, or into, is exchanged
// for a link to files of the host.
func TestSwapped(t *testing.T) {
	outside, check := canary(t)
	dir, root := tree(t, map[string]string{"d/secret": "own", "d/d/secret": "own"})
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "l")))
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			for _, step := range [][2]string{{"d", "h"}, {"l", "d"}, {"d", "l"}, {"h", "d"}} {
				_ = os.Rename(filepath.Join(dir, step[0]), filepath.Join(dir, step[1])) // what is copied there may be in the way
			}
		}
		swapped <- n
	}()
	_, from := tree(t, map[string]string{"secret": "evil"})
	in, out := 0, 0
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		dst, to := tree(t, nil)
		_, err := transfer.Copy(t.Context(), transfer.Place{Root: root, Path: "d/."}, transfer.Place{Root: to}, transfer.Options{Follow: true})
		if err == nil {
			out++
		}
		for file, content := range list(t, dst) {
			require.NotContains(t, content, "of the host", file)
		}
		if _, err = transfer.Copy(t.Context(), transfer.Place{Root: from, Path: "secret"}, transfer.Place{Root: root, Path: "d/d"}, transfer.Options{}); err == nil {
			in++
		}
	}
	stop.Store(true)
	require.Positive(t, <-swapped)
	check(t)
	t.Logf("copied out %d and in %d times", out, in)
	require.Positive(t, out+in)
}

func TestDepthIsBounded(t *testing.T) {
	_, root := tree(t, map[string]string{strings.Repeat("d/", 300): ""})
	_, err := transfer.Pack(t.Context(), transfer.Place{Root: root, Path: "d"}, io.Discard, transfer.Options{})
	require.ErrorContains(t, err, "too many folders")
}

func FuzzUnpack(f *testing.F) {
	outside, check := canary(f)
	for _, headers := range [][]tar.Header{
		{{Typeflag: tar.TypeReg, Name: "a/b", Mode: 0o644}},
		{{Typeflag: tar.TypeSymlink, Name: "x", Linkname: outside}, {Typeflag: tar.TypeReg, Name: "x/secret"}},
		{{Typeflag: tar.TypeDir, Name: "d/"}, {Typeflag: tar.TypeSymlink, Name: "d/l", Linkname: ".."}, {Typeflag: tar.TypeLink, Name: "d/l/h", Linkname: "d/l"}},
	} {
		f.Add(archive(f, headers...).Bytes())
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir, root := tree(t, nil)
		copied, err := transfer.Unpack(t.Context(), transfer.Place{Root: root}, bytes.NewReader(stream), transfer.Options{})
		check(t)
		if err != nil {
			return
		}
		packed, err := transfer.Pack(t.Context(), transfer.Place{Root: root}, io.Discard, transfer.Options{})
		require.NoError(t, err, "what came in goes out again: %v", list(t, dir))
		require.LessOrEqual(t, packed.Files, copied.Files, "what is written twice is there once")
	})
}
