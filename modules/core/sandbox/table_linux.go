package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containust/containust/modules/core/namespace"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A table is what a child does between its clone and its program: system calls
// in order, as inert data.
type table struct {
	steps []step
	data  []datum
	files []*os.File // whose numbers the steps contain

	opened     []*os.File // of the table itself; close closes them
	cloneFlags uint64     // of the child's own clone
	forkFlags  uint64     // of the one of a fork step

	// apart: the table leads into this pid namespace, where others are, and is
	// walked in memory of its own.
	apart *namespace.ID
	// otherTime: the container has clocks of its own.
	otherTime bool
	init      bool // the last step runs the init program
	filtered  bool // under a system call filter

	program        string   // Args[0], for errors
	places         []string // where an init looks for it
	clonesDetached bool     // what the kernel can
}

// A step is one system call.
type step struct {
	name string // what it is for, as an error names it
	nr   uintptr
	args [6]arg

	// tolerate has bit n set where errno n is no failure: the next skip steps
	// are then left out. Errors above 63 are never tolerated.
	tolerate uint64
	skip     int

	// fork: the call creates a process that goes on with the table, while the
	// calling one exits.
	fork bool
	// again: EAGAIN means to try once more.
	again bool
}

// An arg is an argument of a system call.
type arg struct {
	kind argKind
	n    uint64 // the number, or the index of a datum or step
}

type argKind uint8

const (
	argNumber argKind = iota
	argData           // address of a datum
	argResult         // what an earlier step returned
	argPipe           // the write end of the launch's pipe
)

// A datum is memory that a system call reads.
type datum struct {
	kind  dataKind
	text  string   // of dataString and dataBytes
	words []string // of dataArgs and dataEnv
	code  []bpf.RawInstruction
	fd    int // of dataRights
}

type dataKind uint8

const (
	dataString dataKind = iota // with a final NUL
	dataBytes
	dataArgs   // a NULL-terminated vector of strings
	dataEnv    // likewise; its values stay out of logs
	dataFilter // struct sock_fprog with its instructions
	dataRights // struct msghdr that passes a descriptor on
)

func number[T ~int | ~uint8 | ~int32 | ~uint32 | ~uint64 | ~uintptr](n T) arg {
	return arg{kind: argNumber, n: uint64(n)}
}

func result(step int) arg { return arg{kind: argResult, n: uint64(step)} }

func (t *table) datum(d datum) arg {
	t.data = append(t.data, d)
	return arg{kind: argData, n: uint64(len(t.data) - 1)}
}

func (t *table) text(s string) arg   { return t.datum(datum{kind: dataString, text: s}) }
func (t *table) bytes(b string) arg  { return t.datum(datum{kind: dataBytes, text: b}) }
func (t *table) argv(s []string) arg { return t.datum(datum{kind: dataArgs, words: s}) }
func (t *table) envp(s []string) arg { return t.datum(datum{kind: dataEnv, words: s}) }
func (t *table) filter(code []bpf.RawInstruction) arg {
	return t.datum(datum{kind: dataFilter, code: code})
}
func (t *table) rights(fd int) arg   { return t.datum(datum{kind: dataRights, fd: fd}) }
func (t *table) file(f *os.File) arg { t.files = append(t.files, f); return number(f.Fd()) }

// own takes over a file that the steps use.
func (t *table) own(f *os.File) *os.File {
	t.opened = append(t.opened, f)
	return f
}

// close closes the table's own files, after the child has run the steps.
func (t *table) close() {
	for _, f := range t.opened {
		f.Close()
	}
}

// descriptors are the numbers of the files that the steps use.
func (t *table) descriptors() []int {
	var fds []int
	for _, f := range t.files {
		if fd := int(f.Fd()); fd >= 0 { // else it is closed, and the step will fail
			fds = append(fds, fd)
		}
	}
	return fds
}

// call appends a step and returns its index, for result.
func (t *table) call(name string, nr uintptr, args ...arg) int {
	s := step{name: name, nr: nr}
	copy(s.args[:], args)
	t.steps = append(t.steps, s)
	return len(t.steps) - 1
}

func (t *table) last() *step { return &t.steps[len(t.steps)-1] }

// fork appends a step that makes a process, in new namespaces where flags say
// so, which goes on with the table in the place of this one.
func (t *table) fork(name string, flags uint64) {
	t.call(name, unix.SYS_CLONE3)
	t.last().fork = true
	t.forkFlags = flags
}

// on makes the given errors of the last step none: after them, the next skip
// steps are left out.
func (t *table) on(skip int, errs ...unix.Errno) {
	s := t.last()
	s.skip = skip
	for _, e := range errs {
		s.tolerate |= 1 << e
	}
}

// jump leaves out the next skip steps.
func (t *table) jump(name string, skip int) {
	t.call(name, unix.SYS_CLOSE, number(-1))
	t.on(skip, unix.EBADF)
}

