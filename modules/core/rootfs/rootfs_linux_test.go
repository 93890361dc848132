package rootfs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }

// tree makes files below a new folder: "name" a file with that text, "name/" a
// folder, and text that begins with "-> " a symbolic link.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	for name, text := range files {
		at := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(at, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			require.NoError(t, os.Symlink(target, at))
		} else {
			require.NoError(t, os.WriteFile(at, []byte(text), 0o644))
		}
	}
	return dir
}

// list describes what is below a folder, as tree takes it.
func list(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case err != nil || path == dir:
		case d.IsDir():
			files[name+"/"] = ""
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			files[name] = "-> " + target
		default:
			b, _ := os.ReadFile(path)
			files[name] = string(b)
		}
		return err
	}))
	return files
}

func openRoot(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken line\nweb:x:33:34:web:/srv:/bin/sh\n" +
		"1000:x:5:5:digits:/five:/bin/sh\nbig:x:4294967296:0::/:\nneg:x:-1:0::/:\nempty:x::::/:\nrelhome:x:7:7::home:\n"
	group = "root:x:0:\nstaff:x:50:web,other\naudio:x:29:other,web\nweb:x:34:web\nhuge:x:99999999999:huge\n60:x:61:\n"
)

func TestLookupUser(t *testing.T) {
	root := openRoot(t, tree(t, map[string]string{"etc/passwd": passwd, "etc/group": group}))
	for spec, want := range map[string]rootfs.User{
		"":           {Home: "/root"},
		"root":       {Home: "/root"},
		"0":          {Home: "/root"},
		"web":        {UID: 33, GID: 34, Groups: []uint32{50, 29}, Home: "/srv"},
		"33":         {UID: 33, GID: 34, Groups: []uint32{50, 29}, Home: "/srv"},
		"web:staff":  {UID: 33, GID: 50, Home: "/srv"},
		"web:7":      {UID: 33, GID: 7, Home: "/srv"},
		"77":         {UID: 77, Home: "/"},
		"77:88":      {UID: 77, GID: 88, Home: "/"},
		"77:audio":   {UID: 77, GID: 29, Home: "/"},
		"1000":       {UID: 1000, Home: "/"},           // a number, although there is such a name
		"0:60":       {UID: 0, GID: 60, Home: "/root"}, // likewise
		"relhome":    {UID: 7, GID: 7, Home: "/"},
		"2147483647": {UID: 2147483647, Home: "/"},
	} {
		got, err := rootfs.LookupUser(root, spec)
		require.NoError(t, err, "%q", spec)
		require.Equal(t, want, got, "%q", spec)
	}
	for spec, want := range map[string]string{
		"nobody":               "no such user",
		"web:nogroup":          "no such group",
		"2147483648":           "not between 0 and 2147483647",
		"4294967296":           "not between 0 and 2147483647",
		"18446744073709551616": "not between 0 and 2147483647",
		"0:4294967296":         "not between 0 and 2147483647",
		"-1":                   "no such user",
		"web:-1":               "no such group",
		"big":                  "no valid ids",
		"neg":                  "no valid ids",
		"empty":                "no valid ids",
		"0:huge":               "no valid id",
		":50":                  "user is missing",
		"web:":                 "no such group",
		" web":                 "no such user",
		"we":                   "no such user",
	} {
		_, err := rootfs.LookupUser(root, spec)
		require.ErrorContains(t, err, want, "%q", spec)
	}
	_, err := rootfs.LookupUser(root, "nobody")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// The files of an image are its author's, and may be anything.
func TestLookupUserHostileFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	require.NoError(t, os.WriteFile(outside, []byte("evil:x:0:0::/:\n"), 0o644))
	for name, files := range map[string]map[string]string{
		"link out":       {"etc/passwd": "-> " + outside},
		"link climbs":    {"etc/passwd": "-> ../../../../../../../.." + outside},
		"folder link":    {"etc": "-> " + filepath.Dir(outside)},
		"to a folder":    {"etc/passwd/": ""},
		"through proc":   {"etc/passwd": "-> /proc/self/fd/0"},
		"loop":           {"etc/passwd": "-> passwd"},
		"nothing":        {},
		"line too long":  {"etc/passwd": "evil" + strings.Repeat("x", 1<<17) + ":x:0:0::/:\nevil:x:0:0::/:\n"},
		"file too large": {"etc/passwd": strings.Repeat("a:x:1:1::/:\n", 1<<20) + "evil:x:0:0::/:\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rootfs.LookupUser(openRoot(t, tree(t, files)), "evil")
			require.Error(t, err)
		})
	}
	t.Run("FIFO", func(t *testing.T) {
		dir := tree(t, map[string]string{"etc/": ""})
		require.NoError(t, unix.Mkfifo(filepath.Join(dir, "etc/passwd"), 0o644))
		_, err := rootfs.LookupUser(openRoot(t, dir), "evil")
		require.ErrorContains(t, err, "not a regular file")
	})
	t.Run("link inside", func(t *testing.T) {
		root := openRoot(t, tree(t, map[string]string{"etc/passwd": "-> /usr/lib/passwd", "usr/lib/passwd": "app:x:9:9::/app:\n"}))
		user, err := rootfs.LookupUser(root, "app")
		require.NoError(t, err)
		require.EqualValues(t, 9, user.UID)
	})
}

