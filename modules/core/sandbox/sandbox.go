// Package sandbox starts isolated processes: in namespaces and a root file
// system of their own, without capabilities, without a daemon and without
// running the calling program a second time.
//
//	root, err := rootfs.Folder("/srv/images/web", rootfs.Bind{})
//	defer root.Close()
//	p, err := sandbox.Launch(ctx, sandbox.Spec{
//		Root:    root,
//		Plan:    rootfs.Default(),
//		Command: sandbox.Command{Args: []string{"web"}, Env: []string{"PATH=/bin"}, Stdout: os.Stdout},
//	}, sandbox.Options{})
//	defer p.Close()
//	exit, err := p.Wait(ctx)
//
// With a user namespace of its own, a container's root has no power outside:
//
//	ns, err := sandbox.Prepare(ctx, idmap.Contiguous(first), sandbox.PrepareOptions{Network: true})
//	defer ns.Close()
//	err = idmap.Mount(root, ns.User, false)
//	p, err := sandbox.Launch(ctx, sandbox.Spec{User: ns.User, Network: ns.Network, …
//
// # How a launch works
//
// A launch is a table of system calls. The caller's process resolves
// everything into file descriptors and C strings, writes the table into memory
// outside the Go heap, and makes one clone3(2) with CLONE_VM. The child walks
// the table in a few lines of assembly and ends in execve(2): no Go code runs
// in it, it uses no stack and takes no locks, so a garbage collection in the
// caller cannot stop it, nor it a garbage collection. When a call fails, the
// child leaves the step and the error number in the shared memory and exits.
//
// While such a child lives the calling process is not dumpable
// (PR_SET_DUMPABLE in prctl(2)), so that nobody reads its memory through the
// child; the previous state comes back after it. Children have no exit signal
// until they run their program: a SIGCHLD handler or a reaper of the embedding
// program never meets one whose launch failed.
//
// Where processes of a container can see the child, in an [Exec] and in a launch
// into a pid namespace that exists, the clone runs a program in memory (package
// memexec) that walks the table in memory of its own. Such a child has the exit
// signal SIGCHLD, and vm.memfd_noexec = 2 forbids it.
//
// Needs Linux 5.14 on amd64 or arm64, CAP_SYS_ADMIN and the capabilities that
// the specification implies; for a user namespace, those of root. An ordinary user
// has them in a user namespace, where package rootless brings a program; [Prepare]
// and [Enter] alone work outside of one. There /dev gets the host's own nodes, each
// mounted for itself. Elsewhere errors match [errors.ErrUnsupported].
// All functions and methods are safe for concurrent use.
package sandbox

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/seccomp"
)

// Spec describes a container to launch. Its first process always gets new pid,
// mount, ipc, uts and cgroup namespaces, its own session keyring, and no open
// files but its standard streams.
//
// File descriptors in a Spec are borrowed for the duration of the call; the
// caller keeps and closes them.
type Spec struct {
	Command

	// Root is a detached mount of the root file system; launching attaches it,
	// so it serves for one launch. See rootfs.Folder and fsmount(2).
	Root            *os.File
	ReadOnlyRoot    bool               // the root's mount alone, not what is mounted over it
	RootPropagation rootfs.Propagation // likewise

	// Plan is mounted over the root; rootfs.Default is the usual start.
	rootfs.Plan

	Hostname   string // empty: the caller's
	Domainname string // of NIS; empty: the caller's

	// Sysctls are kernel parameters by name, "net.ipv4.ip_forward": those of
	// namespaces that are the container's own.
	Sysctls map[string]string

	// User is an open user namespace with its maps written, as Prepare makes
	// it. The process is in it, its ids are those inside, and it owns all other
	// namespaces of the process. Root's files must belong to its root: what
	// Root and the mounts' sources show is up to the caller. Nil: the caller's.
	User *os.File
	// RootUID and RootGID are who root of User is outside. What the launch
	// makes outside, /dev, belongs to them.
	RootUID, RootGID uint32

	// Network is an open network namespace to enter. With User it must be owned
	// by that, as Prepare makes it, or no sysfs can be mounted. Nil: a new one with
	// nothing but loopback, or with HostNetwork the caller's.
	Network     *os.File
	HostNetwork bool

	// PID, IPC, UTS and CgroupNamespace are where the others come from. In a pid
	// namespace that is the caller's or that is given, the process is not the
	// first, and a new /proc needs power over that namespace.
	PID, IPC, UTS, CgroupNamespace Namespace

	// Mount is an open mount namespace to enter, with its root and all that is
	// mounted there: Root, Plan, Sysctls and what is said of the root must be
	// empty. Nil: a new one.
	Mount *os.File

	// Init puts a small program before the command, as process 1 of the pid
	// namespace. It makes the command its child, in a process group of its own,
	// passes every signal on to it, waits for processes that lost their parent,
	// and exits like the command: 128+signal where a signal ended that. The
	// container then ends with it. The program has the command's rights and its
	// Filter, which must allow execveat, clone, rt_sigtimedwait, wait4, kill and
	// what else the error of a launch names. The command looks as without, but
	// is not process 1: a signal that it neither catches nor ignores ends it.
	Init bool

	// TimeOffsets are what the process's clocks are ahead of the host's, in a time
	// namespace of its own. Older kernels than Linux 6.2 give an error that matches
	// [errors.ErrUnsupported]. An Exec has the same clocks. Zero: none, in the
	// caller's namespace.
	TimeOffsets TimeOffsets

	// Cgroup is an open cgroup v2 folder that the process is born in; it
	// becomes the root of its cgroup namespace. Nil: the caller's cgroup.
	Cgroup *os.File
}

