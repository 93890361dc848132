package supervise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/memexec"
)

// The guardian is some hundred bytes of assembly, a program in memory (package
// memexec): a project's processes outlive the command that started them, so what
// must never end has little that could, and costs a page or two. It is
//
//	argv  "containust-guardian", and the supervisor's argv
//	0     a pipe that the first supervisor gets, and closes when it answers
//	2     the log
//	3     the guardian itself
//	4     the file of ends
//	5     the guardian's lock, which it holds by being there
//
// It becomes the reaper of orphans and starts the supervisor, again and again
// until that ends with 0, and then ends too. Every child that ends, the
// supervisor and what a dead supervisor left, it writes down. When the first
// supervisor exits early, the guardian exits with the same code.

// guardianName is what the guardian is called in a list of processes.
const guardianName = "guardian"

var guardianText = sync.OnceValue(func() []byte { return memexec.Text(guardianCode()) })

// guardianProgram returns the guardian. Where the machine forbids programs in
// memory it is a file of the project.
func guardianProgram(stateDir string) (*os.File, error) {
	f, err := memexec.New(guardianName, memexec.Program{Text: guardianText()})
	if errors.Is(err, memexec.ErrForbidden) {
		return guardianFile(stateDir)
	}
	return f, err
}

func guardianFile(stateDir string) (*os.File, error) {
	program, err := memexec.Program{Text: guardianText()}.ELF()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(runDir(stateDir), guardianName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.WriteFile(path, program, 0o500); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// newGuardian returns the command of a guardian, which holds the lock.
func newGuardian(stateDir string, supervisor []string, ready, log, lock *os.File) (cmd *exec.Cmd, err error) {
	program, err := guardianProgram(stateDir)
	if err != nil {
		return nil, err
	}
	ends, err := os.OpenFile(endsFile(stateDir), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(err, program.Close())
	}
	return &exec.Cmd{
		Path: "/proc/self/fd/3", Args: append([]string{"containust-guardian"}, supervisor...),
		Dir:   "/", // it must not keep a file system busy
		Stdin: ready, Stderr: log, ExtraFiles: []*os.File{program, ends, lock},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}, nil
}

// Guardian returns the id of the guardian that started this process, if it still
// has one.
func Guardian() (pid int, ok bool) {
	pid = os.Getppid()
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return pid, err == nil && strings.TrimSpace(string(name)) == guardianName && pid == os.Getppid()
}

// ReadyFile returns what a guardian gave this process, its supervisor, to close
// when it answers; nil if nobody waits for that.
func ReadyFile() (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(0, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, nil
	}
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	ready := os.NewFile(uintptr(fd), "ready")
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, errors.Join(err, ready.Close())
	}
	err = os.NewSyscallError("dup3", unix.Dup3(int(null.Fd()), 0, 0))
	return ready, errors.Join(err, null.Close())
}

// endRecord is how the guardian writes down that a child ended, in the byte order
// of the machine. Its size divides a block: where the disk is full it is there as
// a whole or not at all.
type endRecord struct {
	PID      uint32
	Status   uint32 // of wait4
	Sec      int64
	Nsec     int64
	Reserved int64
}

const endRecordSize = 32

func endsFile(stateDir string) string { return filepath.Join(runDir(stateDir), "ends") }

// FindExit returns how the process pid ended after the given time, if a guardian
// of the project reaped it.
func FindExit(stateDir string, pid int, after time.Time) (container.ExitStatus, bool, error) {
	text, err := os.ReadFile(endsFile(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return container.ExitStatus{}, false, nil
	}
	if err != nil {
		return container.ExitStatus{}, false, err
	}
	// The last is what counts: an id may be used again.
	for at := len(text)/endRecordSize*endRecordSize - endRecordSize; at >= 0; at -= endRecordSize {
		var r endRecord
		if _, err := binary.Decode(text[at:], binary.NativeEndian, &r); err != nil {
			return container.ExitStatus{}, false, fmt.Errorf("read %s: %w", endsFile(stateDir), err)
		}
		if int(r.PID) == pid && time.Unix(r.Sec, r.Nsec).After(after) {
			return exitStatus(syscall.WaitStatus(r.Status)), true, nil
		}
	}
	return container.ExitStatus{}, false, nil
}

func exitStatus(status syscall.WaitStatus) container.ExitStatus {
	if status.Signaled() {
		return container.ExitStatus{Code: 128 + int(status.Signal()), Signal: int(status.Signal())}
	}
	return container.ExitStatus{Code: status.ExitStatus()}
}
