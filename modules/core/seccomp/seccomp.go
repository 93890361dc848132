// Package seccomp compiles OCI system call profiles into the BPF programs of
// seccomp(2), in Go alone.
//
//	profile, err := seccomp.Parse(text)       // or seccomp.Default()
//	program, err := profile.Compile(seccomp.Options{Capabilities: caps})
//	spec.Filter = program                     // of a sandbox.Command
//
// # What a profile means
//
// A profile is the JSON of the OCI runtime specification 1.3, with what the
// profiles of Docker (archMap, name, comment, includes, excludes) and of Podman
// (errno, defaultErrno) have beside it. It means what runc and libseccomp make
// of it:
//
//   - An entry counts if its includes and excludes agree with the container's
//     capabilities, the kernel and the machine.
//   - The conditions of an entry must all hold. If two of them look at the same
//     argument, each is an entry of its own.
//   - Several entries for a call are alternatives. The first without
//     conditions counts, unless it repeats the default action. Among the
//     entries that match, the strictest action counts, in the kernel's order:
//     kill process, kill thread, trap, errno, trace, log, allow. Of equally
//     strict ones, that without conditions does, else the first.
//   - The native architecture is always there. Calls of an architecture that
//     the profile does not name kill the thread.
//   - Arguments of 32-bit architectures are compared by their lower halves.
//   - A number above all that the profile names gets ENOSYS, unless the default
//     action lets calls happen: a C library takes ENOSYS for an older kernel,
//     and does without a call that is newer than the profile. EPERM would make
//     it give up.
//   - Names that no architecture knows are left out and reported.
//
// In three points it is stricter than they are. A stricter entry with conditions
// stays in force beside one without. On x86, socketcall and ipc do what calls of
// their own do too: where the profile does not name them, nothing passes
// through them that the profile denies by the other way. And a profile that
// cannot be honoured, or has a word too much, is an error.
//
// # The program
//
// It first branches by architecture, then searches for the number in a binary
// tree. Calls without conditions are decided by these two alone, so that the
// kernel (since 5.11) need not run the program for those it always allows.
//
// The package is portable, needs no privileges and is safe for concurrent use.
// Programs can be made for amd64 and arm64. Installing one needs Linux 4.14.
package seccomp

import (
	_ "embed"
	"fmt"

	"github.com/containust/containust/modules/core/capability"
)

// Profile says which system calls a process may make. It is inert; see the
// package's comment for what it means.
type Profile struct {
	DefaultAction Action // for calls that no entry matches

	// Architectures are those whose calls the entries are for, beside the native
	// one. ArchMap chooses them by the native one; only one of the two is set.
	Architectures []Arch
	ArchMap       []ArchFamily

	Flags   Flags
	Entries []Entry
}

// Arch is an architecture as the OCI runtime specification names it:
// "SCMP_ARCH_X86_64".
type Arch string

// ArchFamily is a native architecture with the others that its machine runs.
type ArchFamily struct {
	Arch   Arch
	Others []Arch
}

// Entry is an action for some system calls.
type Entry struct {
	Names    []string
	Action   Action
	Args     []Arg     // all must hold
	Includes Condition // must hold in whole
	Excludes Condition // must not hold in any part
}

// Condition makes an entry depend on the container and its machine. What is
// empty does not count.
type Condition struct {
	Capabilities capability.Set
	Arches       []string // as Docker's profiles name them: "amd64", "x86", "arm64", "s390x"
	MinKernel    Kernel
}

// Kernel is the version of a kernel. The zero Kernel is none.
type Kernel struct{ Major, Minor int }

// Arg is a condition on an argument of a call.
type Arg struct {
	Index int // 0–5
	Op    Op
	Value uint64 // what the argument is compared with; of MaskedEqual the mask
	Want  uint64 // of MaskedEqual: what the masked argument must be
}

// Op is a comparison of unsigned numbers.
type Op uint8

// The comparisons.
const (
	NotEqual Op = iota + 1
	Less
	LessOrEqual
	Equal
	GreaterOrEqual
	Greater
	MaskedEqual
)

