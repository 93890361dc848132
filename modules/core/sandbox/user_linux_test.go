package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// testIDs are host ids that no other test and, by systemd's rules, nobody on
// the host has.
var testIDs = idmap.Contiguous(1 << 30)

// userSpec is spec, in a user namespace of its own.
func userSpec(t testing.TB, dir string, args ...string) sandbox.Spec {
	t.Helper()
	s := spec(t, dir, args...)
	return inUser(t, s, sandbox.PrepareOptions{Network: true})
}

func inUser(t testing.TB, s sandbox.Spec, opts sandbox.PrepareOptions) sandbox.Spec {
	t.Helper()
	kerneltest.RequireKernel(t, 5, 12)
	ids := testIDs
	if idmap.Confined() { // the user's are what there is, and the image is theirs
		own, err := idmap.Own()
		require.NoError(t, err)
		ids = own.Identity()
	}
	ns, err := sandbox.Prepare(t.Context(), ids, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ns.Close()) })
	if !idmap.Confined() {
		require.NoError(t, idmap.Mount(s.Root, ns.User, false))
	}
	s.User, s.Network = ns.User, ns.Network
	s.RootUID, s.RootGID, err = ids.Host(0, 0)
	require.NoError(t, err)
	return s
}

func TestUserNamespace(t *testing.T) {
	dir := image(t)
	for name, opts := range map[string]sandbox.PrepareOptions{
		"prepared network": {Network: true}, "new network": {},
	} {
		t.Run(name, func(t *testing.T) {
			s := inUser(t, spec(t, dir, "probe"), opts)
			s.Hostname = "box"
			r := observe(t, s)
			require.Equal(t, 0, r.UID)
			require.Equal(t, 0, r.GID)
			require.Empty(t, r.Groups)
			require.Equal(t, "box", r.Hostname)
			require.Equal(t, 1, r.PID)
			own := ownNamespaces(t)
			for _, ns := range []string{"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"} {
				require.NotEqual(t, own[ns], r.Namespaces[ns], ns)
			}
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				require.Equal(t, "0000000000000000", r.Status[set], set)
			}
			checkMounts(t, r)
			require.Equal(t, "0::/\n", lastLine(r.Cgroup))
		})
	}
}

// What the image gives to somebody belongs to that id inside, and on the host
// the process is one of its range.
func TestUserOwners(t *testing.T) {
	dir := image(t)
	for _, id := range []int{0, 33, 1000, 65535, 65536} {
		name := filepath.Join(dir, "work", itoa(id))
		require.NoError(t, os.WriteFile(name, nil, 0o600))
		require.NoError(t, os.Chown(name, id, id))
	}
	s := userSpec(t, dir, "try", "owner", "/work/0", "/work/33", "/work/1000", "/work/65535", "/work/65536",
		"/", "/proc/1/status", "/dev", "/dev/null", "/dev/stdout", "/dev/pts", "/dev/pts/ptmx", "/dev/shm", "/dev/mqueue", "/sys")
	require.Equal(t, `/work/0: 0 0 -rw-------
/work/33: 33 33 -rw-------
/work/1000: 1000 1000 -rw-------
/work/65535: 65535 65535 -rw-------
/work/65536: 65534 65534 -rw-------
/: 0 0 drwxr-xr-x
/proc/1/status: 0 0 -r--r--r--
/dev: 0 0 drwxr-xr-x
/dev/null: 0 0 Dcrw-rw-rw-
/dev/stdout: 0 0 Lrwxrwxrwx
/dev/pts: 0 0 drwxr-xr-x
/dev/pts/ptmx: 0 0 Dcrw-rw-rw-
/dev/shm: 0 0 dtrwxrwxrwx
/dev/mqueue: 0 0 dtrwxrwxrwx
/sys: 65534 65534 dr-xr-xr-x
`, output(t, s))

	s = userSpec(t, dir)
	s.UID, s.GID, s.Groups = 33, 34, []uint32{7}
	p := running(t, s)
	status, err := os.ReadFile(filepath.Join("/proc", itoa(p.PID()), "status"))
	require.NoError(t, err)
	require.Contains(t, string(status), fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", 1<<30+33))
	require.Contains(t, string(status), fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", 1<<30+34))
	require.Contains(t, string(status), fmt.Sprintf("Groups:\t%d \n", 1<<30+7))
	m, err := os.ReadFile(filepath.Join("/proc", itoa(p.PID()), "uid_map"))
	require.NoError(t, err)
	parsed, err := idmap.Parse(string(m))
	require.NoError(t, err)
	require.Equal(t, testIDs.UIDs, parsed)
}

// Power inside is none outside: what a container's root may do to its files,
// and what the files are on the disk.
func TestUserChown(t *testing.T) {
	dir := image(t)
	file := filepath.Join(dir, "work/file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	writable := func(args ...string) sandbox.Spec {
		s := userSpec(t, dir, args...)
		s.ReadOnlyRoot = false
		return s
	}
	s := writable("try", "chown", "/work/file")
	require.Contains(t, output(t, s), "operation not permitted", "without the capability")
	s = writable("try", "chown", "/work/file")
	s.Capabilities = capability.Of(capability.CHOWN)
	require.Equal(t, "/work/file: <nil>\n", output(t, s))
	require.EqualValues(t, 1, ownerOf(t, file), "on the disk as in the image")

	s = writable("try", "write", "/work/new", "/dev/shm/new")
	s.UID, s.GID = 33, 33
	require.NoError(t, os.Chown(filepath.Join(dir, "work"), 33, 33))
	require.Equal(t, "/work/new: <nil>\n/dev/shm/new: <nil>\n", output(t, s))
	require.EqualValues(t, 33, ownerOf(t, filepath.Join(dir, "work/new")))

	// All capabilities there are, and still a file of the host's root is none
	// of its own; nor can it make a device.
	host := t.TempDir()
	require.NoError(t, os.WriteFile(host+"/file", nil, 0o644))
	folder, err := rootfs.Folder(host, rootfs.Bind{})
	require.NoError(t, err)
	defer folder.Close()
	s = writable("try", "chown", "/empty/file")
	s.Mounts = append(s.Mounts, rootfs.Mount{Target: "/empty", Source: folder})
	s.Capabilities = capability.Docker
	require.Contains(t, output(t, s), "operation not permitted")
	s = writable("try", "mknod", "/work/device")
	s.Capabilities = capability.Docker
	require.Contains(t, output(t, s), "operation not permitted")
}

func ownerOf(t testing.TB, name string) uint32 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(name, &st))
	return st.Uid
}

