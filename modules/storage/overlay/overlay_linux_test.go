package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/sandbox"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }

// attach makes a detached mount reachable by a path, for the test's time.
func attach(t *testing.T, mnt *os.File) string {
	t.Helper()
	target := t.TempDir()
	require.NoError(t, unix.MoveMount(int(mnt.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(target, unix.MNT_DETACH)) })
	return target
}

func layer(t *testing.T, files map[string]string) Layer {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return Layer{Path: dir}
}

// requireWay skips what this kernel does not know. detached: layers that are
// mounts of their own, attached nowhere.
func requireWay(t *testing.T, w way, detached bool) {
	t.Helper()
	kerneltest.RequireKernel(t, w.since[0], w.since[1])
	if detached {
		kerneltest.RequireKernel(t, 6, 15)
	}
}

func TestMount(t *testing.T) {
	kerneltest.RequireRoot(t)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			requireWay(t, way, false)
			base := layer(t, map[string]string{"who": "base", "base": "base"})
			top := layer(t, map[string]string{"who": "top", "etc/top": "top"})
			upper, work := t.TempDir(), t.TempDir()

			t.Run("the last layer wins", func(t *testing.T) {
				mnt, err := mount(Spec{Lower: []Layer{base, top}}, way, false)
				require.NoError(t, err)
				defer mnt.Close()
				root := attach(t, mnt)
				for name, want := range map[string]string{"who": "top", "base": "base", "etc/top": "top"} {
					got, err := os.ReadFile(filepath.Join(root, name))
					require.NoError(t, err)
					require.Equal(t, want, string(got), name)
				}
				require.ErrorIs(t, os.WriteFile(filepath.Join(root, "new"), nil, 0o644), syscall.EROFS)
				require.ErrorIs(t, unix.Mount("", root, "", unix.MS_REMOUNT, ""), syscall.EROFS, "it cannot be made writable")
			})
			t.Run("upper takes what is written", func(t *testing.T) {
				mnt, err := mount(Spec{Lower: []Layer{base, top}, Upper: upper, Work: work}, way, false)
				require.NoError(t, err)
				defer mnt.Close()
				root := attach(t, mnt)
				require.NoError(t, os.WriteFile(filepath.Join(root, "who"), []byte("me"), 0o644))
				require.NoError(t, os.Remove(filepath.Join(root, "base")))
				got, err := os.ReadFile(filepath.Join(upper, "who"))
				require.NoError(t, err)
				require.Equal(t, "me", string(got))
				lower, err := os.ReadFile(filepath.Join(top.Path, "who"))
				require.NoError(t, err)
				require.Equal(t, "top", string(lower), "layers stay as they are")
				require.FileExists(t, filepath.Join(base.Path, "base"))
				require.NoFileExists(t, filepath.Join(root, "base"))
			})
			t.Run("read-only with upper", func(t *testing.T) {
				mnt, err := mount(Spec{Lower: []Layer{base}, Upper: upper, Work: t.TempDir(), ReadOnly: true}, way, false)
				require.NoError(t, err)
				defer mnt.Close()
				require.ErrorIs(t, os.WriteFile(filepath.Join(attach(t, mnt), "new"), nil, 0o644), syscall.EROFS)
			})
			t.Run("a single layer", func(t *testing.T) {
				requireWay(t, way, true) // the empty one beside it
				mnt, err := mount(Spec{Lower: []Layer{base}}, way, false)
				require.NoError(t, err)
				defer mnt.Close()
				root := attach(t, mnt)
				names, err := os.ReadDir(root)
				require.NoError(t, err)
				require.Len(t, names, 2)
				var st unix.Statfs_t
				require.NoError(t, unix.Statfs(root, &st))
				require.EqualValues(t, unix.OVERLAYFS_SUPER_MAGIC, st.Type)
				require.NotZero(t, st.Flags&unix.ST_NODEV)
				require.ErrorIs(t, unix.Mount("", root, "", unix.MS_REMOUNT, ""), syscall.EROFS)
			})
		})
	}
}

func TestMountManyLayers(t *testing.T) {
	kerneltest.RequireRoot(t)
	dir := t.TempDir()
	var layers []Layer
	for i := range 128 {
		path := filepath.Join(dir, "a name that needs : , \\ no escapes", strconv.Itoa(i))
		require.NoError(t, os.MkdirAll(path, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(path, "last"), []byte(strconv.Itoa(i)), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(path, fmt.Sprintf("own-%d", i)), nil, 0o644))
		layers = append(layers, Layer{Path: path})
	}
	for _, way := range ways[:2] {
		t.Run(way.name, func(t *testing.T) {
			requireWay(t, way, false)
			mnt, err := mount(Spec{Lower: layers}, way, false)
			require.NoError(t, err)
			defer mnt.Close()
			root := attach(t, mnt)
			got, err := os.ReadFile(filepath.Join(root, "last"))
			require.NoError(t, err)
			require.Equal(t, "127", string(got))
			names, err := os.ReadDir(root)
			require.NoError(t, err)
			require.Len(t, names, 129)
		})
	}
}

