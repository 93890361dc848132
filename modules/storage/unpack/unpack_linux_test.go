package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
)

// entry is one entry of an archive that a test makes.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func folderEntry(name string, mode int64) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, ""}
}

func symlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func hardlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}, ""}
}

// archive writes a tar that the tests read back, so that nothing of a header is
// cleaned on the way.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		require.NoError(t, w.WriteHeader(&e.Header))
		_, err := io.WriteString(w, e.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func unpackTo(dir string, data []byte) (Result, error) {
	f, err := os.Open(dir)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	return Unpack(context.Background(), f, tar.NewReader(bytes.NewReader(data)), Options{})
}

// sandbox is a folder whose every byte outside of root must stay as it is.
type sandbox struct {
	outer, root string
	before      string
}

func newSandbox(t testing.TB) *sandbox {
	t.Helper()
	s := &sandbox{outer: t.TempDir()}
	s.root = filepath.Join(s.outer, "deep", "root")
	require.NoError(t, os.MkdirAll(s.root, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.outer, "canary"), []byte("canary"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(s.outer, "etc"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.outer, "etc", "passwd"), []byte("root"), 0o600))
	s.before = s.outside(t)
	t.Cleanup(func() { makeRemovable(s.root) })
	return s
}

// makeRemovable lets an ordinary user remove folders whatever their modes are.
// What still cannot be removed is reported by the cleanup of t.TempDir.
func makeRemovable(dir string) {
	_ = os.Chmod(dir, 0o700)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			makeRemovable(filepath.Join(dir, e.Name()))
		}
	}
}

// outer stands in a link's target for the folder that must not change: hostile
// entries aim at a canary and never at the machine's own files.
const outer = "/OUTER"

// aim replaces outer in the targets of links.
func (s *sandbox) aim(entries []entry) []entry {
	aimed := slices.Clone(entries)
	for i := range aimed {
		e := &aimed[i]
		e.Linkname = strings.ReplaceAll(e.Linkname, outer, s.outer)
	}
	return aimed
}

// outside describes all that is not below root: inode, mode, owner, links,
// times and content.
func (s *sandbox) outside(t testing.TB) string {
	var b strings.Builder
	require.NoError(t, filepath.WalkDir(s.outer, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if path == s.root {
			return fs.SkipDir
		}
		fmt.Fprintf(&b, "%s %d %o %d %d %d %v", path, st.Ino, st.Mode, st.Uid, st.Gid, st.Nlink, st.Mtim)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(data))
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func (s *sandbox) requireUntouched(t testing.TB) {
	t.Helper()
	require.Equal(t, s.before, s.outside(t), "something outside of the root was changed")
}

func (s *sandbox) read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.root, name))
	require.NoError(t, err)
	return string(data)
}