// With the host's network there is no sysfs of its own: the host's is shown,
// read-only.
func TestUserHostNetwork(t *testing.T) {
	s := inUser(t, spec(t, image(t), "probe"), sandbox.PrepareOptions{})
	s.HostNetwork = true
	r := observe(t, s)
	require.Equal(t, ownNamespaces(t)["net"], r.Namespaces["net"])
	require.NotEqual(t, ownNamespaces(t)["user"], r.Namespaces["user"])
	checkMounts(t, r)

	s = inUser(t, spec(t, s.Root.Name(), "try", "write", "/sys/kernel/new", "/sys/fs/cgroup/new"), sandbox.PrepareOptions{})
	s.HostNetwork = true
	require.Equal(t, "/sys/kernel/new: open /sys/kernel/new: read-only file system\n"+
		"/sys/fs/cgroup/new: open /sys/fs/cgroup/new: read-only file system\n", output(t, s))
}

func TestUserExec(t *testing.T) {
	dir := image(t)
	for name, test := range map[string]struct {
		opts sandbox.PrepareOptions
		host bool
	}{"own network": {sandbox.PrepareOptions{Network: true}, false}, "host's network": {sandbox.PrepareOptions{}, true}} {
		t.Run(name, func(t *testing.T) {
			s := inUser(t, spec(t, dir), test.opts)
			s.HostNetwork, s.Cgroup = test.host, newCgroup(t)
			p := running(t, s)
			again, err := sandbox.Open(p.PID(), startTime(t, p)) // as another backend would
			require.NoError(t, err)
			defer again.Close()
			for _, target := range []*sandbox.Process{p, again} {
				out, exit := execute(t, target, sandbox.Command{
					Args: []string{"probe"}, UID: 33, GID: 34, Groups: []uint32{9},
					Capabilities: capability.Of(capability.CHOWN),
				})
				require.Zero(t, exit)
				r := decode(t, out)
				require.Equal(t, 33, r.UID)
				require.Equal(t, 34, r.GID)
				require.Equal(t, []int{9}, r.Groups)
				require.Equal(t, "0000000000000001", r.Status["CapEff"])
				require.Equal(t, "0000000000000001", r.Status["CapBnd"])
				require.Equal(t, "1", r.Status["NoNewPrivs"])
				for _, ns := range []string{"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"} {
					want, err := os.Readlink(filepath.Join("/proc", itoa(p.PID()), "ns", ns))
					require.NoError(t, err)
					require.Equal(t, want, r.Namespaces[ns])
				}
			}
			require.NoError(t, p.Signal(syscall.SIGTERM))
			_, err = p.Wait(t.Context())
			require.NoError(t, err)
		})
	}
}

