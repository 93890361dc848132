package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/containust/containust/modules/core/namespace"
	"golang.org/x/sys/unix"
)

// Launch starts a container's first process and returns once its program runs.
// Ending ctx kills a child that did not get as far; afterwards ctx has no
// effect on the process.
//
// A step that fails is a *[StepError], a program that cannot be run an
// *[ExecError]. Nothing is left of a launch that failed, but Spec's detached
// mounts may have been used up.
func Launch(ctx context.Context, spec Spec, opts Options) (*Process, error) {
	if err := spec.checkKernel(); err != nil {
		return nil, err
	}
	t := newTable()
	defer t.close()
	if err := t.launch(&spec); err != nil {
		return nil, err
	}
	if spec.PID.File != nil {
		others, err := namespace.Identify(spec.PID.File)
		if err != nil {
			return nil, fmt.Errorf("sandbox: enter the pid namespace: %w", err)
		}
		t.apart = &others
	}
	return t.launched(ctx, spec.Cgroup, &spec.Command, opts)
}

// Exec starts a further process in all namespaces of target, which must live
// in namespaces that [Launch] made. Errors are those of Launch.
func Exec(ctx context.Context, target *Process, spec ExecSpec, opts Options) (*Process, error) {
	entering := func(err error) error { return fmt.Errorf("sandbox: enter the container: %w", err) }
	namespaces, err := target.duplicate()
	if err != nil {
		return nil, entering(err)
	}
	defer namespaces.Close()
	t := newTable()
	defer t.close()
	if t.otherTime, err = target.otherTime(); err != nil {
		return nil, entering(err)
	}
	if t.apart, err = target.pidNamespace(); err != nil {
		return nil, entering(err)
	}
	var y *tty
	if spec.Terminal != nil {
		if y, err = t.newTTY(target, spec.Terminal); err != nil {
			return nil, fmt.Errorf("sandbox: prepare a terminal: %w", err)
		}
	}
	if err := t.exec(namespaces, &spec, y); err != nil {
		return nil, err
	}
	p, err := t.launched(ctx, spec.Cgroup, &spec.Command, opts)
	if err == nil && y != nil {
		if err = y.attach(p); err != nil {
			return nil, err
		}
	}
	return p, err
}

// launched runs the table, and does to the process what cannot be done before.
func (t *table) launched(ctx context.Context, cgroup *os.File, c *Command, opts Options) (*Process, error) {
	p, err := t.run(ctx, cgroup, opts)
	if err != nil || c.OOMScoreAdj == nil {
		return p, err
	}
	// The kernel gives the value to all processes that share their memory, and so
	// to the caller too, until the child runs its program.
	err = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.PID()), []byte(strconv.Itoa(*c.OOMScoreAdj)), 0)
	switch {
	case err == nil, errors.Is(err, unix.ESRCH), errors.Is(err, fs.ErrNotExist):
		return p, nil // or it has ended already
	case errors.Is(err, unix.EACCES):
		err = fmt.Errorf("to be below the caller's it takes CAP_SYS_RESOURCE: %w", err)
	}
	err = fmt.Errorf("sandbox: set oom_score_adj to %d: %w", *c.OOMScoreAdj, err)
	_ = p.Signal(unix.SIGKILL) // it may have ended
	_, ended := p.Wait(context.WithoutCancel(ctx))
	return nil, errors.Join(err, ended, p.Close())
}

// run makes a child that walks the table, and waits until it runs its program
// or is dead.
func (t *table) run(ctx context.Context, cgroup *os.File, opts Options) (*Process, error) {
	if opts.Logger != nil && opts.Logger.Enabled(ctx, slog.LevelDebug) {
		opts.Logger.DebugContext(ctx, "launch", "steps", t.String())
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sandbox: launch: %w", err)
	}
	show, err := hide()
	if err != nil {
		return nil, err
	}
	defer show()

	c, err := t.start(cgroup)
	if err != nil {
		return nil, err
	}
	return c.finish(c.await(ctx, func() error { return c.outcome(t) }))
}

// A child is a process that walks a table.
type child struct {
	arena  *arena
	front  int    // number of ops in front of the table's own
	entry  *arena // what the clone walks: arena, or what leads to a walker of that
	apart  *namespace.ID
	forks  bool
	pid    int
	pidfd  int
	ended  *os.File      // reaches its end when the child runs its program or is dead
	said   []byte        // what an init program wrote there
	killed chan struct{} // closed by kill
}

