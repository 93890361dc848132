package unpack

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// containedEnv marks the test program that runs contained.
const containedEnv = "UNPACK_TEST_CONTAINED"

// TestMain makes the whole machine read-only for these tests, except for the
// folder of temporary files. They unpack hostile archives as root: without
// this, the day the defence breaks they would not report it but overwrite the
// files of whoever runs them.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Geteuid() == 0 && os.Getenv(containedEnv) == "" {
		if err := contain(); err != nil {
			fmt.Fprintln(os.Stderr, "contain the tests:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// contain starts the test program again in a mount namespace of its own. It
// replaces this process, so that a fuzzing worker keeps its descriptors.
func contain() error {
	runtime.LockOSThread() // the namespace is the thread's, and exec keeps it
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	writable := []string{os.TempDir()}
	// What runs a fuzz test keeps its findings here; its workers do not.
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" && flag.Lookup("test.fuzzworker").Value.String() != "true" {
		cwd, err := os.Getwd()
		if err != nil {
			return err
		}
		cache := flag.Lookup("test.fuzzcachedir").Value.String()
		if err := os.MkdirAll(cache, 0o755); err != nil { // there is none before the first finding
			return err
		}
		writable = append(writable, cwd, cache)
	}
	var mounts []int
	for _, dir := range writable {
		fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("open %s: %w", dir, err)
		}
		mounts = append(mounts, fd)
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("make / read-only: %w", err)
	}
	for i, dir := range writable {
		if err := unix.MoveMount(mounts[i], "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	// The working folder may lie below a mount that was put over it.
	if cwd, err := os.Getwd(); err != nil {
		return err
	} else if err := os.Chdir(cwd); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), containedEnv+"=1"))
}

// If this fails, the other tests of this package are dangerous.
func TestContained(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user cannot do much harm")
	}
	for _, dir := range []string{"/", "/etc", "/run", "/usr", "/dev"} {
		require.Equal(t, unix.EROFS, unix.Access(dir, unix.W_OK), dir)
	}
}
