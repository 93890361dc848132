package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"syscall"
)

// ErrKilled is matched when the child was killed before it ran its program.
var ErrKilled = errors.New("killed before it ran its program")

// ErrNotProcess is matched by Open's error when the process id is free or
// belongs to a process that started at another time.
var ErrNotProcess = errors.New("no such process")

// StepError is a step of a launch that failed; nothing of the launch is left.
// It unwraps to its Errno: errors.Is(err, fs.ErrPermission) and the like work.
type StepError struct {
	Step  string // "mount /proc"
	Errno syscall.Errno
}

func (e *StepError) Error() string { return fmt.Sprintf("sandbox: %s: %v", e.Step, e.Errno) }

// Unwrap returns the Errno.
func (e *StepError) Unwrap() error { return e.Errno }

// ExecError is a program that could not be run, while the container could be
// made. A shell exits with ExitCode in this case.
type ExecError struct {
	Path string // as asked for: Args[0]
	Err  error  // the most telling of the errors, a syscall.Errno
}

func (e *ExecError) Error() string {
	hint := ""
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		hint = " in the container; it, or the interpreter that it names, is missing"
	case errors.Is(e.Err, fs.ErrPermission):
		hint = "; it must be a file with execute permission"
	case errors.Is(e.Err, syscall.Errno(8)): // ENOEXEC
		hint = "; it is neither a script with a #! line nor a program for this machine"
	}
	return fmt.Sprintf("sandbox: run %q: %v%s", e.Path, e.Err, hint)
}

// Unwrap returns Err: fs.ErrNotExist when there is no such program in the
// container, fs.ErrPermission when it may not be executed, syscall.ENOEXEC
// when it is no program for this machine.
func (e *ExecError) Unwrap() error { return e.Err }

// ExitCode is what a shell would exit with: 127 for a program that is not
// there, 126 for one that cannot be run.
func (e *ExecError) ExitCode() int {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return 127
	}
	return 126
}

// RlimitError is a limit that cannot be set. Errors of a raise match
// [fs.ErrPermission].
type RlimitError struct {
	Name     string // "nofile"
	Cur, Max uint64 // what was asked for
	Most     uint64 // the highest possible hard limit
	Reason   string // why there is a highest one; empty: Cur is above Max
}

func (e *RlimitError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("sandbox: the soft limit %s = %s is above the hard limit %s: lower the one or raise the other", e.Name, limitText(e.Cur), limitText(e.Max))
	}
	return fmt.Sprintf("sandbox: raise the hard limit %s to %s: %s; ask for %s or less", e.Name, limitText(e.Max), e.Reason, limitText(e.Most))
}

// Unwrap returns fs.ErrPermission, or fs.ErrInvalid for limits that contradict
// each other.
func (e *RlimitError) Unwrap() error {
	if e.Reason == "" {
		return fs.ErrInvalid
	}
	return fs.ErrPermission
}

func limitText(n uint64) string {
	if n == RlimitInfinity {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
