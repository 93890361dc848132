package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/core/seccomp"
)

// enduranceEnv names the root file system for the process that TestEndurance
// starts.
const enduranceEnv = "CTST_TEST_ENDURANCE"

// Launches with everything that a container has leave nothing behind, one after
// the other and many at once, however short the runtime is of memory and of
// processors. Whoever makes them is the first process of a pid namespace: it sees
// all that they could leave, and nobody else's.
func TestEndurance(t *testing.T) {
	dir := image(t)
	newCgroup(t) // or it is said that none can be made
	for _, env := range [][]string{nil, {"GOGC=1"}, {"GOMAXPROCS=1"}, {"GOGC=1", "GOMAXPROCS=1"}} {
		t.Run(strings.Join(env, " "), func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), env...)
			cmd.Env = append(cmd.Env, enduranceEnv+"="+dir, fmt.Sprintf("%s=%d", roundsEnv, often(100, 10_000)))
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:   unix.CLONE_NEWPID,
				Unshareflags: unix.CLONE_NEWNS,
				Pdeathsig:    unix.SIGKILL,
			}
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			require.NoError(t, err, "%s", out)
		})
	}
}

// roundsEnv is how many launches follow one another.
const roundsEnv = "CTST_TEST_ROUNDS"

// endure is the program of that process; it returns the code to exit with.
func endure(image string) int {
	if err := errors.Join(unix.Mount("proc", "/proc", "proc", 0, ""), endurance(context.Background(), image)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// together is how many launches are made at once.
const together = 200

func endurance(ctx context.Context, image string) error {
	n, err := strconv.Atoi(os.Getenv(roundsEnv))
	if err != nil {
		return err
	}
	// The runtime keeps the threads and the memory that it needed once.
	if err := errors.Join(atOnce(together, func(i int) error { return launchFull(ctx, image, i) }), execs(ctx, image)); err != nil {
		return err
	}
	before, err := owned()
	if err != nil {
		return err
	}
	began := time.Now()
	for i := range n {
		if err := launchFull(ctx, image, i); err != nil {
			return fmt.Errorf("launch %d: %w", i, err)
		}
	}
	each := time.Since(began) / time.Duration(n)
	if err := errors.Join(atOnce(together, func(i int) error { return launchFull(ctx, image, i) }), execs(ctx, image)); err != nil {
		return err
	}
	after, err := owned()
	if err != nil {
		return err
	}
	fmt.Printf("%d launches in a row, %v each; %d and 100 commands at once\nbefore: %v\nafter:  %v\n", n, each.Round(time.Microsecond), together, before, after)
	return before.grown(after)
}

// atOnce calls f concurrently.
func atOnce(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// launchFull makes namespaces, a cgroup and a container with the default filter,
// and takes all away after its end. Some of them have no program that could run.
func launchFull(ctx context.Context, image string, i int) (err error) {
	s, release, err := prepareFull(ctx, image, fmt.Sprintf("launch-%d", i))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	s.Args = []string{"/bin/exit", "5"}
	if i%20 == 0 {
		s.Args = []string{"/bin/nothing"}
	}
	p, err := sandbox.Launch(ctx, s, sandbox.Options{})
	if i%20 == 0 {
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("a program that is not there: %w", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	exit, err := p.Wait(ctx)
	if err == nil && exit.Code != 5 {
		err = fmt.Errorf("exit code %d", exit.Code)
	}
	return errors.Join(err, p.Close())
}

// prepareFull returns a container of all defaults but its program, and what
// releases it.
func prepareFull(ctx context.Context, image, name string) (s sandbox.Spec, release func() error, err error) {
	var undo []func() error
	release = func() error {
		var err error
		for _, f := range slices.Backward(undo) {
			err = errors.Join(err, f())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	ns, err := sandbox.Prepare(ctx, testIDs, sandbox.PrepareOptions{Network: true})
	if err != nil {
		return s, nil, err
	}
	undo = append(undo, ns.Close)
	root, err := rootfs.Folder(image, rootfs.Bind{})
	if err != nil {
		return s, nil, err
	}
	undo = append(undo, root.Close)
	if err := idmap.Mount(root, ns.User, false); err != nil {
		return s, nil, err
	}
	g, err := cgroup.Create(ctx, cgroup.Spec{Path: cgroup.Path(enduranceProject(), name)}, cgroup.Options{})
	if err != nil {
		return s, nil, err
	}
	undo = append(undo, g.Close, func() error {
		return errors.Join(g.Kill(), g.WaitEmpty(ctx), g.Remove(ctx))
	})
	filter, err := compileDefault()
	if err != nil {
		return s, nil, err
	}
	uid, gid, err := testIDs.Host(0, 0)
	return sandbox.Spec{
		Root: root, ReadOnlyRoot: true, Plan: rootfs.Default(), Hostname: name,
		User: ns.User, Network: ns.Network, RootUID: uid, RootGID: gid, Cgroup: g.File(),
		Command: sandbox.Command{Filter: filter, NewSession: true},
	}, release, err
}

var compileDefault = sync.OnceValues(func() (seccomp.Program, error) {
	return seccomp.Default().Compile(seccomp.Options{})
})

// enduranceProject is where the cgroups are. It has the name of the test's
// temporary folder, which nobody else's has.
func enduranceProject() string { return filepath.Base(filepath.Dir(os.Getenv(enduranceEnv))) }

// execs runs 100 commands at once in a container.
func execs(ctx context.Context, image string) (err error) {
	s, release, err := prepareFull(ctx, image, "execs")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	s.Args, s.Stdout = []string{"/bin/wait"}, w
	p, err := sandbox.Launch(ctx, s, sandbox.Options{})
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	ready := make([]byte, len("ready\n"))
	_, err = io.ReadFull(r, ready)
	err = errors.Join(err, atOnce(100, func(i int) error {
		e, err := sandbox.Exec(ctx, p, sandbox.ExecSpec{
			Command: sandbox.Command{Args: []string{"/bin/exit", strconv.Itoa(i)}, Filter: s.Filter}, Cgroup: s.Cgroup,
		}, sandbox.Options{})
		if err != nil {
			return err
		}
		exit, err := e.Wait(ctx)
		if err == nil && exit.Code != i {
			err = fmt.Errorf("exit code %d, not %d", exit.Code, i)
		}
		return errors.Join(err, e.Close())
	}))
	err = errors.Join(err, p.Signal(unix.SIGKILL))
	_, ended := p.Wait(ctx)
	return errors.Join(err, ended, p.Close())
}

// belongings are what a process has, and what there is in its pid namespace.
type belongings struct {
	processes, threads, files, mounts, namespaces, cgroups int
	kilobytes                                              int // of memory that it has touched
}

func (b belongings) String() string {
	return fmt.Sprintf("%d process, %d threads, %d files, %d mounts, %d namespaces, %d cgroups, %d KiB",
		b.processes, b.threads, b.files, b.mounts, b.namespaces, b.cgroups, b.kilobytes)
}

// grown is an error if there is more later. Only the runtime's threads may be as
// many more as calls may block at once: it keeps them for the next time. One for
// each launch would be more than that.
func (b belongings) grown(later belongings) error {
	later.threads = max(b.threads, later.threads-together)
	b.kilobytes, later.kilobytes = 0, 0 // for a person to read: a collector decides it
	if b != later {
		return errors.New("something was left behind")
	}
	return nil
}

// owned counts; what ends by itself a moment after it was let go gets that
// moment.
func owned() (b belongings, err error) {
	hierarchy, err := cgroup.Find()
	if err != nil {
		return b, err
	}
	for range 100 {
		if b, err = count(filepath.Join(hierarchy.Mount, cgroup.Path(enduranceProject(), ""))); err != nil || b.processes == 1 {
			return b, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return b, nil
}

func count(cgroups string) (b belongings, err error) {
	for pattern, n := range map[string]*int{
		"/proc/[0-9]*": &b.processes, "/proc/self/task/*": &b.threads, "/proc/self/fd/*": &b.files, cgroups + "/*": &b.cgroups,
	} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return b, err
		}
		*n = len(names)
	}
	links, err := filepath.Glob("/proc/[0-9]*/task/*/ns/*")
	if err != nil {
		return b, err
	}
	different := map[string]bool{}
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil { // else the thread has ended
			different[ns] = true
		}
	}
	b.namespaces = len(different)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return b, err
	}
	b.mounts = strings.Count(string(mounts), "\n")
	memory, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return b, err
	}
	var size, resident int
	_, err = fmt.Sscan(string(memory), &size, &resident)
	b.kilobytes = resident * os.Getpagesize() / 1024
	return b, err
}
