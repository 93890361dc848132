package kerneltest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inside marks the process that Main starts in a mount namespace of its own.
const inside = "CTST_TEST_INSIDE"

// Main runs the tests of a package and returns the code to exit with. Tests
// that pass but leave something behind fail: open files, goroutines, mounts,
// child processes, and what leaks says.
//
// As root the tests run in a mount namespace of their own, so that mounts of
// other programs do not count, and theirs do not reach the machine: Main then
// runs the test program once more inside it.
func Main(m *testing.M, leaks Leaks) int {
	if os.Geteuid() == 0 && os.Getenv(inside) == "" {
		return mainInside()
	}
	before, err := take(leaks)
	if err != nil {
		fmt.Fprintln(os.Stderr, "look for leaks:", err)
		return 1
	}
	code := m.Run()
	// What ends by itself is no leak, only late: goroutines that were told to
	// stop, the kernel's work after a process ended.
	var left []string
	for range 100 {
		after, err := take(leaks)
		if err != nil {
			fmt.Fprintln(os.Stderr, "look for leaks:", err)
			return 1
		}
		if left = after.minus(before); len(left) == 0 {
			return code
		}
		time.Sleep(30 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "FAIL: the tests left behind:")
	for _, l := range left {
		fmt.Fprintln(os.Stderr, "\t"+l)
	}
	if slices.ContainsFunc(left, func(l string) bool { return strings.HasPrefix(l, "goroutines") }) {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // for a person to read; there is nothing to do about an error
	}
	return max(code, 1)
}

func mainInside() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS, // makes all mounts private, too
		Pdeathsig:    syscall.SIGKILL,
	}
	// The signal above follows the thread that starts the process.
	runtime.LockOSThread()
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run the tests in a mount namespace:", err)
		return 1
	}
	return 0
}

// A snapshot is what exists at a moment; the keys are what a person reads.
type snapshot struct {
	things     map[string]bool
	goroutines int
}

func take(leaks Leaks) (snapshot, error) {
	s := snapshot{things: map[string]bool{}, goroutines: countGoroutines()}
	for _, add := range []func() error{
		s.files,
		s.mounts,
		s.children,
		func() error { return s.cgroups(leaks.Cgroups) },
		func() error { return s.interfaces(leaks.Interfaces) },
	} {
		if err := add(); err != nil {
			return snapshot{}, err
		}
	}
	return s, nil
}

// countGoroutines leaves out the one that package os/signal starts once and
// keeps.
func countGoroutines() int {
	stacks := make([]byte, 1<<20)
	n := runtime.Stack(stacks, true)
	count := runtime.NumGoroutine()
	if bytes.Contains(stacks[:n], []byte("os/signal.loop")) {
		count--
	}
	return count
}

// minus lists what is in s and was not in before.
func (s snapshot) minus(before snapshot) []string {
	var left []string
	for thing := range s.things {
		if !before.things[thing] {
			left = append(left, thing)
		}
	}
	slices.Sort(left)
	if s.goroutines > before.goroutines {
		left = append(left, fmt.Sprintf("goroutines: %d, before %d", s.goroutines, before.goroutines))
	}
	return left
}

func (s snapshot) files() error {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the one that read the folder
		}
		if err != nil {
			return err
		}
		// The poller of the Go runtime opens these once and keeps them.
		if target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			s.things["open file "+e.Name()+" -> "+target] = true
		}
	}
	return nil
}

func (s snapshot) mounts() error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		// Of "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw" the id and
		// the two paths.
		if f := strings.Fields(line); len(f) > 4 {
			s.things["mount "+f[0]+" of "+f[3]+" at "+f[4]] = true
		}
	}
	return nil
}

// children are found in all of /proc: a child belongs to the thread that made
// it, and that thread may be gone.
func (s snapshot) children() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	self := strconv.Itoa(os.Getpid())
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it ended meanwhile
		}
		name, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == self {
			s.things["child process "+name+"), state "+f[0]] = true
		}
	}
	return nil
}

func (s snapshot) cgroups(dirs []string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() && path != dir {
				s.things["cgroup "+path] = true
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s snapshot) interfaces(prefix string) error {
	if prefix == "" {
		return nil
	}
	b, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(name, prefix) {
			s.things["network interface "+name] = true
		}
	}
	return nil
}
