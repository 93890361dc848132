package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
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

// initProgram returns the init program as an ELF file, the same each time.
var initProgram = sync.OnceValues(func() ([]byte, error) {
	machine, ok := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("an init program for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	return initELF(machine, initText())
})

// initText is the program's text in this one.
func initText() []byte {
	first := initCode()
	f := runtime.FuncForPC(uintptr(first))
	n := uintptr(0)
	for runtime.FuncForPC(uintptr(first)+n) == f {
		n++
	}
	return unsafe.Slice((*byte)(first), n)
}

// initELF puts the least of headers before a text that runs at any address.
func initELF(machine elf.Machine, text []byte) ([]byte, error) {
	var file struct {
		elf.Header64
		Load, Stack elf.Prog64
	}
	size := uint64(binary.Size(file))
	file.Header64 = elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: size, Phoff: uint64(binary.Size(file.Header64)), Ehsize: uint16(binary.Size(file.Header64)),
		Phentsize: uint16(binary.Size(file.Load)), Phnum: 2,
	}
	file.Load = elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Filesz: size + uint64(len(text)), Memsz: size + uint64(len(text)),
		Align: 1 << 16, // the largest page of arm64
	}
	file.Stack = elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, file); err != nil {
		return nil, err
	}
	b.Write(text)
	return b.Bytes(), nil
}

// newInit returns the init program as a file in memory that nobody can change.
func newInit() (*os.File, error) {
	program, err := initProgram()
	if err != nil {
		return nil, err
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("init", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 they all could be executed
		fd, err = unix.MemfdCreate("init", flags)
	}
	if errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("the sysctl vm.memfd_noexec of this machine forbids programs in memory: set it to 0 or 1, or leave out the init: %w", err)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "init")
	_, err = f.Write(program)
	if err == nil {
		err = f.Chmod(0o555)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
		err = os.NewSyscallError("fcntl", err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

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
