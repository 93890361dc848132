package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/unpack"
)

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"), Options{})
	require.NoError(t, err)
	return s
}

func parse(t testing.TB, uri string) source.Ref {
	t.Helper()
	ref, err := source.Parse(uri, "")
	require.NoError(t, err)
	return ref
}

func makeTar(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}))
		_, err := w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// tarRef writes an archive that has not changed for a while.
func tarRef(t testing.TB, data []byte) source.Ref {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	settle()
	return parse(t, "tar://"+path)
}

// settle waits until a change shows in the ctime.
func settle() { time.Sleep(30 * time.Millisecond) }

func folderRef(t testing.TB, files map[string]string) source.Ref {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	settle()
	return parse(t, "file://"+dir)
}

// contents lists all files of the store, but locks and work folders' absence.
func contents(t testing.TB, s *Store) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := strings.TrimPrefix(path, s.dir); !strings.HasSuffix(name, "lock") {
			names = append(names, name)
		}
		return nil
	}))
	return names
}

func TestImport(t *testing.T) {
	files := map[string]string{"bin/app": "ELF", "etc/config": "x = 1"}
	plain := makeTar(t, files)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(plain)
	require.NoError(t, err)
	require.NoError(t, z.Close())

	for name, ref := range map[string]source.Ref{
		"tar":  tarRef(t, plain),
		"gzip": tarRef(t, packed.Bytes()),
		"file": folderRef(t, files),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			img, err := s.Import(t.Context(), ref, ImportOptions{})
			require.NoError(t, err)
			require.Len(t, img.Layers, 1)
			for name, want := range files {
				got, err := os.ReadFile(filepath.Join(img.Layers[0].Path, name))
				require.NoError(t, err)
				require.Equal(t, want, string(got))
			}
			require.EqualValues(t, 8, img.Size)
			require.Equal(t, []string{bare(ref)}, img.Sources)

			digest, err := s.Digest(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, digest, img.Digest)
			fresh, err := open(t).Digest(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, img.Digest, fresh, "the same without memory")

			same, err := s.Import(t.Context(), ref, ImportOptions{})
			require.NoError(t, err)
			require.Equal(t, img, same)
			ref.Digest = img.Digest
			same, err = s.Import(t.Context(), ref, ImportOptions{})
			require.NoError(t, err)
			require.Equal(t, img, same)

			listed, err := s.List()
			require.NoError(t, err)
			require.Equal(t, []Image{img}, listed)
			require.NoError(t, s.Verify(t.Context(), img.Digest))
			entries, err := os.ReadDir(s.path("tmp"))
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

// What memory says of the source's present state is returned, and only that.
func TestImportBelievesMemory(t *testing.T) {
	s := open(t)
	ref := tarRef(t, makeTar(t, map[string]string{"a": "a"}))
	img, err := s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(s.memoryPath(ref), fmt.Appendf(nil, `{"source": %q, "stamp": "another", "digest": %q}`, bare(ref), "sha256:"+strings.Repeat("0", 64)), 0o600))
	again, err := s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err, "memory of another state is not used")
	require.Equal(t, img.Digest, again.Digest)

	stamp, err := source.StampOf(t.Context(), ref)
	require.NoError(t, err)
	other, err := s.Import(t.Context(), tarRef(t, makeTar(t, map[string]string{"b": "b"})), ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, s.writeJSON(s.memoryPath(ref), memory{Source: bare(ref), Stamp: stamp.ID, Digest: other.Digest}))
	again, err = s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, other.Digest, again.Digest, "memory of this state is believed")
}

// A source that changed just before it was read may change again within the
// same tick of the clock.
func TestFreshSourceIsNotRemembered(t *testing.T) {
	s := open(t)
	ref := tarRef(t, makeTar(t, map[string]string{"a": "a"}))
	stamp, err := source.StampOf(t.Context(), ref)
	require.NoError(t, err)
	digest := source.Digest("sha256:" + strings.Repeat("0", 64))
	require.NoError(t, s.remember(t.Context(), ref, stamp, stamp.Newest, digest))
	require.NoFileExists(t, s.memoryPath(ref))
	require.NoError(t, s.remember(t.Context(), ref, source.Stamp{ID: "changed meanwhile"}, time.Now(), digest))
	require.NoFileExists(t, s.memoryPath(ref))
	require.NoError(t, s.remember(t.Context(), ref, stamp, stamp.Newest.Add(time.Minute), digest))
	require.FileExists(t, s.memoryPath(ref))
}

