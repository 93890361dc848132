package native_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
)

// mountOn mounts an empty folder on the host for the test. It is no tmpfs, which
// has mapped owners only since Linux 6.3.
func mountOn(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, unix.Mount(t.TempDir(), dir, "", unix.MS_BIND, ""))
	require.NoError(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT, "")) // whatever it is where it comes from
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

// Read-only holds for the mounts below too, and every mount of a volume is
// nosuid and nodev, whatever it is on the host.
func TestBindIsRecursive(t *testing.T) {
	rootOnly(t, "it makes device nodes on the host")
	for _, readOnly := range []bool{true, false} {
		p := newProject(t)
		host := t.TempDir()
		mountOn(t, filepath.Join(host, "a"))
		mountOn(t, filepath.Join(host, "a/b"))
		require.NoError(t, unix.Mknod(filepath.Join(host, "a/b/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		require.NoError(t, os.Chmod(filepath.Join(host, "a/b/null"), 0o666))
		cfg := p.config(t, "c", "sh", "-c", `for d in /mnt /mnt/a /mnt/a/b; do touch $d/x 2>&1 && echo wrote; done; cat /mnt/a/b/null 2>&1; grep ' /mnt' /proc/self/mountinfo`)
		cfg.Mounts = []container.Mount{{Kind: container.MountBind, Source: host, Target: "/mnt", ReadOnly: readOnly}}
		_, out := p.run(t, cfg)
		kind, wrote := " rw,", 3
		if readOnly {
			kind, wrote = " ro,", 0
			require.Equal(t, 3, strings.Count(out, "Read-only file system"), out)
		}
		require.Equal(t, wrote, strings.Count(out, "wrote\n"), out)
		require.Contains(t, out, "/mnt/a/b/null': Permission denied", "no device")
		for _, point := range []string{"/mnt", "/mnt/a", "/mnt/a/b"} {
			require.Regexp(t, ` `+point+kind+`nosuid,nodev[^\n]* - `, out)
		}
		require.NotContains(t, out, "shared:")
		require.NotContains(t, out, "master:")
	}
}

// What is mounted on one side is not seen on the other.
func TestPropagationIsPrivate(t *testing.T) {
	p := newProject(t)
	host := t.TempDir()
	mountOn(t, host)
	require.NoError(t, unix.Mount("", host, "", unix.MS_SHARED, ""))
	require.NoError(t, os.MkdirAll(filepath.Join(host, "out"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(host, "in"), 0o755))
	cfg := p.config(t, "c", "sh", "-c", "mount -t tmpfs test /mnt/in && touch /mnt/in/inside && echo mounted; sleep 1000")
	cfg.Capabilities, cfg.Seccomp = []string{"SYS_ADMIN"}, "unconfined"
	cfg.Mounts = []container.Mount{{Kind: container.MountBind, Source: host, Target: "/mnt"}}
	p.start(t, cfg)
	require.Eventually(t, func() bool { return p.log(t, "c") == "mounted\n" }, 5*time.Second, 10*time.Millisecond, "%s", p.log(t, "c"))
	require.NoFileExists(t, filepath.Join(host, "in/inside"))
	mountOn(t, filepath.Join(host, "out"))
	require.NoError(t, os.WriteFile(filepath.Join(host, "out/outside"), nil, 0o644))
	require.Equal(t, "inside\n", p.exec(t, "c", "", "ls /mnt/in /mnt/out | grep side"))
}

// One volume in another, in any order of the file, of any kind.
func TestVolumeInVolume(t *testing.T) {
	host := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(host, "deep"), 0o755))
	file := filepath.Join(t.TempDir(), "one.conf")
	require.NoError(t, os.WriteFile(file, []byte("one"), 0o644))
	mounts := []container.Mount{
		{Kind: container.MountVolume, Source: "outer", Target: "/data"},
		{Kind: container.MountTmpfs, Target: "/data/memory"},
		{Kind: container.MountVolume, Source: "inner", Target: "/data/memory/inner"},
		{Kind: container.MountBind, Source: file, Target: "/data/memory/inner/one.conf", ReadOnly: true},
		{Kind: container.MountBind, Source: host, Target: "/host"},
		{Kind: container.MountVolume, Source: "deep", Target: "/host/deep"},
	}
	for name, arrange := range map[string]func([]container.Mount){
		"outer first": func([]container.Mount) {}, "inner first": slices.Reverse[[]container.Mount],
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			cfg := p.config(t, "c", "sh", "-c", `cat /data/memory/inner/one.conf; echo; for d in /data /data/memory /data/memory/inner /host /host/deep; do touch $d/x && grep -c " $d " /proc/self/mountinfo; done`)
			cfg.Mounts = slices.Clone(mounts)
			arrange(cfg.Mounts)
			_, out := p.run(t, cfg)
			require.Equal(t, "one\n1\n1\n1\n1\n1\n", out)
			require.FileExists(t, filepath.Join(p.opts.StateDir, "volumes/outer/x"))
			require.FileExists(t, filepath.Join(p.opts.StateDir, "volumes/inner/x"))
			require.FileExists(t, filepath.Join(p.opts.StateDir, "volumes/deep/x"))
			require.FileExists(t, filepath.Join(host, "x"))
			require.NoFileExists(t, filepath.Join(host, "deep/x"))
			require.NoError(t, os.Remove(filepath.Join(host, "x")))
		})
	}
}

