package native_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
)

// start creates and starts a container that goes on, and returns its process.
func (p *project) start(t *testing.T, cfg container.Config) int {
	t.Helper()
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	pid, err := p.Start(t.Context(), id)
	require.NoError(t, err)
	return pid
}

// exec runs a shell command in a container and returns what it wrote.
func (p *project) exec(t *testing.T, id container.ID, user, script string) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	_, err = p.Exec(t.Context(), id, container.ExecOptions{Args: []string{"sh", "-c", script}, User: user, Stdout: w, Stderr: w})
	require.NoError(t, errors.Join(err, w.Close()))
	var b strings.Builder
	_, err = bufio.NewReader(r).WriteTo(&b)
	require.NoError(t, err)
	return b.String()
}

// hostMap is the map of a process's user namespace as the host sees it.
func hostMap(t *testing.T, pid int) idmap.Map {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	require.NoError(t, err)
	m, err := idmap.Parse(string(text))
	require.NoError(t, err)
	require.Len(t, m, 1)
	return m
}

func ownerOf(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return st.Uid, st.Gid
}

// Inside, everything is as in the image; outside, the processes of two
// containers share no id, with each other nor with the host.
func TestIDs(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	var maps []idmap.Map
	for _, name := range []string{"one", "two"} {
		cfg := p.config(t, name, "sleep", "1000")
		data := filepath.Join(cfg.Layers[0].Path, "srv/data")
		for _, id := range []int{33, 1000} {
			file := filepath.Join(data, strconv.Itoa(id))
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			require.NoError(t, os.Chown(file, id, id+1))
		}
		pid := p.start(t, cfg)
		id := container.ID(name)
		require.Equal(t, "uid=0 gid=0\n", p.exec(t, id, "", "id"))
		require.Equal(t, "uid=33 gid=44\n", p.exec(t, id, "33:44", "id >/dev/stdout"))
		require.Equal(t, "0:0 /\n0:0 /bin/sh\n0:0 /etc/hosts\n0:0 /srv/data/hello\n33:34 /srv/data/33\n1000:1001 /srv/data/1000\n0:0 /dev/null\n",
			p.exec(t, id, "", "stat -c '%u:%g %n' / /bin/sh /etc/hosts /srv/data/hello /srv/data/33 /srv/data/1000 /dev/null"))

		m := hostMap(t, pid)
		require.Equal(t, "0 "+strconv.Itoa(int(m[0].Host))+" 65536", strings.Join(strings.Fields(p.exec(t, id, "", "cat /proc/self/uid_map")), " "))
		require.EqualValues(t, 65536, m[0].Count)
		require.GreaterOrEqual(t, m[0].Host, uint32(524288))
		maps = append(maps, m)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		require.NoError(t, err)
		require.Contains(t, string(status), fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", m[0].Host))
	}
	require.NotEqual(t, maps[0], maps[1])
	require.NoError(t, idmap.Map{maps[0][0], {Container: 65536, Host: maps[1][0].Host, Count: 65536}}.Check(), "they do not overlap")
}

// A restart, an adoption and a replacement change nothing about who a
// container is.
func TestIDsStay(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	cfg := p.config(t, "c", "sleep", "1000")
	before := hostMap(t, p.start(t, cfg))
	require.NoError(t, p.Close())
	p.open(t)
	require.Equal(t, "uid=0 gid=0\n", p.exec(t, "c", "", "id"), "exec into an adopted one")
	require.NoError(t, p.Stop(t.Context(), "c", container.StopOptions{Timeout: -1}))
	pid, err := p.Start(t.Context(), "c")
	require.NoError(t, err)
	require.Equal(t, before, hostMap(t, pid))
	require.NoError(t, p.Remove(t.Context(), "c", container.RemoveOptions{Force: true}))
	require.Equal(t, before, hostMap(t, p.start(t, cfg)))
}

// What a container wrote is its own again after a restart, and after the whole
// project was gone from the machine.
func TestWritableLayerKeepsOwners(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "rw", "sh", "-c", "stat -c '%u %a' /x /srv/data/hello; cat /x; echo kept >/x && chmod 600 /x /srv/data/hello && chown 33 /srv/data/hello && echo changed >>/srv/data/hello")
	cfg.ReadOnly = false
	cfg.Capabilities = []string{"CHOWN", "DAC_OVERRIDE"}
	_, out := p.run(t, cfg)
	require.Contains(t, out, "0 640")
	_, err := p.Start(t.Context(), "rw")
	require.NoError(t, err)
	_, err = p.Wait(t.Context(), "rw")
	require.NoError(t, err)
	require.Contains(t, p.log(t, "rw"), "0 600\n33 600\nkept\n")

	require.NoError(t, p.Release(t.Context()))
	require.NoError(t, p.Close())
	p.open(t)
	_, out = p.run(t, cfg)
	require.Equal(t, 2, strings.Count(out, "0 600\n33 600\nkept\n"), "%s", out)
}