// Namespace is where a process gets a namespace from. The zero value: a new one.
type Namespace struct {
	File *os.File // an open one to enter, see namespaces(7)
	Host bool     // the caller's
}

// TimeOffsets are offsets of clocks, see time_namespaces(7).
type TimeOffsets struct {
	Monotonic, Boottime time.Duration
}

// String returns the offsets as /proc/PID/timens_offsets takes them.
func (o TimeOffsets) String() string {
	line := func(clock string, d time.Duration) string {
		seconds, rest := d/time.Second, d%time.Second
		if rest < 0 { // nanoseconds count forwards
			seconds, rest = seconds-1, rest+time.Second
		}
		return fmt.Sprintf("%s %d %d\n", clock, seconds, rest)
	}
	return line("monotonic", o.Monotonic) + line("boottime", o.Boottime)
}

// Command describes a process inside a container.
type Command struct {
	// Args is argv. Args[0] without a slash is looked up in the PATH of Env,
	// inside the container.
	Args []string
	Env  []string // KEY=value
	Dir  string   // absolute, inside the root; empty: "/"

	UID, GID uint32
	Groups   []uint32 // supplementary; none of the caller's remain

	// Capabilities are all that the process and its descendants can have, and
	// what it has from the start, also when it is not root.
	Capabilities capability.Set

	// CapabilitySets says more than Capabilities, which must then be empty: each
	// set of capabilities(7) by itself. A root's program gets all of Bounding.
	CapabilitySets *CapabilitySets

	// AllowNewPrivileges lets set-uid programs and file capabilities work,
	// within Capabilities. It leaves out no_new_privs.
	AllowNewPrivileges bool

	// Filter decides which system calls the process and its descendants can
	// make, from its program on. The zero Program filters nothing. With
	// AllowNewPrivileges it needs CAP_SYS_ADMIN in Capabilities.
	Filter seccomp.Program

	Rlimits []Rlimit

	// Umask is the file mode mask; nil is 022.
	Umask *uint32

	// OOMScoreAdj is written to /proc/PID/oom_score_adj as soon as the program
	// runs: -1000 (never killed for memory) to 1000. Below the caller's it takes
	// CAP_SYS_RESOURCE. Nil: the caller's.
	OOMScoreAdj *int

	// Personality is the execution domain and flags of personality(2), such as
	// 8 for PER_LINUX32. Zero: the caller's.
	Personality uint32

	// The standing of the process among others. Nil: the caller's.
	IOPriority *IOPriority
	Scheduler  *Scheduler
	CPUs       []int // that it may run on, by number

	// NewSession makes the process the leader of a new session, without a
	// controlling terminal.
	NewSession bool

	// Stdin, Stdout and Stderr are the process's streams; nil is the
	// container's own /dev/null.
	Stdin, Stdout, Stderr *os.File
}

// CapabilitySets are the five sets of a process. Ambient ones must be permitted
// and inheritable, effective ones permitted.
type CapabilitySets struct {
	Bounding, Effective, Permitted, Inheritable, Ambient capability.Set
}

// IOPriority is a priority of ioprio_set(2).
type IOPriority struct {
	Class IOClass
	Level int // 0 (first) to 7
}

// IOClass is a class of IOPriority.
type IOClass int

// The classes. IORealtime takes CAP_SYS_ADMIN or CAP_SYS_NICE.
const (
	IONone IOClass = iota
	IORealtime
	IOBestEffort
	IOIdle
)

// Scheduler is a policy with its parameters, as sched_setattr(2) has them.
type Scheduler struct {
	Policy                    uint32 // unix.SCHED_NORMAL, …
	Flags                     uint64 // unix.SCHED_FLAG_RESET_ON_FORK, …
	Nice                      int32  // of the normal policies, -20 to 19
	Priority                  uint32 // of the real-time policies, 1 to 99
	Runtime, Deadline, Period uint64 // of unix.SCHED_DEADLINE, in nanoseconds; not with a user namespace
}

// Rlimit is a resource limit of setrlimit(2). Resource is a number of the
// system's, such as unix.RLIMIT_NOFILE; ParseRlimit finds it by name.
type Rlimit struct {
	Resource int
	Cur, Max uint64 // RlimitInfinity: no limit
}

// RlimitInfinity stands for "no limit".
const RlimitInfinity = ^uint64(0)

// ExecSpec describes a further process in a running container. Descriptors are
// borrowed as in Spec.
type ExecSpec struct {
	Command

	// Cgroup is the container's cgroup folder. Nil: the caller's cgroup.
	Cgroup *os.File

	// Terminal makes a terminal of the container's the process's standard
	// streams, which must be nil, and its controlling terminal in a new
	// session. It belongs to UID. See [Process.Terminal].
	Terminal *Terminal
}

// Terminal is how large a terminal is at first; zero is unknown.
type Terminal struct {
	Rows, Cols uint16 // in characters
}

// Options are of the launch, not of what is launched. The zero value works.
type Options struct {
	// Logger gets the table of system calls at debug level; nil discards it.
	Logger *slog.Logger
}