// A file is mounted over a file that the image has, and where it has none.
func TestFileAsVolume(t *testing.T) {
	p := newProject(t)
	file := filepath.Join(t.TempDir(), "app.conf")
	require.NoError(t, os.WriteFile(file, []byte("host\n"), 0o644))
	cfg := p.config(t, "c", "sh", "-c", "cat /srv/data/hello /etc/new/app.conf; echo changed >/etc/new/app.conf; echo no >/srv/data/hello")
	cfg.Mounts = []container.Mount{
		{Kind: container.MountBind, Source: file, Target: "/srv/data/hello", ReadOnly: true},
		{Kind: container.MountBind, Source: file, Target: "/etc/new/app.conf"},
	}
	_, out := p.run(t, cfg)
	require.Contains(t, out, "host\nhost\n")
	require.Contains(t, out, "Read-only file system")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "changed\n", string(text))

	for target, source := range map[string]string{"/srv/data": file, "/srv/data/hello": filepath.Dir(file)} {
		bad := p.config(t, "bad", "true")
		bad.Mounts = []container.Mount{{Kind: container.MountBind, Source: source, Target: target}}
		_, err := p.Create(t.Context(), bad)
		require.ErrorContains(t, err, "mount point "+target+": the image has something else there")
	}
}

// A link of the image leads a mount elsewhere in the image, and never out of it.
func TestTargetThroughLinks(t *testing.T) {
	p := newProject(t)
	canary := filepath.Join(t.TempDir(), "canary")
	require.NoError(t, os.Mkdir(canary, 0o755))
	cfg := p.config(t, "c", "sh", "-c", "cd -P /away/data && pwd && touch x; cd -P /up && pwd && touch y; cd -P /var/run/app && pwd && touch z; cat /var/run/file")
	cfg.Files = []container.File{{Path: "/var/run/file", Content: []byte("in memory\n"), Mode: 0o444}}
	root := cfg.Layers[0].Path
	require.NoError(t, os.Mkdir(filepath.Join(root, "var"), 0o755))
	require.NoError(t, os.Symlink("/run", filepath.Join(root, "var/run")))
	require.NoError(t, os.Symlink(canary, filepath.Join(root, "away")))
	require.NoError(t, os.Symlink("../../../../../../.."+canary, filepath.Join(root, "up")))
	cfg.Mounts = []container.Mount{
		{Kind: container.MountVolume, Source: "away", Target: "/away/data"},
		{Kind: container.MountVolume, Source: "up", Target: "/up"},
		{Kind: container.MountVolume, Source: "run", Target: "/var/run/app"},
		{Kind: container.MountTmpfs, Target: "/run"}, // what the link leads to
	}
	_, out := p.run(t, cfg)
	require.Equal(t, canary+"/data\n"+canary+"\n/run/app\nin memory\n", out)
	entries, err := os.ReadDir(canary)
	require.NoError(t, err)
	require.Empty(t, entries)
	for _, name := range []string{"away/x", "up/y", "run/z"} {
		require.FileExists(t, filepath.Join(p.opts.StateDir, "volumes", name))
	}
}

// Two paths of a file that the image makes one are an error, and not one volume
// over the other.
func TestTargetsThatMeet(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "c", "true")
	require.NoError(t, os.Symlink("srv", filepath.Join(cfg.Layers[0].Path, "link")))
	cfg.Mounts = []container.Mount{
		{Kind: container.MountVolume, Source: "a", Target: "/srv/data"},
		{Kind: container.MountVolume, Source: "b", Target: "/link/data"},
	}
	_, err := p.Create(t.Context(), cfg)
	require.EqualError(t, err, "mount /link/data: the image has a link that leads to the same place as /srv/data: mount one of the two")
}

// What every container has of its own has no place for mounts and files, by
// whatever way.
func TestTargetsInSystem(t *testing.T) {
	p := newProject(t)
	volume := func(target string) container.Config {
		cfg := p.config(t, "c", "true")
		cfg.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "v", Target: target}}
		return cfg
	}
	linked := volume("/link/data")
	require.NoError(t, os.Symlink("proc/sys", filepath.Join(linked.Layers[0].Path, "link")))
	file := p.config(t, "c", "true")
	file.Files = []container.File{{Path: "/sys/x", Mode: 0o444}}
	const why = "in a file system that every container has of its own: choose a path outside of /dev, /proc and /sys"
	for want, cfg := range map[string]container.Config{
		"mount /proc/data: it is " + why: volume("/proc/data"),
		"mount /dev/shm: it is " + why:   volume("/dev/shm"),
		"mount /dev/log: it is " + why:   volume("/dev/log"),
		"mount /link/data: it is " + why: linked,
		"write /sys/x: it is " + why:     file,
	} {
		_, err := p.Create(t.Context(), cfg)
		require.EqualError(t, err, want)
	}
}

// Message queues are the container's own.
func TestMessageQueues(t *testing.T) {
	p := newProject(t)
	_, out := p.run(t, p.config(t, "c", "sh", "-c", "touch /dev/mqueue/q && cat /dev/mqueue/q; ls /dev/mqueue"))
	require.Contains(t, out, "QSIZE:0 ")
	require.Contains(t, out, "\nq\n")
}