// The ids of a writable layer went to somebody else while the project was not
// on the machine: nothing is given away and nothing changed.
func TestWritableLayerOfTakenIDs(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	rw, ro := p.config(t, "rw", "touch", "/x"), p.config(t, "ro", "sh", "-c", "id; stat -c %u /etc/hosts")
	rw.ReadOnly = false
	p.run(t, rw)
	_, out := p.run(t, ro)
	upper := filepath.Join(p.opts.StateDir, "containers/rw/upper/x")
	first, _ := ownerOf(t, upper)
	require.GreaterOrEqual(t, first, uint32(524288))
	require.Equal(t, "uid=0 gid=0\n0\n", out)
	roFirst := recordOf(t, p, "ro")

	require.NoError(t, p.Release(t.Context()))
	require.NoError(t, p.Close())
	other := idmap.Project{Name: "other-" + p.opts.Project, Holder: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, other.FreeAll(t.Context())) })
	require.NoError(t, other.Claim(t.Context(), "x", first, false))
	require.NoError(t, other.Claim(t.Context(), "y", roFirst, false))
	p.open(t)
	_, err := p.Create(t.Context(), rw)
	require.ErrorContains(t, err, fmt.Sprintf("the files that rw wrote have its ids, and the ids %d–%d are in use by project other-", first, first+65535))
	require.ErrorContains(t, err, "ctst rm rw")
	var taken *idmap.TakenError
	require.ErrorAs(t, err, &taken)
	require.NoError(t, other.Free(t.Context(), "x"))
	_, err = p.Create(t.Context(), rw)
	require.NoError(t, err)
	uid, _ := ownerOf(t, upper)
	require.Equal(t, first, uid)

	_, out = p.run(t, ro)
	require.Contains(t, out, "uid=0 gid=0\n0\n", "others just take what is free")
	require.NotEqual(t, roFirst, recordOf(t, p, "ro"))
}

// recordOf returns the first host id that a container's record names.
func recordOf(t *testing.T, p *project, name string) uint32 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.opts.RunDir, "containers", name, "container.json"))
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), `"first_id":`)
	require.True(t, ok, "%s", text)
	n, err := strconv.Atoi(rest[:strings.IndexAny(rest, ",}")])
	require.NoError(t, err)
	return uint32(n)
}

// Without the registry, what runs and what waits has its ids from the records.
func TestLostIDRegistry(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	running := hostMap(t, p.start(t, p.config(t, "running", "sleep", "1000")))
	_, err := p.Create(t.Context(), p.config(t, "waiting", "sh", "-c", "stat -c %u /etc/hosts"))
	require.NoError(t, err)
	waiting := recordOf(t, p, "waiting")
	require.NoError(t, os.Remove(idmap.DefaultRegistry))
	require.NoError(t, p.Close())
	p.open(t)

	other := idmap.Project{Name: "other-" + p.opts.Project, Holder: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, other.FreeAll(t.Context())) })
	var taken *idmap.TakenError
	for _, first := range []uint32{running[0].Host, waiting} {
		require.ErrorAs(t, other.Claim(t.Context(), "x", first, false), &taken)
		require.Equal(t, "project "+p.opts.Project, taken.By)
	}

	// And somebody was faster: who does not run yet gets others.
	require.NoError(t, os.Remove(idmap.DefaultRegistry))
	require.NoError(t, other.Claim(t.Context(), "x", waiting, false))
	require.ErrorAs(t, other.Claim(t.Context(), "y", running[0].Host, false), &taken)
	require.Contains(t, taken.By, "process ")
	_, err = p.Start(t.Context(), "waiting")
	require.NoError(t, err)
	_, err = p.Wait(t.Context(), "waiting")
	require.NoError(t, err)
	require.Equal(t, "0\n", p.log(t, "waiting"), "with a layer of its new ids")
	require.NotEqual(t, waiting, recordOf(t, p, "waiting"))
}