func TestHostileNames(t *testing.T) {
	tests := []struct {
		name    string
		entries []entry
		refused string // the entry that is refused; empty: it lands inside
		is      error
	}{
		{"dot dot", []entry{file("../x", "x")}, "../x", ErrEscapes},
		{"dot dot in the middle", []entry{file("a/../../canary", "x")}, "a/../../canary", ErrEscapes},
		{"dot dot after a slash", []entry{file("/../canary", "x")}, "/../canary", ErrEscapes},
		{"dot dot alone", []entry{folderEntry("..", 0o777)}, "..", ErrEscapes},
		{"hard link to a name above", []entry{hardlink("x", "../../canary")}, "x", ErrEscapes},
		{"hard link to what is not there", []entry{hardlink("x", "/canary")}, "x", fs.ErrNotExist},
		{"hard link through a link", []entry{symlink("up", "../.."), hardlink("x", "up/canary")}, "x", fs.ErrNotExist},
		{"hard link to a folder", []entry{folderEntry("d", 0o755), hardlink("x", "d")}, "x", syscall.EPERM},
		{"write through a link to a file", []entry{symlink("f", "../../canary"), file("f", "x")}, "", nil},
		{"write through a link to a folder", []entry{symlink("d", "../.."), file("d/canary", "x")}, "", nil},
		{"write through an absolute link", []entry{symlink("d", outer+"/etc"), file("d/passwd", "x")}, "", nil},
		{"hard link through an absolute link", []entry{symlink("d", outer), hardlink("x", "d/canary")}, "x", fs.ErrNotExist},
		{"folder through a link", []entry{symlink("d", "../../etc"), folderEntry("d/", 0o777)}, "", nil},
		{"mode through a link", []entry{symlink("d", "../.."), folderEntry("d/etc", 0o777)}, "", nil},
		{"link over a link", []entry{symlink("l", "../.."), symlink("l", "../../etc"), file("l/passwd", "x")}, "", nil},
		{"hard link to a link, then write", []entry{symlink("l", "../../canary"), hardlink("m", "l"), file("m", "x")}, "", nil},
		{"hard link to a link", []entry{symlink("l", "../../canary"), hardlink("m", "l")}, "", nil},
		{"link loop", []entry{symlink("a", "b"), symlink("b", "a"), file("a/x", "x")}, "a/x", syscall.ELOOP},
		{"file as a folder", []entry{file("f", ""), file("f/x", "x")}, "f/x", syscall.ENOTDIR},
		{"magic link", []entry{symlink("d", "/proc/self/root"+outer), file("d/canary", "x")}, "", nil},
		{"root as a file", []entry{file(".", "")}, ".", nil},
		{"huge owner", []entry{{tar.Header{Typeflag: tar.TypeReg, Name: "x", Uid: 1<<32 - 1}, ""}}, "x", nil},
		{"owner beyond 32 bits", []entry{{tar.Header{Typeflag: tar.TypeReg, Name: "x", Gid: 1 << 32, Format: tar.FormatPAX}, ""}}, "x", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSandbox(t)
			_, err := unpackTo(s.root, archive(t, s.aim(tt.entries)...))
			s.requireUntouched(t)
			if tt.refused == "" && tt.is == nil {
				require.NoError(t, err)
				return
			}
			var e *EntryError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.refused, e.Name)
			require.Contains(t, err.Error(), fmt.Sprintf("%q", tt.refused))
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}

func TestHonestOddities(t *testing.T) {
	tests := []struct {
		name    string
		entries []entry
		want    map[string]string
	}{
		{"dot names", []entry{folderEntry("./", 0o755), file("./a/./b", "b")}, map[string]string{"a/b": "b"}},
		{"absolute names", []entry{folderEntry("/etc", 0o755), file("/etc/x", "x")}, map[string]string{"etc/x": "x"}},
		{"dot dot inside", []entry{file("a/b/../c", "c")}, map[string]string{"a/c": "c"}},
		{"parents are missing", []entry{file("a/b/c/d", "d")}, map[string]string{"a/b/c/d": "d"}},
		{"var/run before run", []entry{symlink("var/run", "/run"), file("var/run/pid", "1")}, map[string]string{"run/pid": "1"}},
		{"var/run after run", []entry{folderEntry("run", 0o755), symlink("var/run", "/run"), file("var/run/pid", "1")}, map[string]string{"run/pid": "1"}},
		{"relative link up", []entry{symlink("usr/lib64", "../lib"), file("usr/lib64/so", "so")}, map[string]string{"lib/so": "so"}},
		{"absolute hard link", []entry{file("bin/a", "a"), hardlink("bin/b", "/bin/a")}, map[string]string{"bin/b": "a"}},
		{"hard link through a link", []entry{folderEntry("usr/bin", 0o755), symlink("bin", "usr/bin"), file("usr/bin/a", "a"), hardlink("b", "bin/a")}, map[string]string{"b": "a"}},
		{"the last file wins", []entry{file("x", "1"), file("x", "longer")}, map[string]string{"x": "longer"}},
		{"file over folder", []entry{file("d/x", "x"), file("d", "now a file")}, map[string]string{"d": "now a file"}},
		{"folder over link", []entry{file("other/x", "x"), symlink("d", "other"), folderEntry("d/", 0o755), file("d/y", "y")}, map[string]string{"d/y": "y", "other/x": "x"}},
		{"folder twice keeps its content", []entry{folderEntry("d", 0o755), file("d/x", "x"), folderEntry("d", 0o700)}, map[string]string{"d/x": "x"}},
		{"hard link twice", []entry{file("a", "a"), hardlink("b", "a"), hardlink("b", "a")}, map[string]string{"a": "a", "b": "a"}},
		{"hard link to itself", []entry{file("a", "a"), hardlink("a", "a")}, map[string]string{"a": "a"}},
		{"replaced folder on the way", []entry{file("d/x", "1"), file("d", ""), folderEntry("d", 0o755), file("d/x", "2")}, map[string]string{"d/x": "2"}},
		{"folder removed through a link in it", []entry{folderEntry("a", 0o755), symlink("a/up", ".."), file("a/up/a", "a"), file("a/up/z", "z")}, map[string]string{"a/up/a": "a", "a/up/z": "z"}},
		{"whiteout names are names", []entry{file("d/.wh.x", "w"), file("d/x", "x")}, map[string]string{"d/.wh.x": "w", "d/x": "x"}},
		{"empty", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSandbox(t)
			result, err := unpackTo(s.root, archive(t, tt.entries...))
			require.NoError(t, err)
			require.EqualValues(t, len(tt.entries), result.Entries)
			for name, want := range tt.want {
				require.Equal(t, want, s.read(t, name), name)
			}
			s.requireUntouched(t)
		})
	}
}