func TestUserErrors(t *testing.T) {
	dir := image(t)
	for name, test := range map[string]struct {
		change func(*sandbox.Spec)
		want   string
	}{
		"an id that does not exist":   {func(s *sandbox.Spec) { s.UID = 65536 }, "sandbox: set the user: invalid argument"},
		"a group that does not exist": {func(s *sandbox.Spec) { s.Groups = []uint32{70000} }, "sandbox: set groups: invalid argument"},
		"no namespace":                {func(s *sandbox.Spec) { s.User = os.Stderr }, "sandbox: enter the user namespace: invalid argument"},
		"another one's network": {func(s *sandbox.Spec) {
			s.Network = inUser(t, spec(t, dir, "probe"), sandbox.PrepareOptions{Network: true}).Network
		}, "sandbox: mount /sys: operation not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := userSpec(t, dir, "probe")
			test.change(&s)
			_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
			require.EqualError(t, err, test.want)
		})
	}
	_, err := sandbox.Prepare(t.Context(), idmap.IDs{}, sandbox.PrepareOptions{})
	require.ErrorContains(t, err, "1 to 340 ranges")
	_, err = sandbox.Prepare(t.Context(), idmap.Single(0, 0, 1<<32-2, 1<<32-1), sandbox.PrepareOptions{})
	require.ErrorContains(t, err, "goes beyond")
}

// A mount that was shown cannot be mapped any more, nor twice.
func TestMapMountErrors(t *testing.T) {
	dir := image(t)
	ns, err := sandbox.Prepare(t.Context(), testIDs, sandbox.PrepareOptions{})
	require.NoError(t, err)
	defer ns.Close()
	require.Nil(t, ns.Network)
	var failed *idmap.MountError
	proc, err := rootfs.Folder("/proc/sys", rootfs.Bind{})
	require.NoError(t, err)
	defer proc.Close()
	require.ErrorAs(t, idmap.Mount(proc, ns.User, false), &failed)
	require.EqualError(t, failed, "map the owners of /proc/sys: invalid argument: its file system, proc, does not support it")
	twice, err := rootfs.Folder(dir, rootfs.Bind{})
	require.NoError(t, err)
	defer twice.Close()
	require.NoError(t, idmap.Mount(twice, ns.User, false))
	require.ErrorIs(t, idmap.Mount(twice, ns.User, false), syscall.EPERM)
	require.NoError(t, ns.Close())
	require.NoError(t, ns.Close(), "twice")
}

// launchInUser prepares, starts and waits for the end of a container.
func launchInUser(ctx context.Context, dir string) (err error) {
	ns, err := sandbox.Prepare(ctx, testIDs, sandbox.PrepareOptions{Network: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	root, err := rootfs.Folder(dir, rootfs.Bind{})
	if err != nil {
		return err
	}
	defer root.Close()
	if err := idmap.Mount(root, ns.User, false); err != nil {
		return err
	}
	p, err := sandbox.Launch(ctx, sandbox.Spec{
		Root: root, Plan: rootfs.Default(), User: ns.User, Network: ns.Network,
		Command: sandbox.Command{Args: []string{"/bin/exit", "5"}},
	}, sandbox.Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	exit, err := p.Wait(context.WithoutCancel(ctx))
	if err == nil && exit.Code != 5 {
		err = errors.New("exit code " + itoa(exit.Code))
	}
	return err
}

// Neither a garbage collection nor another launch holds one up.
func TestUserLaunchesUnderLoad(t *testing.T) {
	dir := image(t)
	launches := 200
	if testing.Short() {
		launches = 40
	}
	stop := make(chan struct{})
	var load, group sync.WaitGroup
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	for range 4 {
		group.Go(func() {
			for range launches / 4 {
				if err := launchInUser(t.Context(), dir); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	close(stop)
	load.Wait()
}

func TestCancelledPrepares(t *testing.T) {
	dir := image(t)
	cancelled := 0
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*30*time.Microsecond, cancel)
		if err := launchInUser(ctx, dir); err != nil {
			require.ErrorIs(t, err, context.Canceled)
			cancelled++
		}
		timer.Stop()
		cancel()
	}
	require.NotZero(t, cancelled)
}