// Of a volume or a host path only the owner appears, as the container's user,
// and what that one writes is the owner's.
func TestVolumeOwners(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	const rest = 0x7ffe0000 // of volumes at rest
	for _, test := range []struct {
		name, user string
		kind       container.MountKind
		diskOwner  int    // of a host path
		image      int    // owner of the image's folder
		onDisk     uint32 // who a new file belongs to
	}{
		{"root, volume of root's folder", "", container.MountVolume, 0, 0, rest},
		{"root, volume of another's folder", "", container.MountVolume, 0, 33, rest + 33},
		{"user, volume of its folder", "33:44", container.MountVolume, 0, 33, rest + 33},
		{"user, volume of root's folder", "33:44", container.MountVolume, 0, 0, rest},
		{"user, volume of nobody's folder", "33:44", container.MountVolume, 0, 65536, rest},
		{"root, path of a host user", "", container.MountBind, 1000, 0, 1000},
		{"user, path of a host user", "33:44", container.MountBind, 1000, 0, 1000},
		{"root, path of the host's root", "", container.MountBind, 0, 0, 0},
		{"user, path of the host's root", "33:44", container.MountBind, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			cfg := p.config(t, "c", "sh", "-c", `
				cd /srv/data
				stat -c '%u:%g %a' . hello
				cat hello
				echo new >new && stat -c '%u:%g' new
				touch other 2>&1 || echo refused other
				cat secret 2>&1
				rm stranger 2>&1 && echo removed
				id`)
			cfg.User = test.user
			folder := filepath.Join(cfg.Layers[0].Path, "srv/data")
			require.NoError(t, os.Chmod(folder, 0o750))
			require.NoError(t, os.Chown(folder, test.image, test.image))
			disk := filepath.Join(p.opts.StateDir, "volumes/data")
			m := container.Mount{Kind: test.kind, Source: "data", Target: "/srv/data"}
			if test.kind == container.MountBind {
				disk = t.TempDir()
				m.Source = disk
				require.NoError(t, os.Chmod(disk, 0o750))
				require.NoError(t, os.Chown(disk, test.diskOwner, test.diskOwner))
				for name, owner := range map[string]int{"hello": test.diskOwner, "secret": 4711, "stranger": 4711, "other": 4711} {
					require.NoError(t, os.WriteFile(filepath.Join(disk, name), []byte("from the image"), 0o640))
					require.NoError(t, os.Chown(filepath.Join(disk, name), owner, owner))
				}
			}
			cfg.Mounts = []container.Mount{m}
			_, out := p.run(t, cfg)
			ids := "0:0"
			if test.user != "" {
				ids = test.user
			}
			require.Regexp(t, `^`+ids+` 750\n`+ids+` 640\nfrom the image`+ids+`\n`, out)
			uid, gid := ownerOf(t, filepath.Join(disk, "new"))
			require.Equal(t, test.onDisk, uid)
			require.Equal(t, test.onDisk, gid)
			if test.kind == container.MountBind {
				require.Contains(t, out, "refused other")
				require.Contains(t, out, "secret': Permission denied")
				require.NotContains(t, out, "removed")
				require.FileExists(t, filepath.Join(disk, "stranger"))
				owner, _ := ownerOf(t, filepath.Join(disk, "stranger"))
				require.EqualValues(t, 4711, owner)
			}
		})
	}
}