func TestMetadata(t *testing.T) {
	kerneltest.RequireRoot(t) // for owners and devices
	s := newSandbox(t)
	when := time.Date(2001, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	cap := string([]byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // cap_net_bind_service+ep
	header := func(kind byte, name string, mode int64) tar.Header {
		return tar.Header{Typeflag: kind, Name: name, Mode: mode, Uid: 1234, Gid: 5678, ModTime: when, Format: tar.FormatPAX}
	}
	program := header(tar.TypeReg, "program", 0o6755)
	program.Size = 3
	program.PAXRecords = map[string]string{
		"SCHILY.xattr.security.capability":      cap,
		"SCHILY.xattr.user.note":                "n",
		"SCHILY.xattr.trusted.overlay.opaque":   "y",
		"SCHILY.xattr.trusted.overlay.redirect": "/etc",
		"SCHILY.xattr.user.overlay.opaque":      "y",
	}
	link := header(tar.TypeSymlink, "link", 0o777)
	link.Linkname = "program"
	char := header(tar.TypeChar, "null", 0o666)
	char.Devmajor, char.Devminor = 1, 3
	block := header(tar.TypeBlock, "disk", 0o660)
	block.Devmajor, block.Devminor = 259, 70000
	locked := header(tar.TypeDir, "locked", 0o511)
	result, err := unpackTo(s.root, archive(t,
		entry{locked, ""}, entry{program, "ELF"}, entry{link, ""}, entry{char, ""}, entry{block, ""},
		entry{header(tar.TypeFifo, "pipe", 0o622), ""},
		file("locked/inside", "x"),
		hardlink("again", "program"),
	))
	require.NoError(t, err)
	require.Equal(t, Result{Entries: 8, Bytes: 4}, result)

	stat := func(name string) unix.Stat_t {
		var st unix.Stat_t
		require.NoError(t, unix.Lstat(filepath.Join(s.root, name), &st))
		return st
	}
	for name, mode := range map[string]uint32{
		"program": unix.S_IFREG | 0o6755, "link": unix.S_IFLNK | 0o777, "null": unix.S_IFCHR | 0o666,
		"disk": unix.S_IFBLK | 0o660, "pipe": unix.S_IFIFO | 0o622, "locked": unix.S_IFDIR | 0o511,
	} {
		st := stat(name)
		require.Equalf(t, mode, st.Mode, "%s: %o", name, st.Mode)
		require.EqualValues(t, 1234, st.Uid, name)
		require.EqualValues(t, 5678, st.Gid, name)
		require.Equal(t, unix.Timespec{Sec: when.Unix(), Nsec: int64(when.Nanosecond())}, st.Mtim, name)
	}
	require.Equal(t, unix.Mkdev(1, 3), uint64(stat("null").Rdev))
	require.Equal(t, unix.Mkdev(259, 70000), uint64(stat("disk").Rdev))
	require.Equal(t, stat("program").Ino, stat("again").Ino)

	names := make([]byte, 1024)
	n, err := unix.Listxattr(filepath.Join(s.root, "program"), names)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"security.capability", "user.note"}, strings.Split(strings.Trim(string(names[:n]), "\x00"), "\x00"))
	value := make([]byte, 64)
	n, err = unix.Getxattr(filepath.Join(s.root, "program"), "security.capability", value)
	require.NoError(t, err)
	require.Equal(t, cap, string(value[:n]))
}

// A folder's mode is not given to what a later entry puts in its place.
func TestReplacedFolderKeepsItsMode(t *testing.T) {
	s := newSandbox(t)
	_, err := unpackTo(s.root, archive(t,
		folderEntry("a", 0o755), folderEntry("a/x", 0o700), folderEntry("b", 0o755), folderEntry("b/x", 0o751), symlink("a", "b"),
	))
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(s.root, "b", "x"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o751), info.Mode().Perm())
}