func TestMountErrors(t *testing.T) {
	kerneltest.RequireRoot(t)
	a := layer(t, nil)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	proc := filepath.Join("/proc", "self")

	tests := []struct {
		name   string
		spec   Spec
		option string
		path   string
		is     error
	}{
		{"no layer", Spec{}, "lowerdir", "", nil},
		{"missing layer", Spec{Lower: []Layer{a, {Path: "/nonexistent"}}}, "lowerdir", "/nonexistent", os.ErrNotExist},
		{"layer is a file", Spec{Lower: []Layer{{Path: file}}}, "lowerdir", file, syscall.ENOTDIR},
		{"upper without work", Spec{Lower: []Layer{a}, Upper: t.TempDir()}, "workdir", "", nil},
		{"missing upper", Spec{Lower: []Layer{a}, Upper: "/nonexistent", Work: t.TempDir()}, "upperdir", "/nonexistent", os.ErrNotExist},
		{"upper cannot hold one", Spec{Lower: []Layer{a}, Upper: proc, Work: proc}, "upperdir", proc, syscall.EINVAL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Mount(context.Background(), tt.spec)
			var e *Error
			require.ErrorAs(t, err, &e)
			t.Log(err)
			require.Equal(t, tt.option, e.Option)
			require.Equal(t, tt.path, e.Path)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}

	t.Run("the same layer twice", func(t *testing.T) {
		_, err := Mount(context.Background(), Spec{Lower: []Layer{a, a}})
		require.ErrorIs(t, err, syscall.ELOOP)
		t.Log(err)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := Mount(ctx, Spec{Lower: []Layer{a}})
		require.ErrorIs(t, err, context.Canceled)
	})
}

// A layer cannot make the kernel look elsewhere, whatever attributes it has.
func TestMountIgnoresRedirects(t *testing.T) {
	kerneltest.RequireRoot(t)
	base := layer(t, map[string]string{"secret/file": "secret"})
	top := layer(t, map[string]string{"public/other": ""})
	require.NoError(t, unix.Setxattr(filepath.Join(top.Path, "public"), "trusted.overlay.redirect", []byte("/secret"), 0))
	mnt, err := Mount(context.Background(), Spec{Lower: []Layer{base, top}})
	require.NoError(t, err)
	defer mnt.Close()
	_, err = os.ReadFile(filepath.Join(attach(t, mnt), "public", "file"))
	require.True(t, errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EPERM), "got %v", err)
}

func TestMountLeaksNothing(t *testing.T) {
	kerneltest.RequireRoot(t)
	a, b := layer(t, nil), layer(t, nil)
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(fds)
	}
	before := count()
	for range 20 {
		mnt, err := Mount(context.Background(), Spec{Lower: []Layer{a, b}})
		require.NoError(t, err)
		require.NoError(t, mnt.Close())
		_, err = Mount(context.Background(), Spec{Lower: []Layer{a, {Path: "/nonexistent"}}})
		require.Error(t, err)
	}
	require.Equal(t, before, count())
}

// Layers show their files with the owners that the user namespace maps them to;
// what is written goes to the upper folder as it is.
func TestMountMapped(t *testing.T) {
	kerneltest.RequireRoot(t)
	kerneltest.RequireKernel(t, 5, 19)
	const first = 1 << 30
	ns, err := sandbox.Prepare(t.Context(), idmap.Contiguous(first), sandbox.PrepareOptions{})
	require.NoError(t, err)
	defer ns.Close()
	base := layer(t, map[string]string{"root": "base", "web": "base", "both": "base"})
	top := layer(t, map[string]string{"both": "top"})
	generated := layer(t, map[string]string{"generated": ""})
	generated.Shifted = true
	require.NoError(t, os.Chown(filepath.Join(base.Path, "web"), 33, 34))
	require.NoError(t, os.Chown(filepath.Join(generated.Path, "generated"), first+7, first+8))
	lower := []Layer{base, top, generated}

	// As this kernel does it, and as one does that wants layers attached.
	detached := func(f func() error) error { return f() }
	for name, where := range map[string]func(func() error) error{"detached": detached, "attached": namespace.InMount} {
		for _, way := range ways {
			t.Run(name+" "+way.name, func(t *testing.T) {
				requireWay(t, way, name == "detached")
				upper, work := t.TempDir(), t.TempDir()
				require.NoError(t, os.Chown(upper, first, first))
				var mnt, single *os.File
				require.NoError(t, where(func() (err error) {
					spec := Spec{Lower: lower, Upper: upper, Work: work, User: ns.User}
					if mnt, err = mount(spec, way, name == "attached"); err != nil {
						return err
					}
					single, err = mount(Spec{Lower: lower[:1], User: ns.User}, way, name == "attached")
					return err
				}))
				defer mnt.Close()
				defer single.Close()
				root := attach(t, mnt)
				for file, want := range map[string][2]uint32{
					".": {first, first}, "root": {first, first}, "web": {first + 33, first + 34},
					"both": {first, first}, "generated": {first + 7, first + 8},
				} {
					var st unix.Stat_t
					require.NoError(t, unix.Stat(filepath.Join(root, file), &st))
					require.Equal(t, want, [2]uint32{st.Uid, st.Gid}, file)
				}
				// A copy up keeps the owner.
				require.NoError(t, os.Chmod(filepath.Join(root, "web"), 0o600))
				var st unix.Stat_t
				require.NoError(t, unix.Stat(filepath.Join(upper, "web"), &st))
				require.EqualValues(t, first+33, st.Uid)
				require.NoError(t, unix.Stat(filepath.Join(base.Path, "web"), &st))
				require.EqualValues(t, 33, st.Uid, "the layer stays as it is")
				got, err := os.ReadFile(filepath.Join(attach(t, single), "web"))
				require.NoError(t, err)
				require.Equal(t, "base", string(got))
			})
		}
	}
	t.Run("a file system that cannot", func(t *testing.T) {
		inner, err := Mount(t.Context(), Spec{Lower: []Layer{base, top}})
		require.NoError(t, err)
		defer inner.Close()
		dir := attach(t, inner)
		_, err = Mount(t.Context(), Spec{Lower: []Layer{{Path: dir}}, User: ns.User})
		var failed *idmap.MountError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "overlay", failed.FileSystem)
		t.Log(err)
	})
}