// Action is what happens to a call, as the kernel has it in SECCOMP_RET_: see
// seccomp(2). As signed numbers, stricter actions are less.
type Action uint32

// The actions. Errno and Trace make the others.
const (
	KillProcess Action = 0x80000000
	KillThread  Action = 0
	Trap        Action = 0x00030000
	Log         Action = 0x7ffc0000
	Allow       Action = 0x7fff0000

	errnoAction Action = 0x00050000
	traceAction Action = 0x7ff00000
	actionData  Action = 0xffff
)

// Linux's numbers, on every platform.
const (
	eperm    = 1
	enosys   = 38
	maxErrno = 4095 // the kernel's MAX_ERRNO
)

// Errno makes the call fail with a Linux error number, at most 4095.
func Errno(number uint16) Action { return errnoAction | Action(number) }

// Trace asks a tracer, see PTRACE_O_TRACESECCOMP in ptrace(2), which gets the
// number. Without a tracer the call fails with ENOSYS.
func Trace(number uint16) Action { return traceAction | Action(number) }

// kind is the action without its number.
func (a Action) kind() Action { return a &^ actionData }

// stricter tells whether a counts and not b, if both match.
func (a Action) stricter(b Action) bool { return int32(a.kind()) < int32(b.kind()) }

// lets tells whether the call can happen.
func (a Action) lets() bool { return a == Allow || a == Log }

// String returns the OCI name, and for Errno and Trace the number.
func (a Action) String() string {
	name := fmt.Sprintf("action %#x", uint32(a))
	for n, k := range actionNames {
		// SCMP_ACT_KILL is another name for one of the others.
		if k == a.kind() && n != "SCMP_ACT_KILL" {
			name = n
		}
	}
	if a&actionData != 0 {
		name += fmt.Sprintf("(%d)", a&actionData)
	}
	return name
}

var actionNames = map[string]Action{
	"SCMP_ACT_KILL":         KillThread,
	"SCMP_ACT_KILL_PROCESS": KillProcess,
	"SCMP_ACT_KILL_THREAD":  KillThread,
	"SCMP_ACT_TRAP":         Trap,
	"SCMP_ACT_ERRNO":        errnoAction,
	"SCMP_ACT_TRACE":        traceAction,
	"SCMP_ACT_LOG":          Log,
	"SCMP_ACT_ALLOW":        Allow,
}

var opNames = map[string]Op{
	"SCMP_CMP_NE":        NotEqual,
	"SCMP_CMP_LT":        Less,
	"SCMP_CMP_LE":        LessOrEqual,
	"SCMP_CMP_EQ":        Equal,
	"SCMP_CMP_GE":        GreaterOrEqual,
	"SCMP_CMP_GT":        Greater,
	"SCMP_CMP_MASKED_EQ": MaskedEqual,
}

// Flags are those of seccomp(2)'s SECCOMP_SET_MODE_FILTER.
type Flags uint32

// The flags.
const (
	LogActions            Flags = 1 << 1 // SECCOMP_FILTER_FLAG_LOG
	AllowSpeculativeStore Flags = 1 << 2 // SECCOMP_FILTER_FLAG_SPEC_ALLOW
)

var flagNames = map[string]Flags{
	"SECCOMP_FILTER_FLAG_LOG":        LogActions,
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW": AllowSpeculativeStore,
	// A process that is about to run a program has one thread.
	"SECCOMP_FILTER_FLAG_TSYNC": 0,
}

//go:embed default.json
var defaultProfile []byte

// Default returns the profile that containers have: Docker's, without
// socketcall. Through that call 32-bit programs could open a socket of any
// address family, also of those that the profile denies, AF_ALG and AF_VSOCK.
//
// It depends on the capabilities: see [Options]. Its text is in default.json,
// from where profiles of one's own can start.
func Default() *Profile {
	p, err := Parse(defaultProfile)
	if err != nil {
		panic(err) // it is part of this package, and a test parses it
	}
	return p
}