func TestImportSeesChanges(t *testing.T) {
	s := open(t)
	ref := tarRef(t, makeTar(t, map[string]string{"a": "1"}))
	first, err := s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)
	info, err := os.Stat(ref.Path)
	require.NoError(t, err)
	// Same size, and the old mtime.
	require.NoError(t, os.WriteFile(ref.Path, makeTar(t, map[string]string{"a": "2"}), 0o600))
	require.NoError(t, os.Chtimes(ref.Path, info.ModTime(), info.ModTime()))
	second, err := s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)
	require.NotEqual(t, first.Digest, second.Digest)

	ref.Digest = first.Digest
	_, err = s.Import(t.Context(), ref, ImportOptions{})
	require.ErrorAs(t, err, new(*source.DigestError), "a pin is not satisfied by what the source once was")

	folder := folderRef(t, map[string]string{"a": "1"})
	first, err = s.Import(t.Context(), folder, ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder.Path, "a"), []byte("2"), 0o644))
	second, err = s.Import(t.Context(), folder, ImportOptions{})
	require.NoError(t, err)
	require.NotEqual(t, first.Digest, second.Digest)
}

// After an error the store is as it was.
func TestImportFails(t *testing.T) {
	good := makeTar(t, map[string]string{"a": strings.Repeat("x", 5000), "b": "b"})
	var hostile bytes.Buffer
	w := tar.NewWriter(&hostile)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "fine", Mode: 0o644}))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "../evil", Mode: 0o644}))
	require.NoError(t, w.Close())

	pinned := tarRef(t, good)
	pinned.Digest = source.Digest("sha256:" + strings.Repeat("0", 64))
	pinnedFolder := folderRef(t, map[string]string{"a": "a"})
	pinnedFolder.Digest = pinned.Digest

	tests := map[string]struct {
		ref    source.Ref
		expect func(t *testing.T, err error)
	}{
		"digest": {pinned, func(t *testing.T, err error) {
			var e *source.DigestError
			require.ErrorAs(t, err, &e)
			require.Equal(t, pinned.Digest, e.Want)
		}},
		"digest of a folder": {pinnedFolder, func(t *testing.T, err error) { require.ErrorAs(t, err, new(*source.DigestError)) }},
		"hostile": {tarRef(t, hostile.Bytes()), func(t *testing.T, err error) {
			var e *unpack.EntryError
			require.ErrorAs(t, err, &e)
			require.Equal(t, "../evil", e.Name)
		}},
		"missing": {parse(t, "tar:///nonexistent"), func(t *testing.T, err error) { require.ErrorIs(t, err, fs.ErrNotExist) }},
		"image":   {parse(t, "image://x"), func(t *testing.T, err error) { require.ErrorIs(t, err, errors.ErrUnsupported) }},
	}
	for i := range 16 {
		cut := len(good) * i / 16
		tests[fmt.Sprintf("cut at %d/16", i)] = struct {
			ref    source.Ref
			expect func(t *testing.T, err error)
		}{tarRef(t, good[:cut]), func(t *testing.T, err error) {
			require.True(t, errors.Is(err, source.ErrTruncated) || errors.Is(err, source.ErrNotArchive) && cut < 512, "%v", err)
		}}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			before := contents(t, s)
			_, err := s.Import(t.Context(), tt.ref, ImportOptions{Owner: t.TempDir()})
			require.Error(t, err)
			tt.expect(t, err)
			require.Equal(t, before, contents(t, s))
		})
	}
}

