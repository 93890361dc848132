package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/namespace"
	"golang.org/x/sys/unix"
)

// Process is a handle of a launched process. It stays valid, and never means
// another process, when the process ends and its id is used again.
type Process struct {
	pid   int
	pidfd *os.File

	terminal *os.File // nil without

	closed  atomic.Bool
	waiting chan struct{} // holds a token while somebody waits in the kernel
	exit    *container.ExitStatus

	startMu   sync.Mutex
	startTime uint64 // 0: not read yet
}

// newProcess takes over the descriptor.
func newProcess(pid, pidfd int) *Process {
	// The poller takes only non-blocking files. A pidfd knows the flag since
	// Linux 5.10, and nobody else has this one.
	_ = unix.SetNonblock(pidfd, true)
	return &Process{
		pid:     pid,
		pidfd:   os.NewFile(uintptr(pidfd), "pidfd:"+strconv.Itoa(pid)),
		waiting: make(chan struct{}, 1),
	}
}

// Open returns a handle of a process that another program, or an earlier run
// of this one, launched. startTime is what its StartTime was, and guards
// against a process id that was given to another process since: the error then
// matches [ErrNotProcess].
func Open(pid int, startTime uint64) (*Process, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH || err == unix.EINVAL {
		return nil, fmt.Errorf("sandbox: open process %d: %w", pid, ErrNotProcess)
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: open process %d: %w", pid, err)
	}
	p := newProcess(pid, pidfd)
	// Read after the pidfd exists: if the times agree, both mean the same
	// process.
	if got, err := p.StartTime(); err != nil || got != startTime {
		return nil, errors.Join(fmt.Errorf("sandbox: open process %d: %w", pid, ErrNotProcess), p.Close())
	}
	return p, nil
}

// PID is the process's id in the caller's pid namespace.
func (p *Process) PID() int { return p.pid }

// StartTime is when the process started, in clock ticks since boot, from
// field 22 of /proc/PID/stat. With the boot id and PID it names the process
// forever. It fails when the process was waited for before the first call.
func (p *Process) StartTime() (uint64, error) {
	p.startMu.Lock()
	defer p.startMu.Unlock()
	if p.startTime != 0 {
		return p.startTime, nil
	}
	s, err := readStat(p.pid)
	if err != nil {
		return 0, err
	}
	// A signal that can be sent proves that the id was the process's own when
	// its file was read.
	if err := p.Signal(0); err != nil {
		return 0, fmt.Errorf("read the start time of process %d: %w", p.pid, err)
	}
	p.startTime = s.start
	return s.start, nil
}

// PIDFD is a pidfd_open(2) descriptor that the Process owns. It is readable
// once the process ended.
func (p *Process) PIDFD() *os.File { return p.pidfd }

// Terminal is the master of the process's terminal, see pty(7), or nil where
// none was asked for. It is the caller's to close; when nobody has it open any
// more, the process's session gets a SIGHUP.
func (p *Process) Terminal() *os.File { return p.terminal }

// duplicate returns another descriptor of the process, safe from Close.
func (p *Process) duplicate() (*os.File, error) {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	control := conn.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	})
	if err := cmp.Or(p.failed(control), err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.pidfd.Name()), nil
}

// otherTime tells whether the process is in another time namespace than the
// caller.
func (p *Process) otherTime() (bool, error) {
	own, err := os.Stat("/proc/self/ns/time")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // this kernel has none
	}
	if err != nil {
		return false, err
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/ns/time", p.pid))
	if err != nil {
		return false, gone(err)
	}
	return !os.SameFile(own, its), nil
}

// gone names a process that is not there any more as a system call does.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return unix.ESRCH
	}
	return err
}

// pidNamespace is the identity of the pid namespace that the process is in.
func (p *Process) pidNamespace() (*namespace.ID, error) {
	ns, err := namespace.Open(p.pid, namespace.PID)
	if err != nil {
		return nil, gone(err)
	}
	defer ns.Close()
	// A signal that can be sent proves that the id was the process's own.
	if err := p.Signal(0); err != nil {
		return nil, err
	}
	id, err := namespace.Identify(ns)
	return &id, err
}

// Wait blocks until the process ends or ctx does, and returns how it ended, to
// every caller. It reaps a child. Of a process that is not a child of the
// caller the status is known when nobody reaped it yet, or on Linux 6.15 and
// later; else it is Unknown.
func (p *Process) Wait(ctx context.Context) (container.ExitStatus, error) {
	select {
	case p.waiting <- struct{}{}:
		defer func() { <-p.waiting }()
	case <-ctx.Done():
		return container.ExitStatus{}, ctx.Err()
	}
	if p.exit != nil {
		return *p.exit, nil
	}
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return container.ExitStatus{}, fmt.Errorf("sandbox: wait for process %d: %w", p.pid, err)
	}

	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = p.pidfd.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file, which ends the Read too
		close(interrupted)
	})
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		p.exit, failed = exitOf(int(fd), p.pid)
		return p.exit != nil || failed != nil
	})
	if !stop() {
		<-interrupted
		_ = p.pidfd.SetReadDeadline(time.Time{})
	}
	switch {
	case p.exit != nil:
		return *p.exit, nil
	case ctx.Err() != nil:
		return container.ExitStatus{}, ctx.Err()
	}
	err = cmp.Or(failed, p.failed(err))
	return container.ExitStatus{}, fmt.Errorf("sandbox: wait for process %d: %w", p.pid, err)
}

