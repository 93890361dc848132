package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/memexec"
)

// The init program of Spec.Init is some hundred bytes of assembly behind an ELF
// header, which a launch writes into a sealed memory file and runs as the last
// step of its table. So it has memory of its own, where a child that walks a
// table shares the caller's. Its first words:
//
//	argv  "init", and the command's argv
//	envp  the places to look for the command, an empty word, the command's
//	      environment
//	3     the write end of the launch's pipe
//
// All signals are blocked and have their default actions. It makes a child that
// runs the command, in a process group of its own. Where the standard input is a
// terminal, and the init leads a session without one, it becomes the session's,
// with that group in the foreground. Then it gives the child every
// signal that it gets, waits for whatever child it has or inherits, and exits
// like the command.
//
// What fails until then it writes to the pipe, a record of eight bytes for each:
// the error number, then the step.

// initStep is a step of the init program. The assembly knows the numbers.
type initStep uint32

const (
	initCloseOnExec initStep = 1 + iota
	initSigtimedwait
	initWait4
	initKill
	initClose
	initClone
	initSetpgid
	initSigprocmask
	initReady  // no failure: only the command itself is left
	initExecve // of one of the places
)

// initCalls are the steps' system calls, all that an init needs.
var initCalls = [...]string{
	initCloseOnExec: "fcntl", initSigtimedwait: "rt_sigtimedwait", initWait4: "wait4", initKill: "kill",
	initClose: "close", initClone: "clone", initSetpgid: "setpgid", initSigprocmask: "rt_sigprocmask",
	initReady: "write", initExecve: "execve",
}

// initPipe is the descriptor that the init program knows the pipe by.
const initPipe = 3

// newInit returns the init program as a file in memory that nobody can change.
func newInit() (*os.File, error) {
	f, err := memexec.New("init", memexec.Program{Text: initText()})
	if errors.Is(err, memexec.ErrForbidden) {
		err = fmt.Errorf("%w, or leave out the init", err)
	}
	return f, err
}

// initText is the program's text in this one.
var initText = sync.OnceValue(func() []byte { return memexec.Text(initCode()) })

// prepareInit gives the init program the pipe, and returns its file.
func (t *table) prepareInit() (file arg, err error) {
	const name = "prepare the init"
	program, err := newInit()
	if err != nil {
		return arg{}, fmt.Errorf("sandbox: %s: %w", name, err)
	}
	file = result(t.call(name, unix.SYS_FCNTL, t.file(t.own(program)), number(unix.F_DUPFD_CLOEXEC), number(initPipe+1)))
	t.call(name, unix.SYS_DUP3, arg{kind: argPipe}, number(initPipe), number(0))
	return file, nil
}

// runInit runs the init program, which runs the command.
func (t *table) runInit(c *Command, file arg) {
	t.program, t.places = c.Args[0], c.places()
	argv := append([]string{"init"}, c.Args...)
	envp := slices.Concat(t.places, []string{""}, c.Env)
	t.call("run the init", unix.SYS_EXECVEAT, file, t.text(""), t.argv(argv), t.envp(envp), number(unix.AT_EMPTY_PATH))
}

// initOutcome tells from the init program's records whether the command runs.
func (t *table) initOutcome(records []byte) error {
	ready := false
	var tried []syscall.Errno
	for ; len(records) >= 8; records = records[8:] {
		errno := syscall.Errno(binary.NativeEndian.Uint32(records))
		switch step := initStep(binary.NativeEndian.Uint32(records[4:])); step {
		case initReady:
			ready = true
		case initExecve:
			tried = append(tried, errno)
		default:
			return t.initError(step, errno)
		}
	}
	switch n := len(tried); {
	case !ready:
		return t.needs(fmt.Errorf("sandbox: run the init: %w", ErrKilled))
	case n > 0 && (n == len(t.places) || !slices.Contains(elsewhere, tried[n-1])):
		return &ExecError{Path: t.program, Err: mostTelling(tried)}
	}
	return nil
}

func (t *table) initError(step initStep, errno syscall.Errno) error {
	name := "run the init"
	if int(step) < len(initCalls) {
		name += ": " + initCalls[step]
	}
	return t.needs(&StepError{Step: name, Errno: errno})
}

// needs adds to an error of the init what a system call filter must allow.
func (t *table) needs(err error) error {
	if !t.filtered || errors.Is(err, unix.EAGAIN) { // no process can be made now
		return err
	}
	return fmt.Errorf("%w; the system call filter must allow what an init calls: execveat, %s, exit_group; allow them, or leave out the init", err, strings.Join(initCalls[1:], ", "))
}