func FuzzLookupUser(f *testing.F) {
	f.Add([]byte(passwd), []byte(group), "web:staff")
	f.Add([]byte("a:b:4294967295:0:x:y:z"), []byte(":::"), "a")
	f.Fuzz(func(t *testing.T, passwd, group []byte, spec string) {
		dir := tree(t, map[string]string{"etc/": ""})
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/passwd"), passwd, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/group"), group, 0o644))
		root, err := os.Open(dir)
		require.NoError(t, err)
		defer root.Close()
		user, err := rootfs.LookupUser(root, spec)
		if err != nil {
			return
		}
		for _, id := range append(user.Groups, user.UID, user.GID) {
			if id > 1<<31-1 {
				t.Fatalf("id %d", id)
			}
		}
		if name, _, _ := strings.Cut(spec, ":"); user.UID == 0 && name != "" && strings.Trim(name, "0") != "" &&
			!strings.Contains(string(passwd), name+":") {
			t.Fatalf("%q became root", spec)
		}
		if !strings.HasPrefix(user.Home, "/") {
			t.Fatalf("home %q", user.Home)
		}
	})
}

// makeScaffold makes one for an image of these layers.
func makeScaffold(t testing.TB, s rootfs.Scaffold, dir string, layers ...string) error {
	t.Helper()
	image, err := rootfs.Image(layers)
	require.NoError(t, err)
	defer image.Close()
	return s.Make(dir, image)
}

func TestScaffold(t *testing.T) {
	base := map[string]string{
		"etc/hosts":       "image's",
		"etc/resolv.conf": "-> ../run/systemd/resolv.conf",
		"run/":            "",
		"var/run":         "-> /run",
		"tmp/":            "",
		"opt/app":         "-> ../srv/app",
		"srv/":            "",
		"data/config":     "image's",
	}
	scaffold := rootfs.Scaffold{
		Dirs:       []string{"/proc", "/dev", "/tmp", "/var/run/sock", "/opt/app/lib", "/a/b/../c"},
		MountFiles: []string{"/data/config", "/data/other", "/tmp/new/file"},
		Files: []rootfs.File{
			{Path: "/etc/hosts", Content: []byte("ours"), Mode: 0o644},
			{Path: "/etc/resolv.conf", Content: []byte("dns"), Mode: 0o604},
			{Path: "/var/run/id", Content: []byte("1"), Mode: 0o400},
		},
	}
	want := map[string]string{
		"proc/": "", "dev/": "", "run/": "", "run/sock/": "", "srv/": "", "srv/app/": "", "srv/app/lib/": "",
		"a/": "", "a/c/": "", "data/": "", "data/other": "", "tmp/": "", "tmp/new/": "", "tmp/new/file": "",
		"etc/": "", "etc/hosts": "ours", "etc/resolv.conf": "dns", "run/id": "1",
	}
	t.Run("one layer", func(t *testing.T) {
		layer, dir := tree(t, base), t.TempDir()
		require.NoError(t, os.Chmod(filepath.Join(layer, "tmp"), 0o777|fs.ModeSticky))
		require.NoError(t, os.Chmod(filepath.Join(layer, "data"), 0o750))
		if os.Geteuid() == 0 {
			require.NoError(t, os.Chown(filepath.Join(layer, "data"), 12, 34))
		}
		defer unix.Umask(unix.Umask(0o077))
		require.NoError(t, makeScaffold(t, scaffold, dir, layer))
		require.Equal(t, want, list(t, dir))
		for name, mode := range map[string]fs.FileMode{
			"tmp":             fs.ModeDir | fs.ModeSticky | 0o777,
			"data":            fs.ModeDir | 0o750,
			"proc":            fs.ModeDir | 0o755,
			".":               fs.ModeDir | 0o755,
			"etc/resolv.conf": 0o604,
			"run/id":          0o400,
		} {
			info, err := os.Stat(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode(), name)
		}
		var st unix.Stat_t
		require.NoError(t, unix.Stat(filepath.Join(dir, "data"), &st))
		if os.Geteuid() == 0 {
			require.EqualValues(t, 12, st.Uid)
			require.EqualValues(t, 34, st.Gid)
		}
		require.Equal(t, base["etc/hosts"], list(t, layer)["etc/hosts"], "the layer is untouched")
	})
	t.Run("several layers", func(t *testing.T) {
		kerneltest.RequireRoot(t)
		upper := tree(t, map[string]string{"var/run": "-> /other", "other/": ""})
		// A whiteout: srv is gone, so the link to it leads to nothing.
		require.NoError(t, unix.Mknod(filepath.Join(upper, "tmp"), unix.S_IFCHR, 0))
		dir := t.TempDir()
		require.NoError(t, makeScaffold(t, rootfs.Scaffold{Dirs: []string{"/var/run/x", "/tmp"}}, dir, tree(t, base), upper))
		require.Equal(t, map[string]string{"other/": "", "other/x/": "", "tmp/": ""}, list(t, dir))
	})
	t.Run("no layer", func(t *testing.T) {
		kerneltest.RequireRoot(t)
		dir := t.TempDir()
		require.NoError(t, makeScaffold(t, rootfs.Scaffold{Dirs: []string{"/proc"}}, dir))
		require.Equal(t, map[string]string{"proc/": ""}, list(t, dir))
	})
}