// exitOf returns how the process ended, or nil while it runs. It reaps a child.
func exitOf(pidfd, pid int) (*container.ExitStatus, error) {
	var info childInfo
	err := ignoringEINTR(func() error {
		return unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WALL, nil)
	})
	switch {
	case err == nil && info.pid == 0:
		return nil, nil
	case err == nil && info.code == cldExited:
		return &container.ExitStatus{Code: int(info.status)}, nil
	case err == nil:
		return &container.ExitStatus{Code: 128 + int(info.status), Signal: int(info.status)}, nil
	case !errors.Is(err, unix.ECHILD) && !errors.Is(err, unix.EAGAIN):
		return nil, err
	}

	// Not our child, or somebody else in this process reaped it.
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, 0); n == 0 || err == unix.EINTR {
		return nil, nil
	}
	if status, ok := exitFromPIDFD(pidfd); ok {
		return exitStatus(status), nil
	}
	// Its parent did not reap it yet, or this kernel does not keep the status.
	for {
		s, err := readStat(pid)
		if err != nil || unix.PidfdSendSignal(pidfd, 0, nil, 0) != nil {
			break
		}
		if s.state == 'Z' {
			return exitStatus(s.exitCode), nil
		}
		if s.state != 'X' {
			break
		}
		// Its parent reaps it now: the kernel keeps the status in a moment.
		runtime.Gosched()
	}
	// It may have been reaped since the first question.
	if status, ok := exitFromPIDFD(pidfd); ok {
		return exitStatus(status), nil
	}
	return &container.ExitStatus{Unknown: true}, nil
}

// childInfo is siginfo_t as waitid(2) fills it on 64-bit machines.
type childInfo struct {
	_, _, code, _ int32
	pid           int32
	_             uint32
	status        int32
	_             [100]byte
}

// cldExited is CLD_EXITED: status is an exit code and not a signal.
const cldExited = 1

// exitFromPIDFD asks the kernel for the wait status of a process that was
// reaped (Linux 6.15).
func exitFromPIDFD(pidfd int) (syscall.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return syscall.WaitStatus(info.Exit_code), true
}

func exitStatus(w syscall.WaitStatus) *container.ExitStatus {
	if w.Signaled() {
		return &container.ExitStatus{Code: 128 + int(w.Signal()), Signal: int(w.Signal())}
	}
	return &container.ExitStatus{Code: w.ExitStatus()}
}

// Signal sends a signal. The error matches [os.ErrProcessDone] when the
// process has ended and was reaped.
func (p *Process) Signal(sig syscall.Signal) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return fmt.Errorf("sandbox: signal process %d: %w", p.pid, err)
	}
	control := conn.Control(func(fd uintptr) {
		err = unix.PidfdSendSignal(int(fd), sig, nil, 0)
	})
	if errors.Is(err, unix.ESRCH) {
		err = os.ErrProcessDone
	}
	if err := cmp.Or(p.failed(control), err); err != nil {
		return fmt.Errorf("sandbox: signal process %d: %w", p.pid, err)
	}
	return nil
}

// failed is the error of a call on the descriptor: what [os.File] says for
// itself after a Close, its raw connection says with an error of its own.
func (p *Process) failed(err error) error {
	if err != nil && p.closed.Load() {
		return os.ErrClosed
	}
	return err
}

// Close releases the descriptor; a Wait that goes on returns [os.ErrClosed].
// It does not end the process. A child that was not waited for remains a
// zombie until its parent ends.
func (p *Process) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	if err := p.pidfd.Close(); err != nil {
		return fmt.Errorf("sandbox: close process %d: %w", p.pid, err)
	}
	return nil
}

// stat is a part of /proc/PID/stat, see proc_pid_stat(5).
type stat struct {
	state    byte
	start    uint64
	exitCode syscall.WaitStatus
}

func readStat(pid int) (stat, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/stat"
	b, err := os.ReadFile(name)
	if err != nil {
		return stat{}, fmt.Errorf("sandbox: %w", err)
	}
	s, ok := parseStat(b)
	if !ok {
		return stat{}, &fs.PathError{Op: "sandbox: read", Path: name, Err: unix.EBADMSG}
	}
	return s, nil
}

// parseStat reads from the third field on: the second is the program's name in
// parentheses, and may contain anything.
func parseStat(b []byte) (s stat, ok bool) {
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 50 || len(fields[0]) != 1 {
		return stat{}, false
	}
	start, err1 := strconv.ParseUint(string(fields[22-3]), 10, 64)
	code, err2 := strconv.ParseUint(string(fields[52-3]), 10, 32)
	return stat{state: fields[0][0], start: start, exitCode: syscall.WaitStatus(code)}, err1 == nil && err2 == nil
}