func TestImportCancelled(t *testing.T) {
	s := open(t)
	ref := tarRef(t, makeTar(t, map[string]string{"a": "a", "b": "b"}))
	before := contents(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Import(ctx, ref, ImportOptions{Progress: func(Progress) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, before, contents(t, s))
}

func TestImportProgress(t *testing.T) {
	s := open(t)
	data := makeTar(t, map[string]string{"a": "a", "b": "b"})
	var last Progress
	_, err := s.Import(t.Context(), tarRef(t, data), ImportOptions{Progress: func(p Progress) { last = p }})
	require.NoError(t, err)
	require.Equal(t, Progress{Read: int64(len(data)), Total: int64(len(data)), Entries: 2}, last)
}

// Many importers of few sources, by several stores as by several processes,
// while others collect garbage: each gets its image.
func TestImportConcurrently(t *testing.T) {
	dir := t.TempDir()
	owner := t.TempDir()
	var refs []source.Ref
	for i := range 3 {
		refs = append(refs, tarRef(t, makeTar(t, map[string]string{"same": "x", "n": strconv.Itoa(i)})))
	}
	// The same content under another name ends as the same image.
	data, err := os.ReadFile(refs[0].Path)
	require.NoError(t, err)
	refs = append(refs, tarRef(t, data))

	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			s, err := Open(dir, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			n := i % len(refs)
			img, err := s.Import(t.Context(), refs[n], ImportOptions{Owner: owner})
			if err != nil {
				t.Error(err)
				return
			}
			got, err := os.ReadFile(filepath.Join(img.Layers[0].Path, "n"))
			if want := strconv.Itoa(n % 3); err != nil || string(got) != want {
				t.Errorf("layer of %d: %q, %v", n, got, err)
			}
			if i%4 == 0 {
				if _, err := s.GC(t.Context(), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	images, err := s.List()
	require.NoError(t, err)
	require.Len(t, images, 3)
	for _, img := range images {
		require.Equal(t, []string{owner}, img.Owners)
		require.NoError(t, s.Verify(t.Context(), img.Digest))
	}
	entries, err := os.ReadDir(s.path("tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

// A test binary that is called with this variable imports and is killed.
const childEnv = "STORE_TEST_IMPORT"

func TestMain(m *testing.M) {
	if uri := os.Getenv(childEnv); uri != "" {
		dir, uri, _ := strings.Cut(uri, "|")
		s, err := Open(dir, Options{})
		if err != nil {
			panic(err)
		}
		ref, err := source.Parse(uri, "")
		if err != nil {
			panic(err)
		}
		first := true
		_, err = s.Import(context.Background(), ref, ImportOptions{Progress: func(p Progress) {
			if first && p.Entries > 20 {
				first = false
				fmt.Println("importing")
			}
		}})
		fmt.Println("done", err)
		os.Exit(1)
	}
	os.Exit(kerneltest.Main(m, kerneltest.Leaks{}))
}

func TestKilledImportIsCollected(t *testing.T) {
	files := map[string]string{}
	for i := range 2000 {
		files["dir"+strconv.Itoa(i%7)+"/"+strconv.Itoa(i)] = strings.Repeat("x", 20000)
	}
	ref := tarRef(t, makeTar(t, files))
	s := open(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+s.dir+"|"+ref.URI)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 64)
	n, err := out.Read(line)
	require.NoError(t, err)
	require.Equal(t, "importing\n", string(line[:n]))

	// While it lives, what it has made is left alone.
	entries, err := os.ReadDir(s.path("tmp"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	_, err = s.GC(t.Context(), nil)
	require.NoError(t, err)
	entries, err = os.ReadDir(s.path("tmp"))
	require.NoError(t, err)
	require.Len(t, entries, 1)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	images, err := s.List()
	require.NoError(t, err)
	require.Empty(t, images)
	_, err = s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)
	entries, err = os.ReadDir(s.path("tmp"))
	require.NoError(t, err)
	require.Empty(t, entries)
}

// A small tmpfs is a full disk.
func TestFullDisk(t *testing.T) {
	kerneltest.RequireRoot(t) // to mount a tmpfs
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	small, err := s.Import(t.Context(), tarRef(t, makeTar(t, map[string]string{"a": "a"})), ImportOptions{})
	require.NoError(t, err)
	before := contents(t, s)
	_, err = s.Import(t.Context(), tarRef(t, makeTar(t, map[string]string{"big": strings.Repeat("x", 4<<20)})), ImportOptions{})
	require.ErrorIs(t, err, unix.ENOSPC)
	require.Equal(t, before, contents(t, s))
	require.NoError(t, s.Verify(t.Context(), small.Digest))
}

func TestGC(t *testing.T) {
	s := open(t)
	owner, leaver := t.TempDir(), t.TempDir()
	var images []Image
	for i := range 4 {
		opts := ImportOptions{}
		switch i {
		case 1:
			opts.Owner = owner
		case 2:
			opts.Owner = leaver
		}
		img, err := s.Import(t.Context(), tarRef(t, makeTar(t, map[string]string{"n": strings.Repeat("x", i+1)})), opts)
		require.NoError(t, err)
		images = append(images, img)
	}
	require.ErrorIs(t, s.Remove(t.Context(), images[1].Digest), ErrInUse)
	require.NoError(t, os.Remove(leaver))
	listed, err := s.List()
	require.NoError(t, err)
	for _, img := range listed {
		if img.Digest == images[1].Digest {
			require.Equal(t, []string{owner}, img.Owners)
		} else {
			require.Empty(t, img.Owners)
		}
	}

	result, err := s.GC(t.Context(), []source.Digest{images[3].Digest})
	require.NoError(t, err)
	want := []source.Digest{images[0].Digest, images[2].Digest}
	slices.Sort(want)
	require.Equal(t, want, result.Images)
	require.Len(t, result.Layers, 2)
	require.EqualValues(t, 1+3, result.Bytes)
	for i, img := range images {
		_, err := s.Image(img.Digest)
		if i == 1 || i == 3 {
			require.NoError(t, err)
			require.DirExists(t, img.Layers[0].Path)
		} else {
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NoDirExists(t, img.Layers[0].Path)
		}
	}

	require.NoError(t, s.Own(owner, nil))
	require.NoError(t, s.Remove(t.Context(), images[1].Digest))
	require.ErrorIs(t, s.Remove(t.Context(), images[1].Digest), fs.ErrNotExist)
	require.ErrorIs(t, s.Remove(t.Context(), "sha256:../../x"), source.ErrDigest)
	require.Error(t, s.Own("relative", nil))
}

// A removed image is imported again, although its source is remembered.
func TestImportAfterRemove(t *testing.T) {
	s := open(t)
	ref := tarRef(t, makeTar(t, map[string]string{"a": "a"}))
	img, err := s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, s.Remove(t.Context(), img.Digest))
	again, err := s.Import(t.Context(), ref, ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, img.Digest, again.Digest)
	require.FileExists(t, filepath.Join(again.Layers[0].Path, "a"))
}

func TestVerifyFindsChanges(t *testing.T) {
	s := open(t)
	img, err := s.Import(t.Context(), tarRef(t, makeTar(t, map[string]string{"a": "a"})), ImportOptions{})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(img.Layers[0].Path, "a"), []byte("b"), 0o644))
	var e *VerifyError
	require.ErrorAs(t, s.Verify(t.Context(), img.Digest), &e)
	require.Equal(t, img.Layers[0].DiffID, e.Layer)
	require.ErrorIs(t, s.Verify(t.Context(), source.Digest("sha256:"+strings.Repeat("0", 64))), fs.ErrNotExist)
}

// Folders nested deeper than there may be open descriptors.
func TestRemoveTreeAnyDepth(t *testing.T) {
	top, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer top.Close()
	at, err := unix.Dup(int(top.Fd()))
	require.NoError(t, err)
	for range 5000 {
		require.NoError(t, unix.Mkdirat(at, "d", 0o700))
		next, err := unix.Openat(at, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		require.NoError(t, unix.Fchmod(at, 0o500)) // an image may forbid its own removal
		require.NoError(t, unix.Close(at))
		at = next
	}
	require.NoError(t, unix.Close(at))
	require.NoError(t, os.Chmod(top.Name(), 0o700))
	require.NoError(t, removeTree(top))
	entries, err := os.ReadDir(top.Name())
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestStoreIsPrivate(t *testing.T) {
	s := open(t)
	for _, path := range []string{s.dir, s.layers(), s.images(), s.path("tmp")} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, 0o700, info.Mode().Perm(), path)
	}
}

// bigTar is an archive of 256 MiB in files of up to 1 MiB.
func bigTar(b *testing.B) source.Ref {
	b.Helper()
	path := filepath.Join(b.TempDir(), "big.tar")
	f, err := os.Create(path)
	require.NoError(b, err)
	w := tar.NewWriter(f)
	r := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for left, i := 256<<20, 0; left > 0; i++ {
		n := min(left, 1<<(8+i%13))
		left -= n
		r.Read(buf[:n])
		require.NoError(b, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("dir%d/file%d", i%100, i), Size: int64(n), Mode: 0o644}))
		_, err := w.Write(buf[:n])
		require.NoError(b, err)
	}
	require.NoError(b, w.Close())
	require.NoError(b, f.Sync())
	require.NoError(b, f.Close())
	settle()
	return parse(b, "tar://"+path)
}

func BenchmarkImport(b *testing.B) {
	ref := bigTar(b)
	b.Run("import", func(b *testing.B) {
		b.SetBytes(256 << 20)
		for b.Loop() {
			s := open(b)
			if _, err := s.Import(b.Context(), ref, ImportOptions{}); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			require.NoError(b, os.RemoveAll(s.dir))
			b.StartTimer()
		}
	})
	b.Run("tar -x and sync", func(b *testing.B) {
		b.SetBytes(256 << 20)
		for b.Loop() {
			dir := b.TempDir()
			if out, err := exec.Command("sh", "-c", `tar -xf "$1" -C "$2" && sync -f "$2"`, "sh", ref.Path, dir).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			b.StopTimer()
			require.NoError(b, os.RemoveAll(dir))
			b.StartTimer()
		}
	})
	b.Run("tar -x and sha256sum", func(b *testing.B) {
		b.SetBytes(256 << 20)
		for b.Loop() {
			dir := b.TempDir()
			if out, err := exec.Command("sh", "-c", `sha256sum "$1" && tar -xf "$1" -C "$2"`, "sh", ref.Path, dir).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
			b.StopTimer()
			require.NoError(b, os.RemoveAll(dir))
			b.StartTimer()
		}
	})
	b.Run("again", func(b *testing.B) {
		s := open(b)
		for range 2 {
			if _, err := s.Import(b.Context(), ref, ImportOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if _, err := s.Import(b.Context(), ref, ImportOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("folder again", func(b *testing.B) {
		dir := b.TempDir()
		if out, err := exec.Command("tar", "-xf", ref.Path, "-C", dir).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		settle()
		s := open(b)
		folder := parse(b, "file://"+dir)
		if _, err := s.Import(b.Context(), folder, ImportOptions{}); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := s.Import(b.Context(), folder, ImportOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
