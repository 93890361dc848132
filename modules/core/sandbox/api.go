package sandbox

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/containust/containust/modules/core/container"
)

// Launch starts a container's first process and returns once its program runs.
// Ending ctx kills a child that did not get as far; afterwards ctx has no
// effect on the process.
//
// A step that fails is a *[StepError], a program that cannot be run an
// *[ExecError]. Nothing is left of a launch that failed, but Spec's detached
// mounts may have been used up.
func Launch(ctx context.Context, spec Spec, opts Options) (*Process, error) {
	return nil, errors.ErrUnsupported
}

// Exec starts a further process in all namespaces of target, which must live
// in namespaces that [Launch] made. Errors are those of Launch.
func Exec(ctx context.Context, target *Process, spec ExecSpec, opts Options) (*Process, error) {
	return nil, errors.ErrUnsupported
}

// Open returns a handle of a process that another program, or an earlier run
// of this one, launched. startTime is what its StartTime was, and guards
// against a process id that was given to another process since: the error then
// matches [ErrNotProcess].
func Open(pid int, startTime uint64) (*Process, error) { return nil, errors.ErrUnsupported }

// Process is a handle of a launched process. It stays valid, and never means
// another process, when the process ends and its id is used again.
type Process struct{}

// PID is the process's id in the caller's pid namespace.
func (p *Process) PID() int { return 0 }

// StartTime is when the process started, in clock ticks since boot, from
// field 22 of /proc/PID/stat. With the boot id and PID it names the process
// forever. It fails when the process was already waited for.
func (p *Process) StartTime() (uint64, error) { return 0, errors.ErrUnsupported }

// PIDFD is a pidfd_open(2) descriptor that the Process owns. It is readable
// once the process ended.
func (p *Process) PIDFD() *os.File { return nil }

// Wait blocks until the process ends or ctx does, and returns how it ended, to
// every caller. It reaps a child. Of a process that is not a child of the
// caller the status is known when nobody reaped it yet, or on Linux 6.15 and
// later; else it is Unknown.
func (p *Process) Wait(ctx context.Context) (container.ExitStatus, error) {
	return container.ExitStatus{}, errors.ErrUnsupported
}

// Signal sends a signal. The error matches [os.ErrProcessDone] when the
// process has ended.
func (p *Process) Signal(sig syscall.Signal) error { return errors.ErrUnsupported }

// Close releases the descriptor; a Wait that goes on returns [os.ErrClosed].
// It does not end the process. A child that was not waited for remains a
// zombie until its parent ends.
func (p *Process) Close() error { return nil }

// ParseRlimit returns the resource that name means: "nofile", as ulimit and
// limits.conf(5) call it, or "RLIMIT_NOFILE".
func ParseRlimit(name string) (int, error) { return 0, errors.ErrUnsupported }