// start clones the child.
func (t *table) start(cgroup *os.File) (*child, error) {
	c := &child{killed: make(chan struct{}), apart: t.apart}
	for _, s := range t.steps {
		c.forks = c.forks || s.fork
	}
	entry, err := t, error(nil)
	if t.apart != nil {
		if entry, err = c.prepareWalker(t); err != nil {
			return nil, err
		}
		defer entry.close()
	}
	keep := entry.descriptors()
	c.entry, err = newArena(entry, len(keep)+2)
	if t.apart == nil {
		c.arena = c.entry
	}
	if err != nil {
		return nil, errors.Join(err, c.free())
	}

	// Nobody else may be cloned while the pipe's write end is open here: its
	// copy would hold back the end of ours.
	syscall.ForkLock.Lock()
	err = c.clone(entry, keep, t.cloneFlags, cgroup)
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(t.files)
	runtime.KeepAlive(cgroup)
	if err != nil {
		return nil, errors.Join(err, c.free())
	}
	return c, nil
}

// free gives the memory back. The child must have left it.
func (c *child) free() error {
	if c.entry == c.arena {
		return c.arena.free()
	}
	return errors.Join(c.arena.free(), c.entry.free())
}

// clone clones the child, which walks the entry table.
func (c *child) clone(entry *table, keep []int, flags uint64, cgroup *os.File) error {
	r, w, err := pipe()
	if err != nil {
		return err
	}
	defer unix.Close(w)

	h := c.entry.head
	first := dropOthers(append(keep, w))
	if c.entry == c.arena {
		c.front = len(first)
	}
	c.entry.pipe = w
	c.entry.assemble(first, entry)
	h.clone = cloneArgs{
		// Without CLONE_VFORK: a thread that waits in it could not be stopped
		// for a garbage collection. The exit signal is 0 until execve makes it
		// SIGCHLD.
		flags: flags | unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND,
		pidfd: uint64(address(c.entry, &h.pidfd)),
	}
	if cgroup != nil {
		h.clone.flags |= unix.CLONE_INTO_CGROUP
		h.clone.cgroup = uint64(cgroup.Fd())
	}
	pid := start(h)
	if pid < 0 {
		unix.Close(r)
		return &StepError{Step: "clone", Errno: syscall.Errno(-pid)}
	}
	c.pid, c.pidfd = int(pid), int(h.pidfd)
	c.ended = os.NewFile(uintptr(r), "launch")
	return nil
}

// pipe makes a pipe whose write end is none of the standard descriptors and not
// initPipe, which a table replaces, and whose read end Go's poller takes.
func pipe() (r, w int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, 0, fmt.Errorf("sandbox: make a pipe: %w", err)
	}
	if p[1] > initPipe {
		return p[0], p[1], nil
	}
	w, err = unix.FcntlInt(uintptr(p[1]), unix.F_DUPFD_CLOEXEC, initPipe+1)
	unix.Close(p[1])
	if err != nil {
		unix.Close(p[0])
		return 0, 0, fmt.Errorf("sandbox: make a pipe: %w", err)
	}
	return p[0], w, nil
}

// dropOthers returns steps that close all descriptors but those to keep: a
// child that waits for something must not hold what belongs to others.
func dropOthers(keep []int) []step {
	slices.Sort(keep)
	steps := make([]step, 0, len(keep)+1)
	from := 0
	for _, fd := range slices.Compact(keep) {
		if from < fd {
			steps = append(steps, closeRange(from, fd-1))
		}
		from = fd + 1
	}
	return append(steps, closeRange(from, int(^uint32(0))))
}

func closeRange(from, to int) step {
	return step{
		name: "close the caller's files",
		nr:   unix.SYS_CLOSE_RANGE,
		args: [6]arg{number(from), number(to), number(0)},
	}
}

// await waits for the child, which ctx may end, and returns how it went.
func (c *child) await(ctx context.Context, outcome func() error) error {
	cancelled := context.AfterFunc(ctx, c.kill)
	err := c.wait()
	if err == nil {
		err = outcome()
	}
	if !cancelled() {
		<-c.killed
		err = fmt.Errorf("sandbox: launch: %w", ctx.Err())
	}
	return err
}

// wait blocks until the child has left the shared memory, or closed its files.
func (c *child) wait() error {
	var err error
	// Only an init program writes. When the child runs its program or dies, the
	// kernel first takes its memory and then closes its files.
	if c.said, err = io.ReadAll(c.ended); err != nil {
		return fmt.Errorf("sandbox: wait for the launch: %w", err)
	}
	return nil
}