// String lists the table, a step a line: index, call, result and purpose.
// Values of environment variables are left out, since they may be secrets.
func (t *table) String() string {
	var b strings.Builder
	for i, s := range t.steps {
		name, ok := callNames[s.nr]
		if !ok {
			name = "syscall_" + strconv.Itoa(int(s.nr))
		}
		n := len(s.args)
		for n > 0 && s.args[n-1] == (arg{}) {
			n--
		}
		words := make([]string, n)
		for j, a := range s.args[:n] {
			words[j] = t.describe(a)
		}
		fmt.Fprintf(&b, "%3d %s(%s) # %s", i, name, strings.Join(words, ", "), s.name)
		if s.tolerate != 0 {
			fmt.Fprintf(&b, "; on %s to %d", describeErrnos(s.tolerate), i+1+s.skip)
		}
		if s.fork {
			fmt.Fprintf(&b, "; the new process goes on, flags %#x", t.forkFlags)
		}
		if s.again {
			b.WriteString("; again on EAGAIN")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (t *table) describe(a arg) string {
	switch a.kind {
	case argResult:
		return "$" + strconv.Itoa(int(a.n))
	case argData:
		return t.data[a.n].String()
	case argPipe:
		return "$pipe"
	default:
		if n := int64(a.n); n > -4096 && n < 4096 {
			return strconv.FormatInt(n, 10)
		}
		return "0x" + strconv.FormatUint(a.n, 16)
	}
}

func (d datum) String() string {
	switch d.kind {
	case dataString:
		return strconv.Quote(d.text)
	case dataBytes:
		return fmt.Sprintf("{%x}", d.text)
	case dataFilter:
		return fmt.Sprintf("{%d instructions}", len(d.code))
	case dataRights:
		return fmt.Sprintf("{descriptor %d}", d.fd)
	}
	words := make([]string, len(d.words))
	for i, w := range d.words {
		if d.kind == dataEnv {
			w, _, _ = strings.Cut(w, "=")
			w += "=…"
		}
		words[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(words, " ") + "]"
}

func describeErrnos(mask uint64) string {
	var words []string
	for n := range 64 {
		if mask&(1<<n) != 0 {
			words = append(words, unix.ErrnoName(unix.Errno(n)))
		}
	}
	return strings.Join(words, "|")
}

var callNames = map[uintptr]string{
	unix.SYS_CAPSET:            "capset",
	unix.SYS_CHDIR:             "chdir",
	unix.SYS_CLONE3:            "clone3",
	unix.SYS_CLOSE:             "close",
	unix.SYS_CLOSE_RANGE:       "close_range",
	unix.SYS_DUP3:              "dup3",
	unix.SYS_EXECVE:            "execve",
	unix.SYS_EXECVEAT:          "execveat",
	unix.SYS_FCHDIR:            "fchdir",
	unix.SYS_FCHOWN:            "fchown",
	unix.SYS_FCNTL:             "fcntl",
	unix.SYS_FSCONFIG:          "fsconfig",
	unix.SYS_FSMOUNT:           "fsmount",
	unix.SYS_FSOPEN:            "fsopen",
	unix.SYS_IOCTL:             "ioctl",
	unix.SYS_KEYCTL:            "keyctl",
	unix.SYS_MOUNT:             "mount",
	unix.SYS_MOUNT_SETATTR:     "mount_setattr",
	unix.SYS_MOVE_MOUNT:        "move_mount",
	unix.SYS_OPENAT2:           "openat2",
	unix.SYS_OPEN_TREE:         "open_tree",
	unix.SYS_PIVOT_ROOT:        "pivot_root",
	unix.SYS_PPOLL:             "ppoll",
	unix.SYS_EXIT_GROUP:        "exit_group",
	unix.SYS_PRCTL:             "prctl",
	unix.SYS_PRLIMIT64:         "prlimit64",
	unix.SYS_IOPRIO_SET:        "ioprio_set",
	unix.SYS_PERSONALITY:       "personality",
	unix.SYS_RT_SIGACTION:      "rt_sigaction",
	unix.SYS_RT_SIGPROCMASK:    "rt_sigprocmask",
	unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity",
	unix.SYS_SCHED_SETATTR:     "sched_setattr",
	unix.SYS_SECCOMP:           "seccomp",
	unix.SYS_SENDMSG:           "sendmsg",
	unix.SYS_SETDOMAINNAME:     "setdomainname",
	unix.SYS_SETGROUPS:         "setgroups",
	unix.SYS_SETHOSTNAME:       "sethostname",
	unix.SYS_SETNS:             "setns",
	unix.SYS_SETRESGID:         "setresgid",
	unix.SYS_SETRESUID:         "setresuid",
	unix.SYS_SETSID:            "setsid",
	unix.SYS_SOCKET:            "socket",
	unix.SYS_UMASK:             "umask",
	unix.SYS_UMOUNT2:           "umount2",
	unix.SYS_UNSHARE:           "unshare",
	unix.SYS_WRITE:             "write",
}