// An old GNU sparse file of 64 MiB with one block of data at its end.
func TestSparseKeepsHoles(t *testing.T) {
	const size = 64 << 20
	block := make([]byte, 512)
	copy(block, "sparse")
	octal := func(at, width int, v int64) { copy(block[at:at+width], fmt.Sprintf("%0*o\x00", width-1, v)) }
	octal(100, 8, 0o644)
	octal(108, 8, 0)
	octal(116, 8, 0)
	octal(124, 12, 4) // bytes that are stored
	octal(136, 12, 0)
	block[156] = 'S'
	copy(block[257:], "ustar  \x00")
	octal(386, 12, size-4) // offset
	octal(398, 12, 4)
	octal(483, 12, size)
	copy(block[148:156], "        ")
	sum := int64(0)
	for _, b := range block {
		sum += int64(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	data := append(block, append(append([]byte("tail"), make([]byte, 508)...), make([]byte, 1024)...)...)

	s := newSandbox(t)
	result, err := unpackTo(s.root, data)
	require.NoError(t, err)
	require.EqualValues(t, size, result.Bytes)
	var st unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(s.root, "sparse"), &st))
	require.EqualValues(t, size, st.Size)
	require.Less(t, st.Blocks*512, int64(1<<20))
	got := s.read(t, "sparse")
	require.Equal(t, "tail", got[size-4:])
	require.Zero(t, strings.Trim(got[:size-4], "\x00"))
}

func TestSourceErrorsPassUnchanged(t *testing.T) {
	s := newSandbox(t)
	data := archive(t, file("big", strings.Repeat("x", 10000)))
	_, err := unpackTo(s.root, data[:5000])
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotErrorAs(t, err, new(*EntryError))
}

func TestUnpackCancelled(t *testing.T) {
	s := newSandbox(t)
	dir, err := os.Open(s.root)
	require.NoError(t, err)
	defer dir.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stop")
	_, err = Unpack(ctx, dir, tar.NewReader(bytes.NewReader(archive(t, file("a", ""), file("b", "")))), Options{
		Progress: func(int64) { cancel(stop) },
	})
	require.ErrorIs(t, err, stop)
	require.NoFileExists(t, filepath.Join(s.root, "b"))
}

// steps makes an archive of a few names that lie in each other's way.
func (s *sandbox) steps(t testing.TB, data []byte) []byte {
	names := []string{"a", "b", "a/b", "a/b/c", "b/a/", "/a", "./b/.", "../canary", "a/../../canary", "canary", "etc", "a/etc/passwd", ".", "b/canary"}
	links := []string{"a", "b", "a/b", "..", "../..", outer, outer + "/etc", "../../canary", "../../etc", "b/canary", ".", ""}
	kinds := []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo, tar.TypeSymlink, tar.TypeReg, tar.TypeDir}
	var entries []entry
	for ; len(data) >= 3; data = data[3:] {
		e := entry{Header: tar.Header{
			Typeflag: kinds[int(data[0])%len(kinds)],
			Name:     names[int(data[1])%len(names)],
			Mode:     int64(data[0]) << 4,
		}}
		if e.Typeflag != tar.TypeDir {
			e.Name = strings.TrimSuffix(e.Name, "/")
		}
		switch e.Typeflag {
		case tar.TypeReg:
			e.content = "overwritten"
			e.Size = int64(len(e.content))
		case tar.TypeSymlink, tar.TypeLink:
			e.Linkname = links[int(data[2])%len(links)]
		}
		entries = append(entries, e)
	}
	return archive(t, s.aim(entries)...)
}

func (s *sandbox) requireContained(t *testing.T, data []byte) {
	_, err := unpackTo(s.root, data)
	s.requireUntouched(t)
	if err != nil {
		require.NotContains(t, err.Error(), "\n", "an error of several lines")
	}
}

func TestRandomStepsAreContained(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 3*(2+r.IntN(12)))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		s := newSandbox(t)
		s.requireContained(t, s.steps(t, data))
	}
}

// Whatever an archive says in which order, nothing outside of the root changes.
func FuzzSteps(f *testing.F) {
	f.Add([]byte{2, 0, 4, 0, 11, 0})
	f.Add([]byte{2, 0, 6, 1, 0, 0, 0, 11, 0})
	f.Add([]byte{2, 0, 7, 3, 1, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s := newSandbox(t)
		s.requireContained(t, s.steps(t, data[:min(len(data), 60)]))
	})
}

// Whatever the bytes are, nothing outside of the root changes.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, file("../x", "x")))
	f.Add(archive(f, symlink("a", "../../etc"), file("a/passwd", "x")))
	f.Add(archive(f, symlink("a", ".."), hardlink("b", "a/canary"), folderEntry("a", 0o777)))
	f.Add(archive(f, symlink("var/run", "/run"), file("var/run/pid", "1"), file("var", ""), folderEntry("var/x", 0o1777)))
	f.Add(archive(f, entry{tar.Header{Typeflag: tar.TypeFifo, Name: "p"}, ""}, hardlink("q", "p"), file("q", "x")))
	f.Fuzz(func(t *testing.T, data []byte) { newSandbox(t).requireContained(t, data) })
}