// Two with different users share a volume: each sees what the other wrote as
// its own.
func TestSharedVolume(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	var ids []container.ID
	for _, user := range []string{"33", "1000:2000", ""} {
		name := "c" + strings.ReplaceAll(user, ":", "-")
		cfg := p.config(t, name, "sleep", "1000")
		cfg.User = user
		cfg.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "shared", Target: "/srv/data"}}
		id, err := p.Create(t.Context(), cfg)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	var group sync.WaitGroup
	for _, id := range ids {
		group.Go(func() { // all at once: one of them makes the volume
			if _, err := p.Start(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Equal(t, "33:0 from the image", p.exec(t, "c33", "", "echo $(stat -c %u:%g /srv/data/hello) $(cat /srv/data/hello) >/srv/data/x; printf '%s' \"$(cat /srv/data/x)\""))
	require.Equal(t, "1000:2000 755 0\n1000:2000 600 mine\n", p.exec(t, "c1000-2000", "",
		"cd /srv/data; echo $(stat -c '%u:%g %a' .) 0; echo mine >y; chmod 600 y; echo $(stat -c '%u:%g %a' y) $(cat y)"))
	require.Equal(t, "33:0 mine\n", p.exec(t, "c33", "", "cd /srv/data; echo $(stat -c %u:%g y) $(cat y); rm x"))
	require.Equal(t, "0:0 mine\n", p.exec(t, "c", "", "cd /srv/data; echo $(stat -c %u:%g y) $(cat y)"))
	require.NoFileExists(t, filepath.Join(p.opts.StateDir, "volumes/shared/x"))
	// Somebody else of the same container owns nothing there.
	require.Contains(t, p.exec(t, "c33", "7", "cat /srv/data/y; echo z >/srv/data/z"), "Permission denied")
}

// Root of a container, with every power over its files, leaves no set-uid file
// of any user of the host: in a host path there is no way to make one, and in a
// volume it is nobody's.
func TestSetUIDOnHost(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	if runtime.GOARCH != "amd64" {
		t.Skip("the program knows amd64's system calls")
	}
	program := build(t, "setid")
	for _, profile := range []string{"", "unconfined"} {
		p := newProject(t)
		host := t.TempDir() // of the host's root
		cfg := p.config(t, "c", "/bin/setid", "/mnt")
		require.NoError(t, os.WriteFile(filepath.Join(cfg.Layers[0].Path, "bin/setid"), program, 0o755))
		cfg.Capabilities, cfg.Seccomp = []string{"docker"}, profile
		cfg.Mounts = []container.Mount{{Kind: container.MountBind, Source: host, Target: "/mnt"}}
		exit, out := p.run(t, cfg)
		require.Zero(t, exit.Code, out)
		for line := range strings.Lines(out) {
			want := ": 1\n" // EPERM
			if strings.HasPrefix(line, "openat2-") {
				want = ": 38\n" // ENOSYS
			} else if strings.HasPrefix(line, "garbage-") {
				want = ": 0\n"
			}
			require.True(t, strings.HasSuffix(line, want), "%q: %s", profile, line)
		}
		require.Equal(t, 24, strings.Count(out, "\n"), out)
		require.Empty(t, setID(t, host))

		// Where nobody of the host owns the files, all the ways lead there.
		volume := cfg
		volume.Name, volume.Mounts = "v", []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/mnt"}}
		_, out = p.run(t, volume)
		want := 22
		if strings.Contains(out, "fchmodat2-4000: 38\n") {
			want -= 2 // before Linux 6.6
		}
		require.Len(t, setID(t, filepath.Join(p.opts.StateDir, "volumes/data")), want, out)
		for _, name := range setID(t, filepath.Join(p.opts.StateDir, "volumes/data")) {
			uid, gid := ownerOf(t, name)
			require.EqualValues(t, 0x7ffe0000, uid, name)
			require.EqualValues(t, 0x7ffe0000, gid, name)
		}
	}
}

// setID returns the files below a folder that are set-user-id or set-group-id.
func setID(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// A container that starts as root and steps down, as those of databases do, can
// give its volume to the user that it becomes; who never was root sees that
// user's files as its own.
func TestVolumeOfManyUsers(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	const rest = 0x7ffe0000
	p := newProject(t)
	cfg := p.config(t, "db", "sh", "-c", `cd /srv/data; stat -c '%u:%g %n' . hello theirs outsider; chown -R 70:71 . && stat -c '%u:%g %n' . hello; sleep 1000`)
	data := filepath.Join(cfg.Layers[0].Path, "srv/data")
	require.NoError(t, os.Chown(data, 33, 34))
	for name, id := range map[string]int{"theirs": 1000, "outsider": 1 << 20} {
		require.NoError(t, os.WriteFile(filepath.Join(data, name), nil, 0o600))
		require.NoError(t, os.Chown(filepath.Join(data, name), id, id))
	}
	cfg.Capabilities = []string{"CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE", "FOWNER"}
	cfg.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/srv/data"}}
	p.start(t, cfg)
	const want = "33:34 .\n0:0 hello\n1000:1000 theirs\n65534:65534 outsider\n70:71 .\n70:71 hello\n"
	require.Eventually(t, func() bool { return p.log(t, "db") == want }, 5*time.Second, 10*time.Millisecond, "%s", p.log(t, "db"))
	require.Equal(t, "mine\n", p.exec(t, "db", "70:71", "cd /srv/data; echo mine >own; chmod 600 own; cat own"))
	uid, gid := ownerOf(t, filepath.Join(p.opts.StateDir, "volumes/data/own"))
	require.EqualValues(t, rest+70, uid)
	require.EqualValues(t, rest+71, gid)

	backup := p.config(t, "backup", "sleep", "1000")
	backup.User, backup.Mounts = "5:6", cfg.Mounts
	p.start(t, backup)
	require.Equal(t, "5:6 own\nmine\n", p.exec(t, "backup", "", "cd /srv/data; stat -c '%u:%g %n' own; cat own; echo new >saved"))
	require.Equal(t, "70:71 saved\n", p.exec(t, "db", "", "cd /srv/data; stat -c '%u:%g %n' saved"))
	// And root of who cannot make others owners has what is there for itself.
	plain := p.config(t, "plain", "sleep", "1000")
	plain.Mounts = cfg.Mounts
	p.start(t, plain)
	require.Equal(t, "0:0 own\nmine\n", p.exec(t, "plain", "", "cd /srv/data; stat -c '%u:%g %n' own; cat own"))
}

// A volume that somebody on the host filled or restored keeps its owner, seen as
// the container's root.
func TestVolumeOfHostUser(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	dir := filepath.Join(p.opts.StateDir, "volumes/data")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), []byte("restored\n"), 0o600))
	require.NoError(t, errors.Join(os.Chown(dir, 1000, 1000), os.Chown(filepath.Join(dir, "x"), 1000, 1000)))
	cfg := p.config(t, "c", "sh", "-c", "cat /srv/data/x; stat -c %u:%g /srv/data/x; chown 7 /srv/data/x")
	cfg.Capabilities = []string{"docker"}
	cfg.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/srv/data"}}
	_, out := p.run(t, cfg)
	require.Contains(t, out, "restored\n0:0\n")
	require.Contains(t, out, "chown")
	uid, _ := ownerOf(t, filepath.Join(dir, "x"))
	require.EqualValues(t, 1000, uid)
}

// A file system that cannot be mapped is an error that says which volume and
// what to do.
func TestVolumeThatCannotBeMapped(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	cfg := p.config(t, "c", "sleep", "1")
	cfg.Mounts = []container.Mount{{Kind: container.MountBind, Source: "/proc/sys", Target: "/mnt"}}
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	require.EqualError(t, err, "mount /mnt: map the owners of /proc/sys: invalid argument: its file system, proc, does not support it; "+
		"use a path on a file system that can, such as ext4, xfs or btrfs, or a named volume")
}

// A file of the configuration is its user's, wherever it lies.
func TestFilesBelongToTheUser(t *testing.T) {
	p := newProject(t)
	for _, user := range []string{"", "33:44"} {
		cfg := p.config(t, "c", "sh", "-c", "stat -L -c %u:%g /dev/stdout; stat -c '%u:%g %a' /run/secrets /run/secrets/key /etc/app.conf; cat /run/secrets/key /etc/app.conf >/dev/stdout")
		cfg.User = user
		cfg.Mounts = []container.Mount{{Kind: container.MountTmpfs, Target: "/run"}}
		cfg.Files = []container.File{
			{Path: "/run/secrets/key", Content: []byte("open sesame\n"), Mode: 0o400},
			{Path: "/etc/app.conf", Content: []byte("a = 1\n"), Mode: 0o600},
		}
		_, out := p.run(t, cfg)
		if user == "" {
			user = "0:0"
		}
		require.Equal(t, "0:0 755\n"+user+" 400\n"+user+" 600\nopen sesame\na = 1\n", out[strings.LastIndex(out, "0:0 755\n"):])
		require.Contains(t, out, "0:0\n0:0 755", "its standard output is root's")
		require.NoError(t, p.Remove(t.Context(), "c", container.RemoveOptions{}))
	}
}

func TestUserOutsideOfTheRange(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "c", "id")
	cfg.User = "70000"
	id, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	_, err = p.Start(t.Context(), id)
	const want = "user 70000: no such id inside: a container has the ids 0–65535"
	require.EqualError(t, err, want)
	p.start(t, p.config(t, "on", "sleep", "1000"))
	_, err = p.Exec(t.Context(), "on", container.ExecOptions{Args: []string{"id"}, User: "70000"})
	require.EqualError(t, err, want)
}