// A layer that nobody maps has the host's ids on disk.
func TestScaffoldOwners(t *testing.T) {
	kerneltest.RequireRoot(t)
	layer, dir := tree(t, map[string]string{"data/": "", "etc/": "", "far/": ""}), t.TempDir()
	for name, id := range map[string]int{"data": 33, "far": 65536} {
		require.NoError(t, os.Chown(filepath.Join(layer, name), id, id+1))
	}
	s := rootfs.Scaffold{
		Dirs: []string{"/proc", "/data/inner", "/far/inner"}, MountFiles: []string{"/etc/file"},
		Files: []rootfs.File{
			{Path: "/etc/hosts", Mode: 0o644},
			{Path: "/data/secret", Mode: 0o400, UID: 33, GID: 65535},
		},
		IDs: idmap.Contiguous(1 << 20),
	}
	require.NoError(t, makeScaffold(t, s, dir, layer))
	for name, want := range map[string][2]uint32{
		".": {1 << 20, 1 << 20}, "proc": {1 << 20, 1 << 20}, "data": {1<<20 + 33, 1<<20 + 34}, "data/inner": {1 << 20, 1 << 20},
		"etc/file": {1 << 20, 1 << 20}, "etc/hosts": {1 << 20, 1 << 20}, "data/secret": {1<<20 + 33, 1<<20 + 65535},
		"far": {65534, 65534},
	} {
		var st unix.Stat_t
		require.NoError(t, unix.Lstat(filepath.Join(dir, name), &st))
		require.Equal(t, want, [2]uint32{st.Uid, st.Gid}, name)
	}
	info, err := os.Stat(filepath.Join(dir, "data/secret"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o400), info.Mode())
}

func TestScaffoldErrors(t *testing.T) {
	outside := tree(t, map[string]string{"file": "canary"})
	layer := map[string]string{
		"out":      "-> " + outside,
		"climb":    "-> ../../../../../.." + outside,
		"loop":     "-> loop",
		"file":     "text",
		"folder/":  "",
		"rootlink": "-> /",
	}
	for name, test := range map[string]struct {
		scaffold rootfs.Scaffold
		want     string
	}{
		"folder where a file is": {rootfs.Scaffold{Dirs: []string{"/file"}}, "something else"},
		"file where a folder is": {rootfs.Scaffold{MountFiles: []string{"/folder"}}, "something else"},
		"below a file":           {rootfs.Scaffold{Dirs: []string{"/file/sub"}}, "not a directory"},
		"loop":                   {rootfs.Scaffold{Dirs: []string{"/loop/x"}}, "too many levels"},
		"relative":               {rootfs.Scaffold{Dirs: []string{"x"}}, "absolute"},
		"the root":               {rootfs.Scaffold{Dirs: []string{"/rootlink"}}, "the root itself"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, makeScaffold(t, test.scaffold, t.TempDir(), tree(t, layer)), test.want)
		})
	}
	t.Run("not empty", func(t *testing.T) {
		require.ErrorIs(t, makeScaffold(t, rootfs.Scaffold{}, outside, outside), fs.ErrExist)
	})
	t.Run("links out stay inside", func(t *testing.T) {
		dir := t.TempDir()
		s := rootfs.Scaffold{
			Dirs:  []string{"/out/dir", "/climb/dir2"},
			Files: []rootfs.File{{Path: "/out/file", Content: []byte("x")}, {Path: "/climb", Content: []byte("y")}},
		}
		require.NoError(t, makeScaffold(t, s, dir, tree(t, layer)))
		require.Equal(t, map[string]string{"file": "canary"}, list(t, outside))
		got := list(t, dir)
		require.Equal(t, "x", got[strings.TrimPrefix(outside, "/")+"/file"])
		require.Equal(t, "y", got["climb"])
	})
}