// kill is end, for another goroutine.
func (c *child) kill() {
	c.end()
	close(c.killed)
}

// end kills the child and, after a fork step, the process that it made.
func (c *child) end() {
	if unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0) != nil || !c.forks {
		return
	}
	// Only when it is dead no second process can appear any more. The second
	// is our child and nobody reaps it meanwhile, so its id stays its own.
	var info unix.Siginfo
	err := ignoringEINTR(func() error {
		return unix.Waitid(unix.P_PIDFD, c.pidfd, &info, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
	})
	if second := c.second(); err == nil && second != 0 {
		_ = unix.Kill(second, unix.SIGKILL) // it may have ended by itself
	}
}

// at is the index of the table's step that runs, or ran last. It is negative
// before the first.
func (c *child) at() int {
	at := atomic.LoadUintptr(&c.arena.head.at)
	op := int((at - address(c.arena, &c.arena.ops[0])) / opSize)
	if at == 0 || op >= len(c.arena.ops) {
		return -1
	}
	return op - c.front
}

// outcome tells from the shared memory how the launch went.
func (c *child) outcome(t *table) error {
	if errno := c.entry.head.errno; c.entry != c.arena && errno != 0 {
		return &StepError{Step: walkerStep, Errno: syscall.Errno(errno)}
	}
	h, at := c.arena.head, c.at()
	switch {
	case at < 0 && h.errno == 0:
		return fmt.Errorf("sandbox: launch: %w", ErrKilled)
	case at < 0:
		return &StepError{Step: "close the caller's files", Errno: syscall.Errno(h.errno)}
	}
	s := t.steps[at]
	switch {
	case h.errno == 0 && s.nr == unix.SYS_EXECVE:
		return nil
	case h.errno == 0 && s.nr == unix.SYS_EXECVEAT:
		return t.initOutcome(c.said)
	case h.errno == 0:
		return fmt.Errorf("sandbox: %s: %w", s.name, ErrKilled)
	case s.nr == unix.SYS_EXECVE:
		return &ExecError{Path: t.program, Err: mostTelling(c.tried(t))}
	case s.nr == unix.SYS_EXECVEAT:
		return t.needs(&StepError{Step: s.name, Errno: syscall.Errno(h.errno)})
	}
	return &StepError{Step: s.name, Errno: syscall.Errno(h.errno)}
}

// tried returns the errors of all places where the program was looked for.
func (c *child) tried(t *table) (errs []syscall.Errno) {
	for i, s := range t.steps {
		if s.nr == unix.SYS_EXECVE {
			errs = append(errs, syscall.Errno(-int64(c.arena.ops[c.front+i].result)))
		}
	}
	return errs
}

// mostTelling returns the error of what is there but cannot run, before that of
// what is not there.
func mostTelling(errs []syscall.Errno) syscall.Errno {
	for _, e := range errs {
		if !errors.Is(e, fs.ErrNotExist) && e != unix.ENOTDIR {
			return e
		}
	}
	return errs[0]
}

// finish turns the child into a Process, or when err is set leaves nothing of
// it, and releases what the launch took.
func (c *child) finish(err error) (*Process, error) {
	if err != nil {
		return nil, errors.Join(err, c.drop())
	}
	pid, pidfd := c.pid, c.pidfd
	if c.forks {
		// Not reaped yet, so the id is still its own.
		if pid = c.second(); pid == 0 {
			return nil, errors.Join(fmt.Errorf("sandbox: launch: %w", ErrKilled), c.drop())
		}
		if pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
			return nil, errors.Join(fmt.Errorf("sandbox: open process %d: %w", pid, err), c.drop())
		}
		err = errors.Join(reap(unix.P_PIDFD, c.pidfd), unix.Close(c.pidfd))
	}
	if err := errors.Join(err, c.ended.Close(), c.free()); err != nil {
		return nil, err
	}
	return newProcess(pid, pidfd), nil
}

// drop ends the child and leaves nothing of it.
func (c *child) drop() error {
	c.end()
	err := errors.Join(reap(unix.P_PIDFD, c.pidfd), unix.Close(c.pidfd))
	if second := c.second(); second != 0 {
		err = errors.Join(err, reap(unix.P_PID, second))
	}
	return errors.Join(err, c.ended.Close(), c.free())
}

// reap waits for a child's death and takes its status.
func reap(kind, id int) error {
	return ignoringEINTR(func() error {
		return unix.Waitid(kind, id, nil, unix.WEXITED|unix.WALL, nil)
	})
}

// ignoringEINTR repeats a call that a signal interrupted.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
