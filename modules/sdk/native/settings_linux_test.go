package native_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
)

// Secrets lie in a read-only file system in memory, and are their user's alone.
func TestSecretFiles(t *testing.T) {
	p := newProject(t)
	for _, tmpfs := range [][]container.Mount{nil, {{Kind: container.MountTmpfs, Target: "/run"}}} {
		cfg := p.config(t, "c", "sh", "-c", `cd /run/secrets; stat -c '%u:%g %a %n' . key; cat key; touch x; echo x >key; grep ' /run/secrets ' /proc/self/mountinfo`)
		cfg.User = "33:44"
		cfg.Mounts = append(tmpfs, container.Mount{Kind: container.MountTmpfs, Target: "/run/secrets", ReadOnly: true})
		cfg.Files = []container.File{{Path: "/run/secrets/key", Content: []byte("open sesame\n"), Mode: 0o400}}
		_, out := p.run(t, cfg)
		require.Contains(t, out, "0:0 755 .\n33:44 400 key\nopen sesame\n")
		require.Contains(t, out, "touch: x: Read-only file system")
		require.NotContains(t, out, "Permission denied\nx")
		require.Regexp(t, ` /run/secrets ro,nosuid,nodev[^\n]* - tmpfs `, out)
		require.NoError(t, p.Remove(t.Context(), "c", container.RemoveOptions{}))
		p.clearLog(t, "c")
	}
}

// clearLog forgets what a container of an earlier life wrote.
func (p *project) clearLog(t *testing.T, name string) {
	t.Helper()
	for _, stream := range []string{"out", "err"} {
		err := os.Remove(filepath.Join(p.opts.StateDir, "logs", name+"."+stream))
		require.True(t, err == nil || errors.Is(err, fs.ErrNotExist), "%v", err)
	}
}

func TestSharedMemorySize(t *testing.T) {
	p := newProject(t)
	const script = "grep ' /dev/shm ' /proc/self/mountinfo; touch /dev/shm/x && echo writable"
	_, out := p.run(t, p.config(t, "usual", "sh", "-c", script))
	require.Contains(t, out, "size=65536k")
	cfg := p.config(t, "large", "sh", "-c", script)
	cfg.Mounts = []container.Mount{{Kind: container.MountTmpfs, Target: "/dev/shm", Size: 100 << 20}}
	_, out = p.run(t, cfg)
	require.Equal(t, 1, strings.Count(out, " /dev/shm "), "one mount, not one over another: %s", out)
	require.Contains(t, out, "size=102400k")
	require.Contains(t, out, "nosuid,nodev,noexec")
	require.Contains(t, out, "writable")
}

// A device is a node of the container's own, that its user may open as the mode
// says.
func TestDevices(t *testing.T) {
	rootOnly(t, "devices are for root")
	p := newProject(t)
	host := "/dev/ctst-test"
	require.NoError(t, os.MkdirAll(host, 0o700))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(host)) })
	zero := host + "/zero" // as /dev/zero, for its owner alone
	require.NoError(t, unix.Mknod(zero, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
	require.NoError(t, os.Chmod(zero, 0o600))
	require.NoError(t, os.Symlink("zero", host+"/link"))

	for _, user := range []string{"", "33:44"} {
		cfg := p.config(t, "c", "sh", "-c", fmt.Sprintf(`for d in %[1]s/zero %[1]s/link; do stat -c '%%u:%%g %%a %%t:%%T %%F' $d; head -c 3 $d | wc -c; done; chmod 666 %[1]s/zero; grep -c ' %[1]s' /proc/self/mountinfo`, host))
		cfg.User = user
		cfg.Devices = []string{zero, host + "/link"}
		_, out := p.run(t, cfg)
		if user == "" {
			user = "0:0"
		}
		line := user + " 600 1:5 character special file\n3\n"
		require.Equal(t, line+line+"0\n", out[strings.LastIndex(out, line+line):])
		require.NoError(t, p.Remove(t.Context(), "c", container.RemoveOptions{}))
	}
	info, err := os.Stat(zero)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "the host's node is another")

	for name, want := range map[string]string{
		"/dev/null/x":         "not a directory",
		host + "/none":        "is it spelt right, and its kernel module loaded?",
		host:                  "is a folder and not a device: name the devices in it one by one",
		"/dev/../etc/passwd":  "/dev/../etc/passwd is not a device",
		"/dev/../bin/busybox": "is not a device",
	} {
		cfg := p.config(t, "bad", "true")
		cfg.Devices = []string{name}
		_, err := p.Create(t.Context(), cfg)
		require.ErrorContains(t, err, want)
	}
}

func TestMissingWorkDir(t *testing.T) {
	for _, test := range []struct {
		name, dir, out string
		readOnly       bool
	}{
		{"writable root", "/not/there", "/not/there\n0:0 755\n", false},
		{"read-only root", "/not/there", "/not/there\n0:0 755\n", true},
		{"image folder", "/srv/data", "/srv/data\n0:0 755\n", true},
		{"through a link", "/var/run/app", "/run/app\n0:0 755\n", true},
		{"in memory", "/tmp/a/b", "/tmp/a/b\n0:0 755\n", true},
		{"in a volume", "/vol/a", "/vol/a\n0:0 755\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProject(t)
			cfg := p.config(t, "c", "sh", "-c", "pwd -P; stat -c '%u:%g %a' .")
			root := cfg.Layers[0].Path
			require.NoError(t, os.Mkdir(filepath.Join(root, "var"), 0o755))
			require.NoError(t, os.Symlink("/run", filepath.Join(root, "var/run")))
			cfg.WorkDir, cfg.ReadOnly = test.dir, test.readOnly
			cfg.Mounts = []container.Mount{{Kind: container.MountTmpfs, Target: "/tmp"}, {Kind: container.MountVolume, Source: "v", Target: "/vol"}}
			exit, out := p.run(t, cfg)
			require.Equal(t, test.out, out)
			require.Zero(t, exit)
		})
	}
}