func TestDetachedMounts(t *testing.T) {
	kerneltest.RequireRoot(t)
	t.Run("dev", func(t *testing.T) {
		defer unix.Umask(unix.Umask(0o077))
		dev, err := rootfs.Dev(nil, rootfs.NoSuid|rootfs.NoExec)
		require.NoError(t, err)
		defer dev.Close()
		for name, want := range map[string]uint64{
			"null": unix.Mkdev(1, 3), "zero": unix.Mkdev(1, 5), "full": unix.Mkdev(1, 7),
			"random": unix.Mkdev(1, 8), "urandom": unix.Mkdev(1, 9), "tty": unix.Mkdev(5, 0),
		} {
			var st unix.Stat_t
			require.NoError(t, unix.Fstatat(int(dev.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW))
			require.EqualValues(t, unix.S_IFCHR|0o666, st.Mode, name)
			require.Equal(t, want, st.Rdev, name)
		}
		for name, want := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "ptmx": "pts/ptmx"} {
			buf := make([]byte, 64)
			n, err := unix.Readlinkat(int(dev.Fd()), name, buf)
			require.NoError(t, err)
			require.Equal(t, want, string(buf[:n]))
		}
	})
	t.Run("dev of another owner", func(t *testing.T) {
		dev, err := rootfs.Dev([]string{"uid=1000", "gid=1001"}, 0)
		require.NoError(t, err)
		defer dev.Close()
		for _, name := range []string{".", "null", "fd", "pts"} {
			var st unix.Stat_t
			require.NoError(t, unix.Fstatat(int(dev.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW))
			require.Equal(t, [2]uint32{1000, 1001}, [2]uint32{st.Uid, st.Gid}, name)
		}
	})
	t.Run("bind", func(t *testing.T) {
		dir := tree(t, map[string]string{"file": "x"})
		f, err := rootfs.Folder(dir, rootfs.Bind{ReadOnly: true})
		require.NoError(t, err)
		defer f.Close()
		_, err = unix.Openat(int(f.Fd()), "new", unix.O_CREAT|unix.O_WRONLY, 0o644)
		require.Equal(t, unix.EROFS, err)
		_, err = rootfs.Folder(filepath.Join(dir, "absent"), rootfs.Bind{})
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "absent")
	})
	t.Run("clone of a file", func(t *testing.T) {
		dir := tree(t, map[string]string{"file": "first"})
		opened := openRoot(t, filepath.Join(dir, "file"))
		// Swapped after it was checked: the clone is still the first.
		require.NoError(t, os.Rename(filepath.Join(dir, "file"), filepath.Join(dir, "old")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("second"), 0o644))
		f, err := rootfs.Clone(opened, rootfs.Bind{})
		require.NoError(t, err)
		defer f.Close()
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		require.NoError(t, err)
		require.Equal(t, "first", string(b))
	})
	t.Run("tmpfs", func(t *testing.T) {
		f, err := rootfs.Tmpfs([]string{"size=64k", "mode=0700"}, 0)
		require.NoError(t, err)
		defer f.Close()
		var st unix.Statfs_t
		require.NoError(t, unix.Fstatfs(int(f.Fd()), &st))
		require.EqualValues(t, unix.TMPFS_MAGIC, st.Type)
		require.EqualValues(t, 64<<10, st.Blocks*uint64(st.Bsize))
		_, err = rootfs.Tmpfs([]string{"size=much"}, 0)
		require.ErrorContains(t, err, `option "size=much"`)
	})
}