func TestHostNetworkOfUser(t *testing.T) {
	p := newProject(t)
	cfg := p.config(t, "c", "sh", "-c", "id; ls /sys/class/net | head -n 1; touch /sys/x; touch /sys/fs/cgroup/x")
	cfg.Network.Mode = container.NetworkHost
	_, out := p.run(t, cfg)
	require.Contains(t, out, "uid=0 gid=0\n")
	require.Equal(t, 2, strings.Count(out, "Read-only file system"), "%s", out)
}

// Neither root of a container nor all the capabilities that it can have reach a
// file of the host.
func TestCanary(t *testing.T) {
	rootOnly(t, "containers have their ids in common, and owners are not mapped")
	p := newProject(t)
	dir := t.TempDir()
	require.NoError(t, os.Chown(dir, 1000, 1000))
	canary := filepath.Join(dir, "canary")
	require.NoError(t, os.WriteFile(canary, []byte("canary"), 0o600))
	var before, after syscall.Stat_t
	require.NoError(t, syscall.Stat(canary, &before))
	cfg := p.config(t, "c", "sh", "-c", "cd /mnt; cat canary; echo x >canary; chown 0 canary; chmod 777 canary; rm -f canary; echo x >/proc/sysrq-trigger; echo 1 >/proc/sys/kernel/panic")
	cfg.Capabilities = []string{"docker"}
	cfg.Mounts = []container.Mount{{Kind: container.MountBind, Source: dir, Target: "/mnt"}}
	_, out := p.run(t, cfg)
	require.NotContains(t, strings.ReplaceAll(out, "canary:", ""), "canary\n", "it read the file")
	require.NoError(t, syscall.Stat(canary, &after))
	before.Atim, after.Atim = syscall.Timespec{}, syscall.Timespec{}
	require.Equal(t, before, after)
	text, err := os.ReadFile(canary)
	require.NoError(t, err)
	require.Equal(t, "canary", string(text))
}

// Many lives leave nothing; TestMain looks for the rest.
func TestManyLaunches(t *testing.T) {
	launches := 200
	if testing.Short() {
		launches = 20
	}
	p := newProject(t)
	cfg := p.config(t, "c", "id")
	cfg.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/srv/data"}}
	_, err := p.Create(t.Context(), cfg)
	require.NoError(t, err)
	for range launches {
		_, err := p.Start(t.Context(), "c")
		require.NoError(t, err)
		exit, err := p.Wait(t.Context(), "c")
		require.NoError(t, err)
		require.Zero(t, exit)
	}
	require.Equal(t, launches, strings.Count(p.log(t, "c"), "uid=0 gid=0\n"))
	require.NoError(t, p.Remove(t.Context(), "c", container.RemoveOptions{}))
	if os.Geteuid() != 0 || idmap.Confined() {
		return // the host's registry is root's
	}
	text, err := os.ReadFile(idmap.DefaultRegistry)
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
		require.False(t, slices.Contains(strings.Split(string(text), `"`), p.opts.Project))
	}
}
